"""Refetching: a damaged entry gets its own bytes again from where it came, or stays an error."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from router.clock import Clock
from router.errors import Unreachable
from router.flow import refetching as module
from router.flow.fetching import Fetched
from router.flow.refetching import Refetching
from router.model.instance import RETRIEVED, Source
from router.store.cache_book import CacheBook
from router.store.layout import HEAD_BYTES
from router.store.segment import segment_path
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from tests.support.inside import plan_of
from tests.support.store_making import open_store, owed

SITE = """\
stations:
  cloud: {type: dicomweb, url: "https://cloud.example/x", query_retrieve: true}
  away: {type: dicomweb, url: "https://away.example/x", query_retrieve: true, active: false}
rules: []
"""
DATA = b"pixels" * 60_000


class Peer:
    """What can be fetched from; the fetcher of this test asks it nothing."""

    def __init__(self):
        self.closed = 0

    def listed(self, _query, _wish):
        raise AssertionError("the name is known")

    @contextmanager
    def fetch(self, _name, _seconds):
        yield None

    def close(self):
        self.closed += 1


class Site:
    """A store with entries from a station, and a fetcher that brings what a test says."""

    def __init__(self, folder):
        self.store = open_store(folder, clock=Clock())
        self.book = CacheBook.open(folder / "ledger" / "ledger.db", self.store.clock)
        self.text, self.metrics = io.StringIO(), Metrics()
        self.peer: object = Peer()
        self.brings: bytes | Exception | None = DATA
        self.asked = []
        self.plan = plan_of(folder / "site", SITE)
        self.refetching = Refetching(
            lambda: self.plan, lambda _: self.peer, SimpleNamespace(fetch=self.fetch),
            self.store.journal, self.store.ledger, self.book, self.store.clock,
            open_log(self.text, "json", {}), self.metrics,
        )  # fmt: skip

    def keep(self, data=DATA, *deliveries, station="cloud", listener=RETRIEVED, number=1):
        source = Source(listener, "CLOUD", "EDGE", "", station)
        return self.store.keep(number, data, *deliveries, source=source)

    def fetch(self, station, _peer, names, _goes_on, *, is_routed, deadline_seconds):
        assert not is_routed and deadline_seconds <= 60
        self.asked += [(station.name, name.sop_instance_uid) for name in names]
        if isinstance(self.brings, Exception):
            raise self.brings
        if self.brings is None:
            yield Fetched(0, 0, ["1.2"], "HTTP 404")
            return
        self.keep(self.brings)
        yield Fetched(0, 1)

    def flip(self, entry, offset=HEAD_BYTES + 300_000):
        path = segment_path(self.store.journal.folder, entry.ref.segment)
        octets = bytearray(path.read_bytes())
        octets[entry.ref.offset + offset] ^= 1
        path.write_bytes(octets)

    def read(self, instance_id=1):
        return self.store.read(self.store.ledger.instance(instance_id).record)

    def counted(self, result):
        return f'cache_requests_total{{result="{result}"}} 1.0' in self.metrics.text().decode()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    assert made.store.ledger.account().differences == ()
    made.book.close()
    made.store.close()


def test_f76_a_damaged_entry_is_fetched_once_more_and_keeps_its_place(site):
    site.flip(site.keep(DATA, owed()))
    assert site.refetching.mended(1)
    assert site.read() == DATA
    assert site.asked == [("cloud", "1.2.826.0.1.1")]
    assert site.peer.closed == 1
    assert site.counted("refetched")
    (leased,) = site.store.ledger.turn((), {"pacs": 1}, 0.0)
    assert site.store.read(leased.record) == DATA, "a delivery that was owed has the good bytes"


def test_what_is_well_is_not_asked_for(site):
    site.keep()
    assert site.refetching.mended(1)
    assert site.asked == []
    assert not site.refetching.mended(99)


def test_many_who_read_at_once_fetch_once(site):
    site.flip(site.keep())
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(site.refetching.mended(1))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 8
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("station", "listener"), [("cloud", "lan"), ("away", RETRIEVED), ("gone", RETRIEVED), (None, RETRIEVED)]
)  # fmt: skip
def test_what_came_from_nobody_we_can_ask_stays_an_error(site, station, listener):
    site.flip(site.keep(station=station, listener=listener))
    assert not site.refetching.mended(1)
    assert site.asked == [] and not site.counted("lost")


@pytest.mark.parametrize("brings", [None, Unreachable("no route to host")])
def test_what_the_station_does_not_give_stays_an_error(site, brings):
    entry = site.keep()
    site.flip(entry)
    site.brings = brings
    assert not site.refetching.mended(1)
    assert "cannot be fetched once more" in site.text.getvalue()
    assert site.counted("lost") and site.peer.closed == 1
    assert site.store.ledger.instance(1).record == entry.ref, "nothing else takes its place"


def test_another_version_never_takes_the_place_of_the_damaged_one(site):
    site.flip(site.keep())
    site.brings = b"others" * 60_000
    assert not site.refetching.mended(1)
    assert "another version" in site.text.getvalue()
    assert site.read(2) == b"others" * 60_000, "it is held as what it is"


def test_a_station_that_cannot_be_fetched_from_is_left_alone(site):
    site.flip(site.keep())
    site.peer = SimpleNamespace(close=lambda: None)
    assert not site.refetching.mended(1)
    assert site.asked == []


def test_what_is_never_indexed_is_not_waited_for_forever(site, monkeypatch):
    site.flip(site.keep())
    monkeypatch.setattr(module, "INDEX_SECONDS", 0.2)
    monkeypatch.setattr(site, "keep", lambda _data: None)
    assert not site.refetching.mended(1)
    assert site.counted("lost")
