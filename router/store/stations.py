"""The status of stations in the ledger: the last look at each, and every change."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from router.store.ledger import StationEvent, StationState, StationStatus

_STATUS: Final = """
INSERT INTO station_status (station, state, reason, since, checked_at) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (station) DO UPDATE SET since = iif(state = ?2, since, ?4), state = ?2, reason = ?3,
  checked_at = ?4
"""
_CHANGED: Final = """
INSERT INTO station_event (at, station, state, reason)
SELECT ?4, ?1, ?2, ?3
WHERE (SELECT state FROM station_status WHERE station = ?1) IS NOT ?2
"""
_PROBED: Final = """
UPDATE station_status SET seconds = ?2, answer = ?3, checked_at = ?4 WHERE station = ?1
"""
_CLOSED: Final = """
UPDATE station_status SET closed = ?2 WHERE station = ?1 AND closed <> ?2
"""
_EVENTS: Final = """
SELECT at, station, state, reason FROM station_event WHERE station = ?
ORDER BY event_id DESC LIMIT ?
"""


def set_status(
    connection: sqlite3.Connection, station: str, state: StationState, reason: str, at: float
) -> None:
    """Note what a look at the station came to; a change is an event too."""
    connection.execute(_CHANGED, (station, state, reason, at))
    connection.execute(_STATUS, (station, state, reason, at))


def note_probe(
    connection: sqlite3.Connection, station: str, seconds: float, answer: str, at: float
) -> None:
    """Note how long a probe took and what was answered, of a station that has a status."""
    connection.execute(_PROBED, (station, seconds, answer, at))


def set_closed(connection: sqlite3.Connection, station: str, words: str) -> bool:
    """Note why nothing is begun now, '' when something is; whether that is a change."""
    return connection.execute(_CLOSED, (station, words)).rowcount > 0


def statuses(connection: sqlite3.Connection) -> Mapping[str, StationStatus]:
    """The status of every station that was ever looked at."""
    statement = (
        "SELECT station, state, reason, since, checked_at, seconds, answer, closed "
        "FROM station_status"
    )
    return {row[0]: StationStatus(*row) for row in connection.execute(statement)}


def events_of(connection: sqlite3.Connection, station: str, limit: int) -> tuple[StationEvent, ...]:
    """The changes of a station's status, latest first."""
    return tuple(StationEvent(*row) for row in connection.execute(_EVENTS, (station, limit)))
