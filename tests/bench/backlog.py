"""A hundred thousand instances wait for a station that is away: memory, a restart, the way out.

The instances are small (their number is the point), the restart is a SIGTERM and a start, and the
way out is timed at the destination, from its first instance to its last.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench import arrivals, bars
from tests.bench.contestants import RECEIVE, Target
from tests.bench.measure import Bench, Destination, destination
from tests.bench.routers import Variant, router
from tests.bench.sets import build_tiny
from tests.bench.usage import resident_bytes
from tests.support.process import free_port

BACKLOG = 100_000
ASSOCIATIONS = 4
STALL_SECONDS = 120.0


def backlog(folder: Path, count: int = BACKLOG) -> Mapping[str, float]:
    """Memory over idle in MB, seconds from the start to `ready`, instances/s on the way out."""
    port = free_port()
    with router(folder / "router", port, Variant()) as edge:
        assert edge.process is not None
        idle = resident_bytes(edge.process.pid)
        target = Target(edge.port, edge.ae_title, edge.process.pid)
        nowhere = Destination(port, folder / "nothing.log")
        Bench(target, nowhere, RECEIVE, folder).measure(build_tiny(folder), count, ASSOCIATIONS)
        over_idle = (resident_bytes(target.pid) - idle) / 1e6
        assert edge.open_deliveries() == count, "instances do not wait"
        edge.stop(90)
        began = time.monotonic()
        edge.start(120)
        restart = time.monotonic() - began
        with destination("cstore", folder, "--port", str(port)) as sink:
            rate = _drained(sink.log, count)
            edge.wait_until_drained()
    return {
        bars.BACKLOG_MEMORY: over_idle,
        bars.BACKLOG_START: restart,
        bars.BACKLOG_DRAIN: rate,
    }


def _drained(log: Path, count: int) -> float:
    """Wait for all; instances a second from the first arrival to the last."""
    seen, since = 0, time.monotonic()
    while seen < count:
        now = arrivals.count(log)
        if now > seen:
            seen, since = now, time.monotonic()
        assert time.monotonic() - since < STALL_SECONDS, f"{seen} of {count} arrived"
        time.sleep(0.05)
    times = [one.at_ns for one in arrivals.read(log)]
    return (count - 1) * 1e9 / (max(times) - min(times))
