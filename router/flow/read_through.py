"""Read-through: what a DICOMweb station holds, handed out as if it were held here (protocols 5.3).

The station says what there is; what it gave before and is still here is not asked for again; the
rest is fetched and kept in the journal under the station's own hooks, until room is needed. The
list is asked for in a thread of its own, so that a slow server never keeps a C-CANCEL waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Final

from router.clock import Clock
from router.errors import DeliveryError, Refused
from router.flow.fetching import Fetched, Fetcher
from router.flow.passing_on import told_to_requester
from router.flow.querying import Change, asked
from router.flow.supply import Batch
from router.model.query import ObjectName, Query
from router.model.station import Station
from router.model.status import OUT_OF_RESOURCES
from router.peers.search import Fetchable
from router.store.ledger import HeldVersion, Ledger
from router.telemetry.metrics import Metrics

MAX_READS: Final = 8
LIST_SECONDS: Final = 120.0
INDEX_SECONDS: Final = 20.0
FIRST_BATCH: Final = 64
_SLICE_SECONDS: Final = 0.2


class ReadThrough:
    """Supplies what stations hold. Shared by threads; `change` is a station's retrieve_request."""

    def __init__(
        self,
        make_peer: Callable[[Station], Fetchable],
        change: Callable[[Station], Change],
        fetcher: Fetcher,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._make_peer = make_peer
        self._change = change
        self._fetcher = fetcher
        self._ledger = ledger
        self._clock = clock
        self._never = threading.Event()
        self._slots = threading.BoundedSemaphore(MAX_READS)
        self._lists = ThreadPoolExecutor(MAX_READS, thread_name_prefix="list")

    def supply(
        self, station: Station, query: Query, goes_on: Callable[[], bool]
    ) -> Generator[Batch, None, None]:
        """What the query names, as it comes here. Raises Refused or BadDataset without a list."""
        if not self._slots.acquire(blocking=False):
            raise Refused("too many retrievals of this kind at once", OUT_OF_RESOURCES)
        peer = self._make_peer(station)
        try:
            names = yield from self._listed(station, peer, query, goes_on)
            here = self._held(station, names)
            absent = [one for one in names if one.sop_instance_uid not in here]
            self._metrics.cache_requests.add("hit", amount=len(here))
            self._metrics.cache_requests.add("miss", amount=len(absent))
            yield Batch(tuple(here.values()), to_come=len(absent))
            if absent:
                yield from self._brought(station, peer, absent, goes_on)
        finally:
            peer.close()
            self._slots.release()

    def _listed(
        self, station: Station, peer: Fetchable, query: Query, goes_on: Callable[[], bool]
    ) -> Generator[Batch, None, Sequence[ObjectName]]:
        """Batches of nothing while the list is awaited, which is what comes back."""
        wanted = replace(asked(query, self._change(station)), deadline_seconds=LIST_SECONDS)
        listing = self._lists.submit(peer.listed, wanted, lambda: not goes_on())
        while goes_on():
            try:
                return listing.result(_SLICE_SECONDS)
            except NotYet:
                yield Batch(())
            except DeliveryError as error:
                raise told_to_requester(error) from error
        return ()

    def _brought(
        self,
        station: Station,
        peer: Fetchable,
        names: Sequence[ObjectName],
        goes_on: Callable[[], bool],
    ) -> Iterator[Batch]:
        """The absent ones as they arrive: in few batches, each larger than the one before."""
        given: set[str] = set()
        failed = 0
        size = FIRST_BATCH
        told = Fetched(len(names))
        for told in self._fetcher.fetch(station, peer, names, goes_on, is_routed=False):
            fresh: tuple[HeldVersion, ...] = ()
            if told.completed - len(given) >= size:
                fresh = self._fresh(station, names, given)
                size *= 2
            news, failed = told.failed[failed:], len(told.failed)
            left = len(names) - len(given) - failed
            yield Batch(fresh, tuple(news), left)
        # What is durable is in the ledger a moment later.
        until = self._clock.monotonic() + INDEX_SECONDS
        while len(given) < told.completed and self._clock.monotonic() < until:
            fresh = self._fresh(station, names, given)
            yield Batch(fresh, (), len(names) - len(given) - failed)
            if not fresh:
                self._clock.wait(self._never, _SLICE_SECONDS)
        lost = {one.sop_instance_uid for one in names} - given - set(told.failed)
        yield Batch((), tuple(sorted(lost)))

    def _fresh(
        self, station: Station, names: Iterable[ObjectName], given: set[str]
    ) -> tuple[HeldVersion, ...]:
        wanted = [one for one in names if one.sop_instance_uid not in given]
        found = self._held(station, wanted)
        given.update(found)
        return tuple(found.values())

    def _held(self, station: Station, names: Iterable[ObjectName]) -> dict[str, HeldVersion]:
        """What is here of these, as it came from the station, by SOP Instance UID."""
        wanted = {one.sop_instance_uid: one for one in names}
        studies = {one.study_instance_uid for one in wanted.values()}
        return {
            version.sop_instance_uid: version
            for study in sorted(studies)
            for version in self._ledger.held_versions(study)
            if version.sop_instance_uid in wanted and version.source_station == station.name
        }
