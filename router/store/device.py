"""Since when this installation is there: one row of the ledger's file. Raises StoreDown, StoreFull."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from router.store.database import Database

# An installation that is older than this row began with its first instance, at the latest.
_NOTE: Final = """
INSERT OR IGNORE INTO device (only_one, first_started_at)
SELECT 1, min(?1, coalesce((SELECT received_at FROM instance ORDER BY instance_id LIMIT 1), ?1))
"""


def note_start(ledger: Path, now: float) -> None:
    """Note the first start, and no later one. `now`: seconds since the epoch.

    Opened and closed at once: no connection may cross a fork.
    """
    with closing(Database(ledger)) as database:
        if _first_start(database) is None:
            with database.write() as connection:
                connection.execute(_NOTE, (now,))


def first_start(ledger: Path) -> float | None:
    """When the router first started on this ledger; None before that."""
    with closing(Database(ledger, read_only=True)) as database:
        return _first_start(database)


def schema_version(ledger: Path) -> int:
    """The number of the latest step of the schema that the ledger's file has taken."""
    with closing(Database(ledger, read_only=True)) as database, database.read() as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _first_start(database: Database) -> float | None:
    with database.read() as connection:
        # A ledger that no router of this version has opened to write lacks the table.
        table = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'device'").fetchone()
        row = table and connection.execute("SELECT first_started_at FROM device").fetchone()
    return float(row[0]) if row else None
