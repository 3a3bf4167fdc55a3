"""Work that is looked for again and again, in one process at a time: audit, webhooks, prefetches.

A generation of roles that retires leaves it to the next one, and a stop cuts it off; what is left
stands in the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from router.clock import Clock
from router.errors import StoreDown, StoreFull
from router.telemetry.log import Log


def take_turns(
    turn: Callable[[], float],
    clock: Clock,
    stop: threading.Event,
    has_successor: Callable[[], bool],
) -> None:
    """Turn after turn until told to stop, or until another does it.

    A turn gives the seconds until the next one.
    """
    wait_seconds = 0.0
    while not clock.wait(stop, wait_seconds) and not has_successor():
        wait_seconds = turn()


def unless_in_trouble(
    turn: Callable[[], float], log: Log, trouble: str, trouble_seconds: float
) -> Callable[[], float]:
    """The same turn; a store in trouble is told in these words, and looked at again after a while."""

    def careful() -> float:
        try:
            return turn()
        except (StoreDown, StoreFull) as error:
            log.error(trouble, reason=str(error))  # noqa: TRY400 - the reason is all there is
            return trouble_seconds

    return careful
