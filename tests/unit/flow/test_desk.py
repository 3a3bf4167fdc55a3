"""The desk between dispatcher and lanes: bounds, order, recall."""

import threading
from dataclasses import replace

from router.clock import Clock
from router.flow.desk import Desk
from router.model.station import Limits
from tests.unit.flow.test_settle import leased

PATIENCE = 0.05


def work(*studies, size=10):
    base = leased()
    return [
        replace(base, delivery_id=n, study_instance_uid=study, data_set_length=size)
        for n, study in enumerate(studies, start=1)
    ]


def desk(*, ordered=True, lanes=2, **limits):
    made = Desk(Limits(**limits), Clock(), ordered=ordered)
    made.put(work("warm-up"))
    for _ in range(lanes):
        assert made.open_lane(lanes)
    made.recall()
    return made


def ids(batch):
    return [one.delivery_id for one in batch]


def test_a_batch_is_bounded_by_count_and_bytes():
    by_count = desk(batch_instances=3)
    by_count.put(work(*"aaaaa"))
    assert ids(by_count.take(2, PATIENCE)) == [1, 2, 3]
    by_bytes = desk(batch_bytes=25)
    by_bytes.put(work(*"aaaaa"))
    assert ids(by_bytes.take(2, PATIENCE)) == [1, 2]


def test_one_object_larger_than_the_bound_still_goes_alone():
    made = desk(batch_bytes=5)
    made.put(work("a", "a"))
    assert ids(made.take(2, PATIENCE)) == [1]


def test_p7_a_study_is_in_the_hands_of_one_lane_at_a_time():
    made = desk(batch_instances=2)
    made.put(work("a", "a", "a", "b"))
    first = made.take(2, PATIENCE)
    assert ids(first) == [1, 2]
    assert ids(made.take(2, PATIENCE)) == [4], "another study passes the one in hand"
    for one in first:
        made.done(one)
    assert ids(made.take(2, PATIENCE)) == [3]


def test_f92_requests_to_a_web_service_run_in_parallel_within_a_study():
    made = desk(ordered=False, batch_instances=2)
    made.put(work(*"aaaa"))
    assert ids(made.take(2, PATIENCE)) == [1, 2]
    assert ids(made.take(2, PATIENCE)) == [3, 4]


def test_a_lane_that_waits_in_vain_ends_and_is_not_counted():
    made = desk(lanes=1)
    assert made.take(1, PATIENCE) == []
    assert made.lanes() == 0


def test_surplus_lanes_end_although_there_is_work():
    made = desk(lanes=2)
    made.put(work("a"))
    assert made.take(1, PATIENCE) == []
    assert made.lanes() == 1
    assert ids(made.take(1, PATIENCE)) == [1]


def test_recall_takes_back_only_what_no_lane_has_begun():
    made = desk(batch_instances=1)
    made.put(work("a", "a", "b"))
    in_hand = made.take(2, PATIENCE)
    assert ids(made.recall()) == [2, 3]
    assert made.outstanding() == len(in_hand) == 1


def test_a_waiting_lane_gets_work_that_comes_later():
    made = desk(lanes=1)
    got = []
    thread = threading.Thread(target=lambda: got.extend(ids(made.take(1, 5.0))))
    thread.start()
    made.put(work("a"))
    thread.join(5.0)
    assert got == [1]
