"""Statuses: what is known of each station, from heartbeats and from what was sent to it.

One owner for the row in the ledger, the line in the log and the memory of when a station last
proved that it lives. A change is written at once; what is only said again is not. Any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from router.clock import Clock
from router.errors import StoreFull
from router.model.station import Station
from router.peers.peer import Probe
from router.store.ledger import Ledger, StationState
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

# A status is worth this many times what its heartbeat allows: one beat may be under way.
_FRESH_BEATS = 2.0


class Statuses:
    """The status of every station of a plan."""

    def __init__(
        self, stations: Iterable[Station], ledger: Ledger, clock: Clock, log: Log, metrics: Metrics
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._lock = threading.Lock()
        self._known: dict[str, tuple[StationState, str]] = {}
        self._proven_at: dict[str, float] = {}
        known, now = ledger.station_statuses(), clock.now()
        for station in stations:
            last = known.get(station.name)
            said = (last.state, last.reason) if last is not None else None
            if not station.active:
                self._begin(station.name, ("inactive", "active: false"), said)
            elif (
                last is not None
                and last.state in {"online", "offline"}
                and station.heartbeat.enabled
                and 0 <= now - last.checked_at < _FRESH_BEATS * station.heartbeat.every_seconds
            ):
                # What was known before a restart or a change of the configuration still holds.
                self._known[station.name] = last.state, last.reason
                if last.state == "online":
                    self._proven_at[station.name] = clock.monotonic() - (now - last.checked_at)
            else:
                self._begin(station.name, ("unknown", ""), said)

    def _begin(
        self,
        name: str,
        status: tuple[StationState, str],
        said: tuple[StationState, str] | None,
    ) -> None:
        """Write it unless the ledger says so: thousands of stations cost no start anything."""
        if status == said or self._written(name, *status):
            self._known[name] = status

    def _written(self, name: str, state: StationState, reason: str) -> bool:
        """Whether there was room; without it what was known stays, and the next look says it."""
        try:
            self._ledger.set_station_status(name, state, reason, self._clock.now())
        except StoreFull:
            return False
        return True

    def state(self, name: str) -> StationState:
        """What the station is now."""
        return self._known.get(name, ("unknown", ""))[0]

    def reason(self, name: str) -> str:
        """Why the station is what it is, '' where there is nothing to say."""
        return self._known.get(name, ("unknown", ""))[1]

    def proven_at(self, name: str) -> float | None:
        """When it last showed that it lives (monotonic); None when it never did."""
        return self._proven_at.get(name)

    def measure(self) -> None:
        """Set the gauges: what a station took counts like an answer, since it is not asked then."""
        shift = self._clock.now() - self._clock.monotonic()
        for name, at in dict(self._proven_at).items():
            self._metrics.heartbeat_last_success.labels(name).set(at + shift)

    def online(self, name: str) -> None:
        """It answered a probe, or took an instance."""
        self._proven_at[name] = self._clock.monotonic()
        if self.state(name) != "online":
            self._set(name, "online", "")

    def offline(self, name: str, reason: str) -> None:
        """It does not answer, or refuses us."""
        self._set(name, "offline", reason)

    def closed(self, name: str, words: str) -> None:
        """It is outside its hours, and why; empty: it may be sent to."""
        with suppress(StoreFull):
            if self._ledger.set_station_closed(name, words):
                self._log.info("station hours", station=name, open=not words, reason=words)

    def probed(self, name: str, probe: Probe) -> None:
        """What a probe took and was answered, whatever follows from it."""
        self._metrics.probes.add(name, "answered" if probe.ok else "failed")
        try:
            self._ledger.note_probe(name, probe.seconds, probe.message, self._clock.now())
        except StoreFull:
            return

    def _set(self, name: str, state: StationState, reason: str) -> None:
        with self._lock:
            if self.state(name) == state or not self._written(name, state, reason):
                return
            self._known[name] = state, reason
        self._metrics.station_changes.add(name, state)
        self._log.info("station status", station=name, status=state, reason=reason)
