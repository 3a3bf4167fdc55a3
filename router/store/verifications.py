"""Verifications in the ledger: who asked for one, how far it is, what did not open.

One is worked on by whichever process delivers; what a stop cuts off goes on behind the last record
that was read. Rows older than a month go with the next one that is made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.store.asked_for import KEEP_SECONDS as KEEP_SECONDS
from router.store.asked_for import forget_old
from router.store.verifying import Verified

MOST_NAMED: Final = 1000
VerificationStatus = Literal["Ready", "In Progress", "Completed", "Failed", "Cancelled"]

_ROW: Final = """
SELECT verification_id, requester, study_instance_uid, created_at, started_at, ended_at, message,
  total, records, data_set_bytes, damaged, segment, place FROM verification
"""
_COUNT: Final = """
SELECT count(*) FROM instance
WHERE segment IS NOT NULL AND (?1 IS NULL OR study_instance_uid = ?1)
"""
_FAR: Final = """
UPDATE verification SET records = ?, data_set_bytes = ?, damaged = ?, segment = ?, place = ?
WHERE verification_id = ? AND ended_at IS NULL
"""
_DAMAGE: Final = """
INSERT OR IGNORE INTO verification_damage
SELECT ?1, ?2, ?3, ?4
WHERE (SELECT count(*) FROM verification_damage WHERE verification_id = ?1) < ?5
"""


@dataclass(frozen=True, slots=True)
class Damage:
    """One instance that did not open, why, and whether something needed it."""

    instance_id: int
    reason: str
    is_owed: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """One of them; `study_instance_uid` is None where all is meant. Times are since the epoch."""

    verification_id: int
    requester: str
    study_instance_uid: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    message: str
    total: int
    done: Verified

    @property
    def status(self) -> VerificationStatus:
        """As of a task: failed is one that found something, or was broken off by trouble."""
        if self.ended_at is None:
            return "Ready" if self.started_at is None else "In Progress"
        if self.message.startswith("cancelled"):
            return "Cancelled"
        return "Failed" if self.message or self.done.damaged else "Completed"


def add(connection: sqlite3.Connection, requester: str, study: str | None, at: float) -> int:
    """Note that it is wanted; its number."""
    forget_old(connection, "verification", "verification_damage", at)
    number = connection.execute(
        "INSERT INTO verification (requester, study_instance_uid, created_at) VALUES (?, ?, ?)",
        (requester, study, at),
    ).lastrowid
    assert number is not None
    return number


def listed(connection: sqlite3.Connection, limit: int) -> tuple[Verification, ...]:
    """The last ones, the latest first."""
    rows = connection.execute(f"{_ROW} ORDER BY verification_id DESC LIMIT ?", (limit,))
    return tuple(map(_read, rows))


def find(connection: sqlite3.Connection, number: int) -> Verification | None:
    """One of them."""
    row = connection.execute(f"{_ROW} WHERE verification_id = ?", (number,)).fetchone()
    return None if row is None else _read(row)


def next_open(connection: sqlite3.Connection) -> Verification | None:
    """The one that is to be worked on: first come, first served."""
    row = connection.execute(
        f"{_ROW} WHERE ended_at IS NULL ORDER BY verification_id LIMIT 1"
    ).fetchone()
    return None if row is None else _read(row)


def begin(connection: sqlite3.Connection, number: int, study: str | None, at: float) -> None:
    """Note that it is worked on, and of how many records."""
    total = connection.execute(_COUNT, (study,)).fetchone()[0]
    connection.execute(
        "UPDATE verification SET started_at = ?, total = ? WHERE verification_id = ?",
        (at, total, number),
    )


def note(
    connection: sqlite3.Connection, number: int, done: Verified, found: Sequence[Damage]
) -> bool:
    """Note how far it is and what was found since; false when somebody ended it meanwhile."""
    far = (done.records, done.data_set_bytes, done.damaged, *done.behind)
    if not connection.execute(_FAR, (*far, number)).rowcount:
        return False
    connection.executemany(
        _DAMAGE,
        [(number, one.instance_id, one.reason[:500], one.is_owed, MOST_NAMED) for one in found],
    )
    return True


def end(connection: sqlite3.Connection, number: int, at: float, message: str = "") -> bool:
    """Note that it is over, and why early; false when it was over before, or is none."""
    statement = (
        "UPDATE verification SET ended_at = ?1, started_at = coalesce(started_at, ?1), message = ?2 "
        "WHERE verification_id = ?3 AND ended_at IS NULL"
    )
    return bool(connection.execute(statement, (at, message, number)).rowcount)


def damages(connection: sqlite3.Connection, number: int) -> tuple[Damage, ...]:
    """What did not open, the first thousand."""
    rows = connection.execute(
        "SELECT instance_id, reason, is_owed FROM verification_damage "
        "WHERE verification_id = ? ORDER BY instance_id",
        (number,),
    )
    return tuple(Damage(instance_id, reason, bool(owed)) for instance_id, reason, owed in rows)


def _read(row: tuple[Any, ...]) -> Verification:
    number, requester, study, *times, message, total = row[:8]
    created, started, ended = times
    records, octets, damaged, *behind = row[8:]
    done = Verified(records, octets, damaged, (behind[0], behind[1]))
    return Verification(number, requester, study, created, started, ended, message, total, done)
