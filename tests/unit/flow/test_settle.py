"""What one outcome does to its delivery (reliability 8.6)."""

import pytest

from router.flow.settle import settle
from router.model.delivery import Leased, Outcome, Priority, Result, State
from router.model.instance import RecordRef
from router.model.station import Retry, Station
from tests.unit.flow.clocks import HandClock

RETRY = Retry(first_seconds=30, factor=2, max_seconds=1800, give_up_seconds=7 * 86400)
PACS = Station("pacs", "dicom", retry=RETRY)


def leased(attempts=0, created_at=1_000_000.0):
    return Leased(
        delivery_id=1,
        instance_id=1,
        station="pacs",
        recipe_digest="none",
        priority=Priority.MEDIUM,
        attempts=attempts,
        created_at=created_at,
        record=RecordRef(1, 0, 100),
        sop_class_uid="1.2",
        sop_instance_uid="1.2.3",
        study_instance_uid="1.2.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        data_set_length=10,
    )


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Result.DELIVERED, State.DELIVERED),
        (Result.DEAD, State.DEAD),
        (Result.QUARANTINED, State.QUARANTINED),
    ],
)
def test_final_results_end_the_delivery(result, state):
    settled = settle(Outcome(1, result), leased(), PACS, HandClock())
    assert (settled.state, settled.count_attempt) == (state, True)


@pytest.mark.parametrize("result", [Result.BUSY, Result.UNREACHABLE, Result.HOLD])
def test_the_stations_trouble_burns_no_attempt_of_the_object(result):
    clock = HandClock(at=1_000_000.0 + 30 * 86400)
    settled = settle(Outcome(1, result), leased(), PACS, clock)
    assert (settled.state, settled.count_attempt) == (State.QUEUED, False)


def test_F16_an_object_told_busy_itself_goes_behind_the_pause_of_its_station():
    clock = HandClock()
    own = Outcome(1, Result.BUSY, "out of resources", status=0xA700)
    settled = settle(own, leased(), PACS, clock, pause_seconds=40)
    assert (settled.count_attempt, settled.due_at - clock.now()) == (False, 42)
    settled = settle(own, leased(), PACS, clock, pause_seconds=40, others_wait=True)
    assert (settled.count_attempt, settled.due_at - clock.now()) == (False, 200)
    settled = settle(own, leased(), PACS, clock, pause_seconds=2, others_wait=True)
    assert settled.due_at - clock.now() == 62
    settled = settle(own, leased(), PACS, clock, pause_seconds=3000, others_wait=True)
    assert settled.due_at - clock.now() == 3000 + RETRY.max_seconds
    other = Outcome(2, Result.BUSY, "not sent", status=0xA700, was_tried=False)
    settled = settle(other, leased(), PACS, clock, pause_seconds=40)
    assert (settled.count_attempt, settled.due_at - clock.now()) == (False, 0)


def test_F16_told_busy_while_others_are_taken_uses_attempts_and_only_its_age_ends_it():
    clock = HandClock()
    own = Outcome(1, Result.BUSY, "out of resources", status=0xA700)
    settled = settle(own, leased(attempts=40), PACS, clock, takes_others=True)
    assert (settled.state, settled.count_attempt) == (State.QUEUED, True)
    clock.pass_seconds(RETRY.give_up_seconds + 1)
    assert settle(own, leased(attempts=2), PACS, clock, takes_others=True).state is State.DEAD


def test_retries_wait_longer_each_time_with_a_ceiling():
    clock = HandClock()
    waits = [
        settle(Outcome(1, Result.RETRY), leased(attempts=n), PACS, clock).due_at - clock.now()
        for n in range(12)
    ]
    assert waits[:4] == [22.5, 45, 90, 180]
    assert waits[-1] == 1800 * 0.75


def test_give_up_ends_retrying_by_age():
    clock = HandClock(at=1_000_000.0 + RETRY.give_up_seconds + 1)
    assert settle(Outcome(1, Result.RETRY), leased(attempts=2), PACS, clock).state is State.DEAD


def test_F10_a_clock_set_forward_kills_nothing_that_was_hardly_tried():
    clock = HandClock(at=1_000_000.0 + 10 * 365 * 86400)
    assert settle(Outcome(1, Result.RETRY), leased(attempts=1), PACS, clock).state is State.QUEUED


def test_a_known_permanent_answer_dies_after_its_few_tries():
    clock = HandClock()
    outcome = Outcome(1, Result.RETRY, "processing failure", status=0x0110)
    states = [settle(outcome, leased(attempts=n), PACS, clock).state for n in range(10)]
    assert states[0] is State.QUEUED
    assert states[-1] is State.DEAD
    assert states == sorted(states, key=[State.QUEUED, State.DEAD].index)
