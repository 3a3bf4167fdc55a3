"""A clock that tests move by hand."""

from router.clock import Clock


class HandClock(Clock):
    """Wall and monotonic time move together; jitter is the middle."""

    def __init__(self, at=1_000_000.0):
        self.at = at

    def now(self):
        return self.at

    def monotonic(self):
        return self.at

    def jitter(self, low, high):
        return (low + high) / 2

    def pass_seconds(self, seconds):
        self.at += seconds
