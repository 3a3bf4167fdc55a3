"""What waits for silence: a study or a series is sent once nothing more of it came for a while."""

from __future__ import annotations

import pytest

from router.model.delivery import Result, State
from router.model.rule import Silence
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import TestClock, indexed, owed, settled

NOW = 1_000_000.0
STUDY, SERIES = Silence("study", 30.0), Silence("series", 30.0)


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def ledger(tmp_path, clock):
    opened = SqliteLedger.open(tmp_path / "ledger.db", clock, "boot-1")
    yield opened
    assert opened.account().differences == ()
    opened.close()


def arrives(ledger, clock, number, at, silence=STUDY, **facts):
    clock.time = at
    return ledger.index([indexed(number, owed(silence=silence), at=at, **facts)])


def leased(ledger, clock, at):
    clock.time = at
    return [int(one.sop_instance_uid.split(".")[-1]) for one in ledger.turn((), {"pacs": 100}, at)]


def test_nothing_leaves_before_the_study_was_silent_and_then_all_in_order(ledger, clock):
    for number, seconds in ((1, 0), (2, 20), (3, 40)):
        arrives(ledger, clock, number, NOW + seconds)
        assert leased(ledger, clock, NOW + seconds + 19) == []
    (task,) = ledger.tasks()
    assert (task.status, task.objects) == ("On Hold", 3)
    assert task.status_reason == "sent when the study has been silent for 30 s"
    assert leased(ledger, clock, NOW + 69.9) == []
    assert leased(ledger, clock, NOW + 70) == [1, 2, 3]


def test_a_late_instance_is_an_addendum_and_nothing_is_sent_again(ledger, clock):
    arrives(ledger, clock, 1, NOW)
    assert leased(ledger, clock, NOW + 31) == [1]
    arrives(ledger, clock, 2, NOW + 32)
    assert leased(ledger, clock, NOW + 33) == []
    assert [task.objects for task in ledger.tasks()] == [1, 1]
    assert leased(ledger, clock, NOW + 62) == [2]


def test_each_series_has_a_silence_of_its_own(ledger, clock):
    arrives(ledger, clock, 1, NOW, SERIES, series_instance_uid="1.2.3.1")
    arrives(ledger, clock, 2, NOW + 20, SERIES, series_instance_uid="1.2.3.2")
    assert leased(ledger, clock, NOW + 31) == [1]
    assert leased(ledger, clock, NOW + 51) == [2]
    assert [task.series_instance_uid for task in ledger.tasks()] == ["1.2.3.2", "1.2.3.1"]


def test_other_routes_of_the_same_study_wait_for_nothing(ledger, clock):
    clock.time = NOW
    ledger.index([indexed(1, owed(silence=STUDY), owed("cloud"), at=NOW)])
    assert len(ledger.turn((), {"pacs": 9, "cloud": 9}, NOW)) == 1


def test_what_comes_once_more_is_no_silence(ledger, clock):
    arrives(ledger, clock, 1, NOW)
    arrives(ledger, clock, 1, NOW + 25)
    assert leased(ledger, clock, NOW + 40) == []
    assert leased(ledger, clock, NOW + 56) == [1]


def test_whoever_resumes_waits_no_longer(ledger, clock):
    arrives(ledger, clock, 1, NOW)
    (task,) = ledger.tasks()
    clock.time = NOW + 5
    assert ledger.resume([task.task_id], by="ana") == 1
    assert ledger.resume([task.task_id], by="ana") == 0
    assert leased(ledger, clock, NOW + 5) == [1]


@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_F10_a_clock_that_was_set_keeps_nothing_back(ledger, clock, seconds):
    arrives(ledger, clock, 1, NOW)
    assert leased(ledger, clock, NOW + seconds) == [1]


def test_a_try_that_failed_goes_again_without_another_silence(ledger, clock):
    arrives(ledger, clock, 1, NOW)
    clock.time = NOW + 31
    (one,) = ledger.turn((), {"pacs": 1}, NOW + 31)
    ledger.turn([settled(one, Result.RETRY, State.QUEUED, NOW + 32)], {}, NOW + 31)
    assert leased(ledger, clock, NOW + 33) == [1]


def test_what_is_read_from_the_journal_much_later_is_parted_as_it_was(ledger, clock):
    clock.time = NOW + 5000
    ledger.index(
        [indexed(n, owed(silence=STUDY), at=NOW + at) for n, at in ((1, 0), (2, 20), (3, 900))]
    )
    assert [task.objects for task in ledger.tasks()] == [1, 2]
    assert leased(ledger, clock, NOW + 5000) == [1, 2, 3]
