"""F4: a rotation is killed, or the power goes, at random moments: everything opens, nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router.store.database import Database
from router.store.keys import KeyRing
from router.store.recovery import recover
from router.store.rekeying import Rekeying
from router.store.verifying import Verified, verify
from tests.crash.test_store_crash import acknowledged, held, start
from tests.support import powercut
from tests.support.powercut import PowerCutVolume
from tests.support.store_making import open_store, owed


def rotating(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.rekey_worker", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def killed(process: subprocess.Popen[bytes]) -> list[list[int]]:
    """What it said of its rotations."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    text = process.stdout.read()
    process.stdout.close()
    lines = text[: text.rfind(b"\n") + 1].decode().splitlines()
    return [[int(word) for word in line.split()] for line in lines]


def finished(folder: Path) -> None:
    """One more run, by nobody but us: one key is left, and all that the ledger knows opens."""
    store = open_store(folder, boot_id="after")
    assert recover(store.journal, store.ledger).damaged == 0
    database = Database(folder / "ledger" / "ledger.db")
    store.keys.rotate()
    done = Rekeying(store.journal, database).run()
    assert (done.kept, done.damaged) == ({}, 0)
    assert len(KeyRing.open(folder / "keys").ring.keys) == 1
    # The digest that the writer gives an empty data set is none of its bytes.
    found = verify(store.journal, database, Verified())
    assert [one for one in found if one.held.instance.data_set_length] == []
    database.close()
    store.close()


def test_F4_r236_killed_at_random_beside_a_process_that_writes(tmp_path):
    chance = random.Random(4)
    heard: dict[str, str] = {}
    rotations: list[list[int]] = []
    for seed in range(1, 6):
        writer = start(tmp_path, seed, index=1)
        writer.stdout.peek(1)
        process = rotating(tmp_path)
        process.stdout.peek(1)
        time.sleep(0.1 + chance.random() * 0.3)
        rotations += killed(process)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        heard |= acknowledged(writer)
    assert len(rotations) >= 5, "there were rotations to be cut off"
    assert any(kept for _, _, kept in rotations), "the key of the writer was in use"
    assert any(retired for _, retired, _ in rotations)
    finished(tmp_path)
    store = open_store(tmp_path, boot_id="last")
    recover(store.journal, store.ledger)
    found = held(store)
    assert {number: found[number] for number in heard} == heard
    store.close()


@pytest.mark.skipif(not powercut.is_possible(), reason="LOUD: power cuts need root")
def test_F4_r236_the_power_goes_while_keys_are_wrapped_anew(tmp_path):
    work = tmp_path / "disk"
    work.mkdir()
    chance = random.Random(7)
    with PowerCutVolume(work, 256) as volume:
        folder = volume.path / "data"
        folder.mkdir()
        store = open_store(folder)
        for number in range(60):
            store.keep(number, chance.randbytes(chance.choice([100, 5_000, 300_000])), owed())
        expected = held(store)
        store.close()
        for _ in range(4):
            process = rotating(folder)
            process.stdout.peek(1)
            time.sleep(chance.random() * 0.3)
            volume.cut()
            killed(process)
            volume.unmount()
            volume.mount()
            store = open_store(folder)
            recover(store.journal, store.ledger)
            assert held(store) == expected
            store.close()
        finished(folder)
