"""Pace and settle against what they promise, whatever a station answers and however time passes.

One delivery and one station: the machine sends when it may, and checks after every step that a
station in trouble is left alone, that its trouble burns no attempt, and that nothing waits for ever.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.flow.pace import BUSY_MAX_SECONDS, PROBE_MAX_SECONDS, REFUSED_MAX_SECONDS, Pace
from router.flow.settle import LEAST_ATTEMPTS, settle
from router.model.delivery import Leased, Outcome, Priority, Result, State
from router.model.instance import RecordRef
from router.model.station import Retry, Station
from router.peers.status import attempt_limit
from tests.support.store_making import TestClock

RETRY = Retry(first_seconds=10, factor=3, max_seconds=120, give_up_seconds=3600)
PACS = Station("pacs", "dicom", retry=RETRY)
MAX_LANES = 5
STATUSES = st.sampled_from([None, 0x0110, 0xC211, 0x0213, 408, 500])
SECONDS = st.floats(0, 900, allow_nan=False)


class DrawnClock(TestClock):
    """Stands still until told; jitter is at one end or the other."""

    high = False

    def jitter(self, low, high):
        return high if self.high else low


class Sending(RuleBasedStateMachine):
    """A delivery on its way, and the pace of its station."""

    @initialize(high=st.booleans())
    def begin(self, high):
        self.clock = DrawnClock()
        self.clock.high = high
        self.pace = Pace(MAX_LANES, self.clock)
        self.state = State.QUEUED
        self.attempts = self.object_failures = 0
        self.created_at = self.due_at = self.clock.now()
        self.probes_failed = 0

    def leased(self):
        return Leased(
            *(1, 1, "pacs", "none", Priority.MEDIUM, self.attempts, self.created_at),
            RecordRef(1, 0, 100),
            *("1.2", "1.2.3", "1.2.4", "1.2.840.10008.1.2.1", 10),
        )

    def may_go(self):
        due = self.due_at <= self.clock.now()
        return self.state is State.QUEUED and due and self.pace.may_send()

    def settle(self, result, status=None, **words):
        before = self.attempts
        settled = settle(
            Outcome(1, result, "words", status, **words), self.leased(), PACS, self.clock
        )
        self.attempts += settled.count_attempt
        self.state = settled.state
        if settled.due_at is not None:
            self.due_at = settled.due_at
        return settled, before

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.clock.time += seconds

    @precondition(lambda self: self.may_go())
    @rule(clean_batch=st.booleans())
    def delivered(self, clean_batch):
        lanes = self.pace.lanes
        self.settle(Result.DELIVERED)
        self.pace.delivered(clean_batch=clean_batch)
        assert self.state is State.DELIVERED
        assert self.pace.lanes == (min(MAX_LANES, lanes + 1) if clean_batch else lanes)
        assert self.pace.failures == 0
        # The next object of the same station takes its place.
        self.state, self.attempts = State.QUEUED, 0
        self.created_at = self.due_at = self.clock.now()

    @precondition(lambda self: self.may_go())
    @rule(status=STATUSES)
    def the_object_fails(self, status):
        settled, before = self.settle(Result.RETRY, status)
        assert self.attempts == before + 1
        aged = self.clock.now() - self.created_at > RETRY.give_up_seconds
        expired = aged and self.attempts >= LEAST_ATTEMPTS
        limit = attempt_limit(status)
        if expired or (limit is not None and self.attempts >= limit):
            assert self.state is State.DEAD
            self.state, self.attempts = State.QUEUED, 0
            self.created_at = self.due_at = self.clock.now()
        else:
            wait = settled.due_at - self.clock.now()
            assert 0 < wait <= RETRY.max_seconds
            assert wait >= min(RETRY.max_seconds, RETRY.first_seconds) * 0.5

    @precondition(lambda self: self.may_go())
    @rule(
        result=st.sampled_from([Result.BUSY, Result.UNREACHABLE, Result.HOLD]),
        asked=st.none() | st.floats(-5, 7200, allow_nan=False),
    )
    def the_station_fails(self, result, asked):
        lanes, now = self.pace.lanes, self.clock.monotonic()
        _, before = self.settle(result, retry_after_seconds=asked)
        assert (self.state, self.attempts) == (State.QUEUED, before), "not the object's fault"
        if result is Result.UNREACHABLE:
            self.pace.unreachable("reset")
            assert not self.pace.may_send()
            assert self.pace.lanes == 1
            ceiling = PROBE_MAX_SECONDS
        elif result is Result.BUSY:
            self.pace.busy("later", asked)
            assert self.pace.lanes == max(1, lanes // 2)
            ceiling = BUSY_MAX_SECONDS
        else:
            self.pace.refused("who are you", asked)
            assert self.pace.lanes == 1
            ceiling = REFUSED_MAX_SECONDS
        wait = self.pace.resume_at - now
        if result is not Result.UNREACHABLE and asked is not None:
            assert wait >= max(asked, 0.0) - 1e-6, "at least what it asked for"
            assert wait <= max(asked, 0.0) + 1e-6
        else:
            assert 0 < wait <= ceiling * 1.25

    @precondition(lambda self: self.pace.may_probe())
    @rule(ok=st.booleans())
    def a_probe_comes_back(self, ok):
        failures = self.pace.failures
        if ok:
            self.pace.probe_answered()
            assert self.pace.may_send()
            assert self.pace.lanes == 1, "ramped"
            assert self.pace.failures == failures, "an echo is not yet a delivery"
        else:
            self.pace.probe_failed("silence")
            assert not self.pace.may_send()
            assert not self.pace.may_probe(), "not again at once"

    @invariant()
    def bounds_hold(self):
        if hasattr(self, "pace"):
            assert 1 <= self.pace.lanes <= MAX_LANES
            assert not (self.pace.may_send() and self.pace.may_probe())
            assert self.state in {State.QUEUED}

    @invariant()
    def nothing_waits_for_ever(self):
        """After the longest pause anybody may ask for, it is sent or the station is probed."""
        if not hasattr(self, "pace"):
            return
        now = self.clock.time
        self.clock.time = max(self.pace.resume_at, self.due_at, now) + 0.001
        assert self.may_go() or self.pace.may_probe()
        self.clock.time = now


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
