"""Reject: a person rejects a study that is held here, a series or single instances of it.

The router writes the rejection notes (IHE IOCM, RAD-66) and takes them in as if a station had sent
them: so one way leads to the register, to what is cancelled and withheld, and to the stations that
are told. A note says what the objects said when they came; for each station it is changed like them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.clock import Clock, local_date_and_time
from router.dicom.rejection_note import REPEATED, Named, Note, encoded
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.dicom.uids import new_uid
from router.errors import Refused
from router.flow.held import HeldHeaders
from router.flow.intake import Arrival, Intake
from router.model.instance import REJECTED_HERE, Source
from router.model.plan import Plan
from router.model.rejection import KEY_OBJECT_SELECTION
from router.store.ledger import Ledger, Stored

MOST_NAMED: Final = 1000
# What people type; the codes of model.rejection.
WORDS: Final = {
    "quality": "113001",
    "safety": "113037",
    "worklist": "113038",
    "retention": "113039",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be rejected, as what; without series and instances the whole study."""

    study_instance_uid: str
    code: str
    series_instance_uid: str = ""
    sop_instance_uids: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """What it came to: how many objects, in which notes (SOP Instance UIDs)."""

    objects: int
    notes: tuple[str, ...]


def chosen(ledger: Ledger, wanted: Wanted) -> tuple[Stored, ...]:
    """The objects that are meant, the newest version of each. Raises Refused where one is not here."""
    held = {
        one.instance.sop_instance_uid: one
        for one in ledger.instances_of_study(wanted.study_instance_uid)
        if one.withheld is None
        and one.instance.sop_class_uid != KEY_OBJECT_SELECTION
        and wanted.series_instance_uid in {"", one.instance.series_instance_uid}
    }
    missing = [uid for uid in wanted.sop_instance_uids if uid not in held]
    if missing:
        raise Refused(f"not held here, or rejected already: {', '.join(missing[:3])}")
    if not held:
        raise Refused("nothing of it is held here that is not rejected already")
    return tuple(
        one
        for uid, one in held.items()
        if not wanted.sop_instance_uids or uid in wanted.sop_instance_uids
    )


def reject(
    objects: Sequence[Stored],
    code: str,
    requester: str,
    plan: Plan,
    headers: HeldHeaders,
    intake: Intake,
    clock: Clock,
) -> tuple[str, ...]:
    """Write notes about these objects of one study and take them in; their SOP Instance UIDs.

    They are durable when this returns. Raises Refused where a rule of the plan refuses them,
    RecordDamaged and BadDataset where the objects do not say whose they are, StoreFull, StoreDown.
    """
    repeated = headers.attributes(objects[0], REPEATED, as_it_came=True)
    own = plan.router.ae_title
    source = Source(REJECTED_HERE, requester, own, "", None)
    date, time = local_date_and_time(clock.now())
    series = new_uid()
    notes: list[str] = []
    for first in range(0, len(objects), MOST_NAMED):
        instances = [one.instance for one in objects[first : first + MOST_NAMED]]
        named = [
            Named(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
            for one in instances
        ]
        study, uid = instances[0].study_instance_uid, new_uid()
        data = encoded(Note(code, study, named, uid, series, date, time, repeated))
        arrival = Arrival(source, KEY_OBJECT_SELECTION, uid, EXPLICIT_VR_LITTLE_ENDIAN)
        answer = intake.take(arrival, _chunks(data))
        if answer.status:
            raise Refused(f"the note was not taken, nothing is rejected: {answer.comment}")
        notes.append(uid)
    return tuple(notes)


def _chunks(data: bytes) -> Iterator[memoryview]:
    yield memoryview(data)
