"""Room, the data lock and eviction: refuse early, one router at a time, never drop what is owed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from router.errors import StoreDown, StoreFull
from router.model.delivery import Result, State
from router.model.plan import StoreSettings
from router.store.eviction import evict
from router.store.files import file_system_of
from router.store.lock import DataLock, DataLocked
from router.store.recovery import recover
from router.store.room import Room
from router.store.segment import segment_numbers
from tests.support.store_making import TestClock, open_store, owed, settled

GIB = 1024**3
NOW = 1_000_000.0


@pytest.fixture
def volume(monkeypatch):
    """A volume of 100 GiB whose free space the test sets."""
    state = SimpleNamespace(total=100 * GIB, free=50 * GIB, inodes=1000)

    def statvfs(_path):
        return SimpleNamespace(
            f_blocks=state.total,
            f_bavail=state.free,
            f_frsize=1,
            f_files=1000,
            f_favail=state.inodes,
        )

    monkeypatch.setattr(os, "statvfs", statvfs)
    return state


def test_p10_refused_below_five_percent_with_hysteresis(tmp_path, volume):
    clock = TestClock()
    room = Room(tmp_path, clock)
    room.check()

    def look(free):
        volume.free = free
        clock.time += 1

    look(5 * GIB - 1)
    with pytest.raises(StoreFull):
        room.claim()
    assert room.refusing
    assert room.shortage_bytes() > 2 * GIB
    look(6 * GIB)
    with pytest.raises(StoreFull):
        room.claim()
    look(8 * GIB)
    room.claim().release(1000)
    assert room.shortage_bytes() == 0


def test_p10_instances_in_flight_do_not_overshoot(tmp_path, volume):
    room = Room(tmp_path, TestClock())
    volume.free = 6 * GIB
    claims = []
    with pytest.raises(StoreFull):
        for _ in range(1000):
            claims.append(room.claim(200 * 1024**2))
    assert len(claims) == 5
    for claim in claims:
        claim.release(0)
    assert room.claimed_bytes == 0


def test_p10_the_largest_instance_seen_widens_the_reserve(tmp_path, volume):
    clock = TestClock()
    room = Room(tmp_path, clock)
    room.claim().release(3 * GIB)
    volume.free = 7 * GIB
    clock.time += 1
    with pytest.raises(StoreFull):
        room.check()


def test_p10_a_small_volume_is_usable(tmp_path, volume):
    volume.total, volume.free = GIB, GIB // 2
    Room(tmp_path, TestClock()).claim()


def test_F6_inodes_run_out_like_bytes(tmp_path, volume):
    volume.inodes = 49
    with pytest.raises(StoreFull):
        Room(tmp_path, TestClock()).check()


def test_p10_the_ballast_is_given_up_and_made_again(tmp_path, volume):
    clock = TestClock()
    room = Room(tmp_path, clock)
    volume.total, volume.free = 20 * 1024**2, 10 * 1024**2
    room.tend()
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_size == volume.total // 100
    volume.free = volume.total // 200
    clock.time += 1
    with pytest.raises(StoreFull):
        room.check()
    assert not ballast.exists()
    room.tend()
    assert not ballast.exists()
    volume.free = 10 * 1024**2
    room.tend()
    assert ballast.exists()


def test_F31_a_second_router_is_refused_at_once_with_the_reason(tmp_path):
    lock = DataLock.acquire(tmp_path, "boot-one", "0.1.0")
    code = (
        "import sys, pathlib\n"
        "from router.store.lock import DataLock, DataLocked\n"
        "try:\n    DataLock.acquire(pathlib.Path(sys.argv[1]), 'boot-two', '0.1.0')\n"
        "except DataLocked as error:\n    print(error)\n"
    )
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert time.monotonic() - began < 5
    assert f"process {os.getpid()}, boot boot-one" in run.stdout
    began = time.monotonic()
    with pytest.raises(DataLocked):
        DataLock.acquire(tmp_path, "boot-three", "0.1.0")
    assert time.monotonic() - began < 5
    assert not lock.unclean
    lock.release()
    lock.release()
    again = DataLock.acquire(tmp_path, "boot-two", "0.1.0")
    assert not again.unclean
    # A router that was killed, or did not end in order, leaves its name behind.
    again.release(in_order=False)
    failed = DataLock.acquire(tmp_path, "boot-three", "0.1.0")
    assert failed.unclean
    os.close(failed.descriptor)
    assert DataLock.acquire(tmp_path, "boot-four", "0.1.0").unclean


def test_F31_the_lock_is_held_while_a_child_lives(tmp_path):
    lock = DataLock.acquire(tmp_path, "boot-one", "0.1.0")
    child = subprocess.Popen(["sleep", "60"], pass_fds=[lock.descriptor])
    try:
        os.close(lock.descriptor)
        with pytest.raises(DataLocked):
            DataLock.acquire(tmp_path, "boot-two", "0.1.0")
    finally:
        child.kill()
        child.wait()
    DataLock.acquire(tmp_path, "boot-two", "0.1.0").release()


def test_network_file_systems_are_recognised(tmp_path):
    mounts = f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path}/with\\040space nfs4 rw 0 0\n"
    inside = tmp_path / "with space" / "data"
    inside.mkdir(parents=True)
    assert file_system_of(inside, mounts) == "nfs4"
    assert file_system_of(tmp_path, mounts) == "ext4"


def deliver_all(store, *, leave=()):
    for leased in store.ledger.turn((), {"pacs": 1000}, NOW):
        if leased.sop_instance_uid.split(".")[-1] not in leave:
            store.ledger.turn([settled(leased)], {}, NOW)
        else:
            store.ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, NOW)


def filled(tmp_path, leave=()):
    store = open_store(tmp_path, segment_bytes=50_000)
    for number in range(40):
        store.keep(number, os.urandom(10_000), owed())
    deliver_all(store, leave=leave)
    return store


def test_F29_eviction_drops_old_segments_and_copies_the_owed_forward(tmp_path):
    store = filled(tmp_path, leave=("1", "7", "8"))
    before = {one: store.read(ref) for one, ref in store.ledger.owed_records()}
    assert len(before) == 3
    numbers = segment_numbers(store.journal.folder)
    done = evict(store.journal, store.ledger, StoreSettings(max_bytes=150_000), NOW)
    assert done.segments > 2
    assert done.moved_records == 3
    assert segment_numbers(store.journal.folder)[0] > numbers[2]
    assert {one: store.read(ref) for one, ref in store.ledger.owed_records()} == before
    assert store.ledger.instance(1).record is None
    assert store.ledger.account().balanced
    # Nothing is booked anew from the copies, now or after a restart.
    store.close()
    again = open_store(tmp_path)
    assert recover(again.journal, again.ledger).damaged == 0
    assert again.ledger.account().instances["received"] == 40
    assert {one: again.read(ref) for one, ref in again.ledger.owed_records()} == before
    # And they may be copied once more.
    evict(again.journal, again.ledger, StoreSettings(max_bytes=0), NOW)
    assert {one: again.read(ref) for one, ref in again.ledger.owed_records()} == before
    again.close()


def test_F29_what_is_being_sent_is_not_moved(tmp_path):
    store = open_store(tmp_path, segment_bytes=50_000)
    for number in range(20):
        store.keep(number, os.urandom(10_000), owed() if number == 0 else owed("cloud"))
    for leased in store.ledger.turn((), {"cloud": 100}, NOW):
        store.ledger.turn([settled(leased)], {}, NOW)
    (leased,) = store.ledger.turn((), {"pacs": 1}, NOW)
    evict(store.journal, store.ledger, StoreSettings(max_bytes=0), NOW)
    assert len(store.read(leased.record)) == 10_000
    assert store.ledger.drop_segment(leased.record.segment, {1: leased.record}) is False
    store.close()


def test_unmatched_records_and_mostly_owed_segments_stay(tmp_path):
    store = open_store(tmp_path, segment_bytes=50_000)
    for number in range(20):
        store.keep(number, os.urandom(10_000))
    assert evict(store.journal, store.ledger, StoreSettings(max_bytes=0), NOW).segments == 0
    assert len(store.ledger.owed_records()) == 20
    store.close()


def test_eviction_by_age_and_by_need(tmp_path):
    store = filled(tmp_path)
    keep = StoreSettings(keep_seconds=100.0)
    assert evict(store.journal, store.ledger, keep, NOW + 100).segments == 0
    assert evict(store.journal, store.ledger, StoreSettings(), NOW + 10**9).segments == 0
    assert evict(store.journal, store.ledger, StoreSettings(), NOW, 60_000).segments == 2
    assert evict(store.journal, store.ledger, keep, NOW + 101).segments > 4
    store.close()


def test_F4_an_eviction_cut_short_before_the_file_was_deleted(tmp_path):
    store = filled(tmp_path)
    first = segment_numbers(store.journal.folder)[0]
    assert store.ledger.drop_segment(first, {})
    assert recover(store.journal, store.ledger).records == 0
    assert first not in segment_numbers(store.journal.folder)
    assert store.ledger.account().balanced
    store.close()


def test_segments_that_are_not_booked_to_their_end_stay(tmp_path):
    store = open_store(tmp_path, segment_bytes=20_000)
    for number in range(6):
        store.keep(number, os.urandom(10_000), index=False)
    assert evict(store.journal, store.ledger, StoreSettings(max_bytes=0), NOW).segments == 0
    store.close()


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="LOUD: a small tmpfs needs root")


@needs_mount
def test_F6_a_full_disk_leaves_nothing_and_heals_without_a_restart(tmp_path):
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", point], check=True)
    try:
        unlimited = SimpleNamespace(claim=lambda _=0: _NoClaim())
        store = open_store(point, segment_bytes=4 * 1024**2, room=unlimited)
        kept = []
        for more in (6, 12, 18):
            with pytest.raises(StoreFull):
                for number in range(10_000):
                    size = 1_700_000 if number % 2 else 300_000
                    kept.append(store.keep(len(kept), os.urandom(size), owed(), index=False))
            sizes = sum(path.stat().st_size for path in store.journal.folder.iterdir())
            assert sizes == sum(entry.ref.length for entry in kept)
            subprocess.run(["mount", "-o", f"remount,size={12 + more}m", point], check=True)
            kept.append(store.keep(len(kept), os.urandom(100_000), owed(), index=False))
        assert not store.journal.broken
        for entry in kept:
            assert len(store.read(entry.ref)) == entry.instance.data_set_length
        store.ledger.index(kept)
        assert store.ledger.account().balanced
        store.close()
    finally:
        subprocess.run(["umount", "-l", point], check=True)


@needs_mount
def test_F6_a_ledger_on_a_full_disk_says_so_and_heals(tmp_path):
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", point], check=True)
    try:
        store = open_store(point)
        entry = store.keep(1, b"x" * 1000, owed())
        filler = point / "filler"
        with pytest.raises(OSError, match="space"), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with pytest.raises((StoreFull, StoreDown)):
            for number in range(2, 2000):
                store.ledger.remember_recipes([owed().recipe])
                store.ledger.set_station_status(f"s{number}", "online", "x" * 400, NOW)
        filler.unlink()
        (leased,) = store.ledger.turn((), {"pacs": 1}, NOW)
        assert leased.record == entry.ref
        assert store.ledger.account().balanced
        store.close()
    finally:
        subprocess.run(["umount", "-l", point], check=True)


class _NoClaim:
    claimed_bytes = 10**12

    def grow(self, size_bytes):
        pass

    def release(self, used_bytes):
        pass
