"""Retrievals: answered at once, followed to their end, told also by the process that comes after."""

from __future__ import annotations

import threading

import pytest

from router.errors import Unreachable
from router.flow.retrieving import counts, verdict
from router.model.query import MoveProgress
from router.web.retrievals import AT_ONCE, KEPT, Retrievals, TooMany
from tests.support.store_making import TestClock


def progress(status, completed=None, remaining=None, failed=None, warnings=None):
    return MoveProgress(status, "", remaining, completed, failed, warnings)


class Station:
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


class Begun:
    def __init__(self, folder):
        self.threads = []
        self.retrievals = Retrievals(folder, TestClock(), self.start)

    def start(self, _name, target):
        self.threads.append(threading.Thread(target=target, daemon=True))
        self.threads[-1].start()

    def end(self):
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def test_it_is_followed_to_its_end(tmp_path):
    begun = Begun(tmp_path)
    station = Station(progress(0xFF00, 1, 1), progress(0x0000, 2, 0, 0, 0))
    told = begun.retrievals.begin(station, "pacs", "1.2.3", "ana")
    assert (told.state, told.number, told.requester) == ("In Progress", 1, "ana")
    begun.end()
    (ended,) = begun.retrievals.told()
    assert (ended.state, ended.completed, ended.ended_at) == ("Completed", 2, 1_000_000.0)
    assert station.is_closed and station.wanted.study_instance_uid == "1.2.3"
    assert begun.retrievals.is_busy() is False


def test_what_goes_wrong_is_told_in_the_stations_words(tmp_path):
    begun = Begun(tmp_path)
    begun.retrievals.begin(Station(Unreachable("pacs: connection refused")), "pacs", "1.2", "ana")
    begun.end()
    begun.retrievals.begin(Station(progress(0xA702)), "pacs", "1.2", "ana")
    begun.end()
    two, one = begun.retrievals.told()
    assert (one.state, one.message) == ("Failed", "pacs: connection refused")
    assert two.state == "Failed" and "0xA702" in two.message and two.number == 2


def test_so_many_run_at_once_and_no_more(tmp_path):
    begun, until = Begun(tmp_path), threading.Event()
    for _ in range(AT_ONCE):
        begun.retrievals.begin(Station(progress(0), until=until), "pacs", "1.2", "ana")
    with pytest.raises(TooMany, match="run already"):
        begun.retrievals.begin(Station(), "pacs", "1.2", "ana")
    assert begun.retrievals.is_busy()
    until.set()
    begun.end()
    begun.retrievals.begin(Station(progress(0)), "pacs", "1.2", "ana")
    begun.end()


def test_stopping_has_the_station_told_to_stop(tmp_path):
    begun = Begun(tmp_path)
    begun.retrievals.begin(Station(until=threading.Event()), "pacs", "1.2", "ana")
    begun.retrievals.stop()
    begun.end()
    assert begun.retrievals.told()[0].state == "Failed"


def test_the_next_process_tells_of_it_and_the_oldest_are_forgotten(tmp_path):
    begun = Begun(tmp_path)
    for _ in range(KEPT + 3):
        begun.retrievals.begin(Station(progress(0, 1)), "pacs", "1.2", "ana")
        begun.end()
    told = Begun(tmp_path).retrievals.told()
    assert [one.number for one in told] == list(range(KEPT + 3, 3, -1))
    (tmp_path / "retrieval-99.json").write_text("{broken")
    assert len(Begun(tmp_path).retrievals.told()) == KEPT


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
