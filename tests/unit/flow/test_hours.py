"""Stations that are sent to at certain hours only, and no faster than is allowed."""

from __future__ import annotations

import threading
import time

import pytest

from router.clock import Clock
from router.dicom.outgoing import OutgoingDataSet
from router.flow.bandwidth import LEAST_PIECE, Bandwidth
from router.model.station import Limits
from router.model.task import TaskFilter
from tests.support.inside import Edge, Neighbour
from tests.support.process import wait_until
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  night:
    ae_title: PACS
    host: pacs.example
    port: 104
    send: true
    limits: {associations: 1, hours: "19:00-07:00"}
  mirror: {ae_title: MIRROR, host: mirror.example, port: 104, send: true}
rules:
  - {name: all, route: [night, mirror]}
"""
WORDS = "outside its hours, 19:00-07:00"


class Watch(HandClock):
    """A clock whose local time is set by hand."""

    hour = 12

    def minute_of_day(self) -> int:
        return self.hour * 60


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE, Watch())
    yield made
    made.close()


def count(edge, state):
    return edge.ledger.account().deliveries[state]


def tasks(edge, station):
    return edge.ledger.tasks(wanted=TaskFilter(station=station))


@pytest.mark.parametrize(
    ("hours", "minute", "is_open"),
    [
        (None, 0, True),
        ((480, 1020), 480, True),
        ((480, 1020), 1020, False),
        ((480, 1020), 479, False),
        ((1140, 420), 1140, True),
        ((1140, 420), 0, True),
        ((1140, 420), 419, True),
        ((1140, 420), 420, False),
        ((1140, 420), 1139, False),
        ((600, 600), 3, True),
    ],
)
def test_hours_may_pass_midnight(hours, minute, is_open):
    assert Limits(hours=hours).is_open(minute) is is_open


def test_f74_outside_its_hours_nothing_is_begun_for_a_station_and_others_go_on(edge):
    night = Neighbour()
    edge.keep(instance(1, rows=2, columns=2))
    with edge.dispatching(night=night, mirror=Neighbour()):
        wait_until(lambda: count(edge, "delivered") == 1, 5, what="the other has it")
        (task,) = tasks(edge, "night")
        assert (task.status, task.status_reason) == ("On Hold", f"station is {WORDS}")
        assert edge.ledger.account().stations["night"]["held"] == 1
        assert edge.ledger.station_statuses()["night"].closed == WORDS
        assert not night.received and not night.opened
        edge.clock.hour = 19
        edge.ring()
        wait_until(lambda: edge.ring() or len(night.received) == 1, 5, what="its hour comes")
        edge.wait_for(delivered=2)
        assert edge.ledger.station_statuses()["night"].closed == ""
        edge.clock.hour = 7
        edge.ring()
        edge.keep(instance(2, rows=2, columns=2))
        wait_until(lambda: edge.ring() or count(edge, "held") == 1, 5, what="it is closed")
        assert len(night.received) == 1


def test_hours_that_were_taken_away_hold_nothing(tmp_path):
    edge = Edge(tmp_path, SITE, Watch())
    with edge.dispatching(night=Neighbour(), mirror=Neighbour()):
        wait_until(
            lambda: edge.ring() or edge.ledger.station_statuses()["night"].closed == WORDS,
            5,
            what="it is closed",
        )
    edge.close()
    again = Edge(tmp_path, SITE.replace(', hours: "19:00-07:00"', ""), Watch())
    again.keep(instance(1, rows=2, columns=2))
    with again.dispatching(night=Neighbour(), mirror=Neighbour()):
        again.wait_for(delivered=2)
    assert again.ledger.station_statuses()["night"].closed == ""
    again.close()


def test_what_leaves_is_spread_over_time_whoever_sends_it():
    stop = threading.Event()
    bandwidth = Bandwidth(1_000_000, Clock(), stop)
    began = time.monotonic()
    lanes = [
        threading.Thread(target=lambda: [bandwidth.spend(50_000) for _ in range(10)])
        for _ in range(2)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    assert 0.6 < time.monotonic() - began < 2.0, "a megabyte at a megabyte a second"
    stop.set()
    began = time.monotonic()
    bandwidth.spend(50_000_000)
    bandwidth.spend(1)
    assert time.monotonic() - began < 1.0, "who stops does not wait"


def test_at_a_slow_rate_no_pause_is_so_long_that_a_peer_gives_up():
    stop = threading.Event()
    stop.set()
    data = bytes(range(256)) * 1000
    outgoing = OutgoingDataSet("", "", "", "", len(data), lambda: iter([data]))
    for rate, longest in ((40_000, 10_000), (1_000, LEAST_PIECE)):
        pieces = list(Bandwidth(rate, Clock(), stop).spread(outgoing).chunks())
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) == longest
