"""Looking for what was sent: what counts as there, and when nothing can be said."""

from __future__ import annotations

import pytest

from router.errors import DeliveryError, Rejected, Unreachable
from router.flow.looking import look_for
from router.model.commitment import COMMITTED, Reference
from router.model.query import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Ending,
)
from router.peers.search import Search
from tests.unit.flow.clocks import HandClock

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


class Archive:
    """Answers from `held`: (study, series, instance, class), at most `cut` images in one list."""

    def __init__(self, *held, cut=1000, whole_series=True):
        self.held, self.cut, self.whole_series = held, cut, whole_series
        self.queries = []
        self.fault = None

    def find(self, query, _wish):
        self.queries.append(query)
        return Search(self._answers(query))

    def _answers(self, query):
        if self.fault is not None:
            raise self.fault
        asked = {tag: element.text for tag, element in query.keys.items() if element.text}
        found = {}
        for study, series, uid, sop_class in self.held:
            one = {STUDY_INSTANCE_UID: study, SERIES_INSTANCE_UID: series}
            if query.level == "IMAGE":
                one |= {SOP_INSTANCE_UID: uid, SOP_CLASS_UID: sop_class}
            if all(one[tag] == value for tag, value in asked.items()):
                found[tuple(one.values())] = one
        for one in list(found.values())[: self.cut]:
            yield {tag: DataElement("UI", (value,)) for tag, value in one.items() if value}
        whole = self.whole_series if query.level == "SERIES" else len(found) <= self.cut
        return Ending(not whole, "")

    def close(self):
        return


def looked(archive, *uids, study="1", seconds=60.0, stop=False):
    wanted = {Reference(CT, uid): study for uid in uids}
    found = look_for(archive, wanted, seconds, HandClock(), lambda: stop)
    return {one.sop_instance_uid: reason for one, reason in found.items()}


def test_what_is_in_any_series_of_its_study_is_there():
    archive = Archive(("1", "1.1", "a", CT), ("1", "1.2", "b", CT), ("2", "2.1", "c", CT))
    assert looked(archive, "a", "b", "c") == {"a": COMMITTED, "b": COMMITTED, "c": 0x0112}


def test_no_more_series_are_asked_for_than_it_takes():
    archive = Archive(("1", "1.1", "a", CT), ("1", "1.2", "b", CT))
    looked(archive, "a")
    assert [query.level for query in archive.queries] == ["SERIES", "IMAGE"]


def test_another_class_is_a_conflict_and_none_is_taken_as_the_same():
    archive = Archive(("1", "1.1", "a", MR), ("1", "1.1", "b", ""))
    assert looked(archive, "a", "b") == {"a": 0x0119, "b": COMMITTED}


def test_what_a_cut_list_does_not_show_is_asked_for_by_its_uid():
    held = [("1", "1.1", f"1.{number}", CT) for number in range(9)]
    archive = Archive(*held, cut=3)
    assert looked(archive, "1.1", "1.7", "9.9") == {
        "1.1": COMMITTED, "1.7": COMMITTED, "9.9": 0x0112,
    }  # fmt: skip
    assert len(archive.queries) == 4


def test_a_list_of_series_that_is_not_whole_says_nothing_of_what_is_missing():
    archive = Archive(("1", "1.1", "a", CT), whole_series=False)
    assert looked(archive, "a") == {"a": COMMITTED}
    with pytest.raises(DeliveryError, match="not whole"):
        looked(archive, "b")


def test_a_study_that_a_server_does_not_know_has_nothing_in_it():
    archive = Archive()
    archive.fault = Rejected("QIDO-RS: 404 Not Found", 404)
    assert looked(archive, "a") == {"a": 0x0112}
    for fault in (Rejected("QIDO-RS: 401", 401), Unreachable("away")):
        archive.fault = fault
        with pytest.raises(type(fault)):
            looked(archive, "a")


def test_a_search_that_ends_early_says_nothing():
    with pytest.raises(Unreachable):
        looked(Archive(), "a", stop=True)
    with pytest.raises(Unreachable):
        looked(Archive(), "a", seconds=0)
