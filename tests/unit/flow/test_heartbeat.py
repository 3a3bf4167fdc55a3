"""Heartbeats on a clock of the test's own: when who is asked, and what follows from the answers."""

from __future__ import annotations

import threading
import time

import pytest

from router.flow.heartbeat import MAX_PROBES, Heartbeat
from router.flow.statuses import Statuses
from router.peers.peer import Probe
from tests.support.inside import Edge, Neighbour
from tests.support.process import wait_until
from tests.unit.flow.clocks import HandClock
from tests.unit.flow.test_dispatch import images

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  asked: {ae_title: ASKED, host: asked.example, port: 104, heartbeat: {every: 100s}}
  off: {ae_title: OFF, host: off.example, port: 104, active: false}
  quiet: {ae_title: QUIET, host: q.example, port: 104, heartbeat: {enabled: false}}
rules:
  - {name: everything, route: [pacs]}
"""


class Beating:
    """A heartbeat between neighbours, under a clock moved by hand; `found` is what counted."""

    def __init__(self, edge: Edge, **neighbours: Neighbour) -> None:
        self.edge = edge
        self.found: list[tuple[str, bool]] = []
        self.names: list[str] = []
        kinds = {name: one.kind() for name, one in neighbours.items()}
        stations = tuple(edge.plan.stations.values())
        self.statuses = Statuses(stations, edge.ledger, edge.clock, edge.log, edge.metrics)

        def make(station):
            self.names.append(station.name)
            return kinds[station.name].make(station, None)

        self.heartbeat = Heartbeat(
            stations, make, self.statuses, self._found, edge.threads, edge.clock, edge.log
        )
        self.thread = edge.threads.start("heartbeat", self.heartbeat.run)

    def _found(self, name: str, probe: Probe) -> None:
        self.found.append((name, probe.ok))
        if probe.ok:
            self.statuses.online(name)
        else:
            self.statuses.offline(name, probe.message)

    def passes(self, seconds: float, probes: int) -> None:
        """So much time passes, until so many were asked in all; a moment more shows no others."""
        self.edge.clock.pass_seconds(seconds)
        self.heartbeat._wake.set()
        wait_until(lambda: len(self.names) >= probes, 5, what=f"{probes} probes")
        self.heartbeat._wake.set()
        time.sleep(0.03)
        assert len(self.names) == probes, self.names

    def end(self) -> None:
        self.heartbeat.end()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE, HandClock())
    yield made
    made.close()


def state(edge, name):
    return edge.ledger.station_statuses()[name].state


def test_f45_who_is_enabled_is_asked_once_an_interval_and_nobody_else(edge):
    beating = Beating(edge, pacs=Neighbour(), asked=Neighbour())
    assert {name: state(edge, name) for name in ("pacs", "asked", "quiet", "ct-1", "off")} == {
        "pacs": "unknown", "asked": "unknown", "quiet": "unknown", "ct-1": "unknown", "off": "inactive",
    }  # fmt: skip
    beating.passes(60, 2)
    assert sorted(beating.names) == ["asked", "pacs"]
    wait_until(lambda: state(edge, "asked") == "online", 5)
    beating.passes(89, 2)
    beating.passes(22, 3)
    assert beating.names[-1] == "asked", "100 s, ten per cent sooner or later"
    told = edge.ledger.station_statuses()["asked"]
    assert told.answer == "it answers"
    assert told.seconds is not None
    beating.end()


def test_f46_one_failure_is_confirmed_by_two_more_before_a_station_is_offline(edge):
    asked = Neighbour()
    asked.alive = False
    beating = Beating(edge, pacs=Neighbour(), asked=asked)
    beating.passes(60, 2)
    beating.passes(10, 3)
    assert state(edge, "asked") == "unknown"
    beating.passes(10, 4)
    wait_until(lambda: state(edge, "asked") == "offline", 5)
    assert edge.ledger.station_statuses()["asked"].reason == "connection refused"
    asked.alive = True
    beating.passes(111, 5)
    wait_until(lambda: state(edge, "asked") == "online", 5)
    assert [event.state for event in edge.ledger.station_events("asked")] == [
        "online", "offline", "unknown",
    ]  # fmt: skip
    beating.end()


def test_a_single_failure_that_does_not_last_changes_nothing(edge):
    asked = Neighbour()
    beating = Beating(edge, pacs=Neighbour(), asked=asked)
    beating.passes(60, 2)
    asked.alive = False
    beating.passes(111, 3)
    asked.alive = True
    beating.passes(10, 4)
    assert ("asked", False) not in beating.found
    assert [event.state for event in edge.ledger.station_events("asked")] == ["online", "unknown"]
    beating.end()


def test_f47_a_station_that_takes_images_is_not_asked(edge):
    beating = Beating(edge, pacs=Neighbour(), asked=Neighbour())
    beating.passes(60, 2)
    for _ in range(3):
        edge.clock.pass_seconds(50)
        beating.statuses.online("asked")
    beating.passes(0, 2)
    beating.passes(111, 3)
    beating.end()


def test_F16_a_station_that_hangs_holds_up_no_other(tmp_path):
    names = [f"s-{number}" for number in range(MAX_PROBES + 4)]
    site = "stations:\n" + "".join(
        f"  {name}: {{ae_title: S{number}, host: s.example, port: 104, heartbeat: {{every: 100s}}}}\n"
        for number, name in enumerate(names)
    )
    edge = Edge(tmp_path, site, HandClock())
    hung, gate = Neighbour(), threading.Event()
    kind = hung.kind()

    class Hanging:
        def probe(self):
            gate.wait(20)
            return Probe(True, 0.0, "late")

        def close(self):
            pass

    neighbours = {name: Neighbour() for name in names}
    neighbours["s-0"] = hung
    hung._make = lambda station, context: Hanging()
    assert kind
    beating = Beating(edge, **neighbours)
    beating.passes(60, len(names))
    wait_until(lambda: len(beating.found) == len(names) - 1, 5, what="the others")
    gate.set()
    wait_until(lambda: len(beating.found) == len(names), 5, what="the one that hung")
    beating.end()
    edge.close()


def test_what_is_known_outlives_a_restart_while_it_is_fresh(edge):
    stations = tuple(edge.plan.stations.values())

    def begin():
        return Statuses(stations, edge.ledger, edge.clock, edge.log, edge.metrics)

    first = begin()
    first.online("asked")
    first.offline("pacs", "connection refused")
    edge.clock.pass_seconds(150)
    again = begin()
    assert (again.state("asked"), again.state("pacs")) == ("online", "offline")
    edge.clock.pass_seconds(60)
    assert begin().state("asked") == "unknown", "two intervals are over"


def test_p8_a_confirmed_failure_holds_deliveries_without_burning_an_attempt(edge):
    pacs = Neighbour()
    pacs.alive = False
    with edge.dispatching(pacs=pacs) as dispatcher:
        dispatcher.heard("pacs", Probe(False, 0.0, "connection refused"))
        wait_until(lambda: state(edge, "pacs") == "offline", 5)
        edge.ledger.note_probe("pacs", 0.1, "connection refused", edge.clock.now())
        edge.keep(*images(5))
        edge.wait_for(held=5)
        assert pacs.received == []
        pacs.alive = True
        edge.clock.pass_seconds(3)
        edge.wait_for(delivered=5)
    assert state(edge, "pacs") == "online"
    assert "refused" not in edge.ledger.station_statuses()["pacs"].answer, "of when it was away"
    assert {one.attempts for one in pacs.received} == {0}
