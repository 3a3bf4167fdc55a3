"""The audit trail in the ledger's file: rows whose messages are sealed and whose digests are a chain.

A row's digest is SHA-256 of the digest before it and of everything the row holds, as it is stored:
a changed byte and a missing row are found without a key. Both ends are sealed under the key ring: a
chain that somebody without it wrote anew or cut is not taken for whole. Messages open with the key
ring alone, each in its own place: each has a data key of its own, whose wrapping is outside of the chain
so that it can be wrapped anew. Rows go when they are old and were shipped; the chain then begins behind them.
Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.errors import StoreDown
from router.model.audit import AuditRow
from router.store.database import Database
from router.store.keys import KEY_BYTES, KeyRing, opened_alone, sealed_alone
from router.store.records import RecordDamaged

NO_DIGEST: Final = bytes(32)
_Ends = tuple[int, bytes, int, bytes]
_BATCH: Final = 1000
_HEAD: Final = """
SELECT first_id, before_first, last_id, last_digest, shipped_id, instance_id FROM audit_head
"""
_COLUMNS: Final = "audit_id, at, event, outcome, who, what, sealed, digest, wrapped"
_INSERT: Final = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_PAGE: Final = """
SELECT audit_id, at, event, outcome, who, what, digest FROM audit
WHERE audit_id < ?{} ORDER BY audit_id DESC LIMIT ?
"""
_PRUNE_ROWS: Final = 10_000
_OLD: Final = f"SELECT audit_id, at FROM audit ORDER BY audit_id LIMIT {_PRUNE_ROWS}"  # noqa: S608 - a constant
_AFTER: Final = f"SELECT {_COLUMNS} FROM audit WHERE audit_id > ? ORDER BY audit_id LIMIT ?"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What becomes a row: what lists show, and the message that is sealed."""

    at: float
    event: str
    outcome: int
    who: str
    what: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The ends of the chain, and how far it was shipped and what was received is told."""

    first_id: int
    before_first: bytes
    last_id: int
    last_digest: bytes
    shipped_id: int
    instance_id: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found: how many rows, its end, and each thing that is wrong."""

    rows: int
    last_id: int
    last_digest: bytes
    faults: tuple[str, ...]


class AuditTrail:
    """Safe for threads and for several processes; opened after a fork."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self.database = database
        self.keys = keys

    @classmethod
    def open(cls, ledger: Path, keys: Path, *, read_only: bool = False) -> AuditTrail:
        """The trail in the ledger's file, with the key ring of that folder."""
        return cls(Database(ledger, read_only=read_only), KeyRing.open(keys))

    def append(self, entries: Sequence[AuditEntry]) -> int:
        """Write them at the end, in one transaction; the number of the last."""
        with self.database.write() as connection:
            return append(connection, self.keys, entries)

    def head(self) -> Head:
        """Both ends, and the marks."""
        with self.database.read() as connection:
            return head(connection)

    def page(
        self,
        limit: int,
        before: int | None = None,
        *,
        event: str | None = None,
        who: str | None = None,
        what: str | None = None,
    ) -> tuple[AuditRow, ...]:
        """Rows below `before`, newest first."""
        wanted = {"event": event, "who": who, "what": what}
        given = {name: value for name, value in wanted.items() if value is not None}
        statement = _PAGE.format("".join(f" AND {name} = ?" for name in given))
        with self.database.read() as connection:
            rows = connection.execute(statement, (before or 1 << 62, *given.values(), limit))
            return tuple(AuditRow(*row) for row in rows)

    def message(self, audit_id: int) -> bytes | None:
        """One message; None when there is no such row. Raises RecordDamaged."""
        with self.database.read() as connection:
            row = connection.execute(
                "SELECT sealed, wrapped FROM audit WHERE audit_id = ?", (audit_id,)
            ).fetchone()
        return None if row is None else _message(self.keys, audit_id, *row)

    def after(self, audit_id: int, limit: int) -> list[tuple[AuditRow, bytes | None]]:
        """The next rows with their messages, in order; None where a message was damaged."""
        with self.database.read() as connection:
            rows = connection.execute(_AFTER, (audit_id, limit)).fetchall()
        return [(_row(row), self._opened(row)) for row in rows]

    def _opened(self, row: tuple[Any, ...]) -> bytes | None:
        try:
            return _message(self.keys, row[0], row[6], row[8])
        except RecordDamaged:
            return None

    def shipped(self, audit_id: int) -> None:
        """Up to here the receiver has them."""
        with self.database.write() as connection:
            connection.execute("UPDATE audit_head SET shipped_id = max(shipped_id, ?)", (audit_id,))

    def prune(self, before: float, *, is_shipped: bool) -> int:
        """Delete old rows from the front, with `is_shipped` only shipped ones; how many.

        At most 10,000 at a time.
        """
        with self.database.write() as connection:
            now = head(connection)
            last = now.first_id - 1
            for number, at in connection.execute(_OLD):
                if at >= before:
                    break
                last = number
            # The last row stays: where the chain ends is then always a row that can be looked at.
            last = min(last, now.last_id - 1, now.shipped_id if is_shipped else now.last_id)
            row = connection.execute(
                "SELECT digest FROM audit WHERE audit_id = ?", (last,)
            ).fetchone()
            if row is None:
                return 0
            gone = connection.execute("DELETE FROM audit WHERE audit_id <= ?", (last,)).rowcount
            _move(connection, self.keys, (last + 1, row[0], now.last_id, now.last_digest))
        return gone

    def verify(self, most_faults: int = 20) -> Verdict:
        """Walk along the whole chain, and open every message."""
        with self.database.read() as connection:
            ends = head(connection)
            faults: list[str] = []
            number, digest, rows = ends.first_id - 1, ends.before_first, 0
            for row in connection.execute(_AFTER, (0, -1)):
                rows += 1
                faults += _faults_of(row, number, digest, self.keys)
                number, digest = row[0], row[7]
                if len(faults) >= most_faults:
                    break
            else:
                if (number, digest) != (ends.last_id, ends.last_digest):
                    faults.append(f"the chain ends at {number}, it was written to {ends.last_id}")
            if not _are_sealed(connection, self.keys, ends):
                faults.append("where the chain begins or ends was changed without the key ring")
        return Verdict(rows, number, digest, tuple(faults))

    def digest_of(self, audit_id: int) -> bytes | None:
        """The digest of one row, to compare with one that was noted elsewhere."""
        with self.database.read() as connection:
            row = connection.execute(
                "SELECT digest FROM audit WHERE audit_id = ?", (audit_id,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close it, and hold no key; harmless when closed."""
        self.database.close()
        self.keys.release()


def head(connection: sqlite3.Connection) -> Head:
    """Both ends of the chain, and the marks."""
    row = connection.execute(_HEAD).fetchone()
    if row is None:
        raise StoreDown("the audit trail has lost its head")
    return Head(*row)


def append(connection: sqlite3.Connection, keys: KeyRing, entries: Sequence[AuditEntry]) -> int:
    """Write rows at the end, inside the open transaction; the number of the last."""
    ends = head(connection)
    if not entries:
        return ends.last_id
    number, digest = ends.last_id, ends.last_digest
    keys.refresh()
    key = keys.primary
    for one in entries:
        number += 1
        data_key = os.urandom(KEY_BYTES)
        sealed = sealed_alone(data_key, one.message, _bound_to(number))
        wrapped = key.seal(data_key, wrapping_of(number))
        shown = (number, one.at, one.event, one.outcome, one.who, one.what, sealed)
        digest = _digest(digest, shown)
        connection.execute(_INSERT, (*shown, digest, wrapped))
    _move(connection, keys, (ends.first_id, ends.before_first, number, digest))
    return number


def _move(connection: sqlite3.Connection, keys: KeyRing, ends: _Ends) -> None:
    """The chain begins and ends elsewhere now. Ends that somebody else changed stay unsealed."""
    now = head(connection)
    sealed = _sealed(connection)
    if sealed is None or _are_sealed(connection, keys, now):
        sealed = keys.primary.seal(b"", bound_to_ends(*ends))
    connection.execute(
        "UPDATE audit_head SET first_id = ?, before_first = ?, last_id = ?, last_digest = ?,"
        " sealed = ?",
        (*ends, sealed),
    )


def _are_sealed(connection: sqlite3.Connection, keys: KeyRing, ends: Head) -> bool:
    sealed = _sealed(connection)
    if sealed is None:
        return not ends.last_id
    bound_to = bound_to_ends(ends.first_id, ends.before_first, ends.last_id, ends.last_digest)
    try:
        keys.unseal(sealed, bound_to)
    except (RecordDamaged, StoreDown):
        return False
    return True


def _sealed(connection: sqlite3.Connection) -> bytes | None:
    found: bytes | None = connection.execute("SELECT sealed FROM audit_head").fetchone()[0]
    return found


def bound_to_ends(first: int, before: bytes, last: int, digest: bytes) -> bytes:
    """What the seal of the chain's ends is bound to."""
    return struct.pack(">12sqq", b"audit ends", first, last) + before + digest


def _row(row: tuple[Any, ...]) -> AuditRow:
    number, at, event, outcome, who, what, _, digest, _ = row
    return AuditRow(number, at, event, outcome, who, what, digest)


def _faults_of(row: tuple[Any, ...], before: int, digest: bytes, keys: KeyRing) -> list[str]:
    number = row[0]
    if number != before + 1:
        gap = (
            f"row {before + 1} is"
            if number == before + 2
            else f"rows {before + 1} to {number - 1} are"
        )
        return [f"{gap} missing"]
    if _digest(digest, row[:7]) != row[7]:
        return [f"row {number} is not what was written, or one before it was changed"]
    try:
        _message(keys, number, row[6], row[8])
    except (RecordDamaged, StoreDown) as error:
        return [f"row {number} does not open: {error}"]
    return []


def _digest(before: bytes, row: Sequence[Any]) -> bytes:
    number, at, event, outcome, who, what, sealed = row
    found = hashlib.sha256(before)
    found.update(struct.pack(">qdq", number, at, outcome))
    for text in (event, who, what):
        told = text.encode("utf-8", "surrogatepass")
        found.update(struct.pack(">q", len(told)) + told)
    found.update(sealed)
    return found.digest()


def _message(keys: KeyRing, number: int, sealed: bytes, wrapped: bytes | None) -> bytes:
    if wrapped is None:  # written before messages had data keys of their own
        return keys.unseal(sealed, _bound_to(number))
    return opened_alone(keys.unseal(wrapped, wrapping_of(number)), sealed, _bound_to(number))


def wrapping_of(number: int) -> bytes:
    """What the wrapped data key of a message is bound to."""
    return b"audit key\0" + number.to_bytes(8, "big")


def _bound_to(number: int) -> bytes:
    return b"audit\0" + number.to_bytes(8, "big")
