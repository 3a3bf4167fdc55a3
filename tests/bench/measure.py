"""One measurement: a sender, a contestant, a destination; what was done, how fast, at what cost.

Receiving counts from the first byte to the last answer, routing until the last instance is at the
destination. CPU is read a moment later, when work behind the answers is done. Every instance must
be answered with success and, where something is routed, arrive (changed, unless the contestant
changes nothing): AssertionError otherwise.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tests.bench import arrivals
from tests.bench.contestants import RECEIVE, STOW, Target
from tests.bench.sets import INSTANCES_PER_STUDY, DataSets
from tests.bench.usage import MemoryWatch, cpu_seconds, load_average
from tests.support.process import PROJECT, Process, environment, wait_until

SETTLE_SECONDS = 0.3
STALL_SECONDS = 60.0
LATENCY_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. Latencies in milliseconds, empty unless measured; memory in MB."""

    count: int
    per_second: float
    megabytes_per_second: float
    cpu_ms: float
    peak_megabytes: float
    over_idle_megabytes: float
    load_average: float
    latencies_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """A running sink: its port and its log."""

    port: int
    log: Path


@contextmanager
def destination(work: str, folder: Path, *options: str) -> Iterator[Destination]:
    """The sink for a work: STOW-RS or C-STORE, with options of its own."""
    module = "tests.bench.stow_sink" if work == STOW else "tests.bench.sink"
    log, output = folder / "arrivals.log", folder / "sink-process.log"
    process = Process([sys.executable, "-m", module, str(log), *options], output)
    try:
        wait_until(lambda: output.read_text().endswith("\n"), what="the sink listens")
        yield Destination(int(output.read_text()), log)
    finally:
        process.kill()


class Bench:
    """Measures one running contestant again and again; every instance gets a number of its own."""

    def __init__(
        self, target: Target, sink: Destination, work: str, folder: Path, authority: str = ""
    ) -> None:
        self._target = target
        self._sink = sink
        self._work = work
        self._folder = folder
        self._authority = authority
        self._first = 0
        self._turns = itertools.count()

    def measure(
        self, sets: DataSets, count: int, associations: int, *, changes: bool = True
    ) -> Sample:
        """Send `count` instances as fast as they are answered."""
        return self._measure(sets, count, associations, changes, every_seconds=0.0)

    def latency(self, sets: DataSets, count: int, *, changes: bool = True) -> Sample:
        """Send one instance every 50 ms: the time from its last byte to its delivery."""
        return self._measure(sets, count, 1, changes, every_seconds=LATENCY_EVERY_SECONDS)

    def _measure(
        self, sets: DataSets, count: int, associations: int, changes: bool, every_seconds: float
    ) -> Sample:
        first, before = self._first, arrivals.count(self._sink.log)
        self._first = -(-(first + count) // INSTANCES_PER_STUDY) * INSTANCES_PER_STUDY
        sent = self._folder / f"sent-{next(self._turns)}.log"
        job = {
            "port": self._target.port,
            "ae_title": self._target.ae_title,
            "set": sets.as_json(),
            "first": first,
            "count": count,
            "associations": associations,
            "every_seconds": every_seconds,
            "sent": str(sent),
            "authority": self._authority,
        }
        load = load_average()
        with _sender(job) as sender, MemoryWatch(self._target.pid) as memory:
            cpu = cpu_seconds(self._target.pid)
            done = _go(sender)
            assert done["failed"] == 0, f"{done['failed']} instances were not answered by success"
            end_ns = done["end_ns"]
            if self._work != RECEIVE:
                end_ns = self._arrived(before, count, changes)
            time.sleep(SETTLE_SECONDS)
            cpu = cpu_seconds(self._target.pid) - cpu
        seconds = (end_ns - done["begin_ns"]) / 1e9
        return Sample(
            count=count,
            per_second=count / seconds,
            megabytes_per_second=count * sets.megabytes / seconds,
            cpu_ms=cpu * 1000 / count,
            peak_megabytes=memory.peak_bytes / 1e6,
            over_idle_megabytes=(memory.peak_bytes - memory.idle_bytes) / 1e6,
            load_average=load,
            latencies_ms=self._latencies(sent, before) if every_seconds else (),
        )

    def _arrived(self, before: int, count: int, changes: bool) -> int:
        """Wait until `count` more are at the destination: when the last of them came."""
        seen, since = 0, time.monotonic()
        while seen < count:
            now = arrivals.count(self._sink.log) - before
            if now > seen:
                seen, since = now, time.monotonic()
            assert time.monotonic() - since < STALL_SECONDS, f"{seen} of {count} arrived"
            time.sleep(0.002)
        found = list(arrivals.read(self._sink.log, before))
        assert len({one.number for one in found}) == count, "instances are missing or come twice"
        assert all(one.changed for one in found) or not changes, "instances came unchanged"
        return max(one.at_ns for one in found)

    def _latencies(self, sent: Path, before: int) -> tuple[float, ...]:
        began = {one.number: one.at_ns for one in arrivals.read(sent)}
        return tuple(
            (one.at_ns - began[one.number]) / 1e6
            for one in arrivals.read(self._sink.log, before)
            if one.number in began
        )


@contextmanager
def _sender(job: dict[str, object]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.sender", json.dumps(job)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the sender could not associate"
            yield process
        finally:
            process.kill()


def _go(sender: subprocess.Popen[str]) -> dict[str, int]:
    answer, _ = sender.communicate("go\n")
    assert sender.returncode == 0, "the sender failed"
    done: dict[str, int] = json.loads(answer)
    return done


def percentiles(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Median, 95th and 99th percentile of at least two values."""
    cuts = quantiles(values, n=100, method="inclusive")
    return median(values), cuts[94], cuts[98]
