"""Settle and lease: what came of the last deliveries, and which are next.

Within a station the order is priority, then study, then arrival (a task is one study on its way to
one station, so tasks are taken in the order they were opened). After every ten of a higher
priority one of a lower is taken when it waits, so that none starves. A delivery is due when its time
has come, or when its last change lies ahead: then the clock was set back, and a time written before
means nothing. A task that waits for silence is left until there was enough of it. One delivery
that must go behind others is not leased while one of them is open; what was rejected while it was
being sent does not wait again.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from router.model.delivery import Leased, Priority, Result, State
from router.model.instance import RecordRef
from router.store import rejecting
from router.store.counting import Counts
from router.store.ledger import Settlement
from router.store.task_log import END_TASK, EVENT

HIGHER_BEFORE_LOWER: Final = 10
MAX_MESSAGE: Final = 500

_NOW: Final = """
SELECT delivery_id, task_id, station, state FROM delivery
WHERE delivery_id IN (SELECT value FROM json_each(?))
"""
_SETTLE: Final = """
UPDATE delivery SET state = ?, attempts = attempts + ?, failures = failures + ?,
  due_at = coalesce(?, due_at), leased_by = NULL, last_error = ?, last_status = ?, changed_at = ?
WHERE delivery_id = ?
"""
_SENT_AS: Final = """
UPDATE delivery SET sent_sop_class_uid = ?, sent_sop_instance_uid = ?, sent_study_instance_uid = ?,
  request_id = NULL, asked = 0, failure_reason = NULL
WHERE delivery_id = ?
"""
_DUE: Final = """
SELECT delivery_id, priority FROM delivery INDEXED BY delivery_queue
WHERE state = 'queued' AND station = ?1 AND priority = ?2 AND (due_at <= ?3 OR changed_at > ?3)
  AND task_id NOT IN (SELECT task_id FROM task WHERE held_by IS NOT NULL UNION ALL
                      SELECT task_id FROM task WHERE quiet_at > ?3 AND quiet_at <= ?3 + idle_seconds)
  AND delivery_id NOT IN (
    SELECT b.delivery_id FROM delivery_behind b JOIN delivery e ON e.delivery_id = b.earlier_id
    WHERE e.state IN ('queued', 'sending'))
  AND task_id NOT IN (SELECT task_id FROM task WHERE station = ?1
                      AND study_instance_uid IN (SELECT value FROM json_each(?5)))
ORDER BY task_id, delivery_id LIMIT ?4
"""
_ELSEWHERE: Final = """
SELECT DISTINCT station, study_instance_uid FROM delivery INDEXED BY delivery_leased
JOIN instance USING (instance_id) WHERE state = 'sending' AND (leased_by < ?1 OR leased_by > ?1)
"""
_TAKE: Final = """
UPDATE delivery SET state = 'sending', leased_by = ?, changed_at = ? WHERE delivery_id = ?
"""
_LEASED: Final = """
SELECT d.delivery_id, d.instance_id, d.station, d.recipe_digest, d.priority, d.attempts,
  d.created_at, i.segment, i.place, i.length, i.record_id, i.sop_class_uid, i.sop_instance_uid,
  i.study_instance_uid, i.transfer_syntax_uid, i.data_set_length, t.move_originator_ae_title,
  t.move_originator_message_id, d.task_id
FROM json_each(?) wanted CROSS JOIN delivery d ON d.delivery_id = wanted.value
CROSS JOIN instance i USING (instance_id) CROSS JOIN task t ON t.task_id = d.task_id
ORDER BY wanted.key
"""
_START: Final = """
UPDATE task SET started_at = coalesce(started_at, ?1), last_modified_at = ?1 WHERE task_id = ?2
"""
# "It was there already" is a receipt for the version the station has, not for another one.
_THERE_ALREADY: Final = frozenset({0x0111, 0xB00E})
_KEEPS_ANOTHER: Final = """
SELECT EXISTS (
  SELECT 1 FROM delivery d JOIN instance own USING (instance_id)
  JOIN instance other ON other.sop_instance_uid = own.sop_instance_uid
  JOIN delivery past ON past.instance_id = other.instance_id
  WHERE d.delivery_id = ? AND other.content_digest <> own.content_digest
    AND past.station = d.station AND past.state = 'delivered')
"""
# Mostly nothing does, and asking that is a thirtieth of looking at each delivery.
_SOMETHING_FOLLOWS: Final = "SELECT EXISTS (SELECT 1 FROM delivery_behind)"
_FOLLOWED: Final = """
DELETE FROM delivery_behind WHERE earlier_id IN (
  SELECT delivery_id FROM delivery WHERE delivery_id IN (SELECT value FROM json_each(?))
  AND state NOT IN ('queued', 'sending'))
"""


@dataclass(slots=True)
class Fairness:
    """How many of a higher priority were taken of a station since the last of a lower one."""

    taken: dict[tuple[str, Priority], int] = field(default_factory=dict)

    def order(
        self, station: str, waiting: Mapping[Priority, Sequence[int]], limit: int
    ) -> list[int]:
        """Up to `limit` ids of the station's waiting ones, in the order they are to be sent."""
        queues = {priority: deque(waiting.get(priority, ())) for priority in Priority}
        chosen: list[int] = []
        while len(chosen) < limit and any(queues.values()):
            priority = self._next(station, queues)
            chosen.append(queues[priority].popleft())
        return chosen

    def _next(self, station: str, queues: Mapping[Priority, deque[int]]) -> Priority:
        # The lowest class is asked first: whoever waited for ten others goes now.
        for priority in reversed(Priority):
            passed = self.taken.get((station, priority), 0)
            if queues[priority] and passed >= HIGHER_BEFORE_LOWER:
                self.taken[station, priority] = 0
                return priority
        priority = next(one for one in Priority if queues[one])
        self.taken[station, priority] = 0
        for lower in Priority:
            if lower > priority and queues[lower]:
                self.taken[station, lower] = self.taken.get((station, lower), 0) + 1
        return priority


def settle(
    connection: sqlite3.Connection, settlements: Sequence[Settlement], counts: Counts, now: float
) -> None:
    """Write what tries came to; of a delivery that is not being sent only a receipt counts."""
    ids = json.dumps([one.outcome.delivery_id for one in settlements])
    found = {row[0]: row[1:] for row in connection.execute(_NOW, (ids,))}
    updates, events, sent, tasks = [], [], [], set()
    for one in settlements:
        outcome = one.outcome
        task_id, station, before = found.get(outcome.delivery_id, (0, "", ""))
        is_taken = one.state in (State.SENT, State.DELIVERED)
        late_receipt = before == State.QUEUED and is_taken
        if before != State.SENDING and not late_receipt:
            continue
        if outcome.status in _THERE_ALREADY and is_taken:
            one = _honest(connection, one)
            outcome = one.outcome
        # A second settlement of the same delivery in this call must see the first.
        found[outcome.delivery_id] = (task_id, station, one.state.value)
        message = outcome.message[:MAX_MESSAGE]
        failed = not is_taken
        updates.append(
            (
                one.state.value,
                int(one.count_attempt),
                int(failed),
                one.due_at,
                message,
                outcome.status,
                now,
                outcome.delivery_id,
            )
        )
        if failed or message:
            kind = outcome.result.value
            events.append((now, task_id, outcome.delivery_id, kind, message, outcome.status))
        if one.state is State.SENT:
            sent.append((*outcome.sent_as, outcome.delivery_id))
        counts.moved(station, before, one.state.value)
        tasks.add(task_id)
    connection.executemany(_SETTLE, updates)
    if sent:
        connection.executemany(_SENT_AS, sent)
    connection.executemany(EVENT, events)
    requeued = [row[-1] for row in updates if row[0] == State.QUEUED]
    if requeued:
        rejecting.call_back(connection, counts, requeued, now)
    if connection.execute(_SOMETHING_FOLLOWS).fetchone()[0]:
        connection.execute(_FOLLOWED, (ids,))
    connection.executemany(END_TASK, [(now, task_id) for task_id in tasks])


def _honest(connection: sqlite3.Connection, one: Settlement) -> Settlement:
    """The settlement; dead where the station has another version of the object from us."""
    asked = (one.outcome.delivery_id,)
    if not connection.execute(_KEEPS_ANOTHER, asked).fetchone()[0]:
        return one
    message = f"the station keeps the other version it has; {one.outcome.message}"
    outcome = replace(one.outcome, result=Result.DEAD, message=message)
    return replace(one, outcome=outcome, state=State.DEAD)


def lease(
    connection: sqlite3.Connection,
    wants: Mapping[str, int],
    counts: Counts,
    now: float,
    boot_id: str,
    fairness: Fairness,
) -> tuple[Leased, ...]:
    """Take the next deliveries of these stations for this boot.

    A study of which another process still sends to the station waits: while the configuration
    changes two of them deliver, and its instances leave in the order they came all the same (P7).
    """
    chosen: list[int] = []
    elsewhere = defaultdict(list)
    for station, study in connection.execute(_ELSEWHERE, (boot_id,)):
        elsewhere[station].append(study)
    for station, limit in wants.items():
        if limit <= 0:
            continue
        waiting = _waiting(connection, station, limit, now, elsewhere[station])
        ids = fairness.order(station, waiting, limit)
        if ids:
            counts.moved(station, State.QUEUED, State.SENDING, len(ids))
            chosen += ids
    if not chosen:
        return ()
    connection.executemany(_TAKE, [(boot_id, now, delivery_id) for delivery_id in chosen])
    rows = connection.execute(_LEASED, (json.dumps(chosen),)).fetchall()
    connection.executemany(_START, [(now, task_id) for task_id in {row[-1] for row in rows}])
    return tuple(map(_leased, rows))


def put_back(
    connection: sqlite3.Connection, rows: Iterable[tuple[int, str]], counts: Counts, now: float
) -> int:
    """Queue leased (delivery id, station) again, with nothing else changed; how many."""
    released = []
    for delivery_id, station in rows:
        connection.execute(
            "UPDATE delivery SET state = 'queued', leased_by = NULL, changed_at = ? "
            "WHERE delivery_id = ?",
            (now, delivery_id),
        )
        counts.moved(station, State.SENDING, State.QUEUED)
        released.append(delivery_id)
    if released:
        rejecting.call_back(connection, counts, released, now)
    return len(released)


def _waiting(
    connection: sqlite3.Connection, station: str, limit: int, now: float, elsewhere: Sequence[str]
) -> dict[Priority, list[int]]:
    """The head of each priority's queue, no more than can be taken of it; studies sent elsewhere not."""
    passed_over = json.dumps(elsewhere)
    waiting: dict[Priority, list[int]] = {}
    higher = 0
    for priority in Priority:
        wanted = limit if higher < limit else limit // HIGHER_BEFORE_LOWER + 2
        rows = connection.execute(
            _DUE, (station, int(priority), now, wanted, passed_over)
        ).fetchall()
        waiting[priority] = [row[0] for row in rows]
        higher += len(rows)
    return waiting


def _leased(row: tuple[Any, ...]) -> Leased:
    delivery_id, instance_id, station, recipe, priority, attempts, created_at = row[:7]
    return Leased(
        delivery_id,
        instance_id,
        station,
        recipe,
        Priority(priority),
        attempts,
        created_at,
        RecordRef(*row[7:11]),
        *row[11:16],
        *(((row[16], row[17]),) if row[16] else ()),
    )
