"""Indexer: durable records into the ledger, behind the answer, in batches by one thread.

An association hands over a record that is already on stable storage and goes on; this thread puts
whatever is waiting into one transaction and rings the dispatcher. A crash before that costs nothing:
recovery indexes from the segment's mark. A ledger that
cannot be written ends accepting: `check` raises StoreDown and the process ends for supervision, or,
on a full disk, StoreFull until there is room again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.store.ledger import Indexed, Ledger

MAX_BATCH = 256
MAX_WAITING = 4096
FULL_SECONDS = 0.5
DISTANCE_SECONDS = 0.02
BUSY_DISTANCE_SECONDS = 0.06
BUSY_RECORDS = 8


class Indexer:
    """The writer behind the associations of one receiving process."""

    def __init__(
        self, ledger: Ledger, ring: Callable[[], None], stop: threading.Event, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._ring = ring
        self._stop = stop
        self._waiting: deque[Indexed] = deque()
        self._changed = threading.Condition()
        self._broken: str | None = None
        self._full = False
        self._closing = False

    def put(self, entry: Indexed) -> None:
        """Hand over a durable record; waits when the ledger is far behind (back-pressure)."""
        with self._changed:
            while len(self._waiting) >= MAX_WAITING and self._broken is None:
                self._changed.wait(1.0)
            self._waiting.append(entry)
            if len(self._waiting) in {1, MAX_BATCH}:
                self._changed.notify_all()

    def check(self) -> None:
        """Raise StoreDown or StoreFull while the ledger cannot be written: nothing is accepted."""
        if self._broken is not None:
            raise StoreDown(self._broken)
        if self._full:
            raise StoreFull("no room for the ledger")

    def waiting(self) -> int:
        """Records that are durable but not indexed yet."""
        return len(self._waiting)

    def run(self) -> None:
        """The thread: index until told to close and nothing is left.

        The first record after a lull is indexed at once; under load the transactions keep a
        distance, because each of them takes disk syncs away from the associations.
        """
        next_at = 0.0
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait(1.0)
                self._gather(next_at)
                count = min(MAX_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
                self._changed.notify_all()
            self._index(batch)
            distance = BUSY_DISTANCE_SECONDS if count >= BUSY_RECORDS else DISTANCE_SECONDS
            next_at = self._clock.monotonic() + distance

    def _gather(self, until: float) -> None:
        """Wait (holding the condition) for a full batch or the time, whichever is first."""
        while len(self._waiting) < MAX_BATCH and not self._closing:
            left = until - self._clock.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def close(self) -> None:
        """Index what is left and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _index(self, batch: list[Indexed]) -> None:
        while True:
            try:
                self._ledger.index(batch)
            except StoreFull:
                # The records are durable; they wait here, or for recovery, until there is room.
                self._full = True
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait_for(lambda: self._closing, FULL_SECONDS)
                continue
            except StoreDown as error:
                self._broken = f"the ledger cannot be written: {error}"
                self._stop.set()
                raise
            self._full = False
            self._ring()
            return
