"""The named strategies of sending: slow start, back-off, dead-station memory, patience."""

from router.flow.pace import (
    BUSY_MAX_SECONDS,
    PROBE_MAX_SECONDS,
    REFUSED_FIRST_SECONDS,
    Pace,
)
from tests.unit.flow.clocks import HandClock


def make(max_lanes=4):
    clock = HandClock()
    return Pace(max_lanes, clock), clock


def test_slow_start_opens_one_lane_per_clean_batch_up_to_the_limit():
    pace, _ = make(max_lanes=3)
    seen = [pace.lanes]
    for _ in range(5):
        pace.delivered(clean_batch=True)
        seen.append(pace.lanes)
    assert seen == [1, 2, 3, 3, 3, 3]


def test_single_deliveries_do_not_open_lanes():
    pace, _ = make()
    for _ in range(20):
        pace.delivered(clean_batch=False)
    assert pace.lanes == 1


def test_a_lost_connection_stops_sending_until_a_probe_answers():
    pace, clock = make()
    pace.unreachable("connection refused")
    assert not pace.may_send()
    clock.pass_seconds(3600)
    assert not pace.may_send(), "time alone must not bring a dead station back"
    assert pace.may_probe()
    pace.probe_answered()
    assert pace.may_send()


def test_probes_of_a_dead_station_come_less_and_less_often_with_a_ceiling():
    pace, clock = make()
    waits = []
    for _ in range(12):
        before = clock.monotonic()
        pace.probe_failed("no answer")
        waits.append(pace.resume_at - before)
        clock.at = pace.resume_at
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == PROBE_MAX_SECONDS


def test_a_probe_that_answers_ramps_from_one_lane():
    pace, clock = make(max_lanes=8)
    for _ in range(8):
        pace.delivered(clean_batch=True)
    pace.unreachable("reset")
    clock.pass_seconds(10)
    pace.probe_answered()
    assert pace.lanes == 1


def test_a_busy_station_gets_the_time_it_asked_for_and_half_the_lanes():
    pace, clock = make(max_lanes=8)
    for _ in range(7):
        pace.delivered(clean_batch=True)
    pace.busy("0xA700", 17.0)
    assert pace.lanes == 4
    clock.pass_seconds(16.9)
    assert not pace.may_send()
    clock.pass_seconds(0.2)
    assert pace.may_send()


def test_busy_without_a_time_doubles_up_to_its_ceiling():
    pace, clock = make()
    waits = []
    for _ in range(12):
        pace.busy("503", None)
        waits.append(pace.resume_at - clock.monotonic())
        clock.at = pace.resume_at
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == BUSY_MAX_SECONDS


def test_a_station_that_refuses_us_is_looked_at_rarely_and_needs_no_probe():
    pace, clock = make()
    pace.refused("calling AE title not recognised", None)
    clock.pass_seconds(REFUSED_FIRST_SECONDS - 1)
    assert not pace.may_send()
    clock.pass_seconds(2)
    assert pace.may_send()


def test_success_forgets_the_failures():
    pace, clock = make()
    for _ in range(5):
        pace.busy("503", None)
        clock.at = pace.resume_at
    pace.delivered(clean_batch=False)
    pace.busy("503", None)
    assert pace.resume_at - clock.monotonic() == 2.0
