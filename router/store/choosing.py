"""Which records people choose to let go of, which of them must stay, and forgetting them.

What is owed (`keeping`) is never forgotten here: an open or failed delivery, an unmatched or
quarantined instance. A shredded study is another matter, see `study_rows`: there only what is still
to be sent stands in the way.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.model.instance import RecordRef
from router.store import cataloguing
from router.store.keeping import OWED

_CHOSEN: Final = """
i.segment IS NOT NULL AND (?1 IS NULL OR i.study_instance_uid = ?1)
  AND (?2 IS NULL OR coalesce(i.source_station, i.calling_ae_title) = ?2)
  AND (?3 IS NULL OR i.received_at < ?3)
"""
_COUNT: Final = f"""
SELECT count(*), coalesce(sum(i.length), 0), count(DISTINCT i.study_instance_uid)
FROM instance i WHERE {_CHOSEN} AND {{}} {OWED}
"""  # noqa: S608 - constants
_FREE: Final = _COUNT.format("NOT")
_NEEDED: Final = _COUNT.format("")
_NEXT: Final = f"""
SELECT i.instance_id FROM instance i WHERE {_CHOSEN} AND i.instance_id > ?4 AND NOT {OWED}
ORDER BY i.instance_id LIMIT ?5
"""  # noqa: S608 - constants
_IN_SEGMENT: Final = f"""
SELECT count(*), coalesce(sum(i.length), 0), count(DISTINCT i.study_instance_uid)
FROM instance i WHERE i.segment = ? AND NOT {OWED}
"""  # noqa: S608 - constants
_SERIES: Final = """
SELECT DISTINCT study_instance_uid, series_instance_uid FROM instance
WHERE instance_id IN (SELECT value FROM json_each(?))
"""
_FORGET: Final = """
UPDATE instance SET segment = NULL, place = NULL
WHERE instance_id IN (SELECT value FROM json_each(?)) AND segment IS NOT NULL
"""
_LIVE: Final = """
SELECT instance_id, segment, place, length, record_id FROM instance WHERE segment = ? ORDER BY place
"""
_OF_STUDY: Final = """
SELECT instance_id, segment, place, length, record_id FROM instance WHERE study_instance_uid = ?
"""
_TO_SEND: Final = """
SELECT DISTINCT d.task_id FROM instance i JOIN delivery d USING (instance_id)
WHERE i.study_instance_uid = ? AND d.state IN ('queued', 'sending', 'sent') ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is meant: a study, what came from a station (or AE title), what came before a time."""

    study_instance_uid: str | None = None
    station: str | None = None
    received_before: float | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """How many instances of how many studies, and the bytes of their records."""

    instances: int = 0
    record_bytes: int = 0
    studies: int = 0


@dataclass(frozen=True, slots=True)
class StudyRow:
    """An instance of a study; `record` is None where its bytes were evicted before."""

    instance_id: int
    record_id: bytes
    record: RecordRef | None


def amounts(connection: sqlite3.Connection, choice: Choice) -> tuple[Amount, Amount]:
    """What of the choice can be let go of, and what must stay."""
    parameters = (choice.study_instance_uid, choice.station, choice.received_before)
    free = connection.execute(_FREE, parameters).fetchone()
    needed = connection.execute(_NEEDED, parameters).fetchone()
    return Amount(*free), Amount(*needed)


def in_segment(connection: sqlite3.Connection, segment: int) -> Amount:
    """What of a segment would go with it."""
    return Amount(*connection.execute(_IN_SEGMENT, (segment,)).fetchone())


def forget_next(
    connection: sqlite3.Connection, choice: Choice, after: int, limit: int
) -> tuple[int, int | None]:
    """Forget the next of the choice; how many, and behind which instance to go on, None at its end."""
    parameters = (
        choice.study_instance_uid,
        choice.station,
        choice.received_before,
        after,
        limit,
    )
    ids = [row[0] for row in connection.execute(_NEXT, parameters)]
    forget(connection, ids)
    return len(ids), ids[-1] if len(ids) == limit else None


def forget(connection: sqlite3.Connection, instance_ids: Sequence[int]) -> int:
    """Let the ledger know the bytes of these no more; how many had some."""
    wanted = json.dumps(list(instance_ids))
    series = connection.execute(_SERIES, (wanted,)).fetchall()
    gone = connection.execute(_FORGET, (wanted,)).rowcount
    cataloguing.forget(connection, series)
    return gone


def live_records(connection: sqlite3.Connection, segment: int) -> tuple[tuple[int, RecordRef], ...]:
    """(instance id, record) of everything the ledger knows in a segment, in order of place."""
    rows = connection.execute(_LIVE, (segment,))
    return tuple((instance_id, RecordRef(*place)) for instance_id, *place in rows)


def study_rows(connection: sqlite3.Connection, study: str) -> tuple[StudyRow, ...]:
    """Every instance that was ever accepted of a study."""
    return tuple(
        StudyRow(row[0], row[4], None if row[1] is None else RecordRef(*row[1:]))
        for row in connection.execute(_OF_STUDY, (study,))
    )


def tasks_in_the_way(connection: sqlite3.Connection, study: str) -> tuple[int, ...]:
    """The tasks that still send something of a study."""
    return tuple(row[0] for row in connection.execute(_TO_SEND, (study,)))
