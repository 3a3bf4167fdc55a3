"""Rates: differences of counters, over restarts and changes of the configuration."""

from __future__ import annotations

import json
import threading

import pytest

from router.web.rates import STEP_SECONDS, Rates
from tests.support.store_making import TestClock


class Sampled:
    """Rates with a clock of their own; each value is one sample."""

    def __init__(self, folder, values):
        self.clock = TestClock()
        self.values = list(values)
        self.stop = threading.Event()
        self.clock.wait = self.wait
        self.rates = Rates(self.read, self.clock, folder)
        self.rates.run(self.stop)

    def read(self):
        return {"received": self.values.pop(0)}

    def wait(self, event, seconds):
        assert seconds == STEP_SECONDS
        if not self.values:
            event.set()
        else:
            self.clock.time += seconds
        return event.is_set()


def test_growth_is_a_rate_and_the_latest_is_last(tmp_path):
    told = Sampled(tmp_path, [0, 0, 60, 60, 60]).rates.per_second("received", points=361)
    assert len(told) == 361
    assert sum(told) * STEP_SECONDS == pytest.approx(60)
    assert [n for n, value in enumerate(reversed(told)) if value] == [2]


def test_a_counter_that_begins_anew_is_no_negative_rate(tmp_path):
    told = Sampled(tmp_path, [100, 5, 15]).rates.per_second("received")
    assert min(told) == 0 and sum(told) * 60 == pytest.approx(10, rel=0.01)


def test_a_new_process_goes_on_with_the_picture(tmp_path):
    before = Sampled(tmp_path, [0, 30])
    after = Sampled(tmp_path, [30, 45])
    after.clock.time = before.clock.time
    assert sum(after.rates.per_second("received")) * 60 == pytest.approx(45, rel=0.01)
    assert after.rates.per_second("unheard of") == [0.0] * 60


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '[["x", 1]]'])
def test_what_was_kept_and_cannot_be_read_is_left(tmp_path, content):
    (tmp_path / "rates.json").write_text(content)
    assert sum(Sampled(tmp_path, [0, 1]).rates.per_second("received")) > 0
    assert len(json.loads((tmp_path / "rates.json").read_text())) == 2


def test_an_hour_is_the_most_that_is_kept(tmp_path):
    Sampled(tmp_path, range(500))
    assert len(json.loads((tmp_path / "rates.json").read_text())) == 361
