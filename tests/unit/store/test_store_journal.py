"""The journal: what was committed comes back byte for byte, or not at all."""

from __future__ import annotations

import os
import threading

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import StoreDown, StoreFull
from router.model.instance import RecordRef
from router.store import layout
from router.store.records import RecordDamaged
from router.store.recovery import recover
from router.store.sealed import CHUNK_BYTES
from router.store.segment import segment_path
from tests.support.store_making import open_store

SIZES = [
    0, 1, 15, 65536, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 4 * CHUNK_BYTES,
    4 * CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7, 3_000_001,
]  # fmt: skip


def write(store, data, step=100_000, envelope=b"{}"):
    writer = store.journal.begin()
    for start in range(0, len(data), step):
        writer.append(memoryview(data)[start : start + step])
    assert writer.digest() == blake3(data).digest()
    assert writer.data_set_length == len(data)
    return writer.commit(envelope)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [16_381, CHUNK_BYTES, 700_000])
def test_p4_what_was_received_is_read_back(store, size, step):
    data = os.urandom(size)
    ref = write(store, data, step, b"envelope")
    record = store.journal.open(ref)
    assert record.length == size
    assert record.read(0, size + 5) == data
    assert b"".join(map(bytes, record.chunks())) == data
    assert record.envelope() == b"envelope"
    record.close()
    with pytest.raises(StoreDown):
        record.verify()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 700_000), st.integers(0, 700_000))
def test_any_stretch_can_be_read_alone(tmp_path_factory, start, length):
    global _random_access
    try:
        record, data = _random_access
    except NameError:
        made = open_store(tmp_path_factory.mktemp("data"))
        data = os.urandom(600_000)
        record = made.journal.open(write(made, data))
        _random_access = record, data
    assert record.read(start, length) == data[start : start + length]
    assert (
        b"".join(map(bytes, record.chunks(start, start + length))) == data[start : start + length]
    )


def on_sync(monkeypatch, act):
    """Let `act` stand for every sync, by itself or as part of a write; the write happens."""
    write_through = os.pwritev

    def pwritev(descriptor, parts, offset, flags=0):
        written = write_through(descriptor, parts, offset)
        if flags & os.RWF_DSYNC:
            act(descriptor)
        return written

    monkeypatch.setattr(os, "fdatasync", act)
    monkeypatch.setattr(os, "pwritev", pwritev)


def test_an_abandoned_small_record_never_touches_the_disk(store):
    first = write(store, b"kept")
    path = segment_path(store.journal.folder, first.segment)
    before = path.stat().st_size
    writer = store.journal.begin()
    writer.append(b"x" * 500_000)
    writer.abandon()
    writer.abandon()
    assert path.stat().st_size == before
    assert len(list(store.journal.folder.iterdir())) == 1


def test_p3_an_abandoned_large_record_leaves_nothing(store):
    first = write(store, os.urandom(2_000_000))
    writer = store.journal.begin()
    writer.append(os.urandom(5_000_000))
    path = segment_path(store.journal.folder, first.segment)
    assert path.stat().st_size > 5_000_000
    writer.abandon()
    assert path.stat().st_size == first.length
    second = write(store, os.urandom(2_000_000))
    assert (second.segment, second.offset) == (first.segment, first.length)


def test_large_records_at_once_use_as_many_segments_as_there_are_writers(store):
    for _ in range(3):
        writers = [store.journal.begin() for _ in range(4)]
        for writer in writers:
            writer.append(os.urandom(1_500_000))
        for writer in writers:
            writer.commit(b"{}")
    assert len(list(store.journal.folder.iterdir())) == 4


def test_segments_are_replaced_when_they_are_full(tmp_path):
    store = open_store(tmp_path, segment_bytes=200_000)
    refs = [write(store, bytes([number]) * 60_000) for number in range(12)]
    assert len({ref.segment for ref in refs}) == 3
    assert [store.journal.open(ref).read(0, 1)[0] for ref in refs] == list(range(12))
    store.close()


def test_p1_many_writers_share_a_segment_and_its_syncs(store, monkeypatch):
    syncs = []

    def slow(descriptor):
        threading.Event().wait(0.005)
        syncs.append(descriptor)

    on_sync(monkeypatch, slow)
    written = {}

    def work(number):
        for turn in range(10):
            data = os.urandom(1000 + number)
            written[number, turn] = (write(store, data), data)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 80
    assert len(syncs) < 60
    for ref, data in written.values():
        assert store.read(ref) == data
    assert len({ref.segment for ref, _ in written.values()}) == 1


def test_F5_a_failed_sync_is_never_retried(store, monkeypatch):
    good = write(store, b"good")
    calls = []

    def failing(descriptor):
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    on_sync(monkeypatch, failing)
    with pytest.raises(StoreDown):
        write(store, b"void")
    assert len(calls) == 1
    assert not store.journal.broken
    monkeypatch.undo()
    assert segment_path(store.journal.folder, good.segment).stat().st_size == good.length
    after = write(store, b"after")
    assert after.segment != good.segment
    assert store.read(good) == b"good"
    on_sync(monkeypatch, failing)
    with pytest.raises(StoreDown):
        write(store, b"void")
    assert store.journal.broken
    monkeypatch.undo()
    with pytest.raises(StoreDown, match="twice"):
        store.journal.begin()
    assert store.read(after) == b"after"


def test_F5_everybody_who_waits_for_a_failed_sync_hears_it(store, monkeypatch):
    write(store, b"first")
    together = threading.Barrier(6)
    answers = []

    def failing(_descriptor):
        threading.Event().wait(0.1)
        raise OSError(5, "Input/output error")

    on_sync(monkeypatch, failing)

    def work():
        writer = store.journal.begin()
        writer.append(b"void")
        together.wait()
        try:
            answers.append(writer.commit(b"{}"))
        except StoreDown as error:
            answers.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(answer, StoreDown) for answer in answers)
    assert len(answers) == 6


def test_F5_p3_void_records_are_not_found_by_recovery(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    kept = store.keep(1, b"kept", index=False)

    def failing(_descriptor):
        raise OSError(5, "Input/output error")

    on_sync(monkeypatch, failing)
    for size in (10, 3_000_000):
        writer = store.journal.begin()
        writer.append(b"v" * size)
        with pytest.raises(StoreDown):
            writer.commit(b"{}")
    monkeypatch.undo()
    store.journal.close()
    again = open_store(tmp_path)
    assert recover(again.journal, again.ledger).records == 1
    assert [ref for _, ref in again.ledger.owed_records()] == [kept.ref]
    again.close()
    store.close()


def test_F6_a_segment_that_cannot_be_made_leaves_no_file(store, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    key = store.keys.primary  # the lock of the key that wraps is a file of its own
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(StoreFull):
            write(store, b"x")
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert os.listdir(store.journal.folder) == []
    assert store.keys.primary is key
    monkeypatch.undo()
    assert not store.journal.broken
    assert store.read(write(store, b"x")) == b"x"


def test_reading_survives_the_closing_of_rarely_used_segments(tmp_path):
    store = open_store(tmp_path, segment_bytes=1)
    refs = [write(store, bytes([number])) for number in range(40)]
    held = store.journal.open(refs[0])
    for ref in refs:
        record = store.journal.open(ref)
        record.close()
    assert held.read(0, 1) == b"\0"
    held.close()
    store.close()


def test_a_place_without_a_record_is_refused(store):
    ref = write(store, b"x" * 1000)
    for wrong in (
        RecordRef(ref.segment, ref.offset + 1, ref.length),
        RecordRef(ref.segment, ref.offset, ref.length - 1),
        RecordRef(ref.segment, ref.offset, 10),
        RecordRef(ref.segment, ref.length, ref.length),
        RecordRef(99, 0, ref.length),
        RecordRef(ref.segment, ref.offset, ref.length, bytes(16)),
    ):
        with pytest.raises(RecordDamaged):
            store.journal.open(wrong)


def test_a_writer_that_ended_takes_nothing_more(store):
    writer = store.journal.begin()
    writer.commit(b"{}")
    with pytest.raises(StoreDown):
        writer.append(b"more")


def test_the_head_and_trailer_have_the_documented_sizes():
    assert (layout.HEAD_BYTES, layout.TRAILER_BYTES) == (204, 32)
