"""The key ring: who holds its keys, what changes in it, and its escrow copy."""

from __future__ import annotations

import base64
import json
import os
import threading

import pytest

from router.errors import StoreDown
from router.store.escrow import Escrow, opened, sealed
from router.store.keys import KeyRing, Ring, opened_alone, read_ring, sealed_alone, write_ring
from router.store.records import RecordDamaged

CHEAP = 2**4
PASSPHRASE = "correct horse battery staple"


def use_files(folder):
    return {entry.stem for entry in folder.iterdir() if entry.suffix == ".use"}


def test_a_key_is_held_for_as_long_as_somebody_wraps_with_it(tmp_path):
    ring = KeyRing.open(tmp_path)
    assert use_files(tmp_path) == set(), "who only reads holds nothing"
    held = ring.primary
    assert ring.primary is held
    ring.rotate()
    assert ring.primary.key_id != held.key_id
    with ring.retiring(held.key_id) as drop:
        assert drop is None
    key_id = held.key_id
    del held
    with ring.retiring(key_id) as drop:
        assert drop is not None
        drop()
    assert use_files(tmp_path) == {ring.primary.key_id.hex()}
    assert set(read_ring(tmp_path).keys) == {ring.primary.key_id}


def test_while_a_key_is_being_dropped_nobody_begins_with_it(tmp_path):
    ring, other = KeyRing.open(tmp_path), KeyRing.open(tmp_path)
    old = ring.ring.primary
    ring.rotate()
    found = []
    with ring.retiring(old) as drop:
        late = threading.Thread(target=lambda: found.append(other.primary.key_id))
        late.start()  # it has not looked since, and waits
        late.join(0.2)
        assert not found
        drop()
    late.join(10)
    assert found == [ring.primary.key_id]


def test_what_another_process_changed_is_taken_in(tmp_path):
    ring, other = KeyRing.open(tmp_path, 5.0), KeyRing.open(tmp_path)
    made = other.rotate(7.0)
    sealed_there = other.primary.seal(b"text", b"place")
    assert ring.unseal(sealed_there, b"place") == b"text", "an unknown key is looked for"
    third = other.rotate(9.0)
    ring.refresh()
    assert ring.primary.key_id == third.key_id
    assert [key.made_at for key in ring.old()] == [5.0, 7.0]
    assert [key.name for key in ring.old()][1] == made.key_id.hex()[:8]
    (tmp_path / "keyring.json").unlink()
    with pytest.raises(StoreDown):
        ring.refresh()
    assert ring.unseal(sealed_there, b"place") == b"text", "what it has goes on working"


def test_many_who_rotate_at_once_lose_no_key(tmp_path):
    rings = [KeyRing.open(tmp_path) for _ in range(6)]
    texts = []

    def turn(ring):
        for _ in range(5):
            ring.rotate()
            texts.append(ring.primary.seal(b"x", b"y"))

    threads = [threading.Thread(target=turn, args=(ring,)) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = KeyRing.open(tmp_path)
    assert len(last.ring.keys) == 31
    assert {last.unseal(text, b"y") for text in texts} == {b"x"}


def test_a_text_opens_in_its_own_place_alone(tmp_path):
    ring = KeyRing.open(tmp_path)
    text = ring.primary.seal(b"text", b"here")
    for wrong in (text[:-1] + bytes([text[-1] ^ 1]), text[:40]):
        with pytest.raises(RecordDamaged):
            ring.unseal(wrong, b"here")
    with pytest.raises(RecordDamaged):
        ring.unseal(text, b"there")
    key = os.urandom(32)
    alone = sealed_alone(key, b"text", b"here")
    assert opened_alone(key, alone, b"here") == b"text"
    for wrong in (alone[:-1], b"", alone[:12]):
        with pytest.raises(RecordDamaged):
            opened_alone(key, wrong, b"here")


def test_r236_an_escrow_copy_opens_with_its_passphrase_and_nothing_else(tmp_path):
    ring = KeyRing.open(tmp_path / "made", 3.0)
    ring.rotate(4.0)
    ring.note_export(frozenset({ring.ring.primary}), 5.0)
    octets = sealed(Escrow(ring.ring, b"m" * 32), PASSPHRASE, CHEAP)
    for key in ring.ring.keys.values():
        assert base64.b64encode(key.secret) not in octets and key.secret not in octets
        assert base64.b64encode(key.secret) not in base64.b64decode(json.loads(octets)["sealed"])
    assert opened(octets, PASSPHRASE) == Escrow(ring.ring, b"m" * 32)
    with pytest.raises(RecordDamaged, match="passphrase"):
        opened(octets, PASSPHRASE + " ")
    value = json.loads(octets)
    torn = bytearray(base64.b64decode(value["sealed"]))
    torn[30] ^= 1
    with pytest.raises(RecordDamaged):
        opened(
            json.dumps({**value, "sealed": base64.b64encode(torn).decode()}).encode(), PASSPHRASE
        )


@pytest.mark.parametrize(
    "wrong",
    [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"dicom_router_keys": 1}',
     b'{"dicom_router_keys": 1, "scrypt": {"n": 16, "salt": "?"}, "sealed": ""}',
     b'{"dicom_router_keys": 2, "scrypt": {"n": 16, "salt": ""}, "sealed": ""}',
     b'{"dicom_router_keys": 1, "scrypt": {"n": 1099511627776, "salt": ""}, "sealed": ""}',
     b'{"dicom_router_keys": 1, "scrypt": {"n": 17, "salt": ""}, "sealed": ""}',
     b'{"dicom_router_keys": 1, "scrypt": {"n": "16", "salt": ""}, "sealed": ""}'],
)  # fmt: skip
def test_what_is_no_escrow_copy_says_so_and_costs_nothing(wrong):
    with pytest.raises(ValueError, match="escrow copy"):
        opened(wrong, PASSPHRASE)


def test_keys_of_another_ring_are_added_and_never_take_its_place(tmp_path):
    ring, other = KeyRing.open(tmp_path / "one"), KeyRing.open(tmp_path / "other")
    text = other.primary.seal(b"text", b"x")
    before = ring.ring.primary
    assert ring.take_in(other.ring) == 1
    assert ring.take_in(other.ring) == 0
    assert ring.ring.primary == before
    assert KeyRing.open(tmp_path / "one").unseal(text, b"x") == b"text"


def test_a_ring_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    ring = KeyRing.open(tmp_path)
    before = (tmp_path / "keyring.json").read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="no room"):
        ring.rotate()
    monkeypatch.undo()
    assert (tmp_path / "keyring.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    fresh = Ring(ring.ring.primary, ring.ring.keys)
    write_ring(tmp_path, fresh, replace=False)
    assert (tmp_path / "keyring.json").read_bytes() == before, "one that is there stays"
