"""The catalogue's rows in the ledger: which series have none yet, and what is held of each.

Held is an instance whose bytes are here and that may be handed out: routed or unmatched. What a
rule discarded, what a failed hook quarantined, what came twice and what was rejected is not. Of an instance that came
again with other bytes only the newest version counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from router.store.instances import COLUMNS, stored
from router.store.ledger import CatalogueRow, Change, HeldCounts, HeldStudy, HeldVersion, Unlisted

_HELD: Final = """i.segment IS NOT NULL AND i.withheld IS NULL
  AND i.disposition IN ('routed', 'unmatched')"""
_UPPER_MARK: Final = """
SELECT max(instance_id) FROM (
  SELECT instance_id FROM instance WHERE instance_id > ? ORDER BY instance_id LIMIT ?)
"""
_NEWS: Final = f"""
SELECT i.instance_id, i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid
FROM instance i LEFT JOIN catalogue c USING (study_instance_uid, series_instance_uid)
WHERE i.instance_id > ? AND i.instance_id <= ? AND i.study_instance_uid <> '' AND {_HELD}
  AND (c.sealed IS NULL OR c.sop_instance_uid = i.sop_instance_uid)
ORDER BY i.instance_id
"""  # noqa: S608 - a constant
_BY_ID: Final = f"{COLUMNS} WHERE instance_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
_PUT: Final = """
INSERT OR REPLACE INTO catalogue
  (study_instance_uid, series_instance_uid, sop_instance_uid, sealed) VALUES (?, ?, ?, ?)
"""
_FOLLOWING: Final = """
SELECT entry_id, study_instance_uid, series_instance_uid, sop_instance_uid, sealed FROM catalogue
WHERE entry_id > ? ORDER BY entry_id LIMIT ?
"""
_IN_SEGMENT: Final = """
SELECT DISTINCT study_instance_uid, series_instance_uid FROM instance WHERE segment = ?
"""
_FORGET: Final = f"""
INSERT OR REPLACE INTO catalogue
  (study_instance_uid, series_instance_uid, sop_instance_uid, sealed)
SELECT c.study_instance_uid, c.series_instance_uid, '', NULL FROM catalogue c
WHERE c.study_instance_uid = ? AND c.series_instance_uid = ? AND c.sealed IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.study_instance_uid = c.study_instance_uid
                  AND i.series_instance_uid = c.series_instance_uid AND {_HELD})
"""  # noqa: S608 - a constant
_REJECTED_IN: Final = """
SELECT EXISTS (SELECT 1 FROM instance WHERE study_instance_uid = ? AND series_instance_uid = ?
               AND withheld IS NOT NULL)
"""
_COUNTS: Final = f"""
SELECT i.study_instance_uid, i.series_instance_uid, i.sop_class_uid,
  count(DISTINCT i.sop_instance_uid)
FROM json_each(?) wanted CROSS JOIN instance i ON i.study_instance_uid = wanted.value
WHERE {_HELD} GROUP BY 1, 2, 3
"""  # noqa: S608 - a constant
_STUDIES: Final = f"""
SELECT i.study_instance_uid, count(DISTINCT i.series_instance_uid),
  count(DISTINCT i.sop_instance_uid), sum(i.data_set_length), max(i.received_at),
  group_concat(DISTINCT coalesce(i.source_station, i.calling_ae_title))
FROM json_each(?) wanted CROSS JOIN instance i ON i.study_instance_uid = wanted.value
WHERE {_HELD} GROUP BY 1
"""  # noqa: S608 - a constant
# What is gone counts too: its attributes may still be in the catalogue.
_WITHIN: Final = """
SELECT wanted.value FROM json_each(?1) wanted
WHERE EXISTS (SELECT 1 FROM instance i WHERE i.study_instance_uid = wanted.value)
  AND NOT EXISTS (
    SELECT 1 FROM instance i WHERE i.study_instance_uid = wanted.value AND i.duplicate_of IS NULL
      AND coalesce(i.source_station, '') NOT IN (SELECT value FROM json_each(?2))
      AND NOT EXISTS (
        SELECT 1 FROM delivery d WHERE d.instance_id = i.instance_id AND d.state <> 'moved'
          AND d.station IN (SELECT value FROM json_each(?2))))
"""
_NEWEST: Final = f"""
SELECT max(i.instance_id), i.sop_instance_uid, i.plan_digest, i.source_station
FROM instance i
WHERE i.study_instance_uid = ?1 AND (?2 IS NULL OR i.series_instance_uid = ?2) AND {_HELD}
GROUP BY i.sop_instance_uid ORDER BY 1
"""  # noqa: S608 - a constant


_CHANGES: Final = """
SELECT i.instance_id, i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid,
  i.received_at, CASE WHEN EXISTS (
    SELECT 1 FROM instance n WHERE n.sop_instance_uid = i.sop_instance_uid
    AND n.instance_id > i.instance_id AND n.disposition IN ('routed', 'unmatched')
  ) THEN 'replaced' WHEN i.segment IS NULL OR i.withheld IS NOT NULL THEN 'deleted'
  ELSE 'current' END
FROM instance i WHERE i.instance_id > ? AND i.disposition IN ('routed', 'unmatched')
  AND i.withheld IS NOT 'note'
"""


@dataclass(slots=True)
class _Pick:
    """The instance that a series is to be described from."""

    instance_id: int
    sop_instance_uid: str


def changes(connection: sqlite3.Connection, after: int, limit: int) -> tuple[Change, ...]:
    """What was booked behind that sequence and may be given, in order."""
    rows = connection.execute(f"{_CHANGES} ORDER BY i.instance_id LIMIT ?", (after, limit))
    return tuple(Change(*row) for row in rows)


def latest_change(connection: sqlite3.Connection) -> Change | None:
    """The last of them."""
    row = connection.execute(f"{_CHANGES} ORDER BY i.instance_id DESC LIMIT 1", (0,)).fetchone()
    return None if row is None else Change(*row)


def unlisted(connection: sqlite3.Connection, limit: int) -> Unlisted | None:
    """Of the next `limit` instances, one for each series that has to be described (anew)."""
    mark = connection.execute("SELECT instance_id FROM catalogue_mark").fetchone()[0]
    upper = connection.execute(_UPPER_MARK, (mark, limit)).fetchone()[0]
    if upper is None:
        return None
    picks: dict[tuple[str, str], _Pick] = {}
    for instance_id, study, series, sop in connection.execute(_NEWS, (mark, upper)):
        pick = picks.setdefault((study, series), _Pick(instance_id, sop))
        if pick.sop_instance_uid == sop:
            pick.instance_id = instance_id
    ids = json.dumps([pick.instance_id for pick in picks.values()])
    rows = connection.execute(_BY_ID, (ids,))
    return Unlisted(upper, tuple(map(stored, rows)))


def put(connection: sqlite3.Connection, mark: int, rows: Sequence[CatalogueRow]) -> None:
    """Write rows, and how far the instances were looked at."""
    connection.executemany(
        _PUT,
        [
            (row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid, row.sealed)
            for row in rows
        ],
    )
    for row in rows:
        # What was rejected while it was being read is not listed.
        series = (row.study_instance_uid, row.series_instance_uid)
        if connection.execute(_REJECTED_IN, series).fetchone()[0]:
            forget(connection, [series])
    connection.execute("UPDATE catalogue_mark SET instance_id = max(instance_id, ?)", (mark,))


def following(connection: sqlite3.Connection, after: int, limit: int) -> tuple[CatalogueRow, ...]:
    """The rows that were written or forgotten after that one, in that order."""
    return tuple(CatalogueRow(*row) for row in connection.execute(_FOLLOWING, (after, limit)))


def series_in(connection: sqlite3.Connection, segment: int) -> list[tuple[str, str]]:
    """(study, series) of everything that lies in the segment."""
    return list(connection.execute(_IN_SEGMENT, (segment,)))


def forget(connection: sqlite3.Connection, series: Sequence[tuple[str, str]]) -> None:
    """Wipe the rows of those of these series of which nothing is held any more."""
    connection.executemany(_FORGET, series)


def held_counts(
    connection: sqlite3.Connection, study_instance_uids: Collection[str]
) -> tuple[HeldCounts, ...]:
    """How many instances are held of these studies, by series and SOP class."""
    wanted = json.dumps(list(study_instance_uids))
    return tuple(HeldCounts(*row) for row in connection.execute(_COUNTS, (wanted,)))


def held_studies(
    connection: sqlite3.Connection, study_instance_uids: Collection[str]
) -> tuple[HeldStudy, ...]:
    """What is held of these studies, summed up."""
    wanted = json.dumps(list(study_instance_uids))
    rows = connection.execute(_STUDIES, (wanted,))
    return tuple(
        HeldStudy(study, series, instances, octets, at, tuple(sources.split(",")))
        for study, series, instances, octets, at, sources in rows
    )


def studies_within(
    connection: sqlite3.Connection,
    study_instance_uids: Collection[str],
    stations: Collection[str],
) -> frozenset[str]:
    """Those of these studies of which every instance came from or is owed to these stations."""
    wanted = json.dumps(list(study_instance_uids)), json.dumps(list(stations))
    return frozenset(study for (study,) in connection.execute(_WITHIN, wanted))


def held_versions(
    connection: sqlite3.Connection, study: str, series: str | None
) -> tuple[HeldVersion, ...]:
    """The newest version of each instance of a study or series, in order of arrival."""
    return tuple(HeldVersion(*row) for row in connection.execute(_NEWEST, (study, series)))
