"""What was held of a study and was let go of, and which stations have the very same object.

Not what was rejected, nor what was shredded: that is to be had from nowhere. A station has an object
when it gave it, or when it acknowledged it as it came, with nothing changed on the way.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from router.model.query import ObjectName
from router.model.recipe import NO_CHANGE

_EVICTED: Final = """
SELECT i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.source_station, (
    SELECT json_group_array(DISTINCT d.station) FROM delivery d
    WHERE d.instance_id = i.instance_id AND d.state = 'delivered' AND d.recipe_digest = ?4),
  max(i.instance_id)
FROM instance i
WHERE i.study_instance_uid = ?1 AND (?2 IS NULL OR i.series_instance_uid = ?2)
  AND (?3 IS NULL OR i.sop_instance_uid = ?3)
  AND i.segment IS NULL AND i.withheld IS NULL AND i.disposition IN ('routed', 'unmatched')
  AND NOT EXISTS (SELECT 1 FROM instance n WHERE n.sop_instance_uid = i.sop_instance_uid
    AND n.study_instance_uid = i.study_instance_uid AND (n.segment IS NOT NULL
    AND n.disposition IN ('routed', 'unmatched') OR n.withheld IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM shredded s
    WHERE s.study_instance_uid = i.study_instance_uid AND s.at >= i.received_at)
GROUP BY i.sop_instance_uid ORDER BY 6
"""


@dataclass(frozen=True, slots=True)
class Evicted:
    """One instance, and the stations that have it: the one it came from first."""

    name: ObjectName
    stations: tuple[str, ...]


def evicted(
    connection: sqlite3.Connection, study: str, series: str | None, instance: str | None
) -> tuple[Evicted, ...]:
    """In the order in which they came."""
    rows = connection.execute(_EVICTED, (study, series, instance, NO_CHANGE))
    return tuple(_read(*row) for row in rows)


def _read(  # a row of six columns
    study: str, series: str, instance: str, source: str | None, has: str, _id: int
) -> Evicted:
    stations = dict.fromkeys([*([source] if source else ()), *sorted(json.loads(has))])
    return Evicted(ObjectName(study, series, instance), tuple(stations))


def remember_shredded(connection: sqlite3.Connection, study: str, at: float) -> None:
    """Note that nothing of a study that came before is to be fetched again."""
    connection.execute("INSERT OR REPLACE INTO shredded VALUES (?, ?)", (study, at))
