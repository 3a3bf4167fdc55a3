"""Tasks as people see them, and what people do: send, retry, cancel, hold, resume, prioritise.

Progress and status are counted from the deliveries each time. On Hold says why: somebody holds the
task, or the station is offline or inactive. Completed means every delivery has the peer's receipt. A receive task
has no deliveries: it is In Progress, at nothing, until 30 s pass without another object, then Completed.
Nor has one that a station asks a commitment by (`commitment_tasks`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from router.model.delivery import Priority, State
from router.model.rule import Owed
from router.model.task import Task, TaskFilter
from router.store import commitment_tasks
from router.store.counting import Counts
from router.store.indexing import RECEIVE_SECONDS, new_task, remember
from router.store.ledger import Delivery, DeliveryCounts, Event
from router.store.retrievals import LOST, LOST_SECONDS
from router.store.task_log import END_TASK, EVENT

# Of a row `t` of tasks beside its retrieval `r`, where it has one; ?10 is now.
_RUNS: Final = f"coalesce(r.state = 'running' AND r.told_at > ?10 - {LOST_SECONDS:g}, 0)"
_BROUGHT: Final = "iif(t.kind = 'retrieve', r.completed + r.warnings, 0)"


def _references(wanted: str) -> str:
    """How many of the references of the transaction `m` meet a condition."""
    counted = "SELECT count(*) FROM commitment_reference"
    return f"({counted} WHERE commitment_id = m.commitment_id AND {wanted})"


_COUNTED: Final = f"""
SELECT t.task_id, t.kind, t.priority, t.station, t.requester, t.study_instance_uid, t.created_at,
  t.started_at, t.ended_at, t.last_modified_at, t.held_by, t.series_instance_uid, t.idle_seconds,
  iif(t.quiet_at > ?10 AND t.quiet_at <= ?10 + t.idle_seconds, t.quiet_at, NULL) AS waits_until,
  iif(t.kind = 'receive',
    ?10 BETWEEN t.last_modified_at AND t.last_modified_at + {RECEIVE_SECONDS},
    t.kind = 'retrieve' AND {_RUNS}) AS arrives,
  coalesce(r.state = 'failed' OR r.state = 'running' AND NOT {_RUNS}, 0) AS broke,
  CASE t.kind WHEN 'receive' THEN t.received WHEN 'commit' THEN {_references("1")}
    ELSE count(d.delivery_id) FILTER (WHERE d.state <> 'moved') + {_BROUGHT}
      + coalesce(r.remaining + r.failed, 0) END AS objects,
  CASE t.kind WHEN 'receive' THEN t.received WHEN 'commit' THEN {_references("failure_reason = 0")}
    ELSE count(*) FILTER (WHERE d.state = 'delivered') + {_BROUGHT} END AS delivered,
  iif(t.kind = 'commit', {_references("failure_reason IS NULL")},
    count(*) FILTER (WHERE d.state IN ('queued', 'sending', 'sent'))
      + iif({_RUNS}, r.remaining, 0)) AS waiting,
  iif(t.kind = 'commit', {_references("failure_reason <> 0")},
    count(*) FILTER (WHERE d.state = 'dead')
      + coalesce(r.failed + iif({_RUNS}, 0, r.remaining), 0)) AS dead,
  count(*) FILTER (WHERE d.state = 'quarantined') AS quarantined,
  count(*) FILTER (WHERE d.state = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE d.state = 'moved') AS moved,
  coalesce(sum(d.failures), 0) + coalesce(m.attempts, 0) AS failures,
  coalesce(r.note, '') AS note,
  iif(r.state = 'running' AND NOT {_RUNS}, '{LOST}', coalesce(r.answer, '')) AS answer,
  m.commitment_id, m.state AS commitment, m.attempts AS reports, m.last_error AS report_error,
  m.cancelled AS was_cancelled
FROM (
  SELECT * FROM task WHERE (?1 IS NULL OR task_id = ?1) AND (?2 IS NULL OR station = ?2)
    AND task_id < coalesce(?3, 9223372036854775807) AND (?6 IS NULL OR study_instance_uid = ?6)
    AND (?7 IS NULL OR requester = ?7) AND (?8 IS NULL OR priority = ?8)
    AND (?9 IS NULL OR created_at >= ?9) AND (?12 IS NULL OR kind = ?12)
    AND (?13 IS NULL OR station IN (SELECT value FROM json_each(?13)))
    AND (?11 IS NULL OR ?11 = CASE kind WHEN 'commit' THEN 'commit'
      WHEN 'receive' THEN 'receive' WHEN 'retrieve' THEN 'receive' ELSE 'send' END)
  ORDER BY task_id DESC LIMIT iif(?4 IS NULL, ?5, -1)
) t LEFT JOIN retrieval r ON r.task_id = t.task_id LEFT JOIN delivery d ON d.task_id = t.task_id
LEFT JOIN commitment m ON t.kind = 'commit' AND m.task_id = t.task_id
GROUP BY t.task_id
"""  # noqa: S608 - a constant
_CANCEL: Final = "UPDATE delivery SET state = 'cancelled', changed_at = ? WHERE delivery_id = ?"
_FAILED_OF: Final = """
SELECT delivery_id, task_id, station, state FROM delivery
WHERE state IN ('dead', 'quarantined') AND instance_id IN (SELECT value FROM json_each(?))
"""
# Of a row `c` with counts of its deliveries, beside the status `s` of its station.
STATUS: Final = """
CASE
  WHEN c.arrives THEN 'In Progress'
  WHEN c.waiting > 0 AND c.held_by IS NOT NULL THEN 'On Hold'
  WHEN c.waiting > 0 AND s.state IN ('offline', 'inactive') THEN 'On Hold'
  WHEN c.waiting > 0 AND (c.waits_until IS NOT NULL OR s.closed <> '') THEN 'On Hold'
  WHEN c.waiting > 0 AND c.started_at IS NULL THEN 'Ready'
  WHEN c.waiting > 0 THEN 'In Progress'
  WHEN c.dead + c.quarantined > 0 OR c.broke THEN 'Failed'
  WHEN c.cancelled > 0 OR c.moved > 0 AND c.objects = 0 THEN 'Cancelled'
  ELSE 'Completed' END
"""
_LISTED: Final = f"""
SELECT c.*, iif(c.kind = 'commit', {commitment_tasks.STATUS}, {STATUS}) AS status,
  CASE
    WHEN c.kind = 'commit' THEN {commitment_tasks.REASON}
    WHEN c.kind = 'retrieve' OR (c.waiting = 0 AND c.broke) THEN c.answer
    WHEN c.arrives THEN 'complete when {RECEIVE_SECONDS:g} s pass without another object'
    WHEN c.waiting > 0 AND c.held_by IS NOT NULL THEN 'held by ' || c.held_by
    WHEN c.waiting > 0 AND s.state IN ('offline', 'inactive')
      THEN 'station is ' || s.state || iif(s.reason = '', '', ': ' || s.reason)
    WHEN c.waiting > 0 AND s.closed <> '' THEN 'station is ' || s.closed
    WHEN c.waiting > 0 AND c.waits_until IS NOT NULL
      THEN printf('sent when the %s has been silent for %g s',
        iif(c.series_instance_uid = '', 'study', 'series'), c.idle_seconds)
    WHEN c.waiting > 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.task_id = c.task_id
        AND d.state IN ('queued', 'sending')) THEN coalesce((
      SELECT 'not yet committed: ' || r.answer FROM delivery d JOIN commitment_request r
        USING (request_id) WHERE d.task_id = c.task_id AND d.state = 'sent' AND r.answer <> ''
      ORDER BY r.request_id DESC LIMIT 1), 'sent; the storage commitment is awaited')
    WHEN c.waiting = 0 AND c.dead + c.quarantined > 0 THEN (
      SELECT d.last_error FROM delivery d
      WHERE d.task_id = c.task_id AND d.state IN ('dead', 'quarantined')
      ORDER BY d.changed_at DESC LIMIT 1)
    WHEN c.waiting = 0 AND c.cancelled > 0 THEN coalesce((
      SELECT d.last_error FROM delivery d WHERE d.task_id = c.task_id AND d.state = 'cancelled'
        AND (d.last_error GLOB 'rejected: *' OR d.last_error GLOB 'replaced: *')
      ORDER BY d.changed_at DESC LIMIT 1), '')
    WHEN c.waiting = 0 AND c.moved > 0 THEN (
      SELECT c.moved || ' ' || d.last_error FROM delivery d
      WHERE d.task_id = c.task_id AND d.state = 'moved' ORDER BY d.delivery_id DESC LIMIT 1)
    WHEN c.waiting > 0 AND EXISTS (
      SELECT 1 FROM delivery_behind b CROSS JOIN delivery d USING (delivery_id)
      CROSS JOIN delivery e ON e.delivery_id = b.earlier_id
      WHERE d.task_id = c.task_id AND e.state IN ('queued', 'sending'))
      THEN 'waits for what it has to follow'
    ELSE '' END AS status_reason,
  coalesce((
    SELECT i.plan_digest || ' ' || coalesce(p.revision, '') FROM delivery d
    JOIN instance i USING (instance_id) LEFT JOIN plan p ON p.digest = i.plan_digest
    WHERE d.task_id = c.task_id
    ORDER BY d.delivery_id LIMIT 1), '') AS configuration
FROM ({_COUNTED}) c LEFT JOIN station_status s ON s.station = c.station
WHERE (?4 IS NULL OR status = ?4) ORDER BY c.task_id DESC LIMIT ?5
"""  # noqa: S608 - its parts are constants
_DELIVERIES: Final = """
SELECT d.delivery_id, d.instance_id, d.task_id, d.station, d.recipe_digest, d.priority, d.state,
  d.attempts, d.due_at, d.last_error, d.last_status, d.created_at, d.changed_at, i.sop_instance_uid
FROM delivery d JOIN instance i USING (instance_id) WHERE d.{} = ?
ORDER BY d.delivery_id LIMIT ?
"""
_DELIVERIES_OF_TASK: Final = _DELIVERIES.format("task_id")
_DELIVERIES_OF_INSTANCE: Final = _DELIVERIES.format("instance_id")
_EVENTS: Final = """
SELECT event_id, at, task_id, delivery_id, kind, message, status FROM event WHERE task_id = ?
ORDER BY event_id LIMIT ?
"""
_ATTEMPTS: Final = """
SELECT event_id, at, task_id, delivery_id, kind, message, status FROM event
WHERE task_id = ? AND delivery_id = ? ORDER BY event_id
"""
_OWE: Final = """
INSERT OR IGNORE INTO delivery (instance_id, task_id, station, recipe_digest, priority, state,
  created_at, changed_at) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)
"""
_ORIGINATOR: Final = """
UPDATE task SET move_originator_ae_title = ?, move_originator_message_id = ? WHERE task_id = ?
"""
_OF_STUDY: Final = "UPDATE task SET study_instance_uid = ? WHERE task_id = ?"
_LATEST: Final = """
SELECT max(d.delivery_id) FROM json_each(?) wanted
CROSS JOIN delivery d ON d.instance_id = wanted.value WHERE d.station = ? GROUP BY d.instance_id
"""
_COUNT: Final = """
SELECT count(*) FILTER (WHERE d.state IN ('queued', 'sending')),
  count(*) FILTER (WHERE d.state IN ('sent', 'delivered') AND d.last_status >> 12 IS NOT 11),
  count(*) FILTER (WHERE d.state IN ('sent', 'delivered') AND d.last_status >> 12 = 11),
  count(*) FILTER (WHERE d.state IN ('dead', 'quarantined', 'cancelled', 'moved'))
FROM json_each(?) wanted CROSS JOIN delivery d ON d.delivery_id = wanted.value
"""
_NOT_DELIVERED: Final = """
SELECT i.sop_instance_uid FROM json_each(?) wanted
CROSS JOIN delivery d ON d.delivery_id = wanted.value CROSS JOIN instance i USING (instance_id)
WHERE d.state NOT IN ('sent', 'delivered') LIMIT ?
"""
_FAILED: Final = """
SELECT delivery_id, task_id, station, state FROM delivery
WHERE state IN ('dead', 'quarantined') AND (?1 IS NULL OR station = ?1)
  AND instance_id NOT IN (SELECT instance_id FROM instance WHERE withheld IN ('113037', '113038'))
  AND (?2 IS NULL OR task_id IN (SELECT value FROM json_each(?2))) ORDER BY delivery_id
"""
# Not while the same object, received once more, is on its way to the same station.
_REQUEUE: Final = """
UPDATE OR IGNORE delivery SET state = 'queued', due_at = 0, changed_at = ? WHERE delivery_id = ?
  AND NOT EXISTS (
    SELECT 1 FROM instance own
    JOIN instance twin ON twin.sop_instance_uid = own.sop_instance_uid
    JOIN delivery other ON other.instance_id = twin.instance_id
    WHERE own.instance_id = delivery.instance_id
      AND coalesce(twin.duplicate_of, twin.instance_id) = coalesce(own.duplicate_of, own.instance_id)
      AND (other.station = delivery.station AND other.recipe_digest = delivery.recipe_digest
           OR other.choice_id = delivery.choice_id)
      AND other.state IN ('queued', 'sending', 'sent'))
"""
_QUEUED: Final = """
SELECT delivery_id, task_id, station, state FROM delivery
WHERE state = 'queued' AND task_id IN (SELECT value FROM json_each(?))
"""

_WAITS: Final = """
EXISTS (SELECT 1 FROM delivery d WHERE d.task_id = task.task_id
        AND d.state IN ('queued', 'sending', 'sent'))
"""
_HOLD: Final = f"""
UPDATE task SET held_by = ?2, held_at = ?3 WHERE held_by IS NULL
  AND task_id IN (SELECT value FROM json_each(?1)) AND {_WAITS} RETURNING task_id
"""  # noqa: S608 - a constant
_RESUME: Final = """
UPDATE task SET held_by = NULL, held_at = NULL, quiet_at = min(quiet_at, ?2)
WHERE (held_by IS NOT NULL OR quiet_at > ?2)
  AND task_id IN (SELECT value FROM json_each(?1)) RETURNING task_id
"""
_PRIORITISE: Final = f"""
UPDATE task SET priority = ?2, priority_set = 1 WHERE priority <> ?2
  AND task_id IN (SELECT value FROM json_each(?1)) AND {_WAITS} RETURNING task_id
"""  # noqa: S608 - a constant
_PRIORITISE_DELIVERIES: Final = """
UPDATE delivery SET priority = ?2 WHERE state = 'queued' AND priority <> ?2
  AND task_id IN (SELECT value FROM json_each(?1))
"""


def list_tasks(
    connection: sqlite3.Connection,
    wanted: TaskFilter,
    limit: int,
    before: int | None,
    now: float,
) -> tuple[Task, ...]:
    """Tasks, newest first."""
    priority = None if wanted.priority is None else int(wanted.priority)
    more = (
        wanted.study_instance_uid,
        wanted.requester,
        priority,
        wanted.created_since,
        now,
        wanted.direction,
        wanted.kind,
        None if wanted.stations is None else json.dumps(sorted(wanted.stations)),
    )
    rows = connection.execute(_LISTED, (None, wanted.station, before, wanted.status, limit, *more))
    return tuple(map(_task, rows))


def find_task(connection: sqlite3.Connection, task_id: int, now: float) -> Task | None:
    """One task."""
    row = connection.execute(
        _LISTED, (task_id, None, None, None, 1, None, None, None, None, now, None, None, None)
    ).fetchone()
    return None if row is None else _task(row)


def deliveries_of(connection: sqlite3.Connection, task_id: int, limit: int) -> tuple[Delivery, ...]:
    """The deliveries of a task, in order of arrival."""
    rows = connection.execute(_DELIVERIES_OF_TASK, (task_id, limit))
    return tuple(map(_delivery, rows))


def deliveries_of_instance(
    connection: sqlite3.Connection, instance_id: int
) -> tuple[Delivery, ...]:
    """Every delivery of an instance, oldest first."""
    rows = connection.execute(_DELIVERIES_OF_INSTANCE, (instance_id, -1))
    return tuple(map(_delivery, rows))


def attempts_of(
    connection: sqlite3.Connection, task_id: int, delivery_id: int
) -> tuple[Event, ...]:
    """The events of one delivery, oldest first."""
    return tuple(Event(*row) for row in connection.execute(_ATTEMPTS, (task_id, delivery_id)))


def events_of(connection: sqlite3.Connection, task_id: int, limit: int) -> tuple[Event, ...]:
    """The log of a task, oldest first."""
    return tuple(Event(*row) for row in connection.execute(_EVENTS, (task_id, limit)))


def send(
    connection: sqlite3.Connection,
    instance_ids: Sequence[int],
    owed: Owed,
    at: float,
    move_originator: tuple[str, int] | None = None,
    joining: int | None = None,
) -> int:
    """Owe held instances to a station; what is open there already is not owed twice."""
    study = ""
    for instance_id in instance_ids:
        row = connection.execute(
            "SELECT study_instance_uid FROM instance WHERE instance_id = ? AND segment IS NOT NULL "
            "AND withheld IS NULL",
            (instance_id,),
        ).fetchone()
        if row is None:
            raise KeyError(instance_id)
        study = study or row[0]
    if not study and not instance_ids:
        raise KeyError("nothing to send")
    remember(connection, owed.recipe)
    if joining is None:
        task_id = new_task(connection, owed, study, at)
    else:
        # It was opened by what was asked for, which a hook may have made another study of.
        task_id = joining
        connection.execute(_OF_STUDY, (study, task_id))
    if move_originator is not None:
        connection.execute(_ORIGINATOR, (*move_originator, task_id))
    counts = Counts()
    for instance_id in instance_ids:
        row = (
            instance_id,
            task_id,
            owed.station,
            owed.recipe.digest,
            int(owed.priority),
            at,
            at,
        )
        if connection.execute(_OWE, row).rowcount:
            counts.created(owed.station)
    counts.write(connection)
    connection.execute(END_TASK, (at, task_id))
    return task_id


def latest_deliveries(
    connection: sqlite3.Connection, instance_ids: Sequence[int], station: str
) -> tuple[int, ...]:
    """The latest delivery of each of these instances to the station."""
    rows = connection.execute(_LATEST, (json.dumps(list(instance_ids)), station))
    return tuple(delivery_id for (delivery_id,) in rows)


def delivery_counts(connection: sqlite3.Connection, delivery_ids: Sequence[int]) -> DeliveryCounts:
    """How far these deliveries are."""
    row = connection.execute(_COUNT, (json.dumps(list(delivery_ids)),)).fetchone()
    return DeliveryCounts(*row)


def not_delivered(
    connection: sqlite3.Connection, delivery_ids: Sequence[int], limit: int
) -> tuple[str, ...]:
    """SOP Instance UIDs of those of these deliveries that are not delivered."""
    rows = connection.execute(_NOT_DELIVERED, (json.dumps(list(delivery_ids)), limit))
    return tuple(uid for (uid,) in rows)


def retry(
    connection: sqlite3.Connection,
    task_ids: Sequence[int] | None,
    station: str | None,
    by: str,
    at: float,
) -> int:
    """Queue dead and quarantined deliveries again; how many."""
    wanted = None if task_ids is None else json.dumps(list(task_ids))
    rows = connection.execute(_FAILED, (station, wanted)).fetchall()
    moved = _move(connection, rows, _REQUEUE, State.QUEUED, ("retried", by), at)
    return moved + commitment_tasks.retry(connection, task_ids or (), by, at)


def hold(connection: sqlite3.Connection, task_ids: Sequence[int], by: str, at: float) -> int:
    """Lease nothing more of these tasks while something of them waits; how many were not held."""
    return _marked(connection, _HOLD, task_ids, (by, at), ("held", by, at))


def resume(connection: sqlite3.Connection, task_ids: Sequence[int], by: str, at: float) -> int:
    """Let them go on, and wait for no silence; how many were held or waited."""
    return _marked(connection, _RESUME, task_ids, (at,), ("resumed", by, at))


def prioritise(
    connection: sqlite3.Connection,
    task_ids: Sequence[int],
    priority: Priority,
    by: str,
    at: float,
) -> int:
    """Give what waits of these tasks another priority; how many tasks had another before."""
    changed = _marked(
        connection, _PRIORITISE, task_ids, (int(priority),), (f"priority {priority.word}", by, at)
    )
    wanted = json.dumps(list(task_ids))
    connection.execute(_PRIORITISE_DELIVERIES, (wanted, int(priority)))
    return changed


def _marked(
    connection: sqlite3.Connection,
    statement: str,
    task_ids: Sequence[int],
    values: tuple[Any, ...],
    event: tuple[str, str, float],
) -> int:
    """Change tasks, with an event for each that was changed."""
    rows = connection.execute(statement, (json.dumps(list(task_ids)), *values)).fetchall()
    kind, by, at = event
    for (task_id,) in rows:
        connection.execute(EVENT, (at, task_id, None, kind, f"by {by}" if by else "", None))
        connection.execute("UPDATE task SET last_modified_at = ? WHERE task_id = ?", (at, task_id))
    return len(rows)


def cancel(connection: sqlite3.Connection, task_ids: Sequence[int], by: str, at: float) -> int:
    """Cancel what is queued; how many."""
    rows = connection.execute(_QUEUED, (json.dumps(list(task_ids)),)).fetchall()
    moved = _move(connection, rows, _CANCEL, State.CANCELLED, ("cancelled", by), at)
    return moved + commitment_tasks.cancel(connection, task_ids, by, at)


def give_up(connection: sqlite3.Connection, instance_ids: Sequence[int], by: str, at: float) -> int:
    """Cancel what failed of these instances, which nobody can retry any more; how many."""
    rows = connection.execute(_FAILED_OF, (json.dumps(list(instance_ids)),)).fetchall()
    return _move(connection, rows, _CANCEL, State.CANCELLED, ("cancelled", by), at)


def _move(
    connection: sqlite3.Connection,
    rows: Sequence[tuple[int, int, str, str]],
    statement: str,
    state: State,
    event: tuple[str, str],
    at: float,
) -> int:
    counts = Counts()
    tasks: dict[int, int] = {}
    for delivery_id, task_id, station, before in rows:
        if connection.execute(statement, (at, delivery_id)).rowcount:
            counts.moved(station, before, state)
            tasks[task_id] = tasks.get(task_id, 0) + 1
    kind, by = event
    for task_id, number in tasks.items():
        message = f"{number} deliveries" + (f" by {by}" if by else "")
        connection.execute(EVENT, (at, task_id, None, kind, message, None))
        connection.execute(END_TASK, (at, task_id))
    counts.write(connection)
    return sum(tasks.values())


def _delivery(row: tuple[Any, ...]) -> Delivery:
    fields = (*row[:5], Priority(row[5]), State(row[6]), *row[7:])
    return Delivery(*fields)


def _task(row: tuple[Any, ...]) -> Task:
    task_id, kind, priority, station, requester, study, *times = row[:10]
    created_at, started_at, ended_at, last_modified_at = times
    arrives, _, objects, delivered, waiting, dead, quarantined, cancelled, moved, failures = row[
        14:24
    ]
    status, reason, configuration = row[-3:]
    plan, _, revision = configuration.partition(" ")
    return Task(
        task_id=task_id,
        kind=kind,
        status=status,
        status_reason=reason,
        priority=Priority(priority).word,
        station=station,
        requester=requester,
        study_instance_uid=study,
        series_instance_uid=row[11],
        objects=objects,
        delivered=0 if arrives and kind == "receive" else delivered,
        waiting=waiting,
        dead=dead,
        quarantined=quarantined,
        cancelled=cancelled,
        moved=moved,
        failures=failures,
        created_at=created_at,
        started_at=started_at,
        ended_at=None if arrives or waiting else ended_at,
        last_modified_at=last_modified_at,
        revision=revision,
        plan=plan,
        note=row[24],
    )
