"""Retrievals in the Task Log: what is being brought here, from which station, and how far that is.

Whoever follows a retrieval, in any process, tells of it here again and again. One that nobody tells
of any more was followed by a process that ended, and has failed: that needs no lease and no clean-up.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.model.delivery import Priority
from router.store.database import Database
from router.store.task_log import END_TASK, EVENT

LOST_SECONDS: Final = 180.0
LOST: Final = "whoever followed it ended before it did: ask for it again"
MAX_ANSWER: Final = 1000
_INSERT_TASK: Final = """
INSERT INTO task (kind, priority, station, requester, study_instance_uid, series_instance_uid,
  created_at, started_at, last_modified_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7)
"""
_INSERT: Final = "INSERT INTO retrieval (task_id, state, note, told_at) VALUES (?, 'running', ?, ?)"
_TELL: Final = """
UPDATE retrieval SET state = ?2, remaining = ?3, completed = ?4, failed = ?5, warnings = ?6,
  answer = ?7, told_at = ?8 WHERE task_id = ?1
"""
_LOST: Final = "SELECT task_id FROM retrieval WHERE state = 'running' AND told_at <= ?"
_GIVE_UP: Final = "UPDATE retrieval SET state = 'failed', answer = ? WHERE task_id = ?"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be brought: for `requester`, a person, a station or a rule, as `note` says why."""

    station: str
    study_instance_uid: str
    requester: str
    series_instance_uid: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sub-operations, as far as the station gives their counts."""

    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warnings: int = 0


class RetrievalBook:
    """Begins tasks that bring something here, and tells of them. Safe for threads.

    Each call is one durable transaction; StoreDown, StoreFull as of the ledger.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, asked: Asked, priority: Priority = Priority.MEDIUM) -> int:
        """Open the task of a retrieval that is under way; its number."""
        with self._database.write() as connection:
            now = self._clock.now()
            _give_up_lost(connection, now)
            return _begun(connection, "retrieve", asked, priority, now, started_at=now)

    def begin_move(self, asked: Asked, move_originator: tuple[str, int], priority: Priority) -> int:
        """Open the task of a C-MOVE whose objects are still to be fetched: deliveries join it.

        `asked.station` is where they go.
        """
        with self._database.write() as connection:
            now = self._clock.now()
            _give_up_lost(connection, now)
            task_id = _begun(connection, "send", asked, priority, now, started_at=None)
            connection.execute(
                "UPDATE task SET move_originator_ae_title = ?, move_originator_message_id = ? "
                "WHERE task_id = ?",
                (*move_originator, task_id),
            )
            return task_id

    def tell(self, task_id: int, counts: Counts, answer: str) -> None:
        """It goes on, and is so far."""
        with self._database.write() as connection:
            _tell(connection, task_id, "running", counts, answer, self._clock.now())

    def end(self, task_id: int, counts: Counts, answer: str, *, ok: bool) -> None:
        """It is over: what it came to."""
        state, now = "completed" if ok else "failed", self._clock.now()
        with self._database.write() as connection:
            _tell(connection, task_id, state, counts, answer, now)
            connection.execute(EVENT, (now, task_id, None, state, answer[:MAX_ANSWER], None))
            connection.execute(END_TASK, (now, task_id))


def _begun(
    connection: sqlite3.Connection,
    kind: str,
    asked: Asked,
    priority: Priority,
    now: float,
    *,
    started_at: float | None,
) -> int:
    values = (
        kind,
        int(priority),
        asked.station,
        asked.requester,
        asked.study_instance_uid,
        asked.series_instance_uid,
        now,
        started_at,
    )
    task_id = connection.execute(_INSERT_TASK, values).lastrowid
    assert task_id is not None
    connection.execute(_INSERT, (task_id, asked.note, now))
    connection.execute(EVENT, (now, task_id, None, "created", asked.note or asked.requester, None))
    return task_id


def _tell(
    connection: sqlite3.Connection,
    task_id: int,
    state: str,
    counts: Counts,
    answer: str,
    now: float,
) -> None:
    numbers = (counts.remaining, counts.completed, counts.failed, counts.warnings)
    connection.execute(_TELL, (task_id, state, *numbers, answer[:MAX_ANSWER], now))
    connection.execute("UPDATE task SET last_modified_at = ? WHERE task_id = ?", (now, task_id))


def _give_up_lost(connection: sqlite3.Connection, now: float) -> None:
    """What nobody tells of any more has ended, as it is shown already."""
    for (task_id,) in connection.execute(_LOST, (now - LOST_SECONDS,)).fetchall():
        connection.execute(_GIVE_UP, (LOST, task_id))
        connection.execute(EVENT, (now, task_id, None, "failed", LOST, None))
        connection.execute(END_TASK, (now, task_id))
