"""Routing loops: what keeps coming back changed is sent on no more (F28).

Two routers that send to each other end by themselves where they change nothing: what came once is a
duplicate the second time. Where one of them changes the object each time, it is another version
each time, for ever. So an object of which a sender gave many versions within the hour is kept, and
its deliveries are dead with the reason, for a person to retry once the rules are mended.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from router.model.delivery import State
from router.model.instance import Instance
from router.store.counting import Counts
from router.store.task_log import END_TASK, EVENT

MOST_VERSIONS: Final = 10
WITHIN_SECONDS: Final = 3600.0

_VERSIONS: Final = """
SELECT count(DISTINCT content_digest) FROM instance
WHERE sop_instance_uid = ?1 AND coalesce(source_station, calling_ae_title) = ?2
  AND received_at BETWEEN ?3 AND ?4
"""
_QUEUED: Final = """
SELECT delivery_id, task_id, station FROM delivery WHERE instance_id = ? AND state = 'queued'
"""
_END: Final = """
UPDATE delivery SET state = 'dead', last_error = ?, changed_at = ? WHERE delivery_id = ?
"""


def end_if_loop(
    connection: sqlite3.Connection, counts: Counts, instance_id: int, instance: Instance, now: float
) -> None:
    """End what is queued of this booked instance where it is one version too many from its sender."""
    sender = instance.source.station or instance.source.calling_ae_title
    since, until = instance.received_at - WITHIN_SECONDS, instance.received_at + WITHIN_SECONDS
    asked = (instance.sop_instance_uid, sender, since, until)
    if connection.execute(_VERSIONS, asked).fetchone()[0] <= MOST_VERSIONS:
        return
    reason = (
        f"routing loop: more than {MOST_VERSIONS} versions of this object came from '{sender}' "
        "within an hour; let one of the two no longer send it to the other, then retry"
    )
    for delivery_id, task_id, station in connection.execute(_QUEUED, (instance_id,)).fetchall():
        connection.execute(_END, (reason, now, delivery_id))
        counts.moved(station, State.QUEUED, State.DEAD)
        connection.execute(EVENT, (now, task_id, delivery_id, "dead", reason, None))
        connection.execute(END_TASK, (now, task_id))
