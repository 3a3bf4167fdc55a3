"""The file of the ledger: who writes while it is closed, or while the disk is full, is told so."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress

import pytest

from router.errors import StoreDown, StoreFull
from router.store.database import Database

WRITERS = 8


def test_writers_whose_turn_comes_after_the_close_hear_that_it_is_closed(tmp_path):
    database = Database(tmp_path / "ledger.db")
    others: list[BaseException] = []
    written = threading.Barrier(WRITERS + 1)

    def write() -> None:
        try:
            with suppress(StoreDown):
                with database.write():
                    pass
                written.wait(5)
                while True:
                    with database.write():
                        pass
        except BaseException as error:
            others.append(error)

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    written.wait(5)
    time.sleep(0.02)
    database.close()
    for writer in writers:
        writer.join(5)
    assert others == []


def failing(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"])
def test_p10_F6_no_room_for_any_file_of_the_ledger_is_waited_out(tmp_path, name):
    """The file of shared memory grows as well, and fails by another name."""
    database = Database(tmp_path / "ledger.db")
    with pytest.raises(StoreFull), database.write():
        raise failing(name)
    with database.write() as connection:
        assert connection.execute("SELECT count(*) FROM instance").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize("name", ["SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE", "SQLITE_CORRUPT"])
def test_F5_after_an_error_of_the_disk_the_ledger_is_not_written_again(tmp_path, name):
    database = Database(tmp_path / "ledger.db")
    for _ in range(2):
        with pytest.raises(StoreDown, match=name), database.write():
            raise failing(name)
    database.close()
