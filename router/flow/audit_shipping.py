"""Shipping the audit trail to a syslog receiver, in order, from where it was last received.

The trail itself is the queue: what the receiver has not shown to have read is sent again, however
long it was away. One thread; at least once, never zero. A message that was damaged on disk does not
hold up those behind it: it is missing from the sequence, and told in the log and the metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.flow.turns import take_turns
from router.store.audit import AuditTrail
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics
from router.telemetry.syslog import SyslogRecord

BATCH: Final = 200
LOOK_SECONDS: Final = 1.0
FIRST_WAIT_SECONDS: Final = 1.0
MOST_WAIT_SECONDS: Final = 300.0

Ship = Callable[[Sequence[SyslogRecord]], None]


class AuditShipping:
    """`run` is its thread. `ship` sends a batch and raises OSError or ValueError when it failed."""

    def __init__(
        self,
        trail: AuditTrail,
        ship: Ship,
        clock: Clock,
        log: Log,
        metrics: Metrics,
        stop: threading.Event,
        has_successor: Callable[[], bool],
    ) -> None:
        self._trail = trail
        self._ship = ship
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._stop = stop
        self._has_successor = has_successor
        self._failures = 0

    def run(self) -> None:
        """Ship until told to stop, or until another does it."""
        take_turns(self.turn, self._clock, self._stop, self._has_successor)

    def turn(self) -> float:
        """Ship one batch; how many seconds to wait before the next."""
        try:
            number = self.ship_batch()
        except (OSError, ValueError, StoreDown, StoreFull) as error:
            self._failures += 1
            self._metrics.audit_shipped.add("failed")
            if self._failures == 1:
                self._log.error("the audit trail cannot be shipped", reason=_reason(error))
            wait = FIRST_WAIT_SECONDS * 2.0 ** min(self._failures - 1, 20)
            return self._clock.jitter(0.5, 1.0) * min(wait, MOST_WAIT_SECONDS)
        if self._failures:
            self._log.info("the audit trail is shipped again", messages=number)
            self._failures = 0
        return 0.0 if number == BATCH else LOOK_SECONDS

    def ship_batch(self) -> int:
        """Ship what is next; how many rows that passed. Raises as `ship`."""
        rows = self._trail.after(self._trail.head().shipped_id, BATCH)
        if not rows:
            return 0
        whole = [(row, text) for row, text in rows if text is not None]
        if whole:
            self._ship([SyslogRecord(row.at, row.audit_id, text) for row, text in whole])
        self._trail.shipped(rows[-1][0].audit_id)
        self._metrics.audit_shipped.add("read", amount=len(whole))
        if damaged := [row.audit_id for row, text in rows if text is None]:
            self._metrics.audit_shipped.add("damaged", amount=len(damaged))
            self._log.error(
                "audit messages were changed on disk and cannot be shipped; run: audit verify",
                messages=len(damaged),
                first=damaged[0],
            )
        return len(rows)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
