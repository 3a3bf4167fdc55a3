"""Prefetches in the ledger: what is wanted here before somebody asks, in order, and how far it is.

Status and counts are taken from the items each time. An item is a study, a series or an instance of a
station. Rows older than a month go with the next one that is made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.store.asked_for import forget_old

BATCH: Final = 5
CAP: Final = 15
MOST: Final = 100
BEYOND: Final = "beyond the cap: not fetched"
ItemState = Literal["ready", "done", "failed", "cancelled", "beyond"]
PrefetchStatus = Literal["Ready", "In Progress", "Completed", "Failed", "Cancelled"]

_ROW: Final = """
SELECT p.prefetch_id, p.requester, p.batch, p.created_at, p.started_at, p.ended_at, p.cancelled_at,
  p.message FROM prefetch p
"""
_ITEMS: Final = """
SELECT number, station, study_instance_uid, series_instance_uid, sop_instance_uid, state, fetched,
  held, failed, message FROM prefetch_item WHERE prefetch_id = ? ORDER BY number
"""
_ADD_ITEM: Final = """
INSERT INTO prefetch_item (prefetch_id, number, station, study_instance_uid, series_instance_uid,
  sop_instance_uid, state, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SETTLE: Final = """
UPDATE prefetch_item SET state = ?, fetched = ?, held = ?, failed = ?, message = ?
WHERE prefetch_id = ? AND number = ? AND state = 'ready'
"""
_CANCEL: Final = """
UPDATE prefetch SET cancelled_at = ?, message = ? WHERE prefetch_id = ? AND ended_at IS NULL
  AND cancelled_at IS NULL
"""
_END: Final = """
UPDATE prefetch SET ended_at = ?1, started_at = coalesce(started_at, ?1)
WHERE prefetch_id = ?2 AND ended_at IS NULL AND (cancelled_at IS NOT NULL OR NOT EXISTS (
  SELECT 1 FROM prefetch_item i WHERE i.prefetch_id = ?2 AND i.state = 'ready'))
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One study, series or instance of a station; empty UIDs mean everything above."""

    station: str
    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of an item: objects fetched, held before, failed; `trouble` is why, for people."""

    fetched: int = 0
    held: int = 0
    failed: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is wanted, in its place in the order."""

    number: int
    wanted: Wanted
    state: ItemState
    brought: Brought


@dataclass(frozen=True, slots=True)
class Prefetch:
    """One list of things wanted; `batch` of them are fetched side by side."""

    prefetch_id: int
    requester: str
    batch: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    cancelled_at: float | None
    message: str
    items: tuple[Item, ...]

    @property
    def status(self) -> PrefetchStatus:
        """As of a task."""
        if self.ended_at is None:
            return "Ready" if self.started_at is None else "In Progress"
        if any(one.state == "cancelled" for one in self.items):
            return "Cancelled"
        if any(one.state == "failed" for one in self.items):
            return "Failed"
        return "Completed"


def add(
    connection: sqlite3.Connection,
    requester: str,
    wanted: Sequence[Wanted],
    batch: int,
    cap: int,
    at: float,
) -> int:
    """Note what is wanted, what is beyond the cap as that; the number of the prefetch."""
    forget_old(connection, "prefetch", "prefetch_item", at)
    number = connection.execute(
        "INSERT INTO prefetch (requester, batch, created_at) VALUES (?, ?, ?)",
        (requester, batch, at),
    ).lastrowid
    assert number is not None
    rows = [
        (
            number,
            place,
            one.station,
            one.study_instance_uid,
            one.series_instance_uid,
            one.sop_instance_uid,
            "ready" if place <= cap else "beyond",
            "" if place <= cap else BEYOND,
        )
        for place, one in enumerate(wanted, 1)
    ]
    connection.executemany(_ADD_ITEM, rows)
    return number


def listed(connection: sqlite3.Connection, limit: int) -> tuple[Prefetch, ...]:
    """The last ones, the latest first."""
    rows = connection.execute(f"{_ROW} ORDER BY p.prefetch_id DESC LIMIT ?", (limit,)).fetchall()
    return tuple(_read(connection, row) for row in rows)


def find(connection: sqlite3.Connection, prefetch_id: int) -> Prefetch | None:
    """One of them."""
    row = connection.execute(f"{_ROW} WHERE p.prefetch_id = ?", (prefetch_id,)).fetchone()
    return None if row is None else _read(connection, row)


def next_open(connection: sqlite3.Connection) -> Prefetch | None:
    """The one that is to be worked on: first come, first served."""
    row = connection.execute(
        f"{_ROW} WHERE p.ended_at IS NULL ORDER BY p.prefetch_id LIMIT 1"
    ).fetchone()
    return None if row is None else _read(connection, row)


def begin(connection: sqlite3.Connection, prefetch_id: int, at: float) -> None:
    """Note that it is worked on."""
    connection.execute(
        "UPDATE prefetch SET started_at = coalesce(started_at, ?) WHERE prefetch_id = ?",
        (at, prefetch_id),
    )


def settle(
    connection: sqlite3.Connection, prefetch_id: int, number: int, state: ItemState, came: Brought
) -> None:
    """Note what came of an item."""
    counts = (came.fetched, came.held, came.failed, came.trouble[:500])
    connection.execute(_SETTLE, (state, *counts, prefetch_id, number))


def cancel(connection: sqlite3.Connection, prefetch_id: int, by: str, at: float) -> bool:
    """Fetch nothing more of it; false when it is over, or was cancelled before."""
    message = f"cancelled by {by}"
    if not connection.execute(_CANCEL, (at, message, prefetch_id)).rowcount:
        return False
    connection.execute(
        "UPDATE prefetch_item SET state = 'cancelled' WHERE prefetch_id = ? AND state = 'ready'",
        (prefetch_id,),
    )
    return True


def is_cancelled(connection: sqlite3.Connection, prefetch_id: int) -> bool:
    """Whether somebody cancelled it."""
    row = connection.execute(
        "SELECT cancelled_at IS NOT NULL FROM prefetch WHERE prefetch_id = ?", (prefetch_id,)
    ).fetchone()
    return row is None or bool(row[0])


def end(connection: sqlite3.Connection, prefetch_id: int, at: float) -> None:
    """Note that it is over, if nothing of it waits."""
    connection.execute(_END, (at, prefetch_id))


def _read(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Prefetch:
    items = tuple(
        Item(one[0], Wanted(*one[1:5]), one[5], Brought(*one[6:]))
        for one in connection.execute(_ITEMS, (row[0],))
    )
    return Prefetch(*(*row, items))
