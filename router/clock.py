"""The only source of time and of jitter. Tests hand in a clock of their own.

Wall-clock seconds are for people and rows; monotonic seconds are for deadlines, leases and
back-off, so that a clock step neither fires nor starves a retry.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time


class Clock:
    """The system's clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()

    def minute_of_day(self) -> int:
        """Minutes since midnight, in the local time of this machine."""
        local = time.localtime(self.now())
        return local.tm_hour * 60 + local.tm_min

    def jitter(self, low: float, high: float) -> float:
        """A random number of seconds between the two."""
        return random.uniform(low, high)  # noqa: S311 - spreads load, guards nothing

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait for the event; true when it was set."""
        return event.wait(timeout_seconds)


def iso_time(seconds: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-22T04:58:11Z`."""
    if seconds is None:
        return None
    when = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def local_date_and_time(seconds: float) -> tuple[str, str]:
    """DA and TM (PS3.5 6.2) of a time since the epoch, as clocks on the wall here show it."""
    when = time.localtime(seconds)
    return time.strftime("%Y%m%d", when), time.strftime("%H%M%S", when)
