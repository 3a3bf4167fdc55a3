"""Fetching again: what was let go of comes back from a station that has it, asked once."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from router.clock import Clock
from router.errors import Busy, Unreachable
from router.flow import fetching_again as module
from router.flow.fetching import Fetched
from router.flow.fetching_again import FetchingAgain
from router.model.delivery import Result, State
from router.model.instance import RETRIEVED, Source
from router.model.query import MoveProgress
from router.store.cache_book import CacheBook
from router.store.choosing import Choice
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from tests.support.inside import plan_of
from tests.support.store_making import MORPHED, open_store, owed, settled

SITE = """\
stations:
  cloud: {type: dicomweb, url: "https://cloud.example/x", query_retrieve: true}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true, query_retrieve: true}
  mute: {ae_title: MUTE, host: mute.example, port: 104, send: true}
  away: {type: dicomweb, url: "https://away.example/x", query_retrieve: true, active: false}
rules: []
"""
STUDY = "1.2.3"


class Cloud:
    """Its objects are fetched one by one; the fetcher of this test does it."""

    def listed(self, _query, _wish):
        raise AssertionError("the names are known")

    @contextmanager
    def fetch(self, _name, _seconds):
        yield None

    def close(self):
        """Nothing is open."""


class Archive:
    """Sends what it is asked for by C-MOVE, and says so."""

    def __init__(self, site):
        self.site = site

    def retrieve(self, wanted, _wish):
        self.site.asked.append(("pacs", wanted.series_instance_uid, wanted.sop_instance_uid))
        for number in self.site.moves:
            self.site.keep(number, station="pacs", listener="lan")
        status = 0 if self.site.moves else 0xA702
        yield MoveProgress(status, "", 0, len(self.site.moves), 0, 0, ())

    def close(self):
        """Nothing is open."""


class Site:
    def __init__(self, folder):
        self.store = open_store(folder, clock=Clock())
        self.book = CacheBook.open(folder / "ledger" / "ledger.db", self.store.clock)
        self.text, self.metrics = io.StringIO(), Metrics()
        self.asked, self.moves, self.trouble = [], [], None
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()
        self.plan = plan_of(folder / "site", SITE)
        peers = {"dicomweb": Cloud(), "dicom": Archive(self)}
        self.again = FetchingAgain(
            lambda: self.plan, lambda station: peers[station.kind],
            SimpleNamespace(fetch=self.fetch), self.book, self.store.clock,
            open_log(self.text, "json", {}), self.metrics,
        )  # fmt: skip

    def keep(self, number, *deliveries, station="cloud", listener=RETRIEVED):
        source = Source(listener, "X", "EDGE", "", station)
        return self.store.keep(
            number, b"x%d" % number, *(deliveries or [owed("mute")]), source=source
        )

    def held(self, *numbers, **options):
        """Kept, delivered, and let go of."""
        for number in numbers:
            self.keep(
                number, *options.get("deliveries", ()), station=options.get("station", "cloud")
            )
        for leased in self.store.ledger.turn((), {"mute": 9, "pacs": 9}, self.store.clock.now()):
            done = settled(leased, Result.DELIVERED, State.DELIVERED)
            self.store.ledger.turn([done], {}, 0.0)
        assert self.book.forget(Choice(STUDY)) == len(numbers)

    def fetch(self, station, _peer, names, _goes_on, *, is_routed, deadline_seconds):
        assert not is_routed and deadline_seconds > 0
        self.asked += [(station.name, name.sop_instance_uid) for name in names]
        self.begun.set()
        assert self.goes_on.wait(10)
        if self.trouble is not None:
            raise self.trouble
        for name in names:
            self.keep(int(name.sop_instance_uid.rpartition(".")[2]))
        yield Fetched(0, len(names))


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.book.close()
    made.store.close()


def uid(number):
    return f"1.2.826.0.1.{number}"


def test_f75_it_comes_from_where_it_came(site):
    site.held(1, 2)
    assert site.again.lacking(STUDY, None, uid(2)) == (0, "")
    assert site.asked == [("cloud", uid(2))]
    assert site.again.lacking(STUDY, f"{STUDY}.1", None) == (0, "")
    assert site.asked == [("cloud", uid(2)), ("cloud", uid(1))]
    assert site.again.lacking(STUDY, None, None) == (0, "") and len(site.asked) == 2
    assert site.again.lacking("9.9", None, None) == (0, "")
    assert 'cache_requests_total{result="miss"} 2.0' in site.metrics.text().decode()


def test_f75_or_from_a_station_that_acknowledged_it_as_it_came(site):
    site.held(1, 2, 3, deliveries=(owed("pacs"),), station=None)
    site.moves = [1, 2, 3]
    assert site.again.lacking(STUDY, None, None) == (0, "")
    assert site.asked == [("pacs", f"{STUDY}.1", "")], "one C-MOVE of the series"


def test_one_object_alone_is_named(site):
    site.held(1, 2, deliveries=(owed("pacs"),), station=None)
    site.moves = [2]
    assert site.again.lacking(STUDY, None, uid(2)) == (0, "")
    assert site.asked == [("pacs", f"{STUDY}.1", uid(2))]


@pytest.mark.parametrize(
    ("deliveries", "station"),
    [
        ((owed("pacs", MORPHED),), None),  # it has another object
        ((owed("mute"),), None),  # it may not be asked
        ((owed("mute"),), "away"),
        ((owed("mute"),), "gone"),
    ],
)
def test_nobody_is_asked_who_has_it_not_or_may_not_be(site, deliveries, station):
    site.held(1, deliveries=deliveries, station=station)
    assert site.again.lacking(STUDY, None, None) == (1, "")
    assert site.asked == []


def test_what_was_rejected_or_shredded_is_not_fetched(site):
    site.held(1, 2)
    with site.book.database.write() as connection:
        connection.execute("UPDATE instance SET withheld = '113039' WHERE instance_id = 1")
    assert [one.name.sop_instance_uid for one in site.book.evicted(STUDY)] == [uid(2)]
    site.book.shred(site.store.journal, site.store.ledger, STUDY, "ana")
    assert site.again.lacking(STUDY, None, None) == (0, "")
    assert site.asked == []
    site.keep(3)
    site.store.ledger.turn(
        [
            settled(one, Result.DELIVERED, State.DELIVERED)
            for one in site.store.ledger.turn((), {"mute": 9}, site.store.clock.now())
        ],
        {},
        0.0,
    )
    assert site.book.forget(Choice(STUDY)) == 1
    assert len(site.book.evicted(STUDY)) == 1, "what came afterwards is another matter"


def test_many_who_ask_at_once_ask_once(site):
    site.held(1, 2)
    site.goes_on.clear()
    found = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(site.again.lacking(STUDY, None, one)))
        for one in (None, uid(1), uid(2), None, uid(1))
    ]
    threads[0].start()
    assert site.begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    site.goes_on.set()
    for thread in threads:
        thread.join(20)
    assert found == [(0, "")] * 5
    assert sorted(site.asked) == [("cloud", uid(1)), ("cloud", uid(2))]


def test_a_station_in_trouble_is_told_of_and_left_alone_for_a_moment(site, monkeypatch):
    site.held(1)
    site.trouble = Unreachable("connection refused")
    left, reason = site.again.lacking(STUDY, None, None)
    assert (left, "cloud: connection refused" in reason) == (1, True)
    left, reason = site.again.lacking(STUDY, None, None)
    assert (left, "a moment ago" in reason, len(site.asked)) == (1, True, 1)
    monkeypatch.setattr(site.store.clock, "monotonic", lambda: Clock().monotonic() + 60)
    site.trouble = None
    assert site.again.lacking(STUDY, None, None) == (0, "")


def test_the_next_station_is_asked_where_one_fails(site):
    site.held(1, deliveries=(owed("pacs"),))
    site.trouble, site.moves = Unreachable("connection refused"), [1]
    assert site.again.lacking(STUDY, None, None) == (0, "")
    assert [one[0] for one in site.asked] == ["cloud", "pacs"]


def test_so_many_may_wait(site, monkeypatch):
    site.held(1)
    monkeypatch.setattr(site.again, "_askers", threading.BoundedSemaphore(1))
    site.goes_on.clear()
    first = threading.Thread(target=lambda: site.again.lacking(STUDY, None, None))
    first.start()
    assert site.begun.wait(5)
    with pytest.raises(Busy):
        site.again.lacking(STUDY, None, None)
    site.goes_on.set()
    first.join(10)
    assert module.MOST_ASKERS < 40, "the threads that answer are not all taken"


def test_who_waited_for_another_in_vain_hears_that_it_did_not_come(site):
    site.held(1)
    site.goes_on.clear()
    site.trouble = Unreachable("connection refused")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(site.again.lacking(STUDY, None, uid(1))))
        for _ in range(2)
    ]
    threads[0].start()
    assert site.begun.wait(5)
    threads[1].start()
    while site.again._askers._value > module.MOST_ASKERS - 2:
        threads[1].join(0.02)
    site.goes_on.set()
    for thread in threads:
        thread.join(20)
    assert len(found) == 2 and all(left == 1 and reason for left, reason in found)
