"""What people ask a running router for and look at later, such as a prefetch: kept for a month."""

from __future__ import annotations

import sqlite3
from typing import Final

KEEP_SECONDS: Final = 30 * 86400.0


def forget_old(connection: sqlite3.Connection, kind: str, parts: str, now: float) -> None:
    """Delete those of a table that ended a month ago, and their rows in the table of parts.

    `kind` is the table, and with `_id` its key in both; names of this code, never of a user.
    """
    old = f"SELECT {kind}_id FROM {kind} WHERE ended_at < ?"  # noqa: S608 - see above
    for table in (parts, kind):
        connection.execute(
            f"DELETE FROM {table} WHERE {kind}_id IN ({old})",  # noqa: S608 - see above
            (now - KEEP_SECONDS,),
        )
