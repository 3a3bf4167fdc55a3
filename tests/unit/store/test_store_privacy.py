"""No patient data outside the seals: a planted name and planted pixels are in no file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from router.model.catalogue import SeriesEntry
from router.model.delivery import Result, State
from router.store.cache_book import CacheBook
from router.store.catalogue import sealed_row
from router.store.escrow import Escrow, sealed
from router.store.prefetches import Wanted
from router.store.rekeying import Rekeying
from tests.support.store_making import open_store, owed, settled

NAME = b"PLANTED^PATIENT^NAME"
PIXELS = bytes(range(100, 132))


def test_f90_p13_planted_patient_data_is_in_no_file(tmp_path):
    store = open_store(tmp_path)
    data = NAME + os.urandom(40_000) + PIXELS * 10
    large = data + os.urandom(2_000_000) + PIXELS
    facts = {
        "patient_id": NAME.decode(),
        "issuer_of_patient_id": "PLANTED-ISSUER",
        "accession_number": "PLANTED-ACCESSION",
    }
    store.keep(1, data, owed(), **facts)
    store.keep(2, large, owed(), **facts)
    writer = store.journal.begin()
    writer.append(large)
    for leased in store.ledger.turn((), {"pacs": 5}, store.clock.now()):
        store.ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, store.clock.now())

    def search():
        seen = 0
        for folder, _, names in os.walk(tmp_path):
            for name in names:
                octets = Path(folder, name).read_bytes()
                seen += len(octets)
                for planted in (NAME, PIXELS, b"PLANTED"):
                    assert planted not in octets, name
                    assert planted not in name.encode()
        return seen

    assert search() > len(data) + 1.5 * len(large)
    writer.abandon()
    del writer
    # Nor when keys are rotated, a study is shredded, a list is noted and an escrow copy is made.
    entry = SeriesEntry("1.2.3", "1.2.3.1", "1.2.826.0.1.1", {0x00100010: NAME.decode()})
    store.ledger.put_catalogue(2, [sealed_row(entry, store.keys.primary)])
    book = CacheBook.open(tmp_path / "ledger" / "ledger.db", store.clock)
    store.keys.rotate()
    assert Rekeying(store.journal, book.database).run().records == 2
    search()
    book.prefetch("ana", [Wanted("cloud", "1.2.3")], 5, 15)
    (tmp_path / "escrow").write_bytes(sealed(Escrow(store.keys.ring, b""), "passphrase", 2**4))
    assert book.shred(store.journal, store.ledger, "1.2.3", "ana")[0] == 2
    search()
    book.close()
    store.close()
    search()
    connection = sqlite3.connect(tmp_path / "ledger" / "ledger.db")
    columns = connection.execute("SELECT name FROM pragma_table_info('instance')").fetchall()
    connection.close()
    assert not {name for (name,) in columns} & {"patient_id", "patient_name", "accession_number"}


def test_p13_what_is_named_on_disk_is_named_after_nothing_received(tmp_path):
    store = open_store(tmp_path)
    store.keep(1, b"x", owed())
    names = {name for _, folders, names in os.walk(tmp_path) for name in folders + names}
    assert {name for name in names if not name.startswith("ledger.db")} == {
        "journal", "1.seg", "ledger", "write.lock", "keys", "keyring.json",
        f"{store.keys.primary.key_id.hex()}.use",
    }  # fmt: skip
    for path in (tmp_path / "journal" / "1.seg", tmp_path / "ledger" / "ledger.db"):
        assert path.stat().st_mode & 0o077 == 0
    store.close()
