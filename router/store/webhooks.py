"""Events for webhooks, and how far each hook has them, in the ledger's file.

Events hold names from the configuration, counts and times; never a patient, a UID or a peer's words.
Each hook gets them in order. They are bounded in number and age. Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.store.database import Database

MOST_EVENTS: Final = 10_000
MOST_AGE_SECONDS: Final = 30 * 86_400.0
_MOST_TASKS: Final = 200
_NEXT: Final = """
SELECT e.event_id, e.at, e.event, e.data, m.attempts, m.due_at FROM webhook_mark m
JOIN webhook_event e ON e.event_id > m.event_id
WHERE m.webhook = ? AND (?2 = '[]' OR e.event IN (SELECT value FROM json_each(?2)))
ORDER BY e.event_id LIMIT 1
"""
_REGISTER: Final = """
INSERT OR IGNORE INTO webhook_mark (webhook, event_id)
SELECT value, (SELECT coalesce(max(event_id), 0) FROM webhook_event) FROM json_each(?)
"""
_ENDED: Final = """
SELECT t.task_id, t.station, t.requester, t.created_at, t.ended_at,
  sum(d.state = 'delivered'), sum(d.state IN ('dead', 'quarantined')), sum(d.state = 'cancelled')
FROM webhook_task w CROSS JOIN task t USING (task_id) JOIN delivery d USING (task_id)
WHERE t.ended_at <= ?1 OR t.ended_at > ?2 GROUP BY t.task_id LIMIT ?3
"""
_NOTE: Final = "INSERT INTO webhook_event (at, event, data) VALUES (?, ?, ?)"
_OLD: Final = "(at < ? OR event_id <= (SELECT max(event_id) FROM webhook_event) - ?)"
_MISSED: Final = f"""
SELECT count(*) FROM webhook_event
WHERE {_OLD} AND event_id > (SELECT event_id FROM webhook_mark WHERE webhook = ?3)
  AND (?4 = '[]' OR event IN (SELECT value FROM json_each(?4)))
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class HookEvent:
    """The next event for a hook, and how often it was tried."""

    event_id: int
    at: float
    event: str
    data: Mapping[str, Any]
    attempts: int
    due_at: float


class HookBook:
    """Safe for threads and for several processes; opened after a fork."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, ledger: Path) -> HookBook:
        """The book in the ledger's file."""
        return cls(Database(ledger))

    def register(self, names: Collection[str]) -> None:
        """Hooks that are new begin with what happens from now on; who is gone is forgotten."""
        wanted = json.dumps(list(names))
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM webhook_mark WHERE webhook NOT IN (SELECT value FROM json_each(?))",
                (wanted,),
            )
            connection.execute(_REGISTER, (wanted,))

    def note(self, event: str, data: Mapping[str, Any], at: float) -> None:
        """Something happened."""
        with self._database.write() as connection:
            connection.execute(_NOTE, (at, event, json.dumps(data)))

    def note_once(self, matter: str, event: str, data: Mapping[str, Any], at: float) -> bool:
        """The same, unless this matter was told before; whether it was not."""
        with self._database.write() as connection:
            statement = "INSERT OR IGNORE INTO webhook_told VALUES (?, ?)"
            if not connection.execute(statement, (matter, at)).rowcount:
                return False
            connection.execute(_NOTE, (at, event, json.dumps(data)))
        return True

    def note_tasks(self, now: float, quiet_seconds: float) -> int:
        """Tasks that have ended and been quiet for so long become events; how many."""
        with self._database.read() as connection:
            if connection.execute("SELECT 1 FROM webhook_task LIMIT 1").fetchone() is None:
                return 0
        with self._database.write() as connection:
            rows = connection.execute(_ENDED, (now - quiet_seconds, now, _MOST_TASKS)).fetchall()
            for row in rows:
                _note_task(connection, row)
        return len(rows)

    def next(self, webhook: str, events: Collection[str]) -> HookEvent | None:
        """The next event for a hook; of all where `events` is empty."""
        with self._database.read() as connection:
            row = connection.execute(_NEXT, (webhook, json.dumps(sorted(events)))).fetchone()
        if row is None:
            return None
        event_id, at, event, data, attempts, due_at = row
        return HookEvent(event_id, at, event, json.loads(data), attempts, due_at)

    def done(self, webhook: str, event_id: int) -> None:
        """The hook has this one, or it was given up."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE webhook_mark SET event_id = ?1, attempts = 0, due_at = 0"
                " WHERE webhook = ?2 AND event_id < ?1",
                (event_id, webhook),
            )

    def failed(self, webhook: str, event_id: int, due_at: float) -> None:
        """It is to be tried again, not before then; unless a successor has told it meanwhile."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE webhook_mark SET attempts = attempts + 1, due_at = ?"
                " WHERE webhook = ? AND event_id < ?",
                (due_at, webhook, event_id),
            )

    def prune(self, now: float, wanted: Mapping[str, Collection[str]]) -> dict[str, int]:
        """Forget what is too old or too many; by hook, how many of those it wants it never got.

        `wanted` holds the events of each hook; all of them where it is empty.
        """
        bounds = (now - MOST_AGE_SECONDS, MOST_EVENTS)
        with self._database.write() as connection:
            missed = {
                hook: connection.execute(_MISSED, (*bounds, hook, json.dumps(list(events))))
                .fetchone()[0]
                for hook, events in wanted.items()
            }  # fmt: skip
            connection.execute(f"DELETE FROM webhook_event WHERE {_OLD}", bounds)  # noqa: S608 - a constant
        return {hook: number for hook, number in missed.items() if number}

    def close(self) -> None:
        """Close it; harmless when closed."""
        self._database.close()


def _note_task(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    task_id, station, requester, created_at, ended_at, delivered, failed, cancelled = row
    connection.execute("DELETE FROM webhook_task WHERE task_id = ?", (task_id,))
    if not delivered and not failed:
        return  # cancelled as a whole: somebody knows
    data = {
        "task": task_id,
        "station": station,
        "requester": requester,
        "created_at": created_at,
        "ended_at": ended_at,
        "delivered": delivered,
        "failed": failed,
        "cancelled": cancelled,
    }
    event = "task.failed" if failed else "task.completed"
    connection.execute(_NOTE, (ended_at, event, json.dumps(data)))
