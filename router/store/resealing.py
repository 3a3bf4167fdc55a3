"""Rows of the ledger's file that are sealed under the key ring, sealed anew under its primary key.

The text and its place stay what they were. Of audit messages only the wrapping of their data keys
changes, which is no part of the chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from router.store.audit import bound_to_ends, wrapping_of
from router.store.catalogue import bound_to
from router.store.keys import KeyRing, PrimaryKey
from router.store.records import RecordDamaged

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A table with a sealed column: its key, what the text is bound to, and how it is found."""

    table: str
    row: str
    place: str
    column: str
    bound: Callable[..., bytes]

    @property
    def batch(self) -> str:
        """The next rows under a key, behind one."""
        return (
            f"SELECT {self.row}, {self.column}, {self.place} FROM {self.table} "  # noqa: S608 - constants
            f"WHERE substr({self.column}, 1, 16) = ? AND {self.row} > ? "
            f"ORDER BY {self.row} LIMIT {BATCH}"
        )

    @property
    def update(self) -> str:
        """Another text in place of the one that was read."""
        return (
            f"UPDATE {self.table} SET {self.column} = ? "  # noqa: S608 - constants
            f"WHERE {self.row} = ? AND {self.column} = ?"
        )


_SERIES: Final = "study_instance_uid, series_instance_uid"
_ENDS: Final = "first_id, before_first, last_id, last_digest"
_TABLES: Final = (
    _Sealed("catalogue", "entry_id", _SERIES, "sealed", bound_to),
    _Sealed("audit_due", "due_id", _SERIES, "sealed", bound_to),
    _Sealed("audit", "audit_id", "audit_id", "wrapped", wrapping_of),
    _Sealed("audit_head", "rowid", _ENDS, "sealed", bound_to_ends),
)
# A message that was sealed under the ring itself keeps its key until it is pruned.
_MESSAGES: Final = """
SELECT count(*) FROM audit WHERE substr(wrapped, 1, 16) IS NULL AND substr(sealed, 1, 16) = ?
"""
TABLES: Final = range(len(_TABLES))


def reseal(
    connection: sqlite3.Connection,
    keys: KeyRing,
    from_to: tuple[bytes, PrimaryKey],
    table: int,
    after: int,
) -> tuple[int | None, int]:
    """One batch of a table in the open transaction: the row to go on behind, and how many changed.

    `from_to` is the id of the old key, and the primary one. None when there are no more. What does not open is left as it is.
    """
    sealed = _TABLES[table]
    old, key = from_to
    last, changed = None, 0
    rows: list[tuple[Any, ...]] = connection.execute(sealed.batch, (old, after)).fetchall()
    for last, before, *place in rows:
        try:
            plain = keys.unseal(before, sealed.bound(*place))
        except RecordDamaged:
            continue
        fresh = key.seal(plain, sealed.bound(*place))
        changed += connection.execute(sealed.update, (fresh, last, before)).rowcount
    return (last if len(rows) == BATCH else None), changed


def needed_by(connection: sqlite3.Connection, keys: KeyRing, key_id: bytes) -> str:
    """Which rows open with this key alone, in words; '' when none does."""
    (messages,) = connection.execute(_MESSAGES, (key_id,)).fetchone()
    if messages:
        return f"{messages} messages of the audit trail that an earlier version wrote"
    for sealed in _TABLES:
        for _, text, *place in connection.execute(sealed.batch, (key_id, -1)):
            try:
                keys.unseal(text, sealed.bound(*place))
            except RecordDamaged:
                continue
            return f"rows of the ledger ({sealed.table})"
    return ""
