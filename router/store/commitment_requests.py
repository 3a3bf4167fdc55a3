"""Storage commitment that we ask of stations with `commit: true`, in the ledger's file.

A delivery to such a station is `sent` until a report of that station, or a search of it, says
`delivered`, sends it again, or makes it dead. A request under way is known by `wait_until`: when that
has passed without a report it is made again, under another UID, so a crash in between needs no
repair. Every writing method is one durable transaction. Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.clock import Clock
from router.model.commitment import CommitmentReport, CommitmentRequest, Reference, reason_words
from router.model.delivery import State
from router.model.rejection import NOTE
from router.model.status import CLASS_INSTANCE_CONFLICT, SOP_CLASS_NOT_SUPPORTED
from router.store import rejecting
from router.store.counting import Counts
from router.store.database import Database
from router.store.task_log import END_TASK, EVENT
from router.store.turning import MAX_MESSAGE

REQUEST_INSTANCES: Final = 500
GATHER_SECONDS: Final = 1.0
GATHER_MOST_SECONDS: Final = 10.0
MAX_NOT_COMMITTED: Final = 3
MAX_ASKED: Final = 3
SETTLE_SECONDS: Final = 60.0
_FOR_GOOD: Final = frozenset({CLASS_INSTANCE_CONFLICT, SOP_CLASS_NOT_SUPPORTED})
_UNASKED: Final = """
SELECT d.delivery_id, d.task_id, d.sent_sop_class_uid, d.sent_sop_instance_uid, d.asked,
  d.created_at, d.changed_at, coalesce(r.answer, ''),
  coalesce(nullif(d.sent_study_instance_uid, ''), i.study_instance_uid), i.withheld IS ?4
FROM delivery d JOIN instance i USING (instance_id)
LEFT JOIN commitment_request r USING (request_id)
WHERE d.state = 'sent' AND d.station = ?1
  AND (d.request_id IS NULL OR r.wait_until <= ?2 OR r.asked_at > ?2)
ORDER BY d.delivery_id LIMIT ?3
"""
_SENT_STATIONS: Final = """
SELECT d.station, max(d.request_id IS NULL OR r.wait_until <= ?1 OR r.asked_at > ?1)
FROM delivery d LEFT JOIN commitment_request r USING (request_id)
WHERE d.state = 'sent' GROUP BY d.station
"""
_LONG_SENT: Final = """
SELECT delivery_id, task_id FROM delivery
WHERE state = 'sent' AND station = ?1 AND (changed_at <= ?2 OR changed_at > ?3)
"""
_REQUESTED: Final = """
SELECT d.delivery_id, d.task_id, d.sent_sop_instance_uid, d.not_committed, d.request_id
FROM commitment_requested r JOIN delivery d USING (delivery_id)
WHERE r.request_id = ? AND d.state = 'sent'
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request to be made of a station, with the study each object was sent in.

    `asked` is how often it was asked for before, in vain. `notes` are rejection notes, which an archive
    acts upon and need not list (IHE IOCM).
    """

    request_id: int
    request: CommitmentRequest
    studies: Mapping[Reference, str]
    asked: Mapping[Reference, int]
    notes: frozenset[Reference]


@dataclass(frozen=True, slots=True)
class ReportTaken:
    """What a report of a station did to deliveries."""

    delivered: int = 0
    again: int = 0
    dead: int = 0


class CommitmentRequests:
    """Safe for threads; open it after a fork."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, path: Path, clock: Clock) -> CommitmentRequests:
        """The requests in the ledger's file."""
        return cls(Database(path), clock)

    def close(self) -> None:
        """Close it; harmless when closed."""
        self._database.close()

    def ask(
        self, station: str, transaction_uid: str, wait_until: float, give_up_seconds: float
    ) -> Asking | None:
        """The next request to be made of a station, booked; None where there is none yet."""
        now = self._clock.now()
        with self._database.write() as connection:
            rows = connection.execute(_UNASKED, (station, now, REQUEST_INSTANCES, NOTE)).fetchall()
            rows = _without_expired(connection, station, rows, now, give_up_seconds)
            if not rows or not _gathered(rows, now):
                return None
            request_id = connection.execute(
                "INSERT INTO commitment_request (station, transaction_uid, asked_at, wait_until) "
                "VALUES (?, ?, ?, ?)",
                (station, transaction_uid, now, wait_until),
            ).lastrowid
            assert request_id is not None
            ids = [(request_id, row[0]) for row in rows]
            connection.executemany("INSERT INTO commitment_requested VALUES (?, ?)", ids)
            connection.executemany("UPDATE delivery SET request_id = ? WHERE delivery_id = ?", ids)
        studies = {Reference(row[2], row[3]): row[8] for row in rows}
        often = {Reference(row[2], row[3]): row[4] for row in rows}
        notes = frozenset(Reference(row[2], row[3]) for row in rows if row[9])
        request = CommitmentRequest(transaction_uid, tuple(studies))
        return Asking(request_id, request, studies, often, notes)

    def asked(self, request_id: int, wait_until: float) -> None:
        """The station took the request: its report is waited for until then."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE commitment_request SET wait_until = ? WHERE request_id = ?",
                (wait_until, request_id),
            )
            _count_asked(connection, request_id)

    def not_asked(self, request_id: int, wait_until: float, answer: str, *, counts: bool) -> None:
        """The station did not take it: asked again then. `counts`: it was there and said no."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE commitment_request SET wait_until = ?, answer = ? WHERE request_id = ?",
                (wait_until, answer[:MAX_MESSAGE], request_id),
            )
            if counts:
                _count_asked(connection, request_id)

    def take_report(
        self, station: str, report: CommitmentReport, again_at: float
    ) -> ReportTaken | None:
        """Settle what is reported of a station; None where we asked it nothing under that UID."""
        now = self._clock.now()
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT request_id FROM commitment_request "
                "WHERE transaction_uid = ? AND station = ?",
                (report.transaction_uid, station),
            ).fetchone()
            if row is None:
                return None
            taken = _settle_report(connection, row[0], station, report, (now, again_at))
            connection.execute(
                "UPDATE commitment_request SET reported_at = ?, wait_until = min(wait_until, ?) "
                "WHERE request_id = ?",
                (now, again_at, row[0]),
            )
        return taken

    def sent_stations(self) -> dict[str, bool]:
        """Stations with deliveries that are sent → whether there are such without a request."""
        with self._database.read() as connection:
            rows = connection.execute(_SENT_STATIONS, (self._clock.now(),))
            return {station: bool(unasked) for station, unasked in rows}

    def settle_unasked(self, station: str) -> int:
        """Take what the station was sent as delivered: it is no longer asked to commit.

        Not what it was sent just now: a configuration that asks it may be beginning beside ours.
        """
        now = self._clock.now()
        with self._database.write() as connection:
            rows = connection.execute(_LONG_SENT, (station, now - SETTLE_SECONDS, now)).fetchall()
            counts = Counts()
            for delivery_id, task_id in rows:
                words = "taken by the station, which is no longer asked to commit"
                _move(
                    connection, counts, station, (delivery_id, task_id), State.DELIVERED, words, now
                )
            counts.write(connection)
        return len(rows)

    def prune(self, before: float) -> int:
        """Forget requests that are over since then, and that nothing waits for; how many."""
        old = (
            "SELECT request_id FROM commitment_request WHERE wait_until < ? AND request_id NOT IN "
            "(SELECT request_id FROM delivery WHERE state = 'sent' AND request_id IS NOT NULL)"
        )
        with self._database.write() as connection:
            connection.execute(
                f"DELETE FROM commitment_requested WHERE request_id IN ({old})",  # noqa: S608
                (before,),
            )
            statement = f"DELETE FROM commitment_request WHERE request_id IN ({old})"  # noqa: S608
            return connection.execute(statement, (before,)).rowcount


def _without_expired(
    connection: sqlite3.Connection,
    station: str,
    rows: list[tuple[Any, ...]],
    now: float,
    give_up_seconds: float,
) -> list[tuple[Any, ...]]:
    """The rows that are still asked for; the others were asked for in vain and are dead."""
    counts = Counts()
    left = []
    for row in rows:
        delivery_id, task_id, _, _, asked, created_at, _, answer = row[:8]
        if asked < MAX_ASKED or now - created_at <= give_up_seconds:
            left.append(row)
            continue
        words = f"no storage commitment: {answer or 'the station never reported'}"
        _move(connection, counts, station, (delivery_id, task_id), State.DEAD, words, now)
    counts.write(connection)
    return left


def _gathered(rows: list[tuple[Any, ...]], now: float) -> bool:
    """Whether to ask now: nothing more came for a second, or enough did, or it took long enough."""
    changed = [row[6] for row in rows]
    rests = not 0 <= now - max(changed) < GATHER_SECONDS
    return rests or len(rows) >= REQUEST_INSTANCES or now - min(changed) >= GATHER_MOST_SECONDS


def _count_asked(connection: sqlite3.Connection, request_id: int) -> None:
    connection.execute(
        "UPDATE delivery SET asked = asked + 1 WHERE request_id = ? AND state = 'sent'",
        (request_id,),
    )


def _settle_report(
    connection: sqlite3.Connection,
    request_id: int,
    station: str,
    report: CommitmentReport,
    times: tuple[float, float],
) -> ReportTaken:
    now, again_at = times
    kept = {one.sop_instance_uid for one in report.committed}
    failed = {one.sop_instance_uid: reason for one, reason in report.failed.items()}
    counts = Counts()
    delivered = again = dead = 0
    requeued = []
    for row in connection.execute(_REQUESTED, (request_id,)).fetchall():
        delivery_id, task_id, uid, not_committed, latest = row
        ids = (delivery_id, task_id)
        if uid in kept and uid not in failed:
            delivered += 1
            words = "the station keeps it"
            _move(connection, counts, station, ids, State.DELIVERED, words, now)
        elif uid in failed and latest == request_id:
            words = f"not committed: {reason_words(failed[uid])}"
            is_last = not_committed + 1 >= MAX_NOT_COMMITTED or failed[uid] in _FOR_GOOD
            after = State.DEAD if is_last else State.QUEUED
            dead, again = dead + is_last, again + (not is_last)
            _move(connection, counts, station, ids, after, words, now)
            connection.execute(
                "UPDATE delivery SET not_committed = ?, failures = failures + 1, due_at = ?, "
                "failure_reason = ? WHERE delivery_id = ?",
                (0 if is_last else not_committed + 1, again_at, failed[uid], delivery_id),
            )
            requeued += [] if is_last else [delivery_id]
    rejecting.call_back(connection, counts, requeued, now)
    counts.write(connection)
    return ReportTaken(delivered, again, dead)


def _move(
    connection: sqlite3.Connection,
    counts: Counts,
    station: str,
    ids: tuple[int, int],
    after: State,
    words: str,
    now: float,
) -> None:
    """One delivery that was sent goes on; its last status stays that of its C-STORE."""
    delivery_id, task_id = ids
    connection.execute(
        "UPDATE delivery SET state = ?, last_error = ?, changed_at = ? WHERE delivery_id = ?",
        (after.value, "" if after is State.DELIVERED else words, now, delivery_id),
    )
    counts.moved(station, State.SENT, after.value)
    kind = "committed" if after is State.DELIVERED else "not_committed"
    connection.execute(EVENT, (now, task_id, delivery_id, kind, words, None))
    connection.execute(END_TASK, (now, task_id))
