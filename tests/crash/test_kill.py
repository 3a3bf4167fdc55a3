"""F2: killed at random moments under load, again and again, the router keeps what it acknowledged.

The scanners log every answer outside the router and never send an object twice. Afterwards every
object answered with 0x0000 is at the destination, byte for byte (P1, P2); none whose last byte was
never sent is there (P3); and duplicates are no more than what was in flight at a kill (P6).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.support.load import Load
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp

# What a station may hold leased and not yet settled: two associations, a batch of 16 on each.
WINDOW = 2 * 16


@pytest.mark.parametrize("rounds", [50, pytest.param(200, marks=pytest.mark.long)])
def test_F2_p2_killed_at_random_under_load(router: Callable[..., Router], rounds: int) -> None:
    rng = random.Random(rounds)
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(start=False, destination=destination.port)
        load = Load(edge.port)
        load.start()
        kills: list[float] = []
        try:
            for number in range(rounds):
                if number % 10 == 9:
                    edge.launch()
                    time.sleep(rng.uniform(0.0, 0.8))
                else:
                    edge.start()
                    time.sleep(rng.uniform(0.0, 0.6))
                kills.append(time.monotonic())
                edge.kill()
            edge.start()
        finally:
            load.stop()
        check_nothing_is_lost(edge, load, destination, kills)
        arrivals = Counter(stored.sop_instance_uid for stored in destination.stored)
        duplicates = arrivals.total() - len(arrivals)
        assert duplicates <= WINDOW * rounds, f"{duplicates} duplicates after {rounds} kills"


def check_nothing_is_lost(
    edge: Router, load: Load, destination: ScriptedScp, faults: Sequence[float]
) -> None:
    """`faults`: their monotonic times. Everything acknowledged arrives without help; nothing sent by halves does."""
    assert len(load.acknowledged) >= 100, "too little load to say anything"

    def missing() -> set[str]:
        return set(load.acknowledged) - {stored.sop_instance_uid for stored in destination.stored}

    try:
        wait_until(lambda: not missing(), 60, what="all that was acknowledged")
    except AssertionError:
        lost = sorted(missing())
        seconds = {
            uid: [round(load.answered_at[uid] - fault, 4) for fault in faults] for uid in lost
        }
        pytest.fail(
            f"{len(lost)} of {len(load.acknowledged)} acknowledged objects did not arrive; "
            f"seconds after each fault when they were answered: {seconds}; "
            f"account: {edge.account()}\n{edge.tail()}"
        )
    edge.wait_until_drained()
    for stored in destination.stored:
        assert stored.sop_instance_uid not in load.partial, "half an object was sent on"
        assert stored.sop_instance_uid not in load.refused, "a refused object was sent on"
        if stored.sop_instance_uid in load.acknowledged:
            assert stored.sha256 == load.acknowledged[stored.sop_instance_uid]
