"""F9: a process of the router stands still under load: a stall for its peers, and nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.crash.test_kill import check_nothing_is_lost
from tests.support.faults import processes
from tests.support.load import Load
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp


@pytest.mark.parametrize("seconds", [1.5, pytest.param(120.0, marks=pytest.mark.long)])
def test_F9_p6_whatever_process_stands_still_nothing_is_lost_or_sent_twice(
    router: Callable[..., Router], seconds: float
) -> None:
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = router(destination=destination.port)
        load = Load(edge.port, pause_seconds=0.01)
        load.start()
        faults: list[float] = []
        try:
            for process in processes(edge):
                time.sleep(0.3)
                faults.append(time.monotonic())
                process.suspend()
                time.sleep(seconds)
                process.resume()
            time.sleep(0.3)
        finally:
            load.stop()
        check_nothing_is_lost(edge, load, destination, faults)
        arrived = [stored.sop_instance_uid for stored in destination.stored]
        assert len(arrived) == len(set(arrived))
        if seconds < 30:  # the senders' own patience
            assert not load.unanswered
            assert not load.refused
