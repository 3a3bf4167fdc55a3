"""Hand in: files a person wants sent, through the same journal and ledger as everything else.

The file's data set goes into a record whose decision is one delivery; nothing is sent from here.
It works beside a running router, which takes the deliveries up within a second, and without one,
when they wait for its start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from router.clock import Clock
from router.dicom.header import HeaderReader
from router.dicom.part10 import Part10File, open_part10
from router.dicom.transfer_syntax import layout_of
from router.errors import BadDataset
from router.flow.intake import (
    ACCESSION_NUMBER,
    ISSUER_OF_PATIENT_ID,
    MODALITY,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
)
from router.model.delivery import Disposition, Priority
from router.model.instance import Instance, Source
from router.model.recipe import NOTHING, Recipe
from router.model.rule import Decision, Owed
from router.store.envelope import encode
from router.store.ledger import SEND_PREFIX, Indexed, Ledger
from router.store.records import Journal, Writer

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Errand:
    """What is asked: by whom, to which station, changed how, how urgently."""

    requester: str
    station: str
    recipe: Recipe
    priority: Priority
    ae_title: str
    plan_digest: str

    def owed(self, first: Recipe = NOTHING) -> Owed:
        """The delivery that is asked for, of an instance that has `first` done to it anyway."""
        rule = f"{SEND_PREFIX}{self.requester}"
        return Owed(self.station, first.then(self.recipe), self.priority, rule)


def hand_in(path: Path, errand: Errand, journal: Journal, ledger: Ledger, clock: Clock) -> str:
    """Queue one file; its SOP Instance UID. It is on stable storage when this returns.

    Raises BadDataset when it is no complete DICOM data set, StoreFull, StoreDown, OSError.
    """
    part10 = open_part10(path)
    writer = journal.begin()
    try:
        reader = _copy(path, part10, writer)
        sop_class_uid, sop_instance_uid = _uids(reader, part10)
        instance = Instance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            study_instance_uid=reader.text(STUDY_INSTANCE_UID),
            series_instance_uid=reader.text(SERIES_INSTANCE_UID),
            transfer_syntax_uid=part10.transfer_syntax_uid,
            modality=reader.text(MODALITY),
            patient_id=reader.text(PATIENT_ID),
            issuer_of_patient_id=reader.text(ISSUER_OF_PATIENT_ID),
            accession_number=reader.text(ACCESSION_NUMBER),
            data_set_length=reader.data_set_length,
            header_length=reader.header_length,
            content_digest=writer.digest(),
            received_at=clock.now(),
            source=Source("send", errand.ae_title, errand.ae_title, "", errand.requester),
        )
        decision = Decision(Disposition.ROUTED, (errand.owed(),), ())
        ref = writer.commit(encode(instance, decision, errand.plan_digest))
    except BaseException:
        writer.abandon()
        raise
    ledger.index([Indexed(ref, instance, decision, errand.plan_digest)])
    return sop_instance_uid


def _uids(reader: HeaderReader, part10: Part10File) -> tuple[str, str]:
    sop_class_uid = reader.text(SOP_CLASS_UID) or part10.sop_class_uid
    sop_instance_uid = reader.text(SOP_INSTANCE_UID) or part10.sop_instance_uid
    if not sop_instance_uid or not sop_class_uid:
        raise BadDataset("it has no SOP Instance UID or no SOP Class UID")
    return sop_class_uid, sop_instance_uid


def _copy(path: Path, part10: Part10File, writer: Writer) -> HeaderReader:
    reader = HeaderReader(part10.transfer_syntax_uid, ())
    with path.open("rb", buffering=0) as file:
        file.seek(part10.data_set_offset, os.SEEK_SET)
        while chunk := file.read(READ_BYTES):
            reader.feed(chunk)
            writer.append(chunk)
        odd = (file.tell() - part10.data_set_offset) % 2
    if odd and layout_of(part10.transfer_syntax_uid).deflated:
        # PS3.5 A.5: files often lack the byte that makes the length even, and peers abort on that.
        reader.feed(b"\0")
        writer.append(b"\0")
    reader.finish()
    return reader
