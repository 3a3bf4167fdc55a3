"""A search passed on: its end is heard at once, however long the queue would be waited on."""

from __future__ import annotations

import threading
import time

import pytest

from router.dicom.identifier import element_of
from router.errors import Refused, Unreachable
from router.flow import passing_on
from router.flow.passing_on import PassingOn
from router.model.query import Ending, Query
from router.model.station import Station
from router.peers.search import Search

QUERY = Query("STUDY", {0x00100020: element_of(0x00100020, "P1")}, 1000, 60.0)
STATION = Station(name="cloud", kind="dicomweb")
ANSWER = {0x00100020: element_of(0x00100020, "P1"), 0x00080005: element_of(0x00080005, "x")}


class Archive:
    """A station with so many answers, or with an error behind them."""

    def __init__(self, answers: int, error: Exception | None = None) -> None:
        self.answers, self.error, self.closed = answers, error, 0

    def find(self, query, wish_to_cancel):
        def answers():
            for _ in range(self.answers):
                yield dict(ANSWER)
            time.sleep(0.2)  # whoever asked has all there is, and waits
            if self.error is not None:
                raise self.error
            return Ending(False, "complete")

        return Search(answers())

    def close(self) -> None:
        self.closed += 1


def found(archive: Archive) -> list:
    def change(keys):
        return keys

    passed = PassingOn(lambda _: archive, lambda _: (change, change))
    return list(passed.find(STATION, QUERY, lambda: True))


@pytest.mark.parametrize("answers", [0, 1, 64, 200])
def test_f57_the_end_of_a_search_is_heard_when_it_comes(monkeypatch, answers):
    """Each get waits for as long as the test may take: only a word of the end lets it go on."""
    monkeypatch.setattr(passing_on, "SLICE_SECONDS", 3600.0)
    archive, told = Archive(answers), []
    asking = threading.Thread(target=lambda: told.extend(found(archive)), daemon=True)
    asking.start()
    asking.join(30)
    assert not asking.is_alive(), "the end was not heard"
    assert told == [{0x00100020: ANSWER[0x00100020]}] * answers
    assert archive.closed == 1


def test_f57_a_failure_is_heard_when_it_comes_and_tried_twice_at_most(monkeypatch):
    monkeypatch.setattr(passing_on, "SLICE_SECONDS", 3600.0)
    archive, told = Archive(0, Unreachable("gone")), []

    def ask():
        with pytest.raises(Refused, match="does not answer now"):
            found(archive)
        told.append(archive.closed)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(30)
    assert told == [2]
