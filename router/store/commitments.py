"""Storage commitment that stations ask of us, in the ledger's file (PS3.4 J.3.2).

Every writing method is one durable transaction. A transaction is `verifying` until each instance it
names is decided, then `reporting` until the station took the report. UIDs only, nothing of a patient.
Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from router.clock import Clock
from router.model.commitment import (
    COMMITTED,
    CommitmentReport,
    CommitmentRequest,
    Reference,
)
from router.model.delivery import Disposition, State
from router.store import commitment_tasks
from router.store.database import Database
from router.store.turning import MAX_MESSAGE

MAX_OPEN: Final = 200
MAX_OPEN_INSTANCES: Final = 100_000
MOST_AHEAD_SECONDS: Final = 3600.0
_HELD: Final = """
SELECT sop_class_uid, disposition, coalesce(duplicate_of, instance_id)
FROM instance WHERE sop_instance_uid = ? ORDER BY instance_id DESC LIMIT 1
"""
_OPEN: Final = """
SELECT count(DISTINCT commitment_id), count(*) FROM commitment c
JOIN commitment_reference r USING (commitment_id)
WHERE c.station = ? AND c.state IN ('verifying', 'reporting')
"""
_TO_TELL: Final = """
SELECT r.sop_class_uid, r.sop_instance_uid, r.failure_reason
FROM commitment c JOIN commitment_reference r USING (commitment_id)
WHERE c.commitment_id = ? AND c.state = 'reporting' ORDER BY r.position
"""
_KEPT: Final = """
SELECT sum(failure_reason = 0), count(*) FROM commitment_reference WHERE commitment_id = ?
"""
_OWED: Final = """
SELECT d.station, d.state, r.steps, d.failure_reason FROM instance i JOIN delivery d USING (instance_id)
JOIN recipe r ON r.digest = d.recipe_digest
WHERE (i.instance_id = ?1 OR i.duplicate_of = ?1) AND i.sop_instance_uid = ?2 AND d.station IN (
  SELECT own.station FROM instance twin JOIN delivery own USING (instance_id)
  JOIN task t ON t.task_id = own.task_id
  WHERE (twin.instance_id = ?1 OR twin.duplicate_of = ?1) AND twin.sop_instance_uid = ?2
    AND t.kind = 'route')
"""


class Taken(StrEnum):
    """What became of a request: new, the same once more, its UID in use for another, too many."""

    NEW = "new"
    AGAIN = "again"
    IN_USE = "in_use"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One request of a station, to be verified or reported."""

    commitment_id: int
    station: str
    transaction_uid: str
    asked_at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Owing:
    """One delivery of an instance, and the steps of its recipe as JSON.

    `failure_reason` is why the station did not commit to keep it, when it last said so.
    """

    station: str
    state: State
    steps: str
    failure_reason: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The latest version of an instance, and where it is owed by the rules."""

    sop_class_uid: str
    disposition: Disposition
    owed: tuple[Owing, ...]


@dataclass(frozen=True, slots=True)
class AskedOf:
    """One transaction as far as it is about one instance; no reason while it is not decided."""

    station: str
    transaction_uid: str
    state: str
    asked_at: float
    attempts: int
    last_error: str
    failure_reason: int | None


class CommitmentBook:
    """Safe for threads; open it after a fork."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, path: Path, clock: Clock, *, read_only: bool = False) -> CommitmentBook:
        """The book in the ledger's file."""
        return cls(Database(path, read_only=read_only), clock)

    def close(self) -> None:
        """Close it; harmless when closed."""
        self._database.close()

    def take(self, station: str, request: CommitmentRequest) -> Taken:
        """Keep what a station asks. The same once more, when it had ended, is answered once more.

        What was committed stays so; what was not is verified anew, as if it was asked just now.
        """
        now = self._clock.now()
        digest = _digest(request)
        with self._database.write() as connection:
            known = connection.execute(
                "SELECT commitment_id, digest, state FROM commitment "
                "WHERE station = ? AND transaction_uid = ?",
                (station, request.transaction_uid),
            ).fetchone()
            if known is not None:
                return _once_more(connection, known, digest, now)
            open_ones, instances = connection.execute(_OPEN, (station,)).fetchone()
            more = instances + len(request.references)
            if open_ones >= MAX_OPEN or (open_ones and more > MAX_OPEN_INSTANCES):
                return Taken.TOO_MANY
            commitment_id = connection.execute(
                "INSERT INTO commitment (station, transaction_uid, digest, state, asked_at, due_at) "
                "VALUES (?, ?, ?, 'verifying', ?, ?)",
                (station, request.transaction_uid, digest, now, now),
            ).lastrowid
            connection.executemany(
                "INSERT INTO commitment_reference (commitment_id, position, sop_class_uid, "
                "sop_instance_uid) VALUES (?, ?, ?, ?)",
                [
                    (commitment_id, position, one.sop_class_uid, one.sop_instance_uid)
                    for position, one in enumerate(request.references)
                ],
            )
            assert commitment_id is not None
            commitment_tasks.opened(connection, commitment_id, station, now)
        return Taken.NEW

    def to_verify(self) -> Transaction | None:
        """The transaction whose turn it is to be verified, if one is due."""
        return self._due("verifying")

    def undecided(self, commitment_id: int) -> dict[int, tuple[Reference, Held | None]]:
        """By position: what of it is not decided, and what is held of that."""
        found: dict[int, tuple[Reference, Held | None]] = {}
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT position, sop_class_uid, sop_instance_uid FROM commitment_reference "
                "WHERE commitment_id = ? AND failure_reason IS NULL ORDER BY position",
                (commitment_id,),
            ).fetchall()
            for position, sop_class_uid, uid in rows:
                found[position] = (Reference(sop_class_uid, uid), _held(connection, uid))
        return found

    def decide(self, commitment_id: int, reasons: dict[int, int], due_at: float) -> bool:
        """Note what was decided, by position; whether all is, so that it can be reported."""
        now = self._clock.now()
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE commitment_reference SET failure_reason = ? "
                "WHERE commitment_id = ? AND position = ?",
                [(reason, commitment_id, position) for position, reason in reasons.items()],
            )
            left = connection.execute(
                "SELECT 1 FROM commitment_reference WHERE commitment_id = ? "
                "AND failure_reason IS NULL LIMIT 1",
                (commitment_id,),
            ).fetchone()
            if left is not None:
                connection.execute(
                    "UPDATE commitment SET due_at = ? WHERE commitment_id = ?",
                    (due_at, commitment_id),
                )
                return False
            decided = connection.execute(
                "UPDATE commitment SET state = 'reporting', decided_at = ?1, due_at = ?1 "
                "WHERE commitment_id = ?2 AND state = 'verifying'",
                (now, commitment_id),
            ).rowcount
            if decided:
                kept, number = connection.execute(_KEPT, (commitment_id,)).fetchone()
                event = ("verified", f"{kept} of {number} committed")
                commitment_tasks.noted(connection, commitment_id, event, now)
        return True

    def to_report(self, hold_seconds: float, busy: Collection[str]) -> Transaction | None:
        """The next report that is due to a station that is not busy; it is ours for so long."""
        return self._due("reporting", hold_seconds, busy)

    def report_of(self, transaction: Transaction) -> CommitmentReport | None:
        """What is to be reported; None where somebody has cancelled it since."""
        with self._database.read() as connection:
            rows = connection.execute(_TO_TELL, (transaction.commitment_id,)).fetchall()
        if not rows:
            return None
        kept = tuple(Reference(*row[:2]) for row in rows if row[2] == COMMITTED)
        failed = {Reference(*row[:2]): row[2] for row in rows if row[2] != COMMITTED}
        return CommitmentReport(transaction.transaction_uid, kept, failed)

    def reported(self, commitment_id: int) -> None:
        """The station took the report, also where somebody cancelled it meanwhile."""
        now = self._clock.now()
        with self._database.write() as connection:
            connection.execute(
                "UPDATE commitment SET state = 'reported', cancelled = 0, ended_at = ?, "
                "last_error = '' WHERE commitment_id = ?",
                (now, commitment_id),
            )
            event = ("reported", "")
            commitment_tasks.noted(connection, commitment_id, event, now, ended=True)

    def given_up(self, commitment_id: int, error: str) -> None:
        """The station never took it."""
        now, words = self._clock.now(), error[:MAX_MESSAGE]
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE commitment SET state = 'given_up', ended_at = ?, last_error = ? "
                "WHERE commitment_id = ? AND state = 'reporting'",
                (now, words, commitment_id),
            ).rowcount
            if changed:
                event = ("given_up", words)
                commitment_tasks.noted(connection, commitment_id, event, now, ended=True)

    def not_reported(self, commitment_id: int, due_at: float, error: str) -> None:
        """The station did not take the report; when it is tried again."""
        now, words = self._clock.now(), error[:MAX_MESSAGE]
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE commitment SET attempts = attempts + 1, due_at = ?, last_error = ? "
                "WHERE commitment_id = ? AND state = 'reporting'",
                (due_at, words, commitment_id),
            ).rowcount
            if changed:
                commitment_tasks.noted(connection, commitment_id, ("not_reported", words), now)

    def asked_of(self, sop_instance_uid: str) -> tuple[AskedOf, ...]:
        """What stations asked about an instance, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT c.station, c.transaction_uid, iif(c.cancelled, 'cancelled', c.state), "
                "c.asked_at, c.attempts, "
                "c.last_error, r.failure_reason FROM commitment_reference r "
                "JOIN commitment c USING (commitment_id) WHERE r.sop_instance_uid = ? "
                "ORDER BY commitment_id LIMIT 100",
                (sop_instance_uid,),
            ).fetchall()
        return tuple(AskedOf(*row) for row in rows)

    def prune(self, before: float) -> int:
        """Forget what ended before then; how many transactions."""
        with self._database.write() as connection:
            return commitment_tasks.forget(connection, before)

    def _due(
        self, state: str, hold_seconds: float = 0.0, busy: Collection[str] = ()
    ) -> Transaction | None:
        now = self._clock.now()
        statement = (
            "SELECT commitment_id, station, transaction_uid, asked_at, attempts FROM commitment "
            "WHERE state = ? AND (due_at <= ? OR due_at > ?) "
            "AND station NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT 1"
        )
        # What is due further ahead than anything is ever put off: the clock was set back.
        values = (state, now, now + MOST_AHEAD_SECONDS, json.dumps(list(busy)))
        with self._database.read() as connection:
            row = connection.execute(statement, values).fetchone()
        if row is None or not hold_seconds:
            return Transaction(*row) if row else None
        with self._database.write() as connection:
            row = connection.execute(statement, values).fetchone()
            if row is not None:
                connection.execute(
                    "UPDATE commitment SET due_at = ? WHERE commitment_id = ?",
                    (now + hold_seconds, row[0]),
                )
        return Transaction(*row) if row else None


def _digest(request: CommitmentRequest) -> bytes:
    named = sorted((one.sop_instance_uid, one.sop_class_uid) for one in request.references)
    return hashlib.sha256(json.dumps(named).encode()).digest()


def _once_more(
    connection: sqlite3.Connection, known: tuple[int, bytes, str], digest: bytes, now: float
) -> Taken:
    commitment_id, before, state = known
    if before != digest:
        return Taken.IN_USE
    if state in ("reported", "given_up"):
        commitment_tasks.begun_again(connection, commitment_id, ("asked_again", ""), now)
    return Taken.AGAIN


def _held(connection: sqlite3.Connection, sop_instance_uid: str) -> Held | None:
    row = connection.execute(_HELD, (sop_instance_uid,)).fetchone()
    if row is None:
        return None
    sop_class_uid, disposition, first = row
    if disposition == Disposition.DUPLICATE:
        disposition = connection.execute(
            "SELECT disposition FROM instance WHERE instance_id = ?", (first,)
        ).fetchone()[0]
    owed = connection.execute(_OWED, (first, sop_instance_uid))
    found = tuple(Owing(row[0], State(row[1]), *row[2:]) for row in owed)
    return Held(sop_class_uid, Disposition(disposition), found)
