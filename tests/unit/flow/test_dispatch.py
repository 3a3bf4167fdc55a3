"""Whose turn it is: the dispatcher between a real ledger, a real journal and stations that answer
from a script."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from router.errors import Rejected, StoreFull
from router.flow import dispatch
from router.flow.pace import REFUSED_FIRST_SECONDS
from router.model.delivery import Outcome, Priority, Result
from tests.support.inside import Edge, Neighbour, accept, always
from tests.support.process import wait_until
from tests.support.synthetic import instance
from tests.unit.flow.clocks import HandClock

SITE = """\
stations:
  ct-1: {ae_title: CT1, host: 10.0.0.1}
  pacs:
    ae_title: PACS
    host: pacs.example
    port: 104
    send: true
    retry: {first: 10s, factor: 2, max: 60s, give_up: 1h}
    limits: {associations: 3, batch: {instances: 4}}
  mirror:
    ae_title: MIRROR
    host: mirror.example
    port: 104
    send: true
    limits: {associations: 1, batch: {instances: 4}}
rules:
  - {name: urgent, match: {Modality: CR}, route: [{to: pacs, priority: high}]}
  - {name: later, match: {Modality: MR}, route: [{to: pacs, priority: low}]}
  - {name: images, match: {Modality: CT}, route: [pacs]}
  - {name: both, match: {StationName: TWICE}, route: [mirror]}
"""
TWICE = {0x00081010: ("SH", "TWICE")}


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path, SITE, HandClock())
    yield made
    made.close()


def images(count, first=1, **options):
    return [
        instance(seed, rows=2, columns=2, study=options.get("study", seed), **_facts(options))
        for seed in range(first, first + count)
    ]


def _facts(options):
    return {key: value for key, value in options.items() if key != "study"}


def row(edge, sop_instance_uid):
    """The delivery of an object, as the ledger has it."""
    rows = [
        one
        for task in edge.ledger.tasks()
        for one in edge.ledger.deliveries_of(task.task_id)
        if one.sop_instance_uid == sop_instance_uid
    ]
    assert len(rows) == 1
    return rows[0]


def tried(edge, neighbour, tries, **counts):
    """Wait until the station was given so many objects and the deliveries stand like this."""
    wait_until(lambda: edge.ring() or len(neighbour.received) >= tries, 5, what=f"{tries} tries")
    edge.wait_for(**counts)


def test_p4_what_was_received_is_what_the_station_gets_and_only_once(edge):
    sent = images(12)
    edge.keep(*sent)
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=12)
        time.sleep(0.05)
    assert {one.sop_instance_uid: one.data for one in pacs.received} == {
        image.sop_instance_uid: image.data_set for image in sent
    }
    assert len(pacs.received) == 12
    assert pacs.opened == pacs.closed, "every peer is closed"


def test_work_that_comes_while_nothing_is_to_do_is_taken_at_the_ring(edge):
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        for image in images(3):
            edge.keep(image)
            wait_until(lambda: image.sop_instance_uid in pacs.uids(), 0.9, what="the ring")
        edge.wait_for(delivered=3)


def test_the_window_is_what_the_lanes_can_hold_and_no_more(edge):
    edge.keep(*images(60))
    pacs = Neighbour()
    pacs.gate.clear()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        wait_until(lambda: pacs.at_gate == 1, 5, what="the first is at the station")
        time.sleep(0.1)
        # One lane at the start, batches of four, two batches ahead.
        assert edge.deliveries()["sending"] == 4 * dispatch.WINDOW_BATCHES
        assert pacs.at_gate == 1, "slow start: one lane"
        pacs.gate.set()
        edge.wait_for(delivered=60)
    assert max(pacs.batches) <= 4


def test_slow_start_opens_one_lane_after_each_clean_batch(edge):
    edge.keep(*images(80))

    def slowly(parcel, number):
        time.sleep(0.003)
        return accept(parcel, number)

    pacs = Neighbour(slowly)
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=80)
    assert pacs.most_lanes == 3, "the limit of the station, and no more"


def test_p7_an_association_of_one_study_keeps_its_order(edge):
    sent = images(40, study=7)
    edge.keep(*sent)
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=40)
    assert pacs.uids() == [image.sop_instance_uid for image in sent]
    assert pacs.most_lanes == 1, "two lanes would overtake each other"


def test_priority_goes_first_and_low_never_starves(edge):
    low = images(6, modality="MR", study=900)
    urgent = images(60, first=100, modality="CR", study=901)
    edge.keep(*low, *urgent)
    pacs = Neighbour()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=66)
    kinds = [one.priority for one in pacs.received]
    assert kinds[:8] == [Priority.HIGH] * 8
    places = [index for index, kind in enumerate(kinds) if kind is Priority.LOW]
    assert places[0] <= 2 * 11, "one of ten, and what was leased meanwhile"
    assert places[-1] > 50, "low does not pass high either"


def test_p8_a_station_that_stands_still_keeps_no_other_waiting(edge):
    edge.keep(*images(20, changes=TWICE))
    pacs, mirror = Neighbour(), Neighbour()
    pacs.gate.clear()
    with edge.dispatching(pacs=pacs, mirror=mirror):
        began = time.monotonic()
        wait_until(lambda: len(mirror.received) == 20, 5, what="the other station")
        assert time.monotonic() - began < 5
        assert len(pacs.received) == 1
        pacs.gate.set()
        edge.wait_for(delivered=40)


def test_unreachable_recalls_what_nobody_began_and_burns_no_attempt(edge):
    edge.keep(*images(30))
    pacs = Neighbour(always(Result.UNREACHABLE, "connection refused"))
    pacs.alive = False
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        tried(edge, pacs, 1, queued=30)
        assert len(pacs.received) <= dispatch.WINDOW_BATCHES, "what a lane had in hand, no more"
        attempts = {row(edge, image.sop_instance_uid).attempts for image in images(30)}
        assert attempts == {0}
        edge.clock.pass_seconds(2)
        edge.wait_for(held=30)
        status = edge.ledger.station_statuses()["pacs"]
        assert (status.state, status.reason) == ("offline", "connection refused")


def test_what_waits_for_a_lane_of_a_lost_station_is_taken_back(edge):
    """Three lanes, 24 leased: those on the desk are nobody's; they must not wait for a time-out."""
    edge.keep(*images(30))
    pacs, hold = Neighbour(), threading.Event()

    def lost(parcel, number):
        if number == 30:
            return always(Result.UNREACHABLE, "reset")(parcel, number)
        hold.wait(10)
        return accept(parcel, number)

    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=30)
        pacs.script = lost
        edge.keep(*images(60, first=200))
        wait_until(lambda: len(pacs.received) >= 33, 5, what="three lanes and the one that lost")
        # In hand: a batch of four in each lane, the one that lost it perhaps with a second one.
        wait_until(lambda: edge.deliveries()["sending"] <= 12, 5, what="the desk is empty")
        assert edge.deliveries()["queued"] >= 48
        hold.set()
        edge.wait_for(sending=0)
        edge.clock.pass_seconds(100)
        edge.wait_for(delivered=90)
    assert {one.attempts for one in pacs.received} == {0}


def test_probes_become_rarer_and_one_that_answers_starts_again_from_one_lane(edge):
    edge.keep(*images(30))
    pacs = Neighbour(always(Result.UNREACHABLE, "reset"))
    pacs.alive = False
    with edge.dispatching(pacs=pacs, mirror=Neighbour()) as dispatcher:
        tried(edge, pacs, 1, queued=30)
        tries = len(pacs.received)
        for expected, seconds in ((1, 1.1), (2, 2.1), (3, 4.1)):
            edge.clock.pass_seconds(seconds)
            dispatcher.ring()
            wait_until(lambda: pacs.probes == expected, 5, what=f"probe {expected}")
            edge.wait_for(held=30)
            dispatcher.ring()
            time.sleep(0.03)
            assert pacs.probes == expected, "not again before its time"
        pacs.alive, pacs.script = True, accept
        edge.clock.pass_seconds(8.1)
        edge.wait_for(delivered=30)
        assert edge.ledger.station_statuses()["pacs"].state == "online"
    assert len(pacs.received) == 30 + tries
    assert {one.attempts for one in pacs.received} == {0}


def test_F21_a_probe_that_answers_while_sending_fails_does_not_spin(edge):
    """Echo ok, store fails: the pauses grow although every probe is answered."""
    edge.keep(*images(3))
    pacs = Neighbour(always(Result.UNREACHABLE, "closed while sending"))
    pauses = []
    with edge.dispatching(pacs=pacs, mirror=Neighbour()) as dispatcher:
        pace = dispatcher._desks["pacs"].pace
        for tries in range(1, 6):
            wait_until(lambda: len(pacs.received) >= tries and pace.must_probe, 5, what="a try")
            edge.wait_for(queued=3)
            pauses.append(pace.resume_at - edge.clock.monotonic())
            edge.clock.pass_seconds(pauses[-1] + 0.01)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_busy_waits_as_long_as_it_was_asked_to(edge):
    edge.keep(*images(10))
    pacs = Neighbour(always(Result.BUSY, "503", status=503, retry_after_seconds=40.0))
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        tried(edge, pacs, 1, queued=10)
        tries = len(pacs.received)
        edge.clock.pass_seconds(39.9)
        edge.wait_for(queued=10)
        time.sleep(0.05)
        assert len(pacs.received) == tries <= dispatch.WINDOW_BATCHES
        assert pacs.probes == 0, "a busy station is not asked whether it lives"
        pacs.script = accept
        edge.clock.pass_seconds(0.2)
        edge.wait_for(delivered=10)
    assert {one.attempts for one in pacs.received} == {0}


def as_time_passes(edge, **counts):
    """Let seconds pass until the deliveries stand like this."""

    def stands():
        edge.clock.pass_seconds(1)
        edge.ring()
        time.sleep(0.02)  # a try takes real time, and the pauses must not be over before it
        found = edge.deliveries()
        return all(found.get(state, 0) == count for state, count in counts.items())

    wait_until(stands, 20, what=f"{counts}, {edge.deliveries()}")


def told_busy(uids):
    """A station that tells some objects 0xA700 for ever and takes the others, as Orthanc does."""

    def script(parcel, number):
        if parcel.leased.sop_instance_uid in uids:
            words = "0xA700 out of resources"
            return Outcome(parcel.leased.delivery_id, Result.BUSY, words, 0xA700)
        return accept(parcel, number)

    return script


def test_F16_objects_that_are_told_busy_for_ever_keep_no_other_waiting(edge):
    sent = images(12, study=7)
    odd = {image.sop_instance_uid for image in sent[:3]}
    edge.keep(*sent)
    pacs = Neighbour(told_busy(odd))
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        as_time_passes(edge, delivered=9)
        # Others are taken all the time: it is the object the station does not want.
        for number in range(6):
            edge.keep(instance(100 + number, rows=2, columns=2))
            edge.clock.pass_seconds(1200)
            as_time_passes(edge, delivered=10 + number)
    ends = [row(edge, uid) for uid in odd]
    dead = [(one.last_status, one.attempts >= 3) for one in ends if one.state == "dead"]
    assert dead
    assert set(dead) == {(0xA700, True)}


def test_a_station_that_is_full_is_told_once_and_costs_what_was_not_tried_nothing(edge):
    sent = images(6, study=7)
    edge.keep(*sent)
    pacs = Neighbour(always(Result.BUSY, "0xA700 out of resources", status=0xA700))
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        tried(edge, pacs, 1, queued=6)
        for _ in range(3):
            edge.clock.pass_seconds(10)
            edge.wait_for(queued=6)
        attempts = [row(edge, image.sop_instance_uid).attempts for image in sent]
        assert sum(attempts) <= 1, "the one that was refused while the others were taken"
        pacs.script = accept
        as_time_passes(edge, delivered=6)
    assert len(edge.lines("delivery not made")) == 1


def test_a_station_that_refuses_us_is_shown_and_looked_at_rarely(edge):
    edge.keep(*images(10))
    pacs = Neighbour(always(Result.HOLD, "calling AE title not recognised"))
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(held=10)
        reason = edge.ledger.station_statuses()["pacs"].reason
        assert reason == "refuses us: calling AE title not recognised"
        tries = len(pacs.received)
        pacs.script = accept
        edge.clock.pass_seconds(REFUSED_FIRST_SECONDS - 0.5)
        edge.wait_for(held=10)
        assert len(pacs.received) == tries
        edge.clock.pass_seconds(1.0)
        edge.wait_for(delivered=10)
    assert edge.ledger.station_statuses()["pacs"].state == "online"


@pytest.mark.parametrize(
    "error", [Rejected("the secret file token is not there"), KeyError("token")]
)
def test_p8_a_station_whose_peer_cannot_be_made_stops_no_other(edge, error):
    edge.keep(*images(6, changes=TWICE))
    pacs, mirror = Neighbour(), Neighbour()
    pacs.unmakeable = error
    with edge.dispatching(pacs=pacs, mirror=mirror):
        wait_until(lambda: len(mirror.received) == 6, 5, what="the other station")
        if isinstance(error, Rejected):
            edge.wait_for(delivered=6, held=6)
            reason = edge.ledger.station_statuses()["pacs"].reason
            assert reason == "refuses us: the secret file token is not there"
        pacs.unmakeable = None
        edge.wait_for(sending=0)
        edge.clock.pass_seconds(100)
        edge.wait_for(delivered=12)
    assert edge.crashes == []


def test_one_line_of_log_for_one_kind_of_trouble(edge):
    edge.keep(*images(8))
    pacs = Neighbour(always(Result.RETRY, "0x0110 processing failure"))
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        wait_until(lambda: len(pacs.received) == 8, 5, what="eight tries")
        edge.wait_for(queued=8)
    assert len(edge.lines("delivery not made")) == 1


def test_a_retry_waits_longer_each_time_and_dies_when_its_time_is_up(edge):
    (image,) = images(1)
    edge.keep(image)
    pacs = Neighbour(always(Result.RETRY, "time-out"))
    waits = []
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        for tries in range(1, 6):
            tried(edge, pacs, tries, queued=1)
            found = row(edge, image.sop_instance_uid)
            assert found.attempts == tries
            waits.append(found.due_at - edge.clock.now())
            edge.clock.pass_seconds(waits[-1] - 0.5)
            edge.ring()
            time.sleep(0.02)
            assert len(pacs.received) == tries, "not before it is due"
            edge.clock.pass_seconds(0.6)
        edge.clock.pass_seconds(3600)
        edge.wait_for(dead=1)
    assert waits == [7.5, 15, 30, 45, 45], "first, doubled, up to the maximum, jittered"
    assert row(edge, image.sop_instance_uid).last_error == "time-out"


def test_an_object_the_station_does_not_want_dies_and_the_rest_goes_on(edge):
    sent = images(9)

    def script(parcel, number):
        if parcel.leased.sop_instance_uid == sent[4].sop_instance_uid:
            words = "0xC000 cannot understand"
            return Outcome(parcel.leased.delivery_id, Result.DEAD, words, 0xC000)
        return accept(parcel, number)

    edge.keep(*sent)
    pacs = Neighbour(script)
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        edge.wait_for(delivered=8, dead=1)
    dead = row(edge, sent[4].sop_instance_uid)
    assert (dead.last_status, dead.last_error) == (0xC000, "0xC000 cannot understand")
    assert len(pacs.received) == 9


def test_an_inactive_station_is_left_alone_and_owed(tmp_path):
    edge = Edge(tmp_path, SITE.replace("ae_title: MIRROR", "ae_title: MIRROR\n    active: false"))
    edge.keep(*images(2, changes=TWICE))
    pacs, mirror = Neighbour(), Neighbour()
    with edge.dispatching(pacs=pacs, mirror=mirror):
        edge.wait_for(delivered=2, held=2)
    assert mirror.received == []
    assert edge.ledger.station_statuses()["mirror"].state == "inactive"
    edge.close()


def test_work_for_a_station_that_is_gone_from_the_plan_waits(edge):
    edge.keep(*images(2, changes=TWICE))
    edge.plan = replace(edge.plan, stations={"pacs": edge.plan.stations["pacs"]})
    with edge.dispatching(pacs=Neighbour()):
        edge.wait_for(delivered=2)
    assert edge.ledger.waiting_stations() == {"mirror": 2}


def test_stopping_waits_for_what_is_at_the_station_and_puts_the_rest_back(edge):
    edge.keep(*images(30))
    pacs = Neighbour()
    pacs.gate.clear()
    with edge.dispatching(pacs=pacs, mirror=Neighbour()) as dispatcher:
        wait_until(lambda: pacs.at_gate == 1, 5, what="one is being sent")
        edge.threads.stop.set()
        dispatcher.ring()
        time.sleep(0.1)
        assert edge.deliveries()["sending"] >= 1, "what is under way is not given up"
        pacs.gate.set()
    counts = edge.deliveries()
    # The batch in hand is sent to its end; what no lane had begun is queued again, untried.
    assert counts == {"created": 30, "delivered": 4, "queued": 26}
    assert row(edge, images(30)[29].sop_instance_uid).attempts == 0


def test_outcomes_survive_a_ledger_that_has_no_room(edge, monkeypatch):
    """StoreFull at the turn: nothing is sent twice and nothing new is leased until there is room."""
    edge.keep(*images(8))
    pacs = Neighbour()
    pacs.gate.clear()
    full = []
    turn = edge.ledger.turn

    def without_room(outcomes, wants, now):
        if full:
            raise StoreFull("no room left for the ledger")
        return turn(outcomes, wants, now)

    monkeypatch.setattr(edge.ledger, "turn", without_room)
    monkeypatch.setattr(dispatch, "FULL_SECONDS", 0.02)
    with edge.dispatching(pacs=pacs, mirror=Neighbour()):
        wait_until(lambda: pacs.at_gate == 1, 5, what="one is being sent")
        full.append(True)
        pacs.gate.set()
        wait_until(lambda: len(edge.lines("the ledger has no room, deliveries wait")) > 2, 5)
        assert len(pacs.received) == 8
        assert edge.deliveries().get("delivered", 0) == 0
        full.clear()
        edge.wait_for(delivered=8)
    assert len(pacs.received) == 8, "an outcome was kept, not repeated"


def test_what_is_counted_is_what_happened(edge):
    edge.keep(*images(5))
    outcomes = iter([Result.RETRY])

    def script(parcel, number):
        result = next(outcomes, Result.DELIVERED)
        return Outcome(parcel.leased.delivery_id, result, "once")

    with edge.dispatching(pacs=Neighbour(script), mirror=Neighbour()):
        edge.wait_for(delivered=4, queued=1)
        edge.clock.pass_seconds(60)
        edge.wait_for(delivered=5)
    text = edge.metrics.text().decode()
    assert 'send_attempts_total{result="delivered",station="pacs"} 5.0' in text
    assert 'send_attempts_total{result="retry",station="pacs"} 1.0' in text
    size = sum(len(image.data_set) for image in images(5))
    assert f'sent_bytes_total{{station="pacs"}} {float(size)}' in text
