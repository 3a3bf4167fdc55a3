"""Receive tasks: one study as one sender hands it in; complete after thirty seconds of silence."""

from __future__ import annotations

import sqlite3

import pytest

from router.model.delivery import Priority
from router.model.instance import Source
from router.model.task import TaskFilter
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import TestClock, indexed, owed

NOW = 1_000_000.0
ALL, RECEIVES = TaskFilter(), TaskFilter(direction="receive")


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def ledger(tmp_path, clock):
    opened = SqliteLedger.open(tmp_path / "ledger.db", clock, "boot-1")
    yield opened
    assert opened.account().differences == ()
    opened.close()


def arrives(ledger, number, at, **facts):
    ledger.index([indexed(number, at=at, **facts)])


def told(ledger):
    return [(one.objects, one.delivered, one.status) for one in ledger.tasks(wanted=RECEIVES)]


def test_f67_f72_a_receive_is_at_nothing_until_thirty_seconds_pass_and_then_whole(ledger, clock):
    arrives(ledger, 1, NOW)
    arrives(ledger, 2, NOW + 25)
    clock.time = NOW + 54
    (task,) = ledger.tasks(wanted=RECEIVES)
    assert (task.kind, task.station, task.requester) == ("receive", "ct-1", "ct-1")
    assert (task.objects, task.delivered, task.status) == (2, 0, "In Progress")
    assert (task.started_at, task.ended_at) == (NOW, None)
    assert task.status_reason == "complete when 30 s pass without another object"
    clock.time = NOW + 56
    (task,) = ledger.tasks(wanted=RECEIVES)
    assert (task.objects, task.delivered, task.status) == (2, 2, "Completed")
    assert (task.status_reason, task.ended_at) == ("", NOW + 25)


def test_f67_what_comes_later_is_another_receive(ledger, clock):
    arrives(ledger, 1, NOW)
    arrives(ledger, 2, NOW + 31)
    clock.time = NOW + 32
    assert told(ledger) == [(1, 0, "In Progress"), (1, 1, "Completed")]


def test_studies_and_senders_are_kept_apart_and_what_comes_twice_is_counted(ledger, clock):
    arrives(ledger, 1, NOW)
    arrives(ledger, 1, NOW)
    arrives(ledger, 2, NOW, study="1.9")
    arrives(ledger, 3, NOW, source=Source("lan", "UNKNOWN", "EDGE", "10.0.0.2"))
    clock.time = NOW + 60
    found = [(one.station, one.objects) for one in ledger.tasks(wanted=RECEIVES)]
    assert sorted(found) == [("UNKNOWN", 1), ("ct-1", 1), ("ct-1", 2)]


def test_one_batch_of_long_ago_is_parted_as_it_came(ledger, clock):
    clock.time = NOW + 9000
    ledger.index([indexed(n, at=NOW + at) for n, at in ((1, 0), (2, 10), (3, 100), (4, 101))])
    assert told(ledger) == [(2, 2, "Completed"), (2, 2, "Completed")]


def test_f69_a_receive_is_neither_retried_nor_cancelled_nor_hurried(ledger, clock):
    ledger.index([indexed(1, owed(), at=NOW)])
    (task,) = ledger.tasks(wanted=RECEIVES)
    ids = [task.task_id]
    assert ledger.cancel(ids, "ana") == ledger.retry(ids) == ledger.hold(ids, "ana") == 0
    assert ledger.prioritise(ids, Priority.HIGH, "ana") == 0
    assert [one.direction for one in ledger.tasks(wanted=ALL)] == ["send", "receive"]
    assert [one.direction for one in ledger.tasks()] == ["send"]


@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_F10_a_clock_that_was_set_leaves_no_receive_in_progress_for_ever(ledger, clock, seconds):
    arrives(ledger, 1, NOW)
    clock.time = NOW + seconds
    assert told(ledger) == [(1, 1, "Completed")]


def test_a_ledger_of_before_takes_receives_and_refuses_other_words(ledger, tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE task SET kind = 'other' WHERE task_id > 0")
            connection.execute(
                "INSERT INTO task (kind, priority, station, requester, study_instance_uid, "
                "created_at, last_modified_at) VALUES ('other', 0, '', '', '', 0, 0)"
            )
