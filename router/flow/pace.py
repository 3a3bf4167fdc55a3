"""Pace: how fast one station is fed, and when it is left alone. Pure logic over given times.

Named strategies: *slow start* (one lane, one more after every clean batch, up to the station's
limit), *back-off* (the pause after a failure doubles, with jitter, up to a ceiling), *dead-station
memory* (after a lost connection nothing is sent until a probe answers), *patience* (a busy station
is given the time it asked for and half the lanes). Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.clock import Clock

PROBE_FIRST_SECONDS = 1.0
PROBE_MAX_SECONDS = 60.0
BUSY_FIRST_SECONDS = 2.0
BUSY_MAX_SECONDS = 300.0
REFUSED_FIRST_SECONDS = 30.0
REFUSED_MAX_SECONDS = 600.0


@dataclass(slots=True)
class Pace:
    """The pace of one station. One thread at a time calls it (the dispatcher's)."""

    max_lanes: int
    clock: Clock
    lanes: int = 1
    failures: int = 0
    resume_at: float = 0.0
    must_probe: bool = False
    reason: str = ""
    """Why the last try failed; empty once something was taken, or a probe answered, since."""

    def may_send(self) -> bool:
        """Whether deliveries may go out now."""
        return not self.must_probe and self.clock.monotonic() >= self.resume_at

    def pause_seconds(self) -> float:
        """How long nothing is sent from now on."""
        return max(0.0, self.resume_at - self.clock.monotonic())

    def may_probe(self) -> bool:
        """Whether it is time to ask a silent station whether it lives."""
        return self.must_probe and self.clock.monotonic() >= self.resume_at

    def delivered(self, *, clean_batch: bool) -> None:
        """A delivery succeeded: the station lives. A whole clean batch opens one more lane."""
        self.failures = 0
        self.reason = ""
        if clean_batch:
            self.lanes = min(self.max_lanes, self.lanes + 1)

    def unreachable(self, reason: str) -> None:
        """No connection, or it was lost: nothing more until a probe answers."""
        self._pause(PROBE_FIRST_SECONDS, PROBE_MAX_SECONDS, None)
        self.lanes = 1
        self.must_probe = True
        self.reason = reason

    def busy(self, reason: str, retry_after_seconds: float | None) -> None:
        """The station asks for patience: half the lanes, and the pause it named or our own."""
        self._pause(BUSY_FIRST_SECONDS, BUSY_MAX_SECONDS, retry_after_seconds)
        self.lanes = max(1, self.lanes // 2)
        self.reason = reason

    def refused(self, reason: str, retry_after_seconds: float | None) -> None:
        """The station refuses us: a person must act, we only look again from time to time."""
        self._pause(REFUSED_FIRST_SECONDS, REFUSED_MAX_SECONDS, retry_after_seconds)
        self.lanes = 1
        self.reason = reason

    def probe_answered(self) -> None:
        """The station answers again: send, ramped. Failures count on until a delivery succeeds."""
        self.must_probe = False
        self.resume_at = 0.0
        self.reason = ""

    def probe_failed(self, reason: str) -> None:
        """Still silent."""
        self.unreachable(reason)

    def _pause(self, first: float, ceiling: float, asked_for: float | None) -> None:
        self.failures += 1
        delay = min(ceiling, first * 2.0 ** min(self.failures - 1, 30))
        if asked_for is not None:
            delay = max(asked_for, 0.0)
        else:
            delay = self.clock.jitter(delay * 0.75, delay * 1.25)
        self.resume_at = max(self.resume_at, self.clock.monotonic() + delay)
