"""Events for webhooks: from the ledger's own transactions, in order, bounded, without a patient."""

from __future__ import annotations

import json

import pytest

from router.model.delivery import Result, State
from router.store import webhooks
from router.store.sqlite_ledger import SqliteLedger
from router.store.webhooks import HookBook
from tests.support.store_making import TestClock, indexed, owed, settled

NOW = 1_000_000.0


class Site:
    def __init__(self, folder):
        self.clock = TestClock(NOW)
        self.ledger = SqliteLedger.open(folder / "ledger.db", self.clock, "boot")
        self.book = HookBook.open(folder / "ledger.db")
        self.book.register(["ops"])

    def taken(self, events=()):
        """Everything the hook would get, in order."""
        found = []
        while (one := self.book.next("ops", events)) is not None:
            found.append((one.event, dict(one.data)))
            self.book.done("ops", one.event_id)
        return found


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.book.close()
    made.ledger.close()


def test_f50_a_station_that_changes_is_an_event_and_one_that_stays_is_none(site):
    for state in ("online", "online", "offline", "unknown", "inactive"):
        site.ledger.set_station_status("pacs", state, "a peer's words: DOE^JANE", NOW)
    found = site.taken()
    assert [event for event, _ in found] == ["station.online", "station.offline", "station.unknown"]
    assert all(data == {"station": "pacs"} for _, data in found)


def test_a_task_is_told_once_it_has_ended_and_been_quiet(site):
    site.ledger.index([indexed(number, owed()) for number in range(3)])
    leased = site.ledger.turn((), {"pacs": 9}, NOW)
    for one in leased:
        site.ledger.turn([settled(one, message="DOE^JANE")], {}, NOW)
    assert site.book.note_tasks(NOW, 10.0) == 0
    assert site.book.note_tasks(NOW + 11, 10.0) == 1
    assert site.book.note_tasks(NOW + 22, 10.0) == 0
    ((event, data),) = site.taken()
    assert (event, data["delivered"], data["failed"], data["station"]) == (
        "task.completed", 3, 0, "pacs",
    )  # fmt: skip
    told = json.dumps(data)
    assert "1.2.3" not in told and "DOE" not in told


def test_a_task_that_failed_is_told_so_and_again_when_a_retry_fails(site):
    site.ledger.index([indexed(1, owed()), indexed(2, owed())])
    one, two = site.ledger.turn((), {"pacs": 9}, NOW)
    site.ledger.turn([settled(one), settled(two, Result.DEAD, State.DEAD)], {}, NOW)
    site.book.note_tasks(NOW + 11, 10.0)
    site.ledger.retry()
    (again,) = site.ledger.turn((), {"pacs": 9}, NOW)
    site.ledger.turn([settled(again, Result.DEAD, State.DEAD)], {}, NOW + 20)
    site.book.note_tasks(NOW + 31, 10.0)
    assert [(e, d["delivered"], d["failed"]) for e, d in site.taken()] == [
        ("task.failed", 1, 1)
    ] * 2


def test_a_task_that_somebody_cancelled_is_no_event(site):
    site.ledger.index([indexed(1, owed())])
    (task,) = site.ledger.tasks()
    assert site.ledger.cancel([task.task_id], "ana") == 1
    assert site.book.note_tasks(NOW + 11, 10.0) == 1
    assert site.taken() == []


def test_a_new_hook_begins_now_and_one_that_is_gone_is_forgotten(site):
    site.book.note("router.started", {}, NOW)
    site.book.register(["ops", "late"])
    assert site.book.next("late", ()) is None
    site.book.note("router.stopped", {}, NOW)
    assert site.book.next("late", ()).event == "router.stopped"
    site.book.register(["late"])
    assert site.book.next("ops", ()) is None


def test_a_hook_gets_only_what_it_asked_for_and_keeps_its_attempts(site):
    site.book.note("router.started", {}, NOW)
    site.book.note("task.failed", {"task": 1}, NOW)
    one = site.book.next("ops", {"task.failed"})
    assert (one.event, one.attempts) == ("task.failed", 0)
    site.book.failed("ops", one.event_id, NOW + 5)
    again = site.book.next("ops", {"task.failed"})
    assert (again.event_id, again.attempts, again.due_at) == (one.event_id, 1, NOW + 5)
    site.book.done("ops", one.event_id)
    assert site.taken() == []


def test_events_are_bounded_and_what_was_never_got_is_counted(site, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_EVENTS", 5)
    for number in range(8):
        site.book.note("task.failed", {"task": number}, NOW)
    assert site.book.prune(NOW, {"ops": ()}) == {"ops": 3}
    assert [data["task"] for _, data in site.taken()] == [3, 4, 5, 6, 7]
    site.book.note("task.failed", {"task": 9}, NOW)
    assert site.book.prune(NOW + 40 * 86_400.0, {"ops": ()}) == {"ops": 1}


def test_what_a_hook_did_not_ask_for_is_not_missed(site, monkeypatch):
    """A hook for failures alone never moves past what it does not want."""
    monkeypatch.setattr(webhooks, "MOST_EVENTS", 2)
    for event in ("task.completed", "task.failed", "station.online", "station.offline"):
        site.book.note(event, {}, NOW)
    assert site.book.prune(NOW, {"ops": {"certificate.expiring"}}) == {}
    site.book.note("task.completed", {}, NOW)
    site.book.note("task.completed", {}, NOW)
    assert site.book.prune(NOW, {"ops": {"station.online", "station.offline"}}) == {"ops": 2}


def test_who_retires_while_its_message_is_under_way_takes_nothing_back(site):
    """Its successor told the same message and the next: its own late answer moves no mark."""
    for number in range(3):
        site.book.note("task.failed", {"task": number}, NOW)
    slow = site.book.next("ops", ())
    site.book.done("ops", slow.event_id)
    second = site.book.next("ops", ())
    site.book.done("ops", second.event_id)
    site.book.done("ops", slow.event_id)
    site.book.failed("ops", slow.event_id, NOW + 900)
    last = site.book.next("ops", ())
    assert (last.data["task"], last.attempts, last.due_at) == (2, 0, 0)


def test_what_is_told_once_is_told_once(site):
    told = [site.book.note_once("certificate x 30", "certificate.expiring", {}, NOW) for _ in "ab"]
    assert told == [True, False]
    assert len(site.taken()) == 1
