"""Damaged, torn, swapped and altered records: never other plaintext, never lost neighbours."""

from __future__ import annotations

import os

import pytest

from router.errors import StoreDown
from router.store import layout
from router.store.keys import KeyRing
from router.store.layout import HEAD_BYTES as HEAD
from router.store.records import RecordDamaged
from router.store.recovery import recover
from router.store.segment import segment_path
from tests.support.store_making import open_store, owed


def altered(store, ref, offset, mask=0x55):
    """The record read back with one byte changed; what came of it."""
    path = segment_path(store.journal.folder, ref.segment)
    with path.open("r+b") as file:
        file.seek(ref.offset + offset)
        byte = file.read(1)[0]
        file.seek(ref.offset + offset)
        file.write(bytes([byte ^ mask]))
    try:
        record = store.journal.open(ref)
        try:
            found = b"".join(map(bytes, record.chunks())), record.envelope()
            record.verify()
            return found
        finally:
            record.close()
    except RecordDamaged:
        return None
    finally:
        with path.open("r+b") as file:
            file.seek(ref.offset + offset)
            file.write(bytes([byte]))


@pytest.mark.parametrize(("size", "step"), [(700, 1), (0, 1), (3_000_000, 30_011), (300_000, 97)])
def test_f76_F7_p13_a_changed_byte_is_never_other_plaintext(store, size, step):
    data = os.urandom(size)
    entry = store.keep(1, data)
    spare = range(layout.HEAD_BYTES - layout.SLOT_BYTES, layout.HEAD_BYTES)
    wrong = []
    for offset in range(0, entry.ref.length, step):
        found = altered(store, entry.ref, offset)
        # What is in the slot for the next key is of no consequence.
        if found is not None and not (offset in spare and found[0] == data):
            wrong.append(offset)
    assert wrong == []
    assert store.read(entry.ref) == data


def test_F7_swapped_records_and_chunks_are_detected(store):
    first, second = (store.keep(number, os.urandom(600_000)) for number in (1, 2))
    assert first.ref.length == second.ref.length
    path = segment_path(store.journal.folder, first.ref.segment)
    octets = bytearray(path.read_bytes())
    one = slice(first.ref.offset, first.ref.offset + first.ref.length)
    other = slice(second.ref.offset, second.ref.offset + second.ref.length)
    swapped = bytearray(octets)
    swapped[one], swapped[other] = octets[other], octets[one]
    path.write_bytes(swapped)
    for entry in (first, second):
        with pytest.raises(RecordDamaged):
            store.journal.open(entry.ref)
    sealed = 256 * 1024 + 16
    for a, b in (((one.start + HEAD), (one.start + HEAD + sealed)), (HEAD, other.start + HEAD)):
        swapped = bytearray(octets)
        swapped[a : a + sealed], swapped[b : b + sealed] = (
            octets[b : b + sealed],
            octets[a : a + sealed],
        )
        path.write_bytes(swapped)
        with pytest.raises(RecordDamaged):
            store.read(first.ref)
    path.write_bytes(octets)
    assert len(store.read(first.ref)) == 600_000


def test_F7_a_record_with_another_trailer_is_refused(store):
    first, second = (store.keep(number, os.urandom(500 + number)) for number in (1, 2))
    path = segment_path(store.journal.folder, first.ref.segment)
    octets = bytearray(path.read_bytes())
    end = first.ref.offset + first.ref.length
    octets[end - 32 : end] = octets[-32:]
    path.write_bytes(octets)
    with pytest.raises(RecordDamaged):
        store.journal.open(first.ref)
    assert len(store.read(second.ref)) == 502


def test_p2_p3_a_torn_tail_is_cut_at_every_byte(tmp_path):
    """Crash at each byte of the last record: the ones before are booked, nothing else is."""
    store = open_store(tmp_path / "made")
    first = store.keep(1, b"first" * 20, owed(), index=False)
    second = store.keep(2, b"second" * 20, owed(), index=False)
    octets = segment_path(store.journal.folder, 1).read_bytes()
    store.close()
    again = open_store(tmp_path / "made")
    path = segment_path(again.journal.folder, 1)
    segment_path(again.journal.folder, 2).write_bytes(b"")
    for cut in range(first.ref.length, len(octets)):
        path.write_bytes(octets[:cut])
        found = recover(again.journal, again.ledger)
        assert found.damaged == 0
        assert path.stat().st_size == first.ref.length
        assert found.torn_bytes == cut - first.ref.length
    assert [ref for _, ref in again.ledger.owed_records()] == [first.ref]
    # Zeros instead of bytes: what a power cut leaves of pages that were never written.
    for cut in range(first.ref.length, len(octets), 7):
        path.write_bytes(octets[:cut] + bytes(len(octets) - cut))
        assert recover(again.journal, again.ledger).records == 0
    path.write_bytes(octets)
    assert recover(again.journal, again.ledger).records == 1
    assert [ref for _, ref in again.ledger.owed_records()] == [first.ref, second.ref]
    assert recover(again.journal, again.ledger).records == 0
    assert again.ledger.account().balanced
    again.close()


def test_p3_a_record_with_a_hole_in_its_data_is_not_booked(tmp_path):
    store = open_store(tmp_path)
    first = store.keep(1, os.urandom(50_000), owed(), index=False)
    second = store.keep(2, os.urandom(50_000), owed(), index=False)
    store.close()
    path = segment_path(tmp_path / "journal", 1)
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(4096))
    again = open_store(tmp_path)
    found = recover(again.journal, again.ledger)
    assert (found.records, found.damaged) == (1, 1)
    assert [ref for _, ref in again.ledger.owed_records()] == [second.ref]
    assert path.stat().st_size == first.ref.length + second.ref.length
    assert recover(again.journal, again.ledger).damaged == 0
    again.close()


def test_p2_a_damaged_stretch_does_not_hide_the_records_behind_it(tmp_path):
    store = open_store(tmp_path)
    entries = [store.keep(number, os.urandom(5_000), owed(), index=False) for number in range(5)]
    store.close()
    path = segment_path(tmp_path / "journal", 1)
    with path.open("r+b") as file:
        file.seek(entries[1].ref.offset)
        file.write(bytes(60))
    again = open_store(tmp_path)
    found = recover(again.journal, again.ledger)
    assert (found.records, found.damaged) == (4, 1)
    assert len(again.ledger.owed_records()) == 4
    again.close()


def test_F7_without_its_key_nothing_is_cut_off(tmp_path):
    store = open_store(tmp_path)
    store.keep(1, b"x" * 1000, owed(), index=False)
    store.close()
    ring = tmp_path / "keys" / "keyring.json"
    kept = ring.read_bytes()
    ring.unlink()
    again = open_store(tmp_path)
    with pytest.raises(StoreDown, match="key"):
        recover(again.journal, again.ledger)
    again.close()
    ring.write_bytes(kept)
    again = open_store(tmp_path)
    assert recover(again.journal, again.ledger).records == 1
    again.close()


def test_F7_a_damaged_key_ring_is_refused(tmp_path):
    KeyRing.open(tmp_path)
    ring = tmp_path / "keyring.json"
    text = ring.read_text()
    for wrong in ("", "{}", "[]", text[:-20], text.replace('"primary"', '"secondary"')):
        ring.write_text(wrong)
        with pytest.raises(StoreDown):
            KeyRing.open(tmp_path)


def test_keys_are_private_and_old_ones_still_open(store, tmp_path):
    ring = tmp_path / "keys" / "keyring.json"
    assert ring.stat().st_mode & 0o777 == 0o600
    before = store.keep(1, b"before")
    elsewhere = KeyRing.open(tmp_path / "keys")
    elsewhere.rotate()
    other = open_store(tmp_path)
    after = other.keep(2, b"after")
    # This process has not read the ring since; it looks again when it meets the new key.
    assert store.read(after.ref) == b"after"
    assert other.read(before.ref) == b"before"
    other.close()
    names = {entry.name for entry in (tmp_path / "keys").iterdir() if entry.suffix != ".use"}
    assert names == {"keyring.json"}
