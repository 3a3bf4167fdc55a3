"""Housekeeping: the journal within its bounds, the ballast in place, old events gone.

Eviction never touches what a delivery still needs; see `router.store.eviction`.
"""

from __future__ import annotations

import threading

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.model.plan import StoreSettings
from router.store.eviction import evict
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.room import Room
from router.telemetry.log import Log

EVERY_SECONDS = 30.0
SOON_SECONDS = 2.0
KEEP_EVENTS_SECONDS = 90 * 86400.0


class Housekeeping:
    """One thread that tidies up from time to time."""

    def __init__(
        self,
        settings: StoreSettings,
        journal: Journal,
        ledger: Ledger,
        room: Room,
        clock: Clock,
        log: Log,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._ledger = ledger
        self._room = room
        self._clock = clock
        self._log = log
        self._stop = stop

    def run(self) -> None:
        """Tidy until told to stop. A store that cannot be written is told and tried again."""
        wait_seconds = EVERY_SECONDS
        while not self._clock.wait(self._stop, wait_seconds):
            try:
                wait_seconds = SOON_SECONDS if self.tidy() else EVERY_SECONDS
            except (StoreDown, StoreFull) as error:
                self._log.error("housekeeping failed", reason=str(error))

    def tidy(self) -> bool:
        """One round; whether room is short, so that the next should come soon."""
        self._room.tend()
        wanted_bytes = 0
        try:
            self._room.check()
        except StoreFull:
            wanted_bytes = self._settings.segment_bytes
        now = self._clock.now()
        evicted = evict(self._journal, self._ledger, self._settings, now, wanted_bytes)
        if evicted.segments:
            self._log.info(
                "segments evicted",
                segments=evicted.segments,
                freed_bytes=evicted.freed_bytes,
                moved_records=evicted.moved_records,
            )
        self._ledger.prune_events(now - KEEP_EVENTS_SECONDS)
        return wanted_bytes > 0
