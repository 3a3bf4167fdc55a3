"""Bandwidth: what leaves for one station is spread over time, piece by piece, over all its lanes.

A bucket that fills with the rate and holds a quarter of a second of it: a short pause costs
nothing, a long one earns no burst. Safe for threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from router.clock import Clock
from router.dicom.outgoing import OutgoingDataSet

BURST_SECONDS: Final = 0.25
LEAST_PIECE: Final = 4096


class Bandwidth:
    """At most `bytes_per_second`, on average from any moment on; `stop` ends every wait."""

    def __init__(self, bytes_per_second: int, clock: Clock, stop: threading.Event) -> None:
        self._rate = float(bytes_per_second)
        # A whole chunk at a slow rate would be a silence in which a peer gives up.
        self._piece = max(LEAST_PIECE, int(bytes_per_second * BURST_SECONDS))
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._free_at = clock.monotonic()

    def spread(self, outgoing: OutgoingDataSet) -> OutgoingDataSet:
        """The same data set, whose chunks come no faster than may be."""

        def chunks() -> Iterator[bytes | memoryview]:
            for chunk in outgoing.chunks():
                view = memoryview(chunk)
                for start in range(0, len(view), self._piece):
                    piece = view[start : start + self._piece]
                    self.spend(len(piece))
                    yield piece

        return replace(outgoing, chunks=chunks)

    def spend(self, count: int) -> None:
        """Wait until so many bytes may leave."""
        with self._lock:
            now = self._clock.monotonic()
            begins = max(self._free_at, now - BURST_SECONDS)
            self._free_at = begins + count / self._rate
        if begins > now:
            self._clock.wait(self._stop, begins - now)
