"""Heads of records: walked without what lies between, over damaged stretches, never of another format."""

from __future__ import annotations

import os
import struct
import zlib

import pytest

from router.errors import StoreDown
from router.store import layout
from router.store.heads import heads, opened_segment
from router.store.records import RecordDamaged
from router.store.recovery import recover
from router.store.segment import segment_path
from tests.support.store_making import open_store, owed


def walked(store, number=1, start=0, end=None):
    with opened_segment(store.journal.folder, number) as descriptor:
        size = os.fstat(descriptor).st_size if end is None else end
        return [(offset, head.record_id) for offset, head in heads(descriptor, start, size)]


def places(*entries):
    return [(entry.ref.offset, entry.ref.record_id) for entry in entries]


def test_every_record_is_met_once_in_its_order(store):
    entries = [store.keep(n, os.urandom(n * 40_000), owed()) for n in range(5)]
    assert walked(store) == places(*entries)
    assert walked(store, start=entries[2].ref.offset) == places(*entries[2:])
    inside = entries[3].ref.offset + 100
    assert walked(store, end=inside) == places(*entries[:3]), "what is not whole is not met"
    assert walked(store, start=inside) == places(entries[4])


def test_a_damaged_stretch_is_passed_over(store):
    entries = [store.keep(n, os.urandom(50_000), owed()) for n in range(4)]
    path = segment_path(store.journal.folder, 1)
    octets = bytearray(path.read_bytes())
    for offset, length in ((0, 4), (24, 8), (layout.FIXED_BYTES, layout.HEAD_BYTES)):
        torn = bytearray(octets)
        start = entries[1].ref.offset + offset
        torn[start : start + length] = b"\xff" * length
        path.write_bytes(torn)
        assert walked(store) == places(entries[0], *entries[2:]), offset


def test_a_record_that_still_comes_ends_nothing(store):
    first = store.keep(1, b"x" * 1000, owed())
    writer = store.journal.begin()
    writer.append(os.urandom(3_000_000))  # it has a segment of its own, and no length yet
    assert walked(store) == places(first)
    assert walked(store, 2) == []
    ref = writer.commit(b"{}")
    assert walked(store, 2) == [(ref.offset, ref.record_id)]


def test_a_segment_that_is_gone_is_none(store):
    with opened_segment(store.journal.folder, 99) as descriptor:
        assert descriptor is None


def test_a_write_that_fails_is_an_error_of_the_store(store):
    store.keep(1, b"x", owed())
    with pytest.raises(StoreDown), opened_segment(store.journal.folder, 1):
        raise OSError(5, "Input/output error")


def slot(seed):
    return layout.pack_slot(bytes([seed]) * 16, bytes([seed]) * 12, bytes([seed]) * 48)


def head_bytes(first, second):
    whole = layout.pack_head(b"r" * 16, b"p" * 7, first)
    return whole[: layout.FIXED_BYTES] + first + second


def test_either_slot_is_enough_and_a_torn_one_is_nothing():
    torn = bytearray(slot(2))
    torn[40] ^= 1
    for first, second, keys in (
        (slot(1), layout.NO_SLOT, (1, None)), (layout.NO_SLOT, slot(2), (None, 2)),
        (slot(1), slot(2), (1, 2)), (slot(1), bytes(torn), (1, None)),
        (slot(1), slot(2)[:37] + bytes(43), (1, None)),
    ):  # fmt: skip
        head = layout.unpack_head(head_bytes(first, second))
        found = tuple(one and one.key_id[0] for one in head.slots)
        assert (found, head.is_shredded) == (keys, False)
    shredded = layout.unpack_head(head_bytes(layout.NO_SLOT, layout.NO_SLOT))
    assert shredded.is_shredded and shredded.slots == (None, None)
    with pytest.raises(RecordDamaged, match="wrapped keys"):
        layout.unpack_head(head_bytes(bytes(torn), layout.NO_SLOT))
    with pytest.raises(RecordDamaged, match="cut short"):
        layout.unpack_head(head_bytes(slot(1), slot(2))[:-1])


def test_a_journal_of_the_former_format_is_told_and_not_touched(tmp_path):
    """Recovery would take it for a torn tail and cut it off."""
    store = open_store(tmp_path)
    former = b"DRJR" + struct.pack(">BxH", 1, 88) + os.urandom(112) + os.urandom(500)
    path = segment_path(store.journal.folder, 7)
    path.write_bytes(former)
    segment_path(store.journal.folder, 8).write_bytes(b"")
    with pytest.raises(StoreDown, match="format 1"):
        recover(store.journal, store.ledger)
    assert path.read_bytes() == former
    store.close()


def test_the_checksum_of_a_record_says_nothing_of_its_slots(store):
    entry = store.keep(1, b"x" * 100, owed())
    with opened_segment(store.journal.folder, 1) as descriptor:
        octets = os.pread(descriptor, entry.ref.length, entry.ref.offset)
        os.pwrite(descriptor, slot(9), entry.ref.offset + layout.HEAD_BYTES - layout.SLOT_BYTES)
    assert store.read(entry.ref) == b"x" * 100
    assert zlib.crc32(octets[: layout.FIXED_BYTES]) == zlib.crc32(
        segment_path(store.journal.folder, 1).read_bytes()[: layout.FIXED_BYTES]
    )
