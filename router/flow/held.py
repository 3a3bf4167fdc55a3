"""Held: what is here, read as it was seen when it was accepted.

What the receive hook of its station does to an object was pinned then, and is done whenever it is
looked at or leaves: nobody is told of an object other than it would be handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from router.dicom.header import HeaderReader
from router.dicom.tags import keyword_for, parse_path
from router.dicom.values import BULK_VRS
from router.flow.received import MAX_HEADER_BYTES, ReceiveHooks
from router.match.facts import Header
from router.model.catalogue import MAX_TEXT_LENGTH, ORIGINAL_ISSUER, ORIGINAL_PATIENT_ID
from router.model.path import Path, PathStep
from router.model.plan import Plan
from router.model.recipe import Recipe
from router.store.envelope import decode
from router.store.journal import Journal
from router.store.ledger import Stored
from router.store.records import Record, RecordDamaged


def received_by(journal: Journal, stored: Stored) -> Recipe:
    """What its station's hook did to the instance when it came.

    Raises RecordDamaged where that cannot be read, or the bytes are gone: then nothing of the
    instance may leave.
    """
    record = _opened(journal, stored)
    try:
        return decode(record.envelope()).decision.receive
    finally:
        record.close()


def _opened(journal: Journal, stored: Stored) -> Record:
    if stored.record is None:
        raise RecordDamaged("the bytes of the instance are not here any more")
    return journal.open(stored.record)


class HeldHeaders:
    """Reads attributes of held instances. Shared by threads."""

    def __init__(self, plan: Callable[[], Plan], journal: Journal, hooks: ReceiveHooks) -> None:
        self._plan = plan
        self._journal = journal
        self._hooks = hooks

    def attributes(
        self, held: Stored, tags: Collection[int], *, as_it_came: bool = False
    ) -> dict[int, str]:
        """The text of these attributes, where they have values that are text or numbers.

        `as_it_came`: as before the hook on receive.

        Raises RecordDamaged when the record is gone or damaged, BadDataset when its header cannot
        be read, MorphFailed when the receive hook fails, StoreDown.
        """
        paths = {tag: Path((PathStep(tag),), keyword_for(tag) or f"{tag:08X}") for tag in tags}
        header = self._header(held, paths.values(), as_it_came=as_it_came)
        found: dict[int, str] = {}
        for tag, path in paths.items():
            attribute = header.get(path)
            if attribute is None or attribute.vr in BULK_VRS:
                continue
            text = "\\".join(str(value).strip(" \0") for value in attribute.values)
            if text and len(text) <= MAX_TEXT_LENGTH:
                found[tag] = text
        return found

    def identity_as_it_came(self, held: Stored) -> dict[int, str]:
        """Patient ID and issuer before the hook on receive, by ORIGINAL_…; {} where there is none.

        Raises what `attributes` raises.
        """
        if received_by(self._journal, held).is_empty:
            return {}
        paths = {
            ORIGINAL_PATIENT_ID: parse_path("PatientID"),
            ORIGINAL_ISSUER: parse_path("IssuerOfPatientID"),
        }
        header = self._header(held, paths.values(), as_it_came=True)
        return {
            tag: "".join(str(value).strip(" \0") for value in found.values) if found else ""
            for tag, found in ((tag, header.get(path)) for tag, path in paths.items())
        }

    def _header(
        self, held: Stored, wanted: Collection[Path], *, as_it_came: bool = False
    ) -> Header:
        record = _opened(self._journal, held)
        try:
            envelope = decode(record.envelope())
            instance, receive = envelope.instance, envelope.decision.receive
            length = min(instance.header_length, MAX_HEADER_BYTES)
            syntax = instance.transfer_syntax_uid
            character_set = instance.assumed_character_set
            if not receive.is_empty and not as_it_came:
                octets = record.read(0, length)
                context = self._hooks.context(self._plan(), instance.source, instance.received_at)
                return self._hooks.seen(
                    receive,
                    wanted,
                    context,
                    (syntax, character_set),
                    (lambda offset, size: octets[offset : offset + size], len(octets)),
                )
            reader = HeaderReader(syntax, wanted, default_character_set=character_set)
            for chunk in record.chunks(0, length):
                reader.feed(chunk)
            return reader
        finally:
            record.close()
