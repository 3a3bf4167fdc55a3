"""The segments this process writes: one that small records share, and some for large ones.

A small record is appended to the shared segment as one write. A large one, written while it
arrives, borrows a segment nobody else appends to and gives it back; there are never more of these
than large records at once; their blocks are written by a few threads beside those that receive
them. A segment that reached its size is retired and closed when its last
user has left. The second failed sync breaks the pool for good: a disk that loses writes twice is
no stable storage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from router.errors import StoreDown
from router.store.segment import Segment

_WRITING_THREADS: Final = 8


class SegmentPool:
    """Hands out segments. Safe for threads."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._shared: Segment | None = None
        self._idle: list[Segment] = []
        self._users: dict[Segment, int] = {}
        self._failed: set[int] = set()
        self._closed = False
        self._writing = ThreadPoolExecutor(_WRITING_THREADS, "journal-blocks")

    @property
    def broken(self) -> bool:
        """Stable storage failed twice; nothing is accepted any more."""
        return len(self._failed) >= 2

    def share(self) -> Segment:
        """The shared segment, for one append and its sync; `release` it after. StoreFull/Down."""
        with self._lock:
            segment = self._shared
            if segment is None or segment.sealed_off or segment.end >= self._segment_bytes:
                self.refuse_when_broken()
                if segment is not None:
                    self._shared = None
                    self._close_unused(segment)
                segment = self._shared = self._idle.pop() if self._idle else self._fresh()
            self._users[segment] = self._users.get(segment, 0) + 1
            return segment

    def borrow(self) -> Segment:
        """A segment of one's own until it is released. Raises StoreFull, StoreDown."""
        with self._lock:
            self.refuse_when_broken()
            segment = self._idle.pop() if self._idle else self._fresh()
            self._users[segment] = 1
            return segment

    def write_beside(self, write: Callable[[], None]) -> Future[None]:
        """Have a segment's blocks written while their owner goes on; the result tells how it went."""
        return self._writing.submit(write)

    def release(self, segment: Segment) -> None:
        """Give back a shared or a borrowed segment."""
        with self._lock:
            if segment.sync_failed:
                self._failed.add(segment.number)
            users = self._users.pop(segment) - 1
            if users:
                self._users[segment] = users
            elif segment is not self._shared:
                if self._closed or segment.sealed_off or segment.end >= self._segment_bytes:
                    segment.close()
                else:
                    self._idle.append(segment)

    def close(self) -> None:
        """Close all that nobody uses; the others close when they are released."""
        with self._lock:
            self._closed = True
            for segment in self._idle:
                segment.close()
            self._idle.clear()
            shared, self._shared = self._shared, None
            if shared is not None:
                self._close_unused(shared)

    def _fresh(self) -> Segment:
        return Segment.create(self._folder)

    def _close_unused(self, segment: Segment) -> None:
        if segment not in self._users:
            segment.close()

    def refuse_when_broken(self) -> None:
        """Raise StoreDown when nothing can be accepted any more."""
        if self._closed:
            raise StoreDown("the journal is closed")
        if self.broken:
            raise StoreDown("stable storage failed twice; the router must be restarted")
