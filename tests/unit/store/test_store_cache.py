"""Letting go of what is held, shredding it, finding what is damaged, and mending it."""

from __future__ import annotations

import os

import pytest

from router.errors import Refused
from router.model.catalogue import SeriesEntry
from router.model.delivery import Result, State
from router.model.instance import RETRIEVED, Source
from router.model.plan import StoreSettings
from router.store import layout
from router.store.cache_book import CacheBook
from router.store.catalogue import sealed_row
from router.store.choosing import Amount, Choice
from router.store.eviction import beyond, compact, evict
from router.store.prefetches import Brought, Wanted
from router.store.records import RecordDamaged
from router.store.segment import segment_numbers, segment_path
from router.store.verifying import Verified, verify
from tests.support.store_making import open_store, owed, settled


@pytest.fixture
def book(tmp_path, store):
    made = CacheBook.open(tmp_path / "ledger" / "ledger.db", store.clock)
    yield made
    made.close()


def deliver(store, result=Result.DELIVERED, state=State.DELIVERED):
    for leased in store.ledger.turn((), {"pacs": 100}, store.clock.now()):
        store.ledger.turn([settled(leased, result, state)], {}, store.clock.now())


def flip(store, ref, offset):
    path = segment_path(store.journal.folder, ref.segment)
    with path.open("r+b") as file:
        file.seek(ref.offset + offset)
        byte = file.read(1)[0]
        file.seek(ref.offset + offset)
        file.write(bytes([byte ^ 1]))


def damaged(store, book, **options):
    done = Verified()
    return list(verify(store.journal, book.database, done, **options)), done


def test_only_what_nothing_needs_is_let_go_of(store, book):
    store.keep(1, b"sent", owed())
    deliver(store)
    store.keep(2, b"failed", owed())
    deliver(store, Result.DEAD, State.DEAD)
    store.keep(3, b"waits", owed())
    store.keep(4, b"unmatched")
    store.keep(5, b"other study", owed("away"), study="1.9")
    free, needed = book.amounts(Choice("1.2.3"))
    assert (free.instances, needed.instances, free.studies) == (1, 3, 1)
    assert book.amounts(Choice(station="nobody")) == (Amount(), Amount())
    assert book.amounts(Choice(received_before=store.clock.now()))[0] == Amount()
    assert book.forget(Choice("1.2.3")) == 1
    assert book.forget(Choice("1.2.3")) == 0
    assert [one.instance.sop_instance_uid[-1] for one in store.ledger.instances_of_study("1.2.3")] == [
        "2", "3", "4"
    ]  # fmt: skip
    store.clock.time += 10
    assert book.forget(Choice(station="ct-1", received_before=store.clock.now())) == 0


def test_segments_that_hold_little_are_copied_forward_and_dropped(tmp_path, book):
    store = open_store(tmp_path, segment_bytes=40_000, boot_id="small")
    data = {n: os.urandom(10_000) for n in range(12)}
    for n, octets in data.items():
        store.keep(n, octets, owed(), study=f"1.{n % 4}")
    deliver(store)
    before = len(segment_numbers(store.journal.folder))
    assert book.forget(Choice("1.0")) + book.forget(Choice("1.1")) + book.forget(Choice("1.2")) == 9
    done = compact(store.journal, store.ledger, book.live_records)
    assert done.segments == before - 1 and done.freed_bytes > 60_000
    for held in store.ledger.instances_of_study("1.3"):
        assert store.read(held.record) == data[int(held.instance.sop_instance_uid.split(".")[-1])]
    assert len(store.ledger.instances_of_study("1.3")) == 3
    assert damaged(store, book) == ([], Verified(3, 30_000, 0))
    store.close()


def test_what_goes_to_a_size_is_what_was_foretold(tmp_path, book):
    store = open_store(tmp_path, segment_bytes=20_000, boot_id="small")
    for n in range(8):
        store.keep(n, os.urandom(20_000), owed(), study=f"1.{n}")
    deliver(store)
    numbers = beyond(store.journal, 70_000)
    foretold = book.in_segments(numbers)
    evict(store.journal, store.ledger, StoreSettings(70_000, None), store.clock.now())
    assert not set(numbers) & set(segment_numbers(store.journal.folder))
    gone = sum(not store.ledger.instances_of_study(f"1.{n}") for n in range(8))
    assert foretold.instances == foretold.studies == gone == len(numbers) > 3
    store.close()


def test_r237_a_shredded_study_opens_nowhere_any_more(tmp_path, store, book):
    entry = SeriesEntry("1.2.3", "1.2.3.1", "1.2.9", {0x00100010: "PLANTED^NAME"})
    first = store.keep(1, b"one" * 1000, owed())
    forgotten = store.keep(2, b"two" * 1000, owed())
    other = store.keep(3, b"other" * 1000, owed(), study="1.9")
    row = sealed_row(entry, store.keys.primary)
    store.ledger.put_catalogue(3, [row])
    store.keys.rotate()  # a second slot, so that both are to be overwritten
    from_old = bytes(row.sealed)
    with pytest.raises(Refused, match="tasks cancel 2"):
        book.shred(store.journal, store.ledger, "1.2.3", "ana")
    assert store.read(first.ref) == b"one" * 1000
    deliver(store)
    store.ledger.send([2], owed("away", rule="send:ana"), store.clock.now())
    for leased in store.ledger.turn((), {"away": 5}, store.clock.now()):
        store.ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, store.clock.now())
    with book.database.write() as connection:  # its bytes lie there, and the ledger forgot them
        connection.execute("UPDATE instance SET segment = NULL, place = NULL WHERE instance_id = 2")
    assert book.shred(store.journal, store.ledger, "1.2.3", "ana") == (2, True)
    for gone in (first, forgotten):
        with pytest.raises(RecordDamaged, match="shredded"):
            store.journal.open(gone.ref)
        head = segment_path(store.journal.folder, 1).read_bytes()[gone.ref.offset :]
        assert head[layout.FIXED_BYTES : layout.HEAD_BYTES] == bytes(2 * layout.SLOT_BYTES)
    assert store.read(other.ref) == b"other" * 1000
    assert store.ledger.instances_of_study("1.2.3") == ()
    assert store.ledger.account().deliveries["cancelled"] == 1, "a failed one is given up"
    assert (tmp_path / "ledger" / "ledger.db-wal").stat().st_size == 0
    octets = (tmp_path / "ledger" / "ledger.db").read_bytes()
    assert octets.count(from_old) == 1, "the copy for the audit message alone, until it is told"
    assert book.shred(store.journal, store.ledger, "1.2.3", "ana") == (0, True), (
        "and once more is harmless"
    )


def test_r237_a_shredding_that_was_cut_off_is_finished_by_the_next(store, book, monkeypatch):
    for n in (1, 2, 3):
        store.keep(n, b"x" * 3000, owed())
    deliver(store)
    calls = iter(range(9))
    write = os.pwrite

    def cut(descriptor, octets, offset):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return write(descriptor, octets, offset)

    monkeypatch.setattr(os, "pwrite", cut)
    with pytest.raises(KeyboardInterrupt):
        book.shred(store.journal, store.ledger, "1.2.3", "ana")
    monkeypatch.undo()
    assert len(store.ledger.instances_of_study("1.2.3")) == 3, "nobody was told it is gone"
    assert book.shred(store.journal, store.ledger, "1.2.3", "ana") == (3, True)
    assert store.ledger.instances_of_study("1.2.3") == ()


def test_every_damaged_record_is_told_and_nothing_else(store, book):
    kept = [store.keep(n, os.urandom(600_000), owed()) for n in range(4)]
    deliver(store)
    store.keep(9, b"unmatched" * 99, study="1.9")
    assert damaged(store, book)[0] == []
    flip(store, kept[1].ref, 400_000)
    flip(store, kept[2].ref, layout.FIXED_BYTES + 3)
    found, done = damaged(store, book)
    assert [one.held.record for one in found] == [kept[1].ref, kept[2].ref]
    assert ["chunk 1" in found[0].reason, "wrapped keys" in found[1].reason] == [True, True]
    assert not any(one.is_owed for one in found)
    assert (done.records, done.damaged, done.data_set_bytes) == (5, 2, 2_400_891)
    assert damaged(store, book, study="1.9") == ([], Verified(1, 891, 0))
    store.ledger.send([2], owed("away", rule="send:ana"), store.clock.now())
    assert damaged(store, book)[0][0].is_owed
    other = open_store(store.folder, boot_id="other")  # it has no segment open
    segment_path(store.journal.folder, 1).rename(store.folder / "away")
    assert len(damaged(other, book)[0]) == 5
    (store.folder / "away").rename(segment_path(store.journal.folder, 1))
    other.close()


def test_a_record_that_is_another_than_was_booked_is_told(store, book):
    entry = store.keep(1, b"x" * 500, owed())
    with book.database.write() as connection:
        connection.execute("UPDATE instance SET content_digest = zeroblob(32)")
    assert "not the one that was booked" in damaged(store, book)[0][0].reason
    assert store.read(entry.ref) == b"x" * 500


def test_f76_a_damaged_entry_gets_the_bytes_that_came_for_it(store, book):
    source = Source(RETRIEVED, "CLOUD", "EDGE", "", "cloud")
    first = store.keep(1, b"pixels" * 500, owed(), source=source)
    flip(store, first.ref, 1000)
    digest = first.instance.content_digest
    assert not book.heal(1, digest), "nothing came yet"
    fresh = store.keep(1, b"pixels" * 500, source=source)
    assert book.heal(1, digest)
    held = store.ledger.instance(1)
    assert held.record == fresh.ref
    assert store.read(held.record) == b"pixels" * 500
    assert store.ledger.instance(2).record is None
    assert damaged(store, book)[0] == []
    (leased,) = store.ledger.turn((), {"pacs": 1}, store.clock.now())
    assert leased.record == fresh.ref, "what was owed is owed with the good bytes"
    store.keep(1, b"others" * 500, source=source)
    assert not book.heal(1, digest), "other bytes are another version"


def test_f84_prefetches_keep_their_order_cap_and_end(store, book):
    wanted = [Wanted("cloud", f"1.{n}") for n in range(4)]
    made = book.prefetch("ana", wanted, 2, 3)
    assert [one.state for one in made.items] == ["ready"] * 3 + ["beyond"]
    assert made.status == "Ready"
    other = book.prefetch("bea", wanted[:1], 5, 15)
    assert book.begin_prefetch().prefetch_id == made.prefetch_id
    book.settle_item(made.prefetch_id, 1, "done", Brought(5, 2))
    book.settle_item(made.prefetch_id, 2, "failed", Brought(0, 0, 1, "HTTP 503"))
    book.end_prefetch(made.prefetch_id)
    assert book.find_prefetch(made.prefetch_id).status == "In Progress", "one still waits"
    assert book.cancel_prefetch(made.prefetch_id, "ana")
    assert book.is_cancelled(made.prefetch_id)
    book.settle_item(made.prefetch_id, 3, "done", Brought(9))
    book.end_prefetch(made.prefetch_id)
    over = book.find_prefetch(made.prefetch_id)
    assert [one.state for one in over.items] == ["done", "failed", "cancelled", "beyond"]
    assert (over.status, over.message) == ("Cancelled", "cancelled by ana")
    assert not book.cancel_prefetch(made.prefetch_id, "ana")
    assert book.begin_prefetch().prefetch_id == other.prefetch_id
    book.settle_item(other.prefetch_id, 1, "failed", Brought(trouble="HTTP 503"))
    book.end_prefetch(other.prefetch_id)
    assert [one.status for one in book.prefetches()] == ["Failed", "Cancelled"]
    assert book.begin_prefetch() is None
    store.clock.time += 40 * 86400
    book.prefetch("ana", wanted[:1], 5, 15)
    assert [one.requester for one in book.prefetches()] == ["ana"], "a month later the old are gone"
