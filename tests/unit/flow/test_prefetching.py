"""Prefetching: batch after batch in the order that was named, cut off and begun again, and told."""

from __future__ import annotations

import io
import json
import threading
from contextlib import contextmanager

import pytest

from router.clock import Clock
from router.errors import StoreDown, Unreachable
from router.flow.prefetching import NotWanted, Prefetching, wanted_of
from router.store.cache_book import CacheBook
from router.store.prefetches import Brought, Wanted
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from tests.support.inside import plan_of
from tests.support.process import wait_until

SITE = """\
stations:
  cloud: {type: dicomweb, url: "https://cloud.example/x", query_retrieve: true}
  away: {type: dicomweb, url: "https://away.example/x", query_retrieve: true, active: false}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, query_retrieve: true}
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  share: {type: folder, path: /srv/share, send: true}
rules: []
"""


class Site:
    """A book of prefetches, and a `bring` that does with each study what a test says."""

    def __init__(self, folder):
        self.plan = plan_of(folder, SITE)
        self.clock = Clock()
        self.book = CacheBook.open(folder / "ledger" / "ledger.db", self.clock)
        self.text = io.StringIO()
        self.metrics = Metrics()
        self.stop, self.successor = threading.Event(), threading.Event()
        self.come: dict[str, Brought | Exception] = {}
        self.held_back = threading.Event()
        self.held_back.set()
        self.lock = threading.Lock()
        self.asked: list[str] = []
        self.side_by_side = self.most = self.opened = 0

    @contextmanager
    def bringing(self):
        self.opened += 1
        yield self.bring

    def bring(self, station, wanted, goes_on):
        assert station.name == wanted.station
        with self.lock:
            self.asked.append(wanted.study_instance_uid)
            self.side_by_side += 1
            self.most = max(self.most, self.side_by_side)
        try:
            while not self.held_back.wait(0.01):
                if not goes_on():
                    return Brought(failed=1, trouble="cancelled")
            found = self.come.get(wanted.study_instance_uid, Brought(2, 1))
            if isinstance(found, Exception):
                raise found
            return found
        finally:
            with self.lock:
                self.side_by_side -= 1

    def work(self):
        return Prefetching(
            self.plan, self.book, self.bringing, self.clock,
            open_log(self.text, "json", {}), self.metrics, self.stop, self.successor.is_set,
        )  # fmt: skip

    def want(self, *studies, batch=5, cap=15, station="cloud"):
        wanted = [Wanted(station, uid) for uid in studies]
        return self.book.prefetch("ana", wanted, batch, cap).prefetch_id

    def states(self, number):
        return [one.state for one in self.book.find_prefetch(number).items]

    def counted(self, name):
        lines = self.metrics.text().decode().splitlines()
        found = [line for line in lines if line.startswith(f"dicom_router_{name}_total{{")]
        return {line.split('"')[1]: float(line.split()[-1]) for line in found}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.stop.set()
    made.book.close()


def test_f84_items_go_in_batches_in_the_order_they_were_named(site):
    number = site.want(*(f"1.{n}" for n in range(12)), batch=4, cap=10)
    work = site.work()
    assert work.work()
    assert sorted(site.asked[:4]) == ["1.0", "1.1", "1.2", "1.3"]
    assert sorted(site.asked[4:8]) == ["1.4", "1.5", "1.6", "1.7"]
    assert len(site.asked) == 10 and site.most <= 4
    assert site.states(number) == ["done"] * 10 + ["beyond"] * 2
    assert site.book.find_prefetch(number).status == "Completed"
    assert site.opened == 1, "what takes objects is opened once for a list"
    assert not work.work(), "there is nothing more"
    assert site.counted("prefetch_items") == {"done": 10}
    assert site.counted("prefetched_objects") == {"fetched": 20, "held": 10}


def test_what_fails_is_told_and_holds_nobody_up(site):
    site.come = {
        "1.1": Unreachable("no route to host"),
        "1.2": Brought(3, 0, 2, "HTTP 503"),
        "1.3": Brought(trouble="the station holds nothing of that"),
    }
    number = site.want("1.1", "1.2", "1.3", "1.4")
    site.work().work()
    found = site.book.find_prefetch(number)
    assert site.states(number) == ["failed", "failed", "failed", "done"]
    assert [one.brought.trouble for one in found.items][:2] == ["no route to host", "HTTP 503"]
    assert found.items[1].brought.fetched == 3
    assert found.status == "Failed"
    assert site.counted("prefetched_objects") == {"fetched": 5, "held": 1, "failed": 2}
    lines = [json.loads(line) for line in site.text.getvalue().splitlines()]
    assert {line["study"] for line in lines if line["level"] == "warning"} == {"1.1", "1.2", "1.3"}


def test_a_station_that_is_gone_fails_its_items_alone(site):
    number = site.want("1.1", station="away")
    other = site.want("1.2", station="nobody")
    for one in (number, other):
        site.work().work()
        assert site.states(one) == ["failed"]
    assert "may not be asked any more" in site.book.find_prefetch(other).items[0].brought.trouble
    assert site.asked == []


def test_f84_a_cancel_breaks_off_what_is_being_fetched(site):
    site.held_back.clear()
    number = site.want("1.1", "1.2", "1.3", batch=2)
    thread = threading.Thread(target=site.work().work)
    thread.start()
    wait_until(lambda: len(site.asked) == 2, 10)
    assert site.book.find_prefetch(number).status == "In Progress"
    assert site.book.cancel_prefetch(number, "bea")
    thread.join(10)
    assert not thread.is_alive()
    assert site.states(number) == ["cancelled"] * 3
    assert site.book.find_prefetch(number).status == "Cancelled"
    assert len(site.asked) == 2, "the third was never begun"


@pytest.mark.parametrize("by", ["stop", "successor"])
def test_what_a_stop_cuts_off_goes_on_with_whoever_follows(site, by):
    site.held_back.clear()
    number = site.want("1.1", "1.2", "1.3", batch=2)
    thread = threading.Thread(target=site.work().run)
    thread.start()
    wait_until(lambda: len(site.asked) == 2, 10)
    getattr(site, by).set()
    thread.join(10)
    assert not thread.is_alive()
    assert site.states(number) == ["ready"] * 3
    assert site.book.find_prefetch(number).ended_at is None
    site.stop.clear()
    site.successor.clear()
    site.held_back.set()
    site.work().work()
    assert site.states(number) == ["done"] * 3
    assert sorted(site.asked[2:]) == ["1.1", "1.2", "1.3"]


def test_a_store_in_trouble_is_told_and_ends_nothing(site, monkeypatch):
    site.come = {"1.1": StoreDown("the ledger failed")}
    number = site.want("1.1")
    waits = []

    def wait(event, seconds):
        waits.append(seconds)
        if len(waits) > 1:
            site.stop.set()
        return event.is_set()

    monkeypatch.setattr(site.clock, "wait", wait)
    site.work().run()
    assert waits[-1] == 30.0
    assert "prefetching cannot go on" in site.text.getvalue()
    assert site.states(number) == ["ready"]


def test_only_what_can_be_had_is_taken(site):
    assert wanted_of(site.plan, "cloud", "1.2", "1.2.1", "1.2.1.1").sop_instance_uid == "1.2.1.1"
    assert wanted_of(site.plan, "pacs", "1.2") == Wanted("pacs", "1.2")
    for station, *uids in (
        ("nobody", "1.2"), ("away", "1.2"), ("ct-1", "1.2"), ("share", "1.2"), ("cloud", ""),
        ("cloud", "1.2", "", "1.2.3"), ("cloud", "1.2/3"), ("cloud", "1" * 65), ("cloud", "1..2"),
        ("cloud", "1.2", "DOE^JOHN"),
    ):  # fmt: skip
        with pytest.raises(NotWanted):
            wanted_of(site.plan, station, *uids)
