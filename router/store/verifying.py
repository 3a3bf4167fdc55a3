"""Verifying: every sealed record the ledger knows is read to its end, and what does not open is told.

Chunks are read one at a time, rows in batches, in order of place: memory is bounded, and it may run
beside a router. What was moved or evicted meanwhile is looked up again. Nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from router.errors import StoreDown
from router.store import envelope
from router.store.database import Database
from router.store.instances import COLUMNS, stored
from router.store.journal import Journal
from router.store.keeping import OWED
from router.store.ledger import Stored
from router.store.records import RecordDamaged

_BATCH: Final = 200
_NEXT: Final = f"""{COLUMNS} WHERE (segment, place) > (?1, ?2)
  AND (?3 IS NULL OR study_instance_uid = ?3) ORDER BY segment, place LIMIT {_BATCH}
"""
_AGAIN: Final = f"{COLUMNS} WHERE instance_id = ?"
_IS_OWED: Final = f"SELECT {OWED} FROM instance i WHERE i.instance_id = ?"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that does not open: whose it is, why, and whether something still needs it."""

    held: Stored
    reason: str
    is_owed: bool


@dataclass(slots=True)
class Verified:
    """How far it is: counts, and the segment and place of the last record that was read."""

    records: int = 0
    data_set_bytes: int = 0
    damaged: int = 0
    behind: tuple[int, int] = field(default=(-1, -1), compare=False)

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        names = ("records", "data_set_bytes", "damaged")
        return {name: getattr(self, name) for name in names}


def verify(
    journal: Journal,
    database: Database,
    done: Verified,
    study: str | None = None,
    goes_on: Callable[[], bool] = lambda: True,
) -> Iterator[Damaged]:
    """What does not open, as it is found, behind where `done` is; it counts meanwhile. Raises StoreDown."""
    while True:
        with database.read() as connection:
            rows = connection.execute(_NEXT, (*done.behind, study)).fetchall()
        for row in rows:
            if not goes_on():
                return
            held = stored(row)
            assert held.record is not None
            place = held.record.segment, held.record.offset
            found = _looked_at(journal, database, held)
            done.records += 1
            done.data_set_bytes += held.instance.data_set_length
            done.behind = place
            if found is not None:
                done.damaged += 1
                yield found
        if len(rows) < _BATCH:
            return


def _looked_at(journal: Journal, database: Database, held: Stored) -> Damaged | None:
    while True:
        reason = fault_of(journal, held)
        if not reason:
            return None
        with database.read() as connection:
            now = _now(connection, held.instance_id)
            is_owed = bool(connection.execute(_IS_OWED, (held.instance_id,)).fetchone()[0])
        if now.record is None:
            return None
        if now.record == held.record:
            return Damaged(held, reason, is_owed)
        held = now  # it was moved while it was read


def _now(connection: sqlite3.Connection, instance_id: int) -> Stored:
    return stored(connection.execute(_AGAIN, (instance_id,)).fetchone())


def fault_of(journal: Journal, held: Stored) -> str:
    """Why the record does not open, or is not the one the ledger means; '' when all is well."""
    assert held.record is not None
    try:
        record = journal.open(held.record)
    except (RecordDamaged, StoreDown) as error:
        return str(error)
    try:
        hasher = blake3()
        for chunk in record.chunks():
            hasher.update(chunk)
        facts = envelope.decode_instance(record.envelope())
    except RecordDamaged as error:
        return str(error)
    finally:
        record.close()
    if hasher.digest() != held.instance.content_digest:
        return "its content is not the one that was booked"
    if facts.sop_instance_uid != held.instance.sop_instance_uid:
        return "it is another instance than the one that was booked"
    return ""
