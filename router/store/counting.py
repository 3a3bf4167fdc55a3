"""Counters that are raised when something happens, in the same transaction as the rows.

They never look at the rows, so that comparing the two can fail; see `accounting.py`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final

_ADD: Final = """
INSERT INTO counter (name, station, value) VALUES (?, ?, ?)
ON CONFLICT (name, station) DO UPDATE SET value = value + excluded.value
"""


class Counts:
    """What one transaction adds."""

    def __init__(self) -> None:
        self._added: Counter[tuple[str, str]] = Counter()

    def instance(self, disposition: str) -> None:
        """One instance was received and is there now."""
        self._added["instance:received", ""] += 1
        self._added[f"instance:{disposition}", ""] += 1

    def created(self, station: str) -> None:
        """One delivery was created, queued."""
        self._added["delivery:created", station] += 1
        self._added["delivery:queued", station] += 1

    def moved(self, station: str, before: str, after: str, number: int = 1) -> None:
        """Deliveries of a station went from one state to another."""
        self._added[f"delivery:{before}", station] -= number
        self._added[f"delivery:{after}", station] += number

    def write(self, connection: sqlite3.Connection) -> None:
        """Add them to the table."""
        rows = [(name, station, value) for (name, station), value in self._added.items() if value]
        connection.executemany(_ADD, rows)
