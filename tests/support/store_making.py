"""What the store tests are made of: a data directory, instances, decisions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from router.clock import Clock
from router.model.delivery import Disposition, Outcome, Priority, Result, State
from router.model.instance import Instance, RecordRef, Source
from router.model.plan import StoreSettings
from router.model.recipe import Recipe
from router.model.rule import Decision, Option, Owed
from router.store import envelope
from router.store.journal import Journal
from router.store.keys import KeyRing
from router.store.ledger import Indexed, Settlement
from router.store.room import Room
from router.store.sqlite_ledger import SqliteLedger

PLAIN = Recipe.of([])
MORPHED = Recipe.of([("set", {"InstitutionName": "Hospital A"})])


class TestClock(Clock):
    """A clock that stands still until it is told."""

    __test__ = False

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def owed(
    station="pacs", recipe=PLAIN, priority=Priority.MEDIUM, rule="all", silence=None, others=()
):
    """`others` are names, or (name, recipe), of stations that may take it in its place."""
    pairs = [(one, recipe) if isinstance(one, str) else one for one in others]
    others = tuple(Option(*pair) for pair in pairs)
    return Owed(station, recipe, priority, rule, silence, others)


def decision(*deliveries, disposition=None):
    if disposition is None:
        disposition = Disposition.ROUTED if deliveries else Disposition.UNMATCHED
    return Decision(disposition, deliveries, tuple(one.rule for one in deliveries))


def instance(number=1, data=b"", *, study="1.2.3", station="ct-1", at=1_000_000.0, **facts):
    values = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": f"1.2.826.0.1.{number}",
        "study_instance_uid": study,
        "series_instance_uid": study + ".1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "modality": "CT",
        "patient_id": "PID-4711",
        "issuer_of_patient_id": "HOSPA",
        "accession_number": "ACC-1",
        "data_set_length": len(data),
        "header_length": min(len(data), 500),
        "content_digest": blake3(data or str(number).encode()).digest(),
        "received_at": at,
        "source": Source("lan", "CT1", "EDGE", "10.0.0.1", station),
    }
    return Instance(**(values | facts))


@dataclass
class Store:
    """An open data directory."""

    folder: Path
    clock: Clock
    keys: KeyRing
    journal: Journal
    ledger: SqliteLedger

    def keep(self, number=1, data=b"", *deliveries, index=True, **facts):
        """Write a record, and book it unless told otherwise; its Indexed."""
        writer = self.journal.begin()
        writer.append(data)
        facts.setdefault("at", self.clock.now())
        made = instance(number, data, **facts)
        decided = decision(*deliveries)
        ref = writer.commit(envelope.encode(made, decided, "plan"))
        entry = Indexed(ref, made, decided, "plan")
        if index:
            self.ledger.index([entry])
        return entry

    def read(self, ref):
        record = self.journal.open(ref)
        try:
            return b"".join(map(bytes, record.chunks()))
        finally:
            record.close()

    def close(self):
        self.journal.close()
        self.ledger.close()


def open_store(folder, *, segment_bytes=256 * 1024**2, clock=None, boot_id="boot-1", room=None):
    clock = clock or TestClock()
    keys = KeyRing.open(folder / "keys")
    room = room or Room(folder, clock)
    journal = Journal(folder, keys, StoreSettings(segment_bytes=segment_bytes), room)
    ledger = SqliteLedger.open(folder / "ledger" / "ledger.db", clock, boot_id)
    return Store(folder, clock, keys, journal, ledger)


_serial = iter(range(1, 10**9))


def indexed(number, *deliveries, segment=1, record_id=None, **facts):
    """An Indexed without a record behind it: for tests of the ledger alone."""
    place = next(_serial) * 1000
    ref = RecordRef(segment, place, 1000, record_id or os.urandom(16))
    return Indexed(ref, instance(number, **facts), decision(*deliveries), "plan")


def settled(leased, result=Result.DELIVERED, state=State.DELIVERED, due_at=None, **words):
    return Settlement(
        Outcome(leased.delivery_id, result, **words), due_at, state, result is Result.RETRY
    )
