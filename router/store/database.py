"""One SQLite file: how it is opened, how it grows up, who may write, and what its errors mean.

WAL. `synchronous=FULL`: a transaction that returned is on stable storage; NORMAL, for a writer whose
rows the journal can give again, keeps order and wholeness but may lose the last ones. Writers of all processes
queue at one lock file instead of SQLite's busy polling. A failed write rolls back; after an I/O
error or damage nothing is written any more (StoreDown). A file of a newer schema is refused.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Final

from router.errors import StoreDown, StoreFull
from router.store.files import make_folder, refuse_network_file_system, store_error

APPLICATION_ID: Final = 0x44524C47
_PRAGMAS: Final = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
)
# The second: the shared-memory file cannot grow, which on a full disk heals when there is room again.
_NO_ROOM: Final = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
_FATAL: Final = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")


class Database:
    """A connection to write and one to read. Safe for threads; opened after a fork."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        quick_check: bool = False,
        rows_in_journal: bool = False,
    ) -> None:
        """Raises StoreDown when the file is damaged, of a newer schema or of another program."""
        self._path = path
        self._read_only = read_only
        self._synchronous = self._level = "NORMAL" if rows_in_journal else "FULL"
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._broken = ""
        self._lock_file = -1
        with _typed_errors(self):
            if not read_only:
                make_folder(path.parent)
                refuse_network_file_system(path.parent)
                self._lock_file = _open_lock(path.parent / "write.lock")
                self._writing = self._connect()
                with self._turn():
                    self._prepare(quick_check=quick_check)
            self._reading = self._connect()
            if read_only:
                _check_schema(self._reading, latest=_migrations()[-1][0])

    @contextmanager
    def write(self, *, is_durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block ends, undone when it raises. StoreFull/Down.

        What may be lost to a power cut, because whoever starts afterwards does it again, is not
        waited for: a sync takes longer than all the rest of a small transaction.
        """
        if self._broken or self._read_only:
            raise StoreDown(self._broken or "the ledger is open for reading only")
        with _typed_errors(self, no_room=_NO_ROOM), self._turn():
            connection = self._writing
            level = self._synchronous if is_durable else "NORMAL"
            if level != self._level:
                connection.execute(f"PRAGMA synchronous = {level}")
                self._level = level
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of what is committed. Raises StoreDown."""
        with _typed_errors(self), self._read_lock:
            connection = self._reading
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def truncate_log(self) -> bool:
        """Move the write-ahead log into the file and empty it; false while somebody reads in it."""
        with _typed_errors(self), self._turn():
            busy, *_ = self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        """Close both connections; harmless when closed."""
        with self._write_lock, self._read_lock:
            self._broken = self._broken or "the ledger is closed"
            self._reading.close()
            if self._lock_file >= 0:
                self._writing.close()
                os.close(self._lock_file)
                self._lock_file = -1

    def give_up(self, reason: str) -> None:
        """Refuse to write from now on."""
        self._broken = reason

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._write_lock:
            if self._lock_file < 0:  # closed while this one waited for its turn
                raise StoreDown(self._broken)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc"
        connection = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=10.0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def _prepare(self, *, quick_check: bool) -> None:
        connection = self._writing
        os.chmod(self._path, 0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA secure_delete = ON")
        migrations = _migrations()
        version = _check_schema(connection, latest=migrations[-1][0])
        if quick_check and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise StoreDown("the ledger is damaged; rebuild it from the journal")
        for number, text in migrations:
            if number > version:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {text}; PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {number}; COMMIT;"
                )


def _check_schema(connection: sqlite3.Connection, *, latest: int) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if version and application_id != APPLICATION_ID:
        raise StoreDown("the ledger file belongs to another program")
    if version > latest:
        raise StoreDown(f"the ledger has schema {version}, this version knows {latest}")
    return version


def _migrations() -> list[tuple[int, str]]:
    """(number, text) of every schema step, in order."""
    folder = resources.files("router.store").joinpath("sql")
    found = [
        (int(entry.name.split("_")[0]), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _typed_errors(
    database: Database, no_room: Collection[str] = ("SQLITE_FULL",)
) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name in no_room:
            raise StoreFull("no room left for the ledger") from error
        if name.startswith(_FATAL) and not name.startswith("SQLITE_IOERR_SHM"):
            database.give_up(f"the ledger failed before: {name}")
        raise StoreDown(f"the ledger failed: {name}") from error
    except OSError as error:
        raise store_error(error, "opening the ledger") from error
