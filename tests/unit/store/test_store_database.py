"""The file of the ledger: who waits for a turn to write while it is closed is told so."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from router.errors import StoreDown
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
