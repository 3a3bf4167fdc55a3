"""Which records must be kept, what a segment still holds, and how one is forgotten.

Owed is a record with a delivery that is open or failed, or one that is unmatched
or quarantined. A segment is forgotten in the same transaction that writes the new places of its
owed records, and never while one of its records is being sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from router.model.instance import RecordRef
from router.store import cataloguing

_OPEN: Final = """
EXISTS (SELECT 1 FROM delivery d WHERE d.instance_id = i.instance_id
        AND d.state NOT IN ('delivered', 'cancelled', 'moved'))
"""
OWED: Final = f"(i.disposition IN ('unmatched', 'quarantined') OR {_OPEN})"
"""Whether the instance `i` must be kept."""
_OWED: Final = f"""
SELECT i.instance_id, i.segment, i.place, i.length, i.record_id FROM instance i
WHERE i.segment {{}} AND {OWED}
ORDER BY i.segment, i.place
"""  # noqa: S608 - both parts are constants
_OWED_ANYWHERE: Final = _OWED.format("IS NOT NULL")
# Apart, so that the place index finds one segment without walking all that is stored.
_OWED_IN: Final = _OWED.format("= ?")
_LATER: Final = """
SELECT later.instance_id, own.record_id, later.record_id, later.segment, later.place, later.length
FROM instance own JOIN instance later USING (sop_instance_uid)
WHERE own.instance_id = ?1 AND later.instance_id > ?1 AND later.segment IS NOT NULL
  AND own.content_digest = ?2 AND later.content_digest = ?2
ORDER BY later.instance_id DESC LIMIT 1
"""
_LEASED: Final = """
SELECT EXISTS (SELECT 1 FROM delivery d JOIN instance i USING (instance_id)
               WHERE d.state = 'sending' AND i.segment = ?)
"""


def owed_records(
    connection: sqlite3.Connection, segment: int | None
) -> tuple[tuple[int, RecordRef], ...]:
    """(instance id, record) of what must be kept, in order of place."""
    if segment is None:
        rows = connection.execute(_OWED_ANYWHERE)
    else:
        rows = connection.execute(_OWED_IN, (segment,))
    return tuple((instance_id, RecordRef(*place)) for instance_id, *place in rows)


def leased_in(connection: sqlite3.Connection, segment: int) -> bool:
    """Whether a record of the segment is being sent."""
    return bool(connection.execute(_LEASED, (segment,)).fetchone()[0])


def newest_in(connection: sqlite3.Connection, segment: int) -> float | None:
    """When the newest record of the segment arrived."""
    statement = "SELECT max(received_at) FROM instance WHERE segment = ?"
    newest: float | None = connection.execute(statement, (segment,)).fetchone()[0]
    return newest


def drop_segment(
    connection: sqlite3.Connection, segment: int, moved: Mapping[int, RecordRef]
) -> bool:
    """Forget the segment; false when something owed has no new place or is being sent."""
    owed = {instance_id for instance_id, _ in owed_records(connection, segment)}
    if owed - set(moved) or leased_in(connection, segment):
        return False
    for instance_id, ref in moved.items():
        connection.execute(
            "UPDATE instance SET segment = ?, place = ? WHERE instance_id = ? AND segment = ?",
            (ref.segment, ref.offset, instance_id, segment),
        )
        connection.execute(
            "INSERT INTO segment (number, indexed_to) VALUES (?1, ?2) ON CONFLICT (number) "
            "DO UPDATE SET indexed_to = max(indexed_to, ?2) WHERE indexed_to = ?3",
            (ref.segment, ref.offset + ref.length, ref.offset),
        )
    gone = cataloguing.series_in(connection, segment)
    connection.execute(
        "UPDATE instance SET segment = NULL, place = NULL WHERE segment = ?", (segment,)
    )
    cataloguing.forget(connection, gone)
    connection.execute(
        "INSERT INTO segment (number, indexed_to, dropped) VALUES (?, 0, 1) "
        "ON CONFLICT (number) DO UPDATE SET dropped = 1",
        (segment,),
    )
    return True


def heal(connection: sqlite3.Connection, instance_id: int, content_digest: bytes) -> bool:
    """Swap the record of an instance with that of the newest one behind it with the same bytes.

    What is damaged stays with the later instance, and is forgotten. False where there is none.
    """
    found = connection.execute(_LATER, (instance_id, content_digest)).fetchone()
    if found is None:
        return False
    later, own_record, record_id, segment, place, length = found
    connection.execute(
        "UPDATE instance SET record_id = randomblob(16), segment = NULL, place = NULL "
        "WHERE instance_id = ?",
        (later,),
    )
    connection.execute(
        "UPDATE instance SET record_id = ?, segment = ?, place = ?, length = ? "
        "WHERE instance_id = ?",
        (record_id, segment, place, length, instance_id),
    )
    connection.execute(
        "UPDATE instance SET record_id = ? WHERE instance_id = ?", (own_record, later)
    )
    return True


def dropped_segments(connection: sqlite3.Connection) -> tuple[int, ...]:
    """Forgotten segments whose files may still be there."""
    rows = connection.execute("SELECT number FROM segment WHERE dropped = 1 ORDER BY number")
    return tuple(number for (number,) in rows)


def prune_events(connection: sqlite3.Connection, before: float) -> int:
    """Delete old events of ended tasks; how many."""
    statement = (
        "DELETE FROM event WHERE at < ? AND task_id IN "
        "(SELECT task_id FROM task WHERE ended_at IS NOT NULL)"
    )
    gone = connection.execute(statement, (before,)).rowcount
    connection.execute(
        "DELETE FROM delivery_behind WHERE earlier_id NOT IN "
        "(SELECT delivery_id FROM delivery WHERE state IN ('queued', 'sending'))"
    )
    connection.execute("DELETE FROM station_event WHERE at < ?", (before,))
    return gone
