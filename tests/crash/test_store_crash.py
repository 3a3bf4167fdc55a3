"""Kill the process that writes: whatever it acknowledged is there, whole and once."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time

import pytest

from router.store.recovery import recover
from tests.support.store_making import open_store

IN_FLIGHT = 4


def start(folder, seed, count=10_000, index=0):
    command = [sys.executable, "-m", "tests.support.store_worker", folder, seed, count, index]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)


def acknowledged(process):
    """What it said; a line cut by the kill was not heard."""
    text = process.stdout.read()
    process.stdout.close()
    lines = text[: text.rfind(b"\n") + 1].decode().splitlines()
    return dict(line.split(" ") for line in lines)


def held(store):
    """Number → digest of every record the ledger knows, read from the journal."""
    found = {}
    for instance_id, ref in store.ledger.owed_records():
        stored = store.ledger.instance(instance_id)
        number = stored.instance.sop_instance_uid.split(".")[-1]
        assert number not in found
        found[number] = hashlib.sha256(store.read(ref)).hexdigest()
    return found


@pytest.mark.parametrize("index", [0, 1])
def test_F2_p2_p3_kill_at_random_times(tmp_path, index):
    chance = random.Random(index)
    heard = {}
    for seed in range(1, 7):
        process = start(tmp_path, seed, index=index)
        process.stdout.peek(1)
        time.sleep(chance.random() * 0.25)
        process.send_signal(signal.SIGKILL)
        process.wait()
        heard |= acknowledged(process)
    store = open_store(tmp_path, boot_id="after")
    recover(store.journal, store.ledger)
    found = held(store)
    assert set(heard) <= set(found)
    assert {number: found[number] for number in heard} == heard
    assert len(found) - len(heard) <= 6 * IN_FLIGHT
    assert store.ledger.account().balanced
    again = recover(store.journal, store.ledger)
    assert (again.records, again.torn_bytes, again.damaged) == (0, 0, 0)
    store.close()


def test_two_processes_write_and_a_third_recovers_beside_them(tmp_path):
    writers = [start(tmp_path, seed, count=25, index=1) for seed in (1, 2)]
    for writer in writers:
        writer.stdout.peek(1)
    store = open_store(tmp_path, boot_id="third")
    used = 0
    while any(writer.poll() is None for writer in writers):
        used = max(used, recover(store.journal, store.ledger).segments_in_use)
        time.sleep(0.02)
    heard = acknowledged(writers[0]) | acknowledged(writers[1])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert used >= 2
    assert len(heard) == 200
    recover(store.journal, store.ledger)
    assert held(store) == heard
    assert store.ledger.account().instances["received"] == 200
    assert store.ledger.account().balanced
    store.close()
