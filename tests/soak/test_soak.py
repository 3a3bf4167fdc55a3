"""L9: hours of work with a fault every half minute; nothing is lost and nothing grows.

    make soak                                an hour
    make soak SOAK_SECONDS=172800            before a release

In the first half of the time all faults come, in the second those that leave the processes as they
are, so that their memory, threads and descriptors can be watched: a process is warm after some ten
minutes, when the page caches of its ledger are full. Where it was watched for an hour its growth an
hour is judged, before that what it may grow at all. The short form has all kinds of faults once, a
few seconds apart, and does not judge memory.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import pytest

from tests.crash.test_kill import check_nothing_is_lost
from tests.support.faults import HARMLESS, KILLS, ROLES, Destination, Victim, processes, reloaded
from tests.support.load import Load
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
  web: {type: http, bind: "127.0.0.1:$http_port", serve: [metrics]}
cache: {keep: 2m, max_size: 256MB}
defaults:
  station: {heartbeat: {every: 5s, timeout: 2s}}
  retry: {first: 1s, factor: 2, max: 2s, give_up: 7d}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $first, send: true}
  reader: {ae_title: DEST, host: 127.0.0.1, port: $second, send: true}
rules:
  - {name: everything to both, route: [pacs, reader]}
"""
LONG_SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
LONG_DISTANCE_SECONDS, DISTANCE_SECONDS, FAULT_SECONDS = 30.0, 0.5, 4.0
SETTLE_SECONDS, WARM_SECONDS = 2.0, 600.0
MOST_MEGABYTES_AN_HOUR, MOST_MEGABYTES = 1.0, 48.0
MORE_DESCRIPTORS, MORE_THREADS = 16, 8


@dataclass(frozen=True, slots=True)
class Size:
    """All processes together, at one moment (monotonic seconds)."""

    at: float
    resident_bytes: int
    descriptors: int
    threads: int


@pytest.mark.parametrize(
    "seconds", [0.0, pytest.param(LONG_SECONDS, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_F22_L9_faults_come_and_go_nothing_is_lost_and_nothing_grows(
    router: Callable[..., Router], seconds: float
) -> None:
    first, second = Destination(), Destination()
    edge = router(SITE, start=False, first=first.port, second=second.port, http_port=free_port())
    edge.is_cold = bool(seconds)
    edge.start()
    load = Load(edge.port, senders=2, tricklers=1, pause_seconds=0.02, objects_an_association=50)
    victim = Victim(edge, (first, second), 0.8 if not seconds else FAULT_SECONDS, random.Random(9))
    faults: list[float] = []
    load.start()
    try:
        sizes = _short(victim, faults) if not seconds else _long(victim, faults, seconds)
    finally:
        load.stop()
    for destination in (first, second):
        check_nothing_is_lost(edge, load, destination, faults)
    edge.assert_balanced()
    _check_growth(sizes)
    first.close()
    second.close()


def _short(victim: Victim, faults: list[float]) -> list[Size]:
    for fault in KILLS.values():
        _do(fault, victim, faults)
    sizes = [_settled(victim.edge)]
    for fault in HARMLESS.values():
        _do(fault, victim, faults)
        time.sleep(DISTANCE_SECONDS)
    return [*sizes, _settled(victim.edge)]


def _long(victim: Victim, faults: list[float], seconds: float) -> list[Size]:
    began = time.monotonic()
    while time.monotonic() < began + seconds / 2:
        name, fault = victim.rng.choice([*KILLS.items(), *HARMLESS.items()])
        print(f"{time.monotonic() - began:.0f} s: {name}", file=sys.stderr, flush=True)
        _do(fault, victim, faults)
        time.sleep(LONG_DISTANCE_SECONDS)
    time.sleep(WARM_SECONDS)
    sizes = [_settled(victim.edge)]
    gentle = [(name, fault) for name, fault in HARMLESS.items() if fault is not reloaded]
    while time.monotonic() < began + seconds:
        name, fault = victim.rng.choice(gentle)
        _do(fault, victim, faults)
        time.sleep(LONG_DISTANCE_SECONDS - SETTLE_SECONDS)
        sizes.append(_settled(victim.edge))
        print(f"{time.monotonic() - began:.0f} s: {name}; {sizes[-1]}", file=sys.stderr, flush=True)
    return sizes


def _do(fault: Callable[[Victim], None], victim: Victim, faults: list[float]) -> None:
    faults.append(time.monotonic())
    fault(victim)


def _settled(edge: Router) -> Size:
    """The size once retired processes are gone and a few seconds have passed."""
    assert edge.process is not None
    wait_until(lambda: len(processes(edge)) == ROLES, 60, what="retired processes to be gone")
    time.sleep(SETTLE_SECONDS)
    found = [psutil.Process(edge.process.pid), *processes(edge)]
    return Size(
        time.monotonic(),
        sum(one.memory_full_info().uss for one in found),
        sum(one.num_fds() for one in found),
        sum(one.num_threads() for one in found),
    )


def _check_growth(sizes: Sequence[Size]) -> None:
    assert sizes[-1].descriptors <= sizes[0].descriptors + MORE_DESCRIPTORS, sizes
    assert sizes[-1].threads <= sizes[0].threads + MORE_THREADS, sizes
    hours = (sizes[-1].at - sizes[0].at) / 3600
    if hours >= 1:
        assert _slope(sizes) <= MOST_MEGABYTES_AN_HOUR, sizes
    elif hours * 3600 >= WARM_SECONDS:
        grown = sizes[-1].resident_bytes - sizes[0].resident_bytes
        assert grown <= MOST_MEGABYTES * 1e6, sizes


def _slope(sizes: Sequence[Size]) -> float:
    """Megabytes an hour, by least squares."""
    times = [one.at / 3600 for one in sizes]
    megabytes = [one.resident_bytes / 1e6 for one in sizes]
    middle, level = sum(times) / len(times), sum(megabytes) / len(megabytes)
    rise = sum((at - middle) * (each - level) for at, each in zip(times, megabytes, strict=True))
    return rise / sum((at - middle) ** 2 for at in times)
