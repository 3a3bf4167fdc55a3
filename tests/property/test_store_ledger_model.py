"""The ledger against a model of thirty lines: whatever is done in whatever order, they agree."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.model.delivery import Priority, Result, State
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import MORPHED, PLAIN, TestClock, indexed, owed, settled

STATIONS = ("pacs", "cloud")
OPEN = (State.QUEUED, State.SENDING)
AFTER = st.sampled_from([State.QUEUED, State.SENT, State.DELIVERED, State.DEAD, State.QUARANTINED])


class LedgerAndModel(RuleBasedStateMachine):
    """The model: object → (station, recipe) → list of states; and what is leased by id."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.clock = TestClock()
        self.boot = 0
        self.received = self.duplicates = 0
        self.model: dict[int, dict[tuple[str, str], list[State]]] = {}
        self.leased = {}
        self.open()

    def open(self):
        self.boot += 1
        path = self.folder / "ledger.db"
        self.ledger = SqliteLedger.open(path, self.clock, f"boot-{self.boot}")

    @rule(
        number=st.integers(0, 4),
        to=st.lists(
            st.tuples(
                st.sampled_from(STATIONS),
                st.sampled_from([PLAIN, MORPHED]),
                st.sampled_from(Priority),
            ),
            max_size=3,
            unique_by=lambda one: (one[0], one[1].digest),
        ),
    )
    def receive(self, number, to):
        self.ledger.index([indexed(number, *(owed(*one) for one in to))])
        self.received += 1
        self.duplicates += number in self.model
        known = self.model.setdefault(number, {})
        for station, recipe, _ in to:
            states = known.setdefault((station, recipe.digest), [])
            if not set(states) & {*OPEN, State.SENT, State.DELIVERED}:
                states.append(State.QUEUED)

    def change(self, leased, before, after):
        number = int(leased.sop_instance_uid.split(".")[-1])
        states = self.model[number][leased.station, leased.recipe_digest]
        states[states.index(before)] = after

    @rule(station=st.sampled_from(STATIONS), limit=st.integers(0, 3))
    def lease(self, station, limit):
        waiting = self.count()[station, State.QUEUED]
        got = self.ledger.turn((), {station: limit}, self.clock.now())
        assert len(got) == min(limit, waiting)
        for one in got:
            assert one.station == station
            assert one.delivery_id not in self.leased
            self.leased[one.delivery_id] = one
            self.change(one, State.QUEUED, State.SENDING)

    @rule(after=AFTER, pick=st.integers(0, 100))
    def settle(self, after, pick):
        if self.leased:
            key = sorted(self.leased)[pick % len(self.leased)]
            leased = self.leased.pop(key)
            self.ledger.turn([settled(leased, Result.RETRY, after, 0.0)], {}, self.clock.now())
            self.change(leased, State.SENDING, after)

    @rule(station=st.sampled_from(STATIONS))
    def retry(self, station):
        moved = self.ledger.retry(station=station)
        for known in self.model.values():
            for (name, _), states in known.items():
                for place, state in enumerate(states):
                    failed = state in (State.DEAD, State.QUARANTINED)
                    if name == station and failed and not set(states) & {*OPEN, State.SENT}:
                        states[place] = State.QUEUED
                        moved -= 1
        assert moved == 0

    @rule()
    def crash(self):
        self.ledger.close()
        self.open()
        assert self.ledger.release_foreign_leases() == len(self.leased)
        for leased in self.leased.values():
            self.change(leased, State.SENDING, State.QUEUED)
        self.leased.clear()

    def count(self):
        return Counter(
            (station, state)
            for known in self.model.values()
            for (station, _), states in known.items()
            for state in states
        )

    @invariant()
    def agree(self):
        if not hasattr(self, "ledger"):
            return
        account = self.ledger.account()
        assert account.differences == ()
        assert account.instances["received"] == self.received
        assert account.instances["duplicate"] == self.duplicates
        expected = self.count()
        for station in STATIONS:
            counts = account.stations.get(station, Counter())
            for state in State:
                assert counts[state.value] == expected[station, state]
            open_here = sum(expected[station, state] for state in (*OPEN, State.SENT))
            assert sum(task.waiting for task in self.ledger.tasks(station=station)) == open_here

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            shutil.rmtree(self.folder)


LedgerAndModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_p12_the_ledger_agrees_with_its_model = LedgerAndModel.TestCase
