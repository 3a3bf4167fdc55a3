"""F2: killed while deliveries are handed over (`first_of`): each is made, and by one station alone.

First the ledger alone: a process hands over to and fro until it is killed. Then the product, under
load, between two stations of which the first comes and goes.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.crash.test_kill import WINDOW
from tests.support.ledger_view import ledger_of
from tests.support.load import Load
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.store_making import TestClock, indexed, open_store, owed

OBJECTS = 120
HAND_OVER = """
import sys
from pathlib import Path
from tests.support.store_making import TestClock, open_store
store = open_store(Path(sys.argv[1]), clock=TestClock(), boot_id=sys.argv[2])
print("begun", flush=True)
while True:
    for here, there in (("pacs", "spare"), ("spare", "pacs")):
        store.ledger.hand_over({here: "is offline"}, {there: 7}, 1_000_000.0)
"""
SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $first, send: true}
  spare: {ae_title: SPARE, host: 127.0.0.1, port: $second, send: true}
rules:
  - {name: to either, route: [{first_of: [pacs, spare]}]}
"""
OPEN = Script(max_pdu_bytes=0)


def ends(ledger, instances):
    """By instance the (station, state) of what was not handed over: it must be one."""
    found = {}
    for instance_id in instances:
        rows = ledger.deliveries_of_instance(instance_id)
        (found[instance_id],) = [
            (one.station, one.state.value) for one in rows if one.state.value != "moved"
        ]
    return found


def test_F2_p6_killed_between_two_stations_each_object_is_owed_to_one(tmp_path):
    chance = random.Random(3)
    store = open_store(tmp_path, clock=TestClock())
    ids = store.ledger.index([indexed(number, owed(others=["spare"])) for number in range(OBJECTS)])
    for number in range(6):
        command = [sys.executable, "-c", HAND_OVER, str(tmp_path), f"boot-{number}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.05 + chance.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        account = store.ledger.account()
        assert account.balanced, account.differences
        assert account.deliveries["queued"] == OBJECTS
    assert {state for _, state in ends(store.ledger, ids).values()} == {"queued"}
    assert store.ledger.account().deliveries["moved"] > OBJECTS, "it was killed at work"
    store.close()


@pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_F2_p2_killed_while_the_first_station_comes_and_goes(
    router: Callable[..., Router], rounds: int
) -> None:
    rng = random.Random(rounds)
    first_port = free_port()
    stored = []
    with ScriptedScp(OPEN) as spare:
        edge = router(SITE, start=False, first=first_port, second=spare.port)
        load = Load(edge.port)
        load.start()
        try:
            for _ in range(rounds):
                edge.start()
                with ScriptedScp(OPEN, port=first_port) as pacs:
                    time.sleep(rng.uniform(0.2, 0.8))
                stored += pacs.stored
                time.sleep(rng.uniform(0.1, 0.8))
                edge.kill()
            edge.start()
        finally:
            load.stop()
        edge.wait_until_drained(90)
        stored += spare.stored
    arrivals = Counter(one.sop_instance_uid for one in stored)
    assert set(load.acknowledged) <= set(arrivals), "nothing that was acknowledged is lost"
    assert all(
        one.sha256 == load.acknowledged.get(one.sop_instance_uid, one.sha256) for one in stored
    )
    # At a kill, and where the first station goes, what it was just being sent may be there.
    assert arrivals.total() - len(arrivals) <= WINDOW * rounds * 2
    with ledger_of(edge.data_dir) as ledger:
        account = ledger.account()
        made = ends(ledger, range(1, account.instances["received"] + 1))
        assert {state for _, state in made.values()} == {"delivered"}
        assert {station for station, _ in made.values()} == {"pacs", "spare"}
        assert account.deliveries["moved"] > 0
    wait_until(lambda: edge.account()["balanced"] is True, 10)
