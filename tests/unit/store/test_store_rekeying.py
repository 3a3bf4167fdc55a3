"""Rotation of the key ring: everything opens at every moment, and what nothing needs is dropped."""

from __future__ import annotations

import os
import time

import pytest

from router.errors import StoreDown
from router.model.catalogue import SeriesEntry
from router.store import layout, resealing
from router.store.audit import AuditEntry, AuditTrail
from router.store.catalogue import sealed_row, unsealed
from router.store.database import Database
from router.store.keys import KeyRing
from router.store.records import RecordDamaged
from router.store.recovery import recover
from router.store.rekeying import Rekeying
from router.store.segment import segment_path
from tests.support.store_making import open_store, owed


@pytest.fixture
def database(tmp_path, store):  # noqa: ARG001 - its ledger is there first
    made = Database(tmp_path / "ledger" / "ledger.db")
    yield made
    made.close()


def filled(store, count=6):
    """Records small and large, a series in the catalogue."""
    kept = [(store.keep(n, data := os.urandom(n * 90_000), owed()), data) for n in range(count)]
    entry = SeriesEntry("1.2.3", "1.2.3.1", "1.2.9", {0x00100010: "PLANTED^NAME"})
    store.ledger.put_catalogue(count, [sealed_row(entry, store.keys.primary)])
    return kept


def note(trail, *names):
    trail.append([AuditEntry(1.0, "login", 0, name, "", name.encode()) for name in names])


def ring_ids(folder):
    return set(KeyRing.open(folder / "keys").ring.keys)


def test_r236_rotation_wraps_everything_anew_and_drops_the_old_key(tmp_path, store, database):
    kept = filled(store)
    trail = AuditTrail(database, store.keys)
    note(trail, "ana", "bea")
    old = store.keys.primary.key_id
    before = {entry.ref: store.read(entry.ref) for entry, _ in kept}
    octets = segment_path(store.journal.folder, 1).read_bytes()
    chain = trail.verify()
    made = store.keys.rotate()
    done = Rekeying(store.journal, database).run()
    assert (done.records, done.damaged, done.kept) == (6, 0, {})
    assert done.rows == 4, "a series, two messages, and the ends of their chain"
    assert done.retired == [old.hex()[:8]]
    assert ring_ids(tmp_path) == {made.key_id}
    # Another process, which knows the new key alone, reads everything.
    other = open_store(tmp_path, boot_id="other")
    assert {ref: other.read(ref) for ref in before} == before
    (row,) = other.ledger.catalogue_after(0, 10)
    assert unsealed(row, other.keys)[0x00100010] == "PLANTED^NAME"
    assert [message for _, message in AuditTrail(database, other.keys).after(0, 10)] == [
        b"ana", b"bea"
    ]  # fmt: skip
    assert trail.verify() == chain, "the chain is what it was"
    # Nothing but heads was written.
    after = segment_path(store.journal.folder, 1).read_bytes()
    heads = [range(e.ref.offset, e.ref.offset + layout.HEAD_BYTES) for e, _ in kept]
    changed = [n for n, (a, b) in enumerate(zip(octets, after, strict=True)) if a != b]
    assert changed and all(any(n in head for head in heads) for n in changed)
    other.close()


def test_r236_an_old_key_stays_while_a_record_is_on_its_way(tmp_path, store, database):
    writer = store.journal.begin()
    writer.append(b"slow")
    old = store.keys.primary.key_id
    store.keys.rotate()
    rekeying = Rekeying(store.journal, database)
    assert "still writes" in rekeying.run().kept[old.hex()[:8]]
    ref = writer.commit(b"{}")
    del writer
    # Durable, and not indexed: nobody writes into what may still be cut off.
    assert "meanwhile" in rekeying.run().kept[old.hex()[:8]]
    assert old in ring_ids(tmp_path)
    store.ledger.index((), {ref.segment: ref.offset + ref.length})
    assert rekeying.run().retired == [old.hex()[:8]]
    assert store.read(ref) == b"slow"


def test_r236_another_process_that_wraps_keeps_the_key(tmp_path, store, database):
    other = open_store(tmp_path, boot_id="other")
    other.keep(1, b"before", owed())
    old = other.keys.primary.key_id
    store.keys.rotate()
    rekeying = Rekeying(store.journal, database)
    assert list(rekeying.run().kept) == [old.hex()[:8]]
    late = other.keep(2, b"late", owed())  # it has not looked yet
    assert list(rekeying.run().kept) == [old.hex()[:8]]
    other.keys.refresh()
    rekeying.run()
    assert rekeying.run().retired == [] and len(ring_ids(tmp_path)) == 1
    assert other.read(late.ref) == b"late"
    other.close()


@pytest.mark.parametrize("kill_at", range(1, 13))
def test_F4_a_rotation_that_is_cut_off_leaves_a_mix_that_opens(
    tmp_path, store, database, monkeypatch, kill_at
):
    """At each write into the journal: before it, in its middle, after a part of the syncs."""
    kept = filled(store)
    store.keys.rotate()
    calls = iter(range(1, 100))
    write = os.pwrite

    def torn(descriptor, octets, offset):
        number = next(calls)
        if number * 2 == kill_at:
            raise KeyboardInterrupt
        if number * 2 - 1 == kill_at:
            write(descriptor, octets[:37], offset)
            raise KeyboardInterrupt
        return write(descriptor, octets, offset)

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(KeyboardInterrupt):
        Rekeying(store.journal, database).run()
    monkeypatch.undo()
    again = open_store(tmp_path, boot_id="again")
    assert {len(again.read(entry.ref)) for entry, _ in kept} == {len(data) for _, data in kept}
    found = recover(again.journal, again.ledger)
    assert (found.damaged, found.torn_bytes) == (0, 0)
    # And a third key on top of the mix.
    again.keys.rotate()
    done = Rekeying(again.journal, database).run()
    assert len(done.retired) == 1
    assert len(done.kept) == 1, "the store that was cut off still holds the second"
    store.keys.refresh()
    done = Rekeying(again.journal, database).run()
    assert len(done.retired) == 1
    assert [again.read(entry.ref) for entry, _ in kept] == [data for _, data in kept]
    again.close()


def test_a_message_of_an_earlier_version_keeps_its_key(store, database):
    trail = AuditTrail(database, store.keys)
    note(trail, "ana")
    old = store.keys.primary
    plain = trail.message(1)
    with database.write() as connection:
        sealed = old.seal(plain, b"audit\0" + (1).to_bytes(8, "big"))
        connection.execute("UPDATE audit SET sealed = ?, wrapped = NULL", (sealed,))
    assert trail.message(1) == plain
    del old
    store.keys.rotate()
    rekeying = Rekeying(store.journal, database)
    assert "earlier version" in next(iter(rekeying.run().kept.values()))
    assert trail.message(1) == plain
    with database.write() as connection:
        connection.execute("DELETE FROM audit")
    assert rekeying.run().retired


def test_F7_a_damaged_record_neither_stops_a_rotation_nor_is_made_whole(store, database):
    first, second = (store.keep(n, bytes(400_000), owed()) for n in (1, 2))
    path = segment_path(store.journal.folder, 1)
    octets = bytearray(path.read_bytes())
    octets[first.ref.offset + layout.FIXED_BYTES + 40] ^= 1  # its wrapped key
    path.write_bytes(octets)
    store.keys.rotate()
    done = Rekeying(store.journal, database).run()
    assert (done.records, len(done.retired)) == (1, 1)
    assert store.read(second.ref) == bytes(400_000)
    with pytest.raises(RecordDamaged):
        store.read(first.ref)


def test_rows_that_change_meanwhile_are_left_to_the_next_run(store, database):
    filled(store, 1)
    old = store.keys.primary.key_id
    store.keys.rotate()
    with database.write() as connection:
        after, changed = resealing.reseal(connection, store.keys, (old, store.keys.primary), 0, -1)
    assert (after, changed) == (None, 1)
    with database.read() as connection:
        assert resealing.needed_by(connection, store.keys, old) == ""


def test_a_ring_without_the_key_says_so(store, database):
    entry = store.keep(1, b"x", owed())
    old = store.keys.primary.key_id
    store.keys.rotate()
    with store.keys.retiring(old) as drop:
        drop()
    with pytest.raises(StoreDown, match="lacks key"):
        store.read(entry.ref)
    assert Rekeying(store.journal, database).is_wanted() is False


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_r236_ten_thousand_records_are_rewrapped_in_a_minute(store, database, count):
    entries = [store.keep(n, b"x" * 2000, owed(), index=False) for n in range(count)]
    store.ledger.index(entries)
    store.keys.rotate()
    began = time.monotonic()
    done = Rekeying(store.journal, database).run()
    assert (done.records, len(done.retired)) == (count, 1)
    assert time.monotonic() - began < 60 * count / 10_000
