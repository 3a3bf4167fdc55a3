"""What watchers ask the ledger again and again: how old the queues are, and what failed last.

Read by the metrics at every scrape and by `top` at every picture; each answer is a few statements
that walk an index or what is open, none of them every instance.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from router.store.balance import Backlog, Failure
from router.store.tasks import STATUS

# The ids of deliveries grow with time, so the least one waits longest; the index alone gives it.
_OLDEST: Final = """
SELECT station, min(created_at) FROM (
  SELECT d.station, d.created_at FROM delivery d WHERE d.delivery_id IN (
    SELECT min(delivery_id) FROM delivery INDEXED BY delivery_queue
    WHERE state = 'queued' GROUP BY station)
  UNION ALL
  SELECT station, created_at FROM delivery INDEXED BY delivery_leased WHERE state = 'sending'
) GROUP BY station
"""
# Of sends that are open or failed: what is over for good is not counted again and again.
_TASKS: Final = f"""
SELECT c.station, {STATUS} AS status, count(*) FROM (
  SELECT t.station, t.held_by, t.started_at, 0 AS arrives, 0 AS broke,
    iif(t.quiet_at > ?1 AND t.quiet_at <= ?1 + t.idle_seconds, t.quiet_at, NULL) AS waits_until,
    count(*) FILTER (WHERE d.state IN ('queued', 'sending', 'sent')) AS waiting,
    count(*) FILTER (WHERE d.state = 'dead') AS dead,
    count(*) FILTER (WHERE d.state = 'quarantined') AS quarantined,
    count(*) FILTER (WHERE d.state = 'cancelled') AS cancelled, 0 AS objects, 0 AS moved
  FROM (
    SELECT task_id FROM task WHERE ended_at IS NULL
    UNION SELECT task_id FROM delivery INDEXED BY delivery_failed
    WHERE state IN ('dead', 'quarantined')
  ) JOIN task t USING (task_id) JOIN delivery d INDEXED BY delivery_task USING (task_id)
  GROUP BY t.task_id
) c LEFT JOIN station_status s ON s.station = c.station
GROUP BY c.station, status
"""  # noqa: S608 - a constant
_OWED_BYTES: Final = """
SELECT coalesce(sum(length), 0) FROM instance WHERE segment IS NOT NULL AND instance_id IN (
  SELECT instance_id FROM delivery WHERE state IN ('queued', 'sending', 'sent')
  UNION SELECT instance_id FROM delivery WHERE state IN ('dead', 'quarantined')
  UNION SELECT instance_id FROM instance WHERE disposition IN ('unmatched', 'quarantined'))
"""
# Most events are failures, so the latest ones are near the end; beyond that nobody looks.
_LOOKED_AT: Final = 10_000
_FAILURES: Final = """
SELECT e.at, t.station, e.task_id, e.kind, e.message, e.status
FROM event e JOIN task t USING (task_id)
WHERE e.event_id > (SELECT coalesce(max(event_id), 0) FROM event) - ?1
  AND e.delivery_id IS NOT NULL AND e.kind NOT IN ('delivered', 'moved')
ORDER BY e.event_id DESC LIMIT ?2
"""


def backlog(connection: sqlite3.Connection, now: float) -> Backlog:
    """How much there is to do, inside one consistent view."""
    rows = connection.execute(_TASKS, (now,))
    return Backlog(
        oldest_waiting_at=dict(connection.execute(_OLDEST).fetchall()),
        tasks={(station, status): count for station, status, count in rows},
        owed_bytes=int(connection.execute(_OWED_BYTES).fetchone()[0]),
    )


def failures(connection: sqlite3.Connection, limit: int) -> tuple[Failure, ...]:
    """The tries that failed last, the latest first."""
    return tuple(Failure(*row) for row in connection.execute(_FAILURES, (_LOOKED_AT, limit)))
