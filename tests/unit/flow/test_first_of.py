"""`first_of` at work: the dispatcher hands over what its station cannot take, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.flow.dispatch import BUSY_ENOUGH
from router.model.delivery import Result
from tests.support.inside import Edge, Neighbour, accept, always
from tests.support.process import wait_until
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs: {ae_title: PACS, host: pacs.example, port: 104, send: true}
  spare:
    ae_title: SPARE
    host: spare.example
    port: 104
    send: true
    morph: {send: [{set: {InstitutionName: Spare}}]}
rules:
  - {name: images, route: [{first_of: [pacs, spare]}]}
"""


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE, HandClock())
    yield made
    made.close()


def images(count, first=1):
    return [instance(seed, rows=2, columns=2) for seed in range(first, first + count)]


def told(edge, instance_id=1):
    """(station, state, words) of each delivery of an instance."""
    found = edge.ledger.deliveries_of_instance(instance_id)
    return [(one.station, one.state.value, one.last_error) for one in found]


def test_the_first_station_gets_it_while_it_can(edge):
    edge.keep(*images(6))
    pacs, spare = Neighbour(), Neighbour()
    with edge.dispatching(pacs=pacs, spare=spare):
        edge.wait_for(delivered=6)
    assert (len(pacs.received), len(spare.received)) == (6, 0)
    assert edge.deliveries() == {"created": 6, "delivered": 6}


def test_a_station_that_is_gone_passes_it_on_with_what_the_next_one_gets(edge):
    edge.keep(*images(6))
    pacs, spare = Neighbour(always(Result.UNREACHABLE, "connection refused")), Neighbour()
    with edge.dispatching(pacs=pacs, spare=spare):
        edge.wait_for(delivered=6, moved=6)
    assert sorted(spare.uids()) == sorted(one.sop_instance_uid for one in images(6))
    assert all(b"Spare" in one.data for one in spare.received), "by its own recipe"
    (moved, there) = told(edge)
    spare_task = edge.ledger.deliveries_of_instance(1)[-1].task_id
    why = "'pacs' is offline: connection refused"
    assert moved == ("pacs", "moved", f"moved on to 'spare', task {spare_task}: {why}")
    assert there[:2] == ("spare", "delivered")
    (line,) = edge.lines("deliveries handed over")[:1]
    assert (line["away"], "sop_instance_uid" in line) == ("pacs", False)


def test_a_station_that_refuses_us_passes_it_on(edge):
    edge.keep(*images(2))
    pacs, spare = Neighbour(always(Result.HOLD, "calling AE title not recognized")), Neighbour()
    with edge.dispatching(pacs=pacs, spare=spare):
        edge.wait_for(delivered=2)
    assert told(edge)[0][2].endswith("is offline: calling AE title not recognized")


def test_a_busy_station_is_given_time_before_another_one_is_asked(edge):
    edge.keep(*images(1))
    pacs, spare = Neighbour(always(Result.BUSY, "out of resources", status=0xA700)), Neighbour()
    with edge.dispatching(pacs=pacs, spare=spare):
        for tries in range(1, BUSY_ENOUGH):
            wait_until(lambda n=tries: edge.ring() or len(pacs.received) >= n, 5, what="a try")
            edge.wait_for(queued=1)
            assert told(edge)[-1][0] == "pacs"
            edge.clock.pass_seconds(30)
        edge.wait_for(delivered=1)
    assert len(pacs.received) == BUSY_ENOUGH
    assert "'pacs' has no room: out of resources" in told(edge)[0][2]


def test_what_a_station_refuses_for_good_is_told_and_goes_nowhere_else(edge):
    edge.keep(*images(1))
    pacs, spare = Neighbour(always(Result.DEAD, "no such SOP class", status=0x0122)), Neighbour()
    with edge.dispatching(pacs=pacs, spare=spare):
        edge.wait_for(dead=1)
    assert spare.received == []


def test_a_disabled_station_and_one_outside_its_hours_are_passed_over(tmp_path):
    for folder, words, why in (
        ("off", "active: false", "'pacs' is disabled"),
        ("night", "limits: {hours: '03:00-04:00'}", "'pacs' is outside its hours, 03:00-04:00"),
    ):
        site = SITE.replace("host: pacs.example,", f"host: pacs.example, {words},")
        edge = Edge(tmp_path / folder, site, HandClock())
        edge.keep(*images(1))
        with edge.dispatching(pacs=Neighbour(), spare=Neighbour()):
            edge.wait_for(delivered=1)
        assert told(edge)[0][2].endswith(why)
        edge.close()


def test_a_station_that_a_new_configuration_does_not_know_is_passed_over(edge):
    edge.keep(*images(1))
    edge.plan = replace(
        edge.plan,
        stations={name: one for name, one in edge.plan.stations.items() if name != "pacs"},
    )
    with edge.dispatching(spare=Neighbour()):
        edge.wait_for(delivered=1)
    assert "'pacs' is no station that may be sent to any more" in told(edge)[0][2]


def test_where_both_are_away_all_waits_and_the_first_that_is_back_gets_it(edge):
    edge.keep(*images(8))
    gone = always(Result.UNREACHABLE, "no route")
    pacs, spare = Neighbour(gone), Neighbour(gone)
    pacs.alive = spare.alive = False
    with edge.dispatching(pacs=pacs, spare=spare):
        wait_until(
            lambda: edge.ring() or (pacs.received and spare.received), 5, what="both were tried"
        )
        edge.wait_for(sending=0)
        pacs.script, pacs.alive = accept, True
        edge.clock.pass_seconds(120)
        edge.wait_for(delivered=8)
    got = [*pacs.uids()[-8:]]
    assert sorted(got) == sorted(one.sop_instance_uid for one in images(8))
    assert edge.deliveries()["created"] == edge.deliveries()["moved"] + 8


def test_two_full_stations_do_not_throw_it_to_and_fro(edge):
    edge.keep(*images(1))
    full = always(Result.BUSY, "out of resources", status=0xA700)
    pacs, spare = Neighbour(full), Neighbour(full)
    with edge.dispatching(pacs=pacs, spare=spare):
        for _ in range(40):
            edge.wait_for(queued=1)
            tries = len(pacs.received) + len(spare.received)
            edge.clock.pass_seconds(400)
            wait_until(
                lambda n=tries: edge.ring() or len(pacs.received) + len(spare.received) > n,
                5,
                what="another try",
            )
    assert edge.deliveries()["moved"] == 1, "a station that just failed is handed nothing"
