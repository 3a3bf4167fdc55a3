"""Choices: deliveries that more than one station may take (`first_of`), and moving them on.

One delivery at a time is open: in the one transaction that ends it as moved, the next station is owed
one of its own, so a crash leaves either. Only what waits moves, never what is being sent; what its
task or another delivery holds back stays, and so does what was rejected, since a note follows it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.model.delivery import State
from router.model.rule import Owed
from router.store.counting import Counts
from router.store.task_log import END_TASK, EVENT, OPEN_AFTER_SECONDS

MAX_REASON: Final = 200

BEHIND: Final = """
INSERT OR IGNORE INTO delivery_behind (earlier_id, delivery_id)
SELECT max(d.delivery_id), own.delivery_id FROM instance i JOIN delivery d USING (instance_id)
JOIN delivery own ON own.instance_id = ?2 AND own.station = d.station AND own.state = 'queued'
WHERE i.sop_instance_uid = ?1 AND i.instance_id < ?2 AND d.state IN ('queued', 'sending')
GROUP BY d.station, d.recipe_digest, own.delivery_id
"""
"""Let what is queued of an instance (UID, id) wait for its earlier versions, station by station."""

# One step of the index each, however much waits under a choice.
_NEXT_CHOICE: Final = """
SELECT min(choice_id) FROM delivery INDEXED BY delivery_choice
WHERE state = 'queued' AND choice_id IS NOT NULL AND station = ? AND choice_id > ?
"""
_MOVABLE: Final = """
SELECT d.delivery_id, d.instance_id, d.task_id, d.priority, i.sop_instance_uid
FROM delivery d INDEXED BY delivery_choice CROSS JOIN instance i USING (instance_id)
WHERE d.state = 'queued' AND d.choice_id IS NOT NULL AND d.station = ?1 AND d.choice_id = ?2
  AND d.task_id NOT IN (SELECT task_id FROM task WHERE held_by IS NOT NULL UNION ALL
                        SELECT task_id FROM task WHERE quiet_at > ?3 AND quiet_at <= ?3 + idle_seconds)
  AND d.delivery_id NOT IN (
    SELECT b.delivery_id FROM delivery_behind b JOIN delivery e ON e.delivery_id = b.earlier_id
    WHERE e.state IN ('queued', 'sending'))
  AND NOT EXISTS (SELECT 1 FROM rejection r WHERE r.sop_instance_uid = i.sop_instance_uid)
ORDER BY d.priority, d.task_id, d.delivery_id LIMIT ?4
"""
_THERE: Final = """
SELECT EXISTS (SELECT 1 FROM delivery WHERE instance_id = ? AND station = ? AND recipe_digest = ?
               AND state IN ('queued', 'sending', 'sent', 'delivered'))
"""
_END: Final = """
UPDATE delivery SET state = 'moved', last_error = ?, changed_at = ? WHERE delivery_id = ?
"""
_GO_ON: Final = """
INSERT INTO delivery (instance_id, task_id, station, recipe_digest, priority, state, created_at,
  changed_at, choice_id) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?)
"""
_OPEN_TASK: Final = """
SELECT t.task_id, iif(t.priority_set, t.priority, NULL) FROM task t JOIN task f ON f.task_id = ?1
WHERE t.study_instance_uid = f.study_instance_uid AND t.station = ?2 AND t.requester = f.requester
  AND t.kind = f.kind AND t.series_instance_uid = f.series_instance_uid
  AND t.idle_seconds IS f.idle_seconds AND (t.ended_at IS NULL OR t.ended_at >= ?3)
ORDER BY t.task_id DESC LIMIT 1
"""
_NEW_TASK: Final = """
INSERT INTO task (kind, priority, priority_set, station, requester, study_instance_uid, created_at,
  last_modified_at, series_instance_uid, idle_seconds, quiet_at)
SELECT kind, priority, priority_set, ?2, requester, study_instance_uid, ?3, ?3, series_instance_uid,
  idle_seconds, quiet_at FROM task WHERE task_id = ?1 RETURNING task_id, requester
"""


@dataclass(frozen=True, slots=True)
class Move:
    """What waits at a station under a choice may go on to another one."""

    station: str
    choice_id: int
    target: str
    recipe_digest: str


def choice_of(connection: sqlite3.Connection, owed: Owed) -> int:
    """The number of the stations that may take it."""
    options = json.dumps([(one.station, one.recipe.digest) for one in owed.alternatives])
    connection.execute("INSERT OR IGNORE INTO choice (options) VALUES (?)", (options,))
    found = connection.execute("SELECT choice_id FROM choice WHERE options = ?", (options,))
    return int(found.fetchone()[0])


def moves(
    connection: sqlite3.Connection, away: Mapping[str, str], ready: Mapping[str, int]
) -> list[Move]:
    """What may go on: for each station and choice with something queued, the first that is ready."""
    found: list[Move] = []
    for station in away:
        choice_id = 0
        while row := connection.execute(_NEXT_CHOICE, (station, choice_id)).fetchone():
            if row[0] is None:
                break
            choice_id = int(row[0])
            statement = "SELECT options FROM choice WHERE choice_id = ?"
            (options,) = connection.execute(statement, (choice_id,)).fetchone()
            for target, digest in json.loads(options):
                if target != station and ready.get(target, 0) > 0:
                    found.append(Move(station, choice_id, target, digest))
                    break
    return found


def hand_over(
    connection: sqlite3.Connection,
    counts: Counts,
    away: Mapping[str, str],
    ready: Mapping[str, int],
    now: float,
) -> int:
    """Move what may go on, no more to a station than it is ready for; how many."""
    handing = _HandingOver(connection, counts, now)
    left = dict(ready)
    moved = 0
    for move in moves(connection, away, ready):
        limit = left[move.target]
        if limit <= 0:
            continue
        values = (move.station, move.choice_id, now, limit)
        rows = connection.execute(_MOVABLE, values).fetchall()
        left[move.target] -= len(rows)
        moved += len(rows)
        for row in rows:
            handing.move(move, row, away[move.station][:MAX_REASON])
    handing.finish()
    return moved


class _HandingOver:
    """The moves of one transaction: remembers the tasks that they end and open."""

    def __init__(self, connection: sqlite3.Connection, counts: Counts, now: float) -> None:
        self._connection = connection
        self._counts = counts
        self._now = now
        self._joined: dict[tuple[int, str], tuple[int, int | None]] = {}

    def move(self, move: Move, row: tuple[Any, ...], reason: str) -> None:
        """End one delivery as moved, and owe it to the next station unless that has it already."""
        connection, now = self._connection, self._now
        delivery_id, instance_id, from_task, priority, uid = row
        task_id, set_priority = self._task(from_task, move.target)
        why = f"moved on to '{move.target}', task {task_id}: '{move.station}' {reason}"
        connection.execute(_END, (why, now, delivery_id))
        connection.execute(EVENT, (now, from_task, delivery_id, State.MOVED.value, why, None))
        self._counts.moved(move.station, State.QUEUED, State.MOVED)
        asked = (instance_id, move.target, move.recipe_digest)
        if connection.execute(_THERE, asked).fetchone()[0]:
            return
        priority = priority if set_priority is None else set_priority
        target = (instance_id, task_id, move.target, move.recipe_digest, priority)
        added = connection.execute(_GO_ON, (*target, now, now, move.choice_id)).lastrowid
        self._counts.created(move.target)
        here = f"moved here from '{move.station}', task {from_task}: it {reason}"
        connection.execute(EVENT, (now, task_id, added, State.MOVED.value, here, None))
        connection.execute(BEHIND, (uid, instance_id))

    def _task(self, from_task: int, station: str) -> tuple[int, int | None]:
        key = (from_task, station)
        if key not in self._joined:
            self._joined[key] = self._found(from_task, station)
        return self._joined[key]

    def _found(self, from_task: int, station: str) -> tuple[int, int | None]:
        connection, now = self._connection, self._now
        values = (from_task, station, now - OPEN_AFTER_SECONDS)
        found = connection.execute(_OPEN_TASK, values).fetchone()
        if found is not None:
            return int(found[0]), found[1]
        task_id, requester = connection.execute(_NEW_TASK, (from_task, station, now)).fetchone()
        connection.execute(EVENT, (now, task_id, None, "created", requester, None))
        return int(task_id), None

    def finish(self) -> None:
        """Bring the tasks on both sides up to date."""
        tasks = {from_task for from_task, _ in self._joined}
        tasks |= {task_id for task_id, _ in self._joined.values()}
        self._connection.executemany(END_TASK, [(self._now, task_id) for task_id in tasks])
