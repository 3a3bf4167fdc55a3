"""Refetching: what was fetched from a station and turns out damaged here is fetched from it once more.

The ledger's instance gets the record that came, when its bytes are those that were booked; whoever
reads it goes on as if nothing had happened. Everything else stays an error: no other bytes are given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from router.clock import Clock
from router.errors import RouterError
from router.flow.fetching import Fetcher
from router.model.instance import RETRIEVED
from router.model.plan import Plan
from router.model.query import ObjectName
from router.model.station import Station
from router.peers.peer import Peer
from router.peers.search import Fetchable
from router.store.cache_book import CacheBook
from router.store.journal import Journal
from router.store.ledger import Ledger, Stored
from router.store.verifying import fault_of
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics

FETCH_SECONDS: Final = 60.0
INDEX_SECONDS: Final = 20.0
_SLICE_SECONDS: Final = 0.1


class Refetching:
    """Mends what is held. Shared by threads; one at a time is mended."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        make_peer: Callable[[Station], Peer],
        fetcher: Fetcher,
        journal: Journal,
        ledger: Ledger,
        book: CacheBook,
        clock: Clock,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._plan = plan
        self._make_peer = make_peer
        self._fetcher = fetcher
        self._journal = journal
        self._ledger = ledger
        self._book = book
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._lock = threading.Lock()
        self._never = threading.Event()

    def mended(self, instance_id: int) -> bool:
        """Whether the instance can be read again; false where it came from nobody we can ask."""
        with self._lock:
            held = self._ledger.instance(instance_id)
            if held is None or held.record is None:
                return False
            reason = fault_of(self._journal, held)
            if not reason:  # somebody else has mended it meanwhile
                return True
            station = self._station(held)
            if station is None:
                return False
            self._log.error(
                "a held instance is damaged: fetched once more",
                instance=instance_id, station=station.name, reason=reason,
            )  # fmt: skip
            is_mended = self._fetch(station, held) and self._is_healed(held)
            self._metrics.cache_requests.add("refetched" if is_mended else "lost")
            return is_mended

    def _station(self, held: Stored) -> Station | None:
        source = held.instance.source
        if source.listener != RETRIEVED or source.station is None:
            return None
        station = self._plan().stations.get(source.station)
        return station if station is not None and station.may_be_asked else None

    def _fetch(self, station: Station, held: Stored) -> bool:
        instance = held.instance
        name = ObjectName(
            instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
        )
        peer = self._make_peer(station)
        try:
            if not isinstance(peer, Fetchable):
                return False
            completed = 0
            for told in self._fetcher.fetch(
                station, peer, [name], lambda: True, is_routed=False,
                deadline_seconds=FETCH_SECONDS,
            ):  # fmt: skip
                completed = told.completed
                if told.reason:
                    self._log.error("it cannot be fetched once more", reason=told.reason)
        except RouterError as error:
            self._log.error("it cannot be fetched once more", reason=str(error))
            return False
        finally:
            peer.close()
        return completed == 1

    def _is_healed(self, held: Stored) -> bool:
        # What is durable is in the ledger a moment later.
        until = self._clock.monotonic() + INDEX_SECONDS
        while not self._book.heal(held.instance_id, held.instance.content_digest):
            newest = self._ledger.find_instances(held.instance.sop_instance_uid)[-1]
            if newest.instance.content_digest != held.instance.content_digest:
                self._log.error("the station has another version now", instance=held.instance_id)
                return False
            if self._clock.wait(self._never, _SLICE_SECONDS) or self._clock.monotonic() > until:
                return False
        return True
