"""Heartbeat: every station is asked now and then whether it is there.

One thread keeps the time, a bounded number of others ask, so a station that hangs holds up none.
Each is asked once an interval, ten per cent sooner or later, and not at all while it proves by what
it takes that it lives. One answer that fails is no proof: two more are asked for within 30 s.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from router.clock import Clock
from router.flow.probing import probed
from router.flow.statuses import Statuses
from router.model.station import Station
from router.peers.peer import Peer, Probe
from router.telemetry.log import Log
from router.threads import Threads

CONFIRM_SECONDS = 10.0
CONFIRMATIONS = 2
FIRST_SECONDS = 60.0
MAX_PROBES = 16
_JITTER = 0.1
_TICK_SECONDS = 1.0


@dataclass(slots=True)
class _Beat:
    station: Station
    failed: int = 0


class Heartbeat:
    """Asks the stations of a plan; `run` is the thread. What is found goes to `found`."""

    def __init__(
        self,
        stations: Iterable[Station],
        make_peer: Callable[[Station], Peer],
        statuses: Statuses,
        found: Callable[[str, Probe], None],
        threads: Threads,
        clock: Clock,
        log: Log,
    ) -> None:
        """`found` is told of each answer that counts: good ones, and failures that are confirmed."""
        self._make_peer = make_peer
        self._statuses = statuses
        self._found = found
        self._threads = threads
        self._clock = clock
        self._log = log
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._answers: SimpleQueue[tuple[_Beat, Probe]] = SimpleQueue()
        self._due: list[tuple[float, str, _Beat]] = []
        self._ready: deque[_Beat] = deque()
        self._probing = 0
        now = clock.monotonic()
        for station in stations:
            if station.active and station.heartbeat.enabled:
                self._due.append((now + self._first(station), station.name, _Beat(station)))
        heapq.heapify(self._due)

    def end(self) -> None:
        """Ask nobody any more; what is under way is not waited for."""
        self._ended.set()
        self._wake.set()

    def run(self) -> None:
        """Ask until told to stop."""
        while not (self._threads.stop.is_set() or self._ended.is_set()):
            self._collect()
            now = self._clock.monotonic()
            while self._due and self._due[0][0] <= now:
                self._ready.append(heapq.heappop(self._due)[2])
            while self._ready and self._probing < MAX_PROBES:
                self._begin(self._ready.popleft())
            soonest = self._due[0][0] - now if self._due else _TICK_SECONDS
            self._clock.wait(self._wake, min(_TICK_SECONDS, max(0.01, soonest)))
            self._wake.clear()

    def _first(self, station: Station) -> float:
        every = station.heartbeat.every_seconds
        proven_at = self._statuses.proven_at(station.name)
        if proven_at is not None:
            return max(0.0, proven_at + self._spread(every) - self._clock.monotonic())
        most = min(every, FIRST_SECONDS)
        return self._clock.jitter(most / 2, most)

    def _spread(self, seconds: float) -> float:
        return self._clock.jitter(seconds * (1 - _JITTER), seconds * (1 + _JITTER))

    def _begin(self, beat: _Beat) -> None:
        """Ask, unless it proved meanwhile that it lives."""
        every = beat.station.heartbeat.every_seconds
        proven_at = self._statuses.proven_at(beat.station.name)
        if proven_at is not None and not beat.failed:
            left = proven_at + every * (1 - _JITTER) - self._clock.monotonic()
            if left > 0:
                self._again(beat, left + every * _JITTER)
                return
        self._probing += 1
        self._threads.start(f"heartbeat-{beat.station.name}", partial(self._probe, beat))

    def _probe(self, beat: _Beat) -> None:
        answer = probed(beat.station, self._make_peer, self._clock, self._log)
        self._answers.put((beat, answer))
        self._wake.set()

    def _collect(self) -> None:
        while True:
            try:
                beat, probe = self._answers.get_nowait()
            except Empty:
                return
            self._probing -= 1
            self._answered(beat, probe)

    def _answered(self, beat: _Beat, probe: Probe) -> None:
        name, every = beat.station.name, beat.station.heartbeat.every_seconds
        self._statuses.probed(name, probe)
        beat.failed = 0 if probe.ok else beat.failed + 1
        was_offline = self._statuses.state(name) == "offline"
        if probe.ok or was_offline or beat.failed > CONFIRMATIONS:
            self._found(name, probe)
            self._again(beat, self._spread(every))
        else:
            self._log.info("probe failed, asked again", station=name, reason=probe.message)
            self._again(beat, min(CONFIRM_SECONDS, every))

    def _again(self, beat: _Beat, seconds: float) -> None:
        at = self._clock.monotonic() + seconds
        heapq.heappush(self._due, (at, beat.station.name, beat))
