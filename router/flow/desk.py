"""Desk: the leased deliveries of one station between the dispatcher and its lanes.

The dispatcher puts batches on the desk, lanes take them off and hand outcomes back. What a lane
did not begin can be recalled when the station turns out to be away. At an `ordered` station one
study is in the hands of one lane at a time, so that its instances leave in the order they came (P7).
All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

from router.clock import Clock
from router.model.delivery import Leased
from router.model.station import Limits


class Desk:
    """Deliveries leased for one station: waiting for a lane, or in a lane's hands."""

    def __init__(self, limits: Limits, clock: Clock, *, ordered: bool) -> None:
        self._limits = limits
        self._clock = clock
        self._ordered = ordered
        self._studies: Counter[str] = Counter()
        self._waiting: deque[Leased] = deque()
        self._changed = threading.Condition()
        self._in_hand = 0
        self._lanes = 0
        self._closed = False

    def put(self, leased: Sequence[Leased]) -> None:
        """More work from the dispatcher."""
        with self._changed:
            self._waiting.extend(leased)
            self._changed.notify_all()

    def take(self, lanes_allowed: int, patience_seconds: float) -> list[Leased]:
        """The next batch for a lane, bounded by count and bytes.

        Empty when the lane must end: it waited in vain, or there are more lanes than allowed. Such
        a lane is no longer counted.
        """
        with self._changed:
            deadline = self._clock.monotonic() + patience_seconds
            batch: list[Leased] = []
            while self._lanes <= lanes_allowed and not (batch := self._batch()):
                left = deadline - self._clock.monotonic()
                if left <= 0 or self._closed:
                    break
                self._changed.wait(left)
            if not batch:
                self._lanes -= 1
            return batch

    def _batch(self) -> list[Leased]:
        batch: list[Leased] = []
        passed: list[Leased] = []
        room = self._limits.batch_bytes
        while self._waiting and len(batch) < self._limits.batch_instances:
            leased = self._waiting.popleft()
            if self._ordered and self._studies[leased.study_instance_uid]:
                passed.append(leased)
                continue
            if batch and leased.data_set_length > room:
                passed.append(leased)
                break
            room -= leased.data_set_length
            batch.append(leased)
        self._waiting.extendleft(reversed(passed))
        self._studies.update(leased.study_instance_uid for leased in batch)
        self._in_hand += len(batch)
        return batch

    def done(self, leased: Leased) -> None:
        """A lane handed back the outcome of this delivery."""
        study = leased.study_instance_uid
        with self._changed:
            self._in_hand -= 1
            self._studies[study] -= 1
            if not self._studies[study]:
                del self._studies[study]
                self._changed.notify_all()

    def recall(self) -> list[Leased]:
        """Take back everything that no lane has begun."""
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def close(self) -> None:
        """No more work will come: idle lanes end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def outstanding(self) -> int:
        """Deliveries leased and without an outcome."""
        with self._changed:
            return len(self._waiting) + self._in_hand

    def open_lane(self, lanes_allowed: int) -> bool:
        """Count one more lane, if there is work for it and room among those allowed."""
        with self._changed:
            wanted = self._waiting and self._lanes < lanes_allowed
            if wanted:
                self._lanes += 1
            return bool(wanted)

    def lanes(self) -> int:
        """Lanes that run now."""
        with self._changed:
            return self._lanes
