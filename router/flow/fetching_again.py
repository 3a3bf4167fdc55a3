"""Fetching again: what was held, was let go of and is asked for comes from a station that has it.

By WADO-RS it is kept and asks no rule; by C-MOVE it arrives like anything of its station. Whoever
asks for what another fetches right now waits for that: a station is asked once. A station that
failed is left alone for a moment, so that its time-outs do not hold up everybody.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from router.clock import Clock
from router.errors import Busy, RouterError
from router.flow.fetching import Fetcher
from router.flow.retrieving import moved
from router.model.plan import Plan
from router.model.query import ObjectName, Retrieval
from router.model.station import Station
from router.peers.peer import Peer
from router.peers.search import Fetchable, Retrievable
from router.store.cache_book import CacheBook
from router.store.evicted import Evicted
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

MOST_ASKERS: Final = 16
FETCH_SECONDS: Final = 120.0
INDEX_SECONDS: Final = 20.0
QUIET_SECONDS: Final = 10.0
_SLICE_SECONDS: Final = 0.05


class NotNow(RouterError):
    """A station has it and does not give it now."""

    http_status = 503


class FetchingAgain:
    """Brings back what was evicted. Shared by threads, one of which is every asker."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        make_peer: Callable[[Station], Peer],
        fetcher: Fetcher,
        book: CacheBook,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._make_peer = make_peer
        self._fetcher = fetcher
        self._book = book
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._never = threading.Event()
        self._askers = threading.BoundedSemaphore(MOST_ASKERS)
        self._lock = threading.Lock()
        self._coming: dict[str, threading.Event] = {}
        self._quiet_until: dict[str, float] = {}

    def knows_of(self, study: str, series: str | None, instance: str | None) -> bool:
        """Whether something of that was held and was let go of. Raises StoreDown."""
        return bool(self._book.evicted(study, series, instance))

    def lacking(self, study: str, series: str | None, instance: str | None) -> tuple[int, str]:
        """Bring back what of that was evicted; how much still lacks, and why a station does not give it.

        The reason is '' where no station that may be asked has it. Raises Busy where too many wait,
        StoreDown.
        """
        wanted = self._of_stations(study, series, instance)
        if not any(stations for _, stations in wanted):
            return len(wanted), ""
        if not self._askers.acquire(blocking=False):
            raise Busy("too many wait for what is fetched again")
        try:
            reason = self._brought(wanted)
        finally:
            self._askers.release()
        left = len(self._book.evicted(study, series, instance))
        self._metrics.cache_requests.add("miss", amount=len(wanted) - left)
        return left, reason if left else ""

    def _of_stations(
        self, study: str, series: str | None, instance: str | None
    ) -> list[tuple[ObjectName, list[Station]]]:
        return [
            (one.name, self._askable(one)) for one in self._book.evicted(study, series, instance)
        ]

    def _askable(self, one: Evicted) -> list[Station]:
        known = (self._plan().stations.get(name) for name in one.stations)
        return [station for station in known if station is not None and station.may_be_asked]

    def _brought(self, wanted: Sequence[tuple[ObjectName, list[Station]]]) -> str:
        """Why what still lacks did not come, in the words of the station that was asked last."""
        reason = ""
        with self._claimed([name for name, stations in wanted if stations]) as mine:
            # What came between the look and the claim is not asked for once more.
            absent = mine & self._still(wanted[0][0].study_instance_uid)
            left = {name: stations for name, stations in wanted if name in absent}
            while left:
                by_station: defaultdict[str, list[ObjectName]] = defaultdict(list)
                stations: dict[str, Station] = {}
                for name, (first, *_) in left.items():
                    by_station[first.name].append(name)
                    stations[first.name] = first
                for station_name, names in by_station.items():
                    failed, words = self._asked(stations[station_name], names)
                    reason = words or reason
                    for name in names:
                        others = left.pop(name)[1:]
                        if name.sop_instance_uid in failed and others:
                            left[name] = others
        return reason or "it did not come"

    @contextmanager
    def _claimed(self, names: Sequence[ObjectName]) -> Iterator[set[ObjectName]]:
        """Those that nobody fetches yet; when the block ends, what others fetch has been waited for."""
        mine, theirs, done = set[ObjectName](), list[threading.Event](), threading.Event()
        with self._lock:
            for name in names:
                other = self._coming.setdefault(name.sop_instance_uid, done)
                if other is done:
                    mine.add(name)
                else:
                    theirs.append(other)
        try:
            yield mine
        finally:
            with self._lock:
                for name in mine:
                    del self._coming[name.sop_instance_uid]
            done.set()
        until = self._clock.monotonic() + FETCH_SECONDS
        for other in theirs:
            self._clock.wait(other, max(0.0, until - self._clock.monotonic()))

    def _asked(self, station: Station, names: Sequence[ObjectName]) -> tuple[set[str], str]:
        """The SOP Instance UIDs that did not come from the station, and why."""
        everything = {one.sop_instance_uid for one in names}
        if self._quiet_until.get(station.name, 0.0) > self._clock.monotonic():
            return everything, f"{station.name} did not answer a moment ago"
        peer = self._make_peer(station)
        try:
            if isinstance(peer, Fetchable):
                failed, reason = self._fetched(station, peer, names)
            elif isinstance(peer, Retrievable):
                failed, reason = self._moved(peer, names)
            else:
                return everything, ""
        except RouterError as error:
            failed, reason = everything, str(error)
            if error.scope == "station":
                self._quiet_until[station.name] = self._clock.monotonic() + QUIET_SECONDS
        finally:
            peer.close()
        came = len(names) - len(failed)
        if came:
            self._indexed([one for one in names if one.sop_instance_uid not in failed])
        tell = self._log.warning if failed else self._log.info
        tell(
            "fetched again what had been evicted",
            station=station.name, fetched=came, failed=len(failed), reason=reason,
        )  # fmt: skip
        return failed, f"{station.name}: {reason}" if reason else ""

    def _fetched(
        self, station: Station, peer: Fetchable, names: Sequence[ObjectName]
    ) -> tuple[set[str], str]:
        steps = self._fetcher.fetch(
            station, peer, names, lambda: True, is_routed=False, deadline_seconds=FETCH_SECONDS
        )
        (told,) = deque(steps, maxlen=1)
        return set(told.failed), told.reason

    def _moved(self, peer: Retrievable, names: Sequence[ObjectName]) -> tuple[set[str], str]:
        """One C-MOVE of the lowest level that names all of them; what came is told by the ledger."""
        study = names[0].study_instance_uid
        all_series = {one.series_instance_uid for one in names}
        series = all_series.pop() if len(all_series) == 1 else ""
        instance = names[0].sop_instance_uid if len(names) == 1 else ""
        wanted = Retrieval(study, series, FETCH_SECONDS, instance)
        _, words = moved(peer, wanted, lambda: False)
        return {one.sop_instance_uid for one in names} if words else set(), words

    def _indexed(self, names: Sequence[ObjectName]) -> None:
        """What is durable is in the ledger a moment later."""
        until = self._clock.monotonic() + INDEX_SECONDS
        wanted, study = set(names), names[0].study_instance_uid
        while wanted & self._still(study) and self._clock.monotonic() < until:
            self._clock.wait(self._never, _SLICE_SECONDS)

    def _still(self, study: str) -> set[ObjectName]:
        return {one.name for one in self._book.evicted(study, None, None)}
