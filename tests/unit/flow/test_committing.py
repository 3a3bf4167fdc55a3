"""Committing on a clock of the test's own: whom it speaks with, how often, and what a fault leaves."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from router.errors import Rejected, StoreDown, Unreachable
from router.flow.commitment import Reports
from router.flow.committing import MAX_LOOKS, MAX_STATIONS_AT_ONCE, Committer
from router.flow.statuses import Statuses
from router.model.commitment import CommitmentReport, CommitmentRequest, Reference
from router.model.delivery import Outcome, Result, State
from router.model.query import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, DataElement, Ending
from router.peers.search import Search
from router.store.commitment_requests import CommitmentRequests
from router.store.commitments import CommitmentBook
from router.store.ledger import Settlement
from tests.support.inside import Edge
from tests.support.process import wait_until
from tests.support.store_making import indexed, owed
from tests.unit.flow.clocks import HandClock

CT = "1.2.840.10008.5.1.4.1.1.2"
NAMES = [f"pacs-{number}" for number in range(MAX_STATIONS_AT_ONCE + 2)]
SITE = (
    "stations:\n  ct-1: {ae_title: CT1, host: 10.0.0.1, port: 104}\n"
    + "".join(
        f"  {name}: {{ae_title: {name.upper()}, host: h, port: 104, send: true, commit: true}}\n"
        for name in ("pacs", *NAMES)
    )
    + "  shown: {ae_title: SHOWN, host: h, port: 104, send: true, commit: query}\n"
)


class Neighbour:
    """A station that is asked and reported to; `fault` is what it raises, `gate` holds it up."""

    def __init__(self) -> None:
        self.asked: list[CommitmentRequest] = []
        self.told: list[CommitmentReport] = []
        self.holds: list[str] = []
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def ask_commitment(self, request, asked, _take):
        self.asked.append(request)
        self._pass()
        asked()

    def report_commitment(self, report):
        self._pass()
        self.told.append(report)

    def find(self, query, _wish):
        self.asked.append(query)
        self._pass()
        return Search(self._answers(query))

    def _answers(self, query):
        wanted = {"SERIES": {SERIES_INSTANCE_UID: ["1.1"]}, "IMAGE": {SOP_INSTANCE_UID: self.holds}}
        for tag, found in wanted[query.level].items():
            yield from ({tag: DataElement("UI", (uid,))} for uid in found)
        return Ending(False, "")

    def _pass(self):
        assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault

    def close(self):
        return


class Folder:
    """A station that only takes files."""

    def close(self):
        return


class Site:
    """A committer between neighbours; `turn` is one round, until nobody is spoken with."""

    def __init__(self, folder, site=SITE):
        self.folder = folder
        self.edge = Edge(folder, site, HandClock())
        path = folder / "data" / "ledger" / "ledger.db"
        self.clock, plan = self.edge.clock, self.edge.plan
        self.book = CommitmentBook.open(path, self.clock)
        self.requests = CommitmentRequests.open(path, self.clock)
        self.neighbours = {name: Neighbour() for name in plan.stations}
        self.started: list[str] = []
        edge = self.edge
        reports = Reports(self.requests, self.clock, edge.log, edge.metrics)
        statuses = Statuses(plan.stations.values(), edge.ledger, self.clock, edge.log, edge.metrics)
        start = edge.threads.start

        def counted(name, target):
            self.started.append(name)
            return start(name, target)

        edge.threads.start = counted
        self.committer = Committer(
            plan, self.book, self.requests, reports, lambda one: self.neighbours[one.name],
            statuses, edge.threads, self.clock, edge.log, edge.metrics,
        )  # fmt: skip

    def sent(self, *stations):
        """One object that each of them took and has not committed to keep."""
        number = len(self.started) + 1
        self.edge.ledger.index([indexed(number, *map(owed, stations))])
        leased = self.edge.ledger.turn((), dict.fromkeys(stations, 9), self.clock.now())
        assert len(leased) == len(stations)
        done = [
            Settlement(
                Outcome(
                    one.delivery_id, Result.DELIVERED, sent_as=(CT, one.sop_instance_uid, "1.2.3")
                ),
                None,
                State.SENT,
            )
            for one in leased
        ]
        self.edge.ledger.turn(done, {}, self.clock.now())
        self.clock.pass_seconds(2)
        return leased[0].sop_instance_uid

    def asked_by(self, transaction_uid, *uids, station="ct-1"):
        references = tuple(Reference(CT, uid) for uid in uids)
        return self.book.take(station, CommitmentRequest(transaction_uid, references))

    def turn(self, rounds=1):
        for _ in range(rounds):
            self.committer.turn()
            wait_until(lambda: not self.committer.is_busy(), 10, what="nobody is spoken with")

    def close(self):
        for one in self.neighbours.values():
            one.gate.set()
        self.edge.threads.stop.set()
        self.committer.ring()
        assert self.edge.threads.join(10)
        self.book.close()
        self.requests.close()
        self.edge.close()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_station_that_owes_its_report_is_left_in_peace(site):
    """No thread and no transaction of the ledger a turn while there is nothing to say to it."""
    site.sent("pacs")
    site.turn(10)
    assert len(site.neighbours["pacs"].asked) == 1
    assert site.started == ["commit-ask-pacs"]


def test_stations_that_hang_when_asked_hold_up_no_report(site):
    site.sent(*NAMES)
    for name in NAMES:
        site.neighbours[name].gate.clear()
    site.asked_by("7.1", "1.9")
    site.clock.pass_seconds(11)
    site.committer.turn()
    site.committer.turn()
    assert sum(bool(site.neighbours[name].asked) for name in NAMES) <= MAX_STATIONS_AT_ONCE
    wait_until(lambda: site.neighbours["ct-1"].told, 10, what="the report, while they hang")


def test_stations_that_hang_do_not_for_ever_hold_up_the_others(site):
    """Whoever was asked waits for its report, so that the next ones have their turn."""
    site.sent(*NAMES)
    site.turn(2)
    assert all(len(site.neighbours[name].asked) == 1 for name in NAMES)


def test_a_turn_looks_at_nothing_twice_however_long_that_takes(site, monkeypatch):
    uid = site.sent("pacs")
    for number in range(3):
        site.asked_by(f"7.{number}", uid)
    undecided, looks = site.book.undecided, []

    def slow(commitment_id):
        site.clock.pass_seconds(90)
        looks.append(commitment_id)
        assert len(looks) < 100
        return undecided(commitment_id)

    monkeypatch.setattr(site.book, "undecided", slow)
    for expected in (1, 2, 3):
        site.committer.turn()
        assert len(set(looks)) == expected == len(looks), "the longest waiting first"


def test_what_is_not_found_is_looked_for_later_and_later_and_then_sent_again(site):
    site.sent("shown")
    began, gaps, looks = site.clock.now(), [], 0
    while not site.edge.deliveries().get("queued"):
        site.turn()
        if len(site.neighbours["shown"].asked) > looks:
            looks = len(site.neighbours["shown"].asked)
            gaps.append(round(site.clock.now() - began))
            began = site.clock.now()
        site.clock.pass_seconds(1)
        assert len(gaps) <= MAX_LOOKS
    assert gaps == [0, 30, 60, 120, 240, 480]
    (task,) = site.edge.ledger.tasks()
    assert site.edge.ledger.events_of(task.task_id)[-1].message.startswith("not committed: 0x0112")


def test_a_station_that_cannot_be_searched_settles_nothing(site):
    site.neighbours["shown"].fault = Rejected("C-FIND: 0x0122 SOP class not supported")
    site.sent("shown")
    site.turn(3)
    assert site.edge.deliveries()["sent"] == 1
    (task,) = site.edge.ledger.tasks()
    assert "0x0122" in task.status_reason


def test_a_rejection_note_need_not_be_shown(site):
    """An archive acts upon it, and need not list it: its acknowledgement counts."""
    uid = site.sent("shown")
    with sqlite3.connect(site.folder / "data" / "ledger" / "ledger.db") as ledger:
        ledger.execute("UPDATE instance SET withheld = 'note' WHERE sop_instance_uid = ?", (uid,))
    site.turn()
    assert site.edge.deliveries()["delivered"] == 1


def test_a_report_that_was_given_up_and_asked_for_again_is_tried_again(site):
    site.asked_by("7.1", "1.9")
    site.clock.pass_seconds(11)
    site.neighbours["ct-1"].fault = Unreachable("away")
    site.turn()
    site.clock.pass_seconds(15 * 86400)
    site.turn(2)
    (row,) = site.book.asked_of("1.9")
    assert row.state == "given_up"
    site.asked_by("7.1", "1.9")
    site.turn(2)
    site.clock.pass_seconds(11)
    site.turn(2)
    (row,) = site.book.asked_of("1.9")
    assert row.state == "reporting", "one failure, just after it asked again"
    site.clock.pass_seconds(20)
    site.neighbours["ct-1"].fault = None
    site.turn()
    assert [one.transaction_uid for one in site.neighbours["ct-1"].told] == ["7.1"]


def test_the_same_request_once_more_is_not_told_a_no_that_is_over(site):
    uid = site.sent("pacs")
    site.asked_by("7.1", uid, "1.9")
    site.clock.pass_seconds(8 * 86400)
    site.turn(2)
    (told,) = site.neighbours["ct-1"].told
    assert len(told.failed) == 2
    (asked,) = site.neighbours["pacs"].asked[-1:]
    report = CommitmentReport(asked.transaction_uid, asked.references, {})
    assert site.requests.take_report("pacs", report, 0.0).delivered == 1
    site.asked_by("7.1", uid, "1.9")
    site.clock.pass_seconds(11)
    site.turn(2)
    told = site.neighbours["ct-1"].told[-1]
    assert [one.sop_instance_uid for one in told.committed] == [uid]
    assert {one.sop_instance_uid: why for one, why in told.failed.items()} == {"1.9": 0x0112}


def test_a_station_that_speaks_dicom_no_more_ends_no_process(site, monkeypatch):
    site.asked_by("7.1", "1.9")
    site.clock.pass_seconds(11)
    monkeypatch.setitem(site.neighbours, "ct-1", Folder())
    site.turn(2)
    assert site.edge.crashes == []
    (row,) = site.book.asked_of("1.9")
    assert (row.state, row.attempts) == ("reporting", 1)
    assert "kind dicom" in row.last_error
    monkeypatch.undo()


def test_a_fault_of_the_ledger_is_not_told_as_the_stations(site, monkeypatch):
    site.sent("pacs")

    def down(*_):
        raise StoreDown("the ledger failed")

    monkeypatch.setattr(site.requests, "asked", down)
    site.turn()
    assert site.edge.lines("commitment not asked") == []
    assert site.edge.lines("storage commitment waits")
