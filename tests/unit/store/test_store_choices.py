"""`first_of` in the ledger: what waits for a station that cannot take it goes on to the next, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.model.delivery import Priority, Result, State
from router.model.rejection import QUALITY, Rejection
from router.model.rule import Silence
from router.store import choices, database, envelope
from router.store.sqlite_ledger import SqliteLedger
from tests.support.store_making import (
    MORPHED,
    PLAIN,
    TestClock,
    decision,
    indexed,
    instance,
    owed,
    settled,
)

NOW = 1_000_000.0
AWAY = {"pacs": "is offline: connection refused"}
CHOICE = owed(others=[("spare", MORPHED)])


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def ledger(tmp_path, clock):
    opened = SqliteLedger.open(tmp_path / "ledger.db", clock, "boot-1")
    yield opened
    assert opened.account().differences == ()
    opened.close()


def rows(ledger, instance_id=1):
    """(station, recipe, state) of each delivery of an instance, oldest first."""
    found = ledger.deliveries_of_instance(instance_id)
    return [(one.station, one.recipe_digest, one.state.value) for one in found]


def hand_over(ledger, away=AWAY, **ready):
    return ledger.hand_over(away, ready or {"spare": 100}, NOW)


def test_it_goes_on_as_one_delivery_with_the_recipe_of_its_new_station(ledger):
    ledger.index([indexed(1, CHOICE)])
    assert hand_over(ledger) == 1
    assert rows(ledger) == [
        ("pacs", PLAIN.digest, "moved"),
        ("spare", MORPHED.digest, "queued"),
    ]
    assert ledger.recipe(MORPHED.digest) == MORPHED
    account = ledger.account()
    assert (account.stations["pacs"]["moved"], account.stations["pacs"]["created"]) == (1, 1)
    assert (account.stations["spare"]["queued"], account.deliveries["created"]) == (1, 2)
    assert ledger.turn((), {"pacs": 10}, NOW) == (), "its first station is never sent it too"


def test_the_task_log_says_where_it_went_and_why(ledger):
    ledger.index([indexed(number, CHOICE) for number in (1, 2)])
    hand_over(ledger)
    spare, pacs = ledger.tasks()
    assert (pacs.status, pacs.objects, pacs.moved, pacs.ended_at) == ("Cancelled", 0, 2, NOW)
    why = f"moved on to 'spare', task {spare.task_id}: 'pacs' is offline: connection refused"
    assert pacs.status_reason == f"2 {why}"
    assert (spare.status, spare.objects, spare.requester) == ("Ready", 2, "all")
    first, second = ledger.deliveries_of_instance(1)
    assert [(one.kind, one.message) for one in ledger.attempts_of(first)] == [("moved", why)]
    here = f"moved here from 'pacs', task {pacs.task_id}: it is offline: connection refused"
    assert [(one.kind, one.message) for one in ledger.attempts_of(second)] == [("moved", here)]
    assert ledger.failures(10) == (), "a move is no failed try"


def test_the_first_that_is_ready_takes_it_and_no_more_than_it_has_room_for(ledger):
    many = owed(others=["spare", "third"])
    ledger.index([indexed(number, many, at=NOW + number) for number in range(5)])
    assert hand_over(ledger, spare=2, third=9) == 2
    assert [rows(ledger, number)[-1][0] for number in range(1, 6)] == ["spare"] * 2 + ["pacs"] * 3
    assert hand_over(ledger, third=9) == 3
    assert hand_over(ledger, third=9) == 0


def test_where_no_station_can_take_it_it_waits_and_goes_back_when_the_first_one_can(ledger):
    ledger.index([indexed(1, CHOICE)])
    assert hand_over(ledger, other=5) == 0
    hand_over(ledger)
    assert ledger.hand_over({"spare": "is disabled"}, {"pacs": 5}, NOW) == 1
    assert [(station, state) for station, _, state in rows(ledger)] == [
        ("pacs", "moved"),
        ("spare", "moved"),
        ("pacs", "queued"),
    ]
    back = ledger.tasks(station="pacs")
    assert [(one.objects, one.moved) for one in back] == [(1, 1)], "the same task, joined again"


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.DEAD, State.QUARANTINED])
def test_what_is_being_sent_or_has_an_end_stays(ledger, state):
    ledger.index([indexed(1, CHOICE)])
    (leased,) = ledger.turn((), {"pacs": 1}, NOW)
    assert hand_over(ledger) == 0
    ledger.turn([settled(leased, Result.RETRY, state)], {}, NOW)
    assert hand_over(ledger) == 0
    assert rows(ledger) == [("pacs", PLAIN.digest, state.value)]


def test_what_failed_for_the_station_goes_on_at_once_though_it_is_not_due(ledger):
    ledger.index([indexed(1, CHOICE)])
    (leased,) = ledger.turn((), {"pacs": 1}, NOW)
    ledger.turn([settled(leased, Result.RETRY, State.QUEUED, NOW + 900, message="lost")], {}, NOW)
    assert hand_over(ledger) == 1
    assert [one.station for one in ledger.turn((), {"spare": 1}, NOW)] == ["spare"]


def test_what_one_station_must_get_itself_waits_for_it(ledger):
    ledger.index([indexed(1, owed())])
    assert hand_over(ledger) == 0


def test_a_held_task_stays_until_it_is_resumed_and_a_moved_one_can_be_held_and_cancelled(ledger):
    ledger.index([indexed(1, CHOICE), indexed(2, CHOICE, study="1.9")])
    first, second = (one.task_id for one in reversed(ledger.tasks()))
    ledger.hold([first], "eva")
    assert hand_over(ledger) == 1
    assert rows(ledger, 1)[-1][2] == "queued"
    ledger.resume([first], "eva")
    assert hand_over(ledger) == 1
    moved = ledger.tasks(station="spare")
    ledger.hold([moved[0].task_id], "eva")
    assert [one.instance_id for one in ledger.turn((), {"spare": 9}, NOW)] == [2]
    assert ledger.cancel([moved[0].task_id], "eva") == 1
    assert rows(ledger, 1)[-1] == ("spare", MORPHED.digest, "cancelled")


def test_a_study_that_waits_for_silence_goes_on_when_it_was_silent(ledger, clock):
    silent = owed(others=["spare"], silence=Silence("study", 30.0))
    ledger.index([indexed(1, silent, at=NOW)])
    assert hand_over(ledger) == 0
    clock.time = NOW + 31
    assert ledger.hand_over(AWAY, {"spare": 5}, NOW + 31) == 1
    assert len(ledger.turn((), {"spare": 5}, NOW + 31)) == 1, "it has waited already"


def test_its_priority_goes_with_it_also_the_one_a_person_gave(ledger):
    low = owed(priority=Priority.LOW, others=["spare"])
    ledger.index([indexed(1, low)])
    hand_over(ledger)
    assert ledger.tasks(station="spare")[0].priority == "low"
    ledger.prioritise([ledger.tasks(station="spare")[0].task_id], Priority.HIGH, "eva")
    ledger.index([indexed(2, low)])
    hand_over(ledger)
    assert {one.priority for one in ledger.turn((), {"spare": 5}, NOW)} == {Priority.HIGH}


def test_a_station_that_gets_it_anyway_gets_it_once(ledger):
    ledger.index([indexed(1, owed(others=["spare"]), owed("spare", rule="other"))])
    assert hand_over(ledger) == 1
    assert sorted(rows(ledger)) == [
        ("pacs", PLAIN.digest, "moved"),
        ("spare", PLAIN.digest, "queued"),
    ]


def test_versions_arrive_at_the_next_station_in_their_order(ledger):
    ledger.index([indexed(1, CHOICE)])
    (old,) = ledger.turn((), {"pacs": 1}, NOW)
    ledger.index([indexed(1, CHOICE, data=b"new")])
    assert hand_over(ledger) == 0, "the new version waits for what is being sent of the old one"
    ledger.turn([settled(old, Result.UNREACHABLE, State.QUEUED)], {}, NOW)
    assert (hand_over(ledger), hand_over(ledger)) == (1, 1)
    (leased,) = ledger.turn((), {"spare": 5}, NOW)
    assert leased.instance_id == 1
    ledger.turn([settled(leased)], {}, NOW)
    assert [one.instance_id for one in ledger.turn((), {"spare": 5}, NOW)] == [2]


def test_the_same_object_once_more_is_not_owed_again_wherever_it_went(ledger):
    ledger.index([indexed(1, CHOICE)])
    hand_over(ledger)
    ledger.index([indexed(1, CHOICE)])
    assert rows(ledger, 2) == []
    (leased,) = ledger.turn((), {"spare": 1}, NOW)
    ledger.turn([settled(leased)], {}, NOW)
    ledger.index([indexed(1, CHOICE)])
    assert rows(ledger, 3) == []


def test_what_failed_is_not_retried_while_its_twin_is_on_its_way_elsewhere(ledger):
    ledger.index([indexed(1, CHOICE)])
    hand_over(ledger)
    (leased,) = ledger.turn((), {"spare": 1}, NOW)
    ledger.turn([settled(leased, Result.DEAD, State.DEAD)], {}, NOW)
    ledger.index([indexed(1, CHOICE)])
    assert rows(ledger, 2) == [("pacs", PLAIN.digest, "queued")]
    assert ledger.retry() == 0
    ledger.cancel([one.task_id for one in ledger.tasks(station="pacs")])
    assert ledger.retry() == 1


def test_what_was_rejected_stays_since_its_note_follows_it(ledger):
    ledger.index([indexed(1, CHOICE)])
    rejection = Rejection(QUALITY, (instance(1).sop_instance_uid,), ("pacs",), ())
    note = indexed(9, owed())
    ledger.index([replace(note, decision=replace(note.decision, rejection=rejection))])
    assert hand_over(ledger) == 0


def test_p8_a_record_of_one_that_moved_may_be_evicted_once_it_is_delivered(ledger):
    ledger.index([indexed(1, CHOICE)])
    hand_over(ledger)
    assert len(ledger.owed_records()) == 1
    (leased,) = ledger.turn((), {"spare": 1}, NOW)
    ledger.turn([settled(leased)], {}, NOW)
    assert ledger.owed_records() == ()


def test_the_envelope_keeps_the_stations_for_whoever_rebuilds_the_ledger():
    decided = decision(owed("cloud"), CHOICE)
    octets = envelope.encode(instance(1), decided, "plan")
    assert envelope.decode(octets).decision == decided


def test_a_ledger_from_before_the_choice_takes_what_moves(tmp_path, clock, monkeypatch):
    steps = database._migrations()
    before = [one for one in steps if one[0] < 23]
    monkeypatch.setattr(database, "_migrations", lambda: before)
    database.Database(tmp_path / "old.db").close()
    monkeypatch.undo()
    ledger = SqliteLedger.open(tmp_path / "old.db", clock, "boot")
    ledger.index([indexed(1, CHOICE)])
    assert hand_over(ledger) == 1
    assert ledger.account().balanced
    ledger.close()


def test_what_may_move_is_found_by_one_step_of_an_index_however_much_waits(ledger):
    with ledger._database.read() as connection:
        look = connection.execute(f"EXPLAIN QUERY PLAN {choices._NEXT_CHOICE}", ("pacs", 0))
        take = connection.execute(f"EXPLAIN QUERY PLAN {choices._MOVABLE}", ("pacs", 1, NOW, 9))
        looked, taken = ([row[3] for row in one.fetchall()] for one in (look, take))
    index = "SEARCH delivery USING INDEX delivery_choice"
    assert looked == [f"{index} (station=? AND choice_id>?)"]
    assert not [step for step in taken if "TEMP B-TREE FOR ORDER" in step or "SCAN d" in step]


def test_whoever_waits_for_it_at_the_station_it_left_hears_that_it_did_not_come(ledger):
    ledger.index([indexed(1, CHOICE)])
    asked = ledger.latest_deliveries([1], "pacs")
    hand_over(ledger)
    counts = ledger.delivery_counts(asked)
    assert (counts.open, counts.failed) == (0, 1)
