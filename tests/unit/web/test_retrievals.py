"""Retrievals: a task at once, followed to its end, and told of whoever follows it."""

from __future__ import annotations

import threading

import pytest

from router.errors import Refused, Unreachable
from router.flow.retrieving import Retriever, counts, verdict
from router.model.query import MoveProgress
from router.model.station import Station
from router.store.retrievals import LOST_SECONDS, Asked, Counts
from router.store.sqlite_ledger import SqliteLedger
from router.web.retrievals import AT_ONCE, Retrievals, TooMany
from tests.support.store_making import TestClock

PACS = Station("pacs", "dicom")


def progress(status, completed=None, remaining=None, failed=None, warnings=None):
    return MoveProgress(status, "", remaining, completed, failed, warnings)


class Archive:
    """Gives the answers it was made with; an error among them is raised."""

    def __init__(self, *answers, until=None):
        self.answers = answers
        self.until = until
        self.is_closed = False
        self.wanted = None

    def retrieve(self, wanted, wish_to_cancel):
        self.wanted = wanted
        if self.until is not None:
            while not self.until.wait(0.01) and not wish_to_cancel():
                pass
        for one in self.answers:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self):
        self.is_closed = True


class Folder:
    def close(self):
        pass


class Begun:
    def __init__(self, folder):
        self.threads = []
        self.clock = TestClock()
        self.ledger = SqliteLedger.open(folder / "ledger.db", self.clock, "boot-1")
        self.peer = None
        retriever = Retriever(
            self.ledger, self.clock, lambda _: self.peer, lambda _, peer, *how: peer.retrieve(*how)
        )
        self.retrievals = Retrievals(retriever, self.start)

    def start(self, _name, target):
        self.threads.append(threading.Thread(target=target, daemon=True))
        self.threads[-1].start()

    def begin(self, peer, study="1.2.3"):
        self.peer = peer
        return self.task(self.retrievals.begin(PACS, study, "ana"))

    def task(self, number):
        return self.ledger.task(number)

    def end(self):
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def begun(tmp_path):
    made = Begun(tmp_path)
    yield made
    made.retrievals.stop()
    made.end()
    made.ledger.close()


def test_f57_it_is_a_task_at_once_and_is_followed_to_its_end(begun):
    until = threading.Event()
    peer = Archive(progress(0xFF00, 1, 1), progress(0x0000, 2, 0, 0, 1), until=until)
    task = begun.begin(peer)
    assert (task.kind, task.direction, task.status) == ("retrieve", "receive", "In Progress")
    assert (task.station, task.study_instance_uid, task.requester) == ("pacs", "1.2.3", "ana")
    until.set()
    begun.end()
    ended = begun.task(task.task_id)
    assert (ended.status, ended.delivered, ended.objects, ended.waiting) == ("Completed", 3, 3, 0)
    assert ended.ended_at == 1_000_000.0 and "2 sent, 1 sent with warnings" in ended.status_reason
    assert peer.is_closed and peer.wanted.study_instance_uid == "1.2.3"
    assert begun.retrievals.is_busy() is False


def test_what_goes_wrong_is_told_in_the_stations_words(begun):
    one = begun.begin(Archive(Unreachable("pacs: connection refused"))).task_id
    two = begun.begin(Archive(progress(0xA702, 1, 0, 2))).task_id
    begun.end()
    assert begun.task(one).status == "Failed"
    assert begun.task(one).status_reason == "pacs: connection refused"
    task = begun.task(two)
    assert task.status == "Failed" and "0xA702" in task.status_reason
    assert (task.delivered, task.dead, task.objects) == (1, 2, 3)


def test_what_has_no_retrieval_is_refused_and_leaves_no_task(begun):
    with pytest.raises(Refused, match="nothing can be retrieved"):
        begun.begin(Folder())
    assert begun.ledger.tasks() == () and not begun.retrievals.is_busy()


def test_so_many_run_at_once_and_no_more(begun):
    until = threading.Event()
    for _ in range(AT_ONCE):
        begun.begin(Archive(progress(0), until=until))
    with pytest.raises(TooMany, match="run already"):
        begun.begin(Archive())
    assert begun.retrievals.is_busy()
    until.set()
    begun.end()
    begun.begin(Archive(progress(0)))


def test_stopping_has_the_station_told_to_stop_and_waits_for_the_word(begun):
    task = begun.begin(Archive(until=threading.Event()))
    begun.retrievals.stop()
    assert begun.task(task.task_id).status == "Failed"


def test_what_nobody_follows_any_more_has_failed(begun):
    lost = begun.ledger.retrievals.begin(Asked("pacs", "1.2.3", "ana"))
    begun.ledger.retrievals.tell(lost, Counts(remaining=3, completed=4), "4 sent, 3 to come")
    task = begun.task(lost)
    assert (task.status, task.delivered, task.waiting) == ("In Progress", 4, 3)
    assert task.status_reason == "4 sent, 3 to come"
    begun.clock.time += LOST_SECONDS + 1
    task = begun.task(lost)
    assert (task.status, task.waiting, task.dead) == ("Failed", 0, 3)
    assert "ask for it again" in task.status_reason and task.ended_at is None
    begun.begin(Archive(progress(0, 1)))
    assert begun.task(lost).ended_at == begun.clock.time
    begun.ledger.retrievals.tell(lost, Counts(completed=7), "")
    assert begun.task(lost).status == "In Progress", "it was followed after all, by a slow process"


@pytest.mark.parametrize(
    ("last", "failure", "ok", "words"),
    [
        (None, "no route", False, "no route"),
        (None, "", False, "cancelled"),
        (progress(0xFF00, 1), "", False, "cancelled"),
        (progress(0, 3, 0, 0, 0), "", True, "3 sent"),
        (progress(0, 0, 0, 0, 0), "", False, "no such study"),
        (progress(0, 2, 0, 1, 0), "", False, "1 failed"),
        (progress(0xB000, 2, 0, 1, 0), "", False, "not all"),
        (progress(0), "", True, "no counts"),
    ],
)
def test_what_it_came_to(last, failure, ok, words):
    found, message = verdict(last, failure)
    assert found is ok and words in message


def test_counts_are_said_as_far_as_they_were_given():
    assert counts(progress(0, 1, 2, 3, 4)) == "1 sent, 4 sent with warnings, 3 failed, 2 to come"
