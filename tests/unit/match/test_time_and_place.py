"""Facts of time and network: windows over midnight, the nights a clock is changed, CIDR networks."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.match.condition import compile_condition
from tests.unit.match.test_conditions import STATIONS, facts, holds


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Sets the local time zone; the one before comes back."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def use(zone: pytest.MonkeyPatch, name: str) -> None:
    zone.setenv("TZ", name)
    time.tzset()


def utc(*fields: int) -> float:
    return float(calendar.timegm((*fields, 0, 0, 0)))


def at(hour: int, minute: int, day: int = 23) -> float:
    return time.mktime((2026, 11, day, hour, minute, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("window", "hour", "minute", "expected"),
    [
        *(("19:00-07:00", 19, 0, True), ("19:00-07:00", 18, 59, False)),
        *(("19:00-07:00", 23, 59, True), ("19:00-07:00", 0, 0, True)),
        *(("19:00-07:00", 6, 59, True), ("19:00-07:00", 7, 0, False)),
        *(("07:00-19:00", 7, 0, True), ("07:00-19:00", 19, 0, False)),
        *(("00:00-24:00", 0, 0, True), ("00:00-24:00", 23, 59, True)),
        *(("23:59-00:00", 23, 59, True), ("23:59-00:00", 0, 0, False)),
        *(("00:00-00:01", 0, 0, True), ("00:00-00:01", 0, 1, False)),
        *(("9:05-9:06", 9, 5, True), ("09:05 - 09:06", 9, 5, True)),
    ],
)
def test_a_window_begins_with_its_first_minute_and_ends_before_its_last(
    window: str, hour: int, minute: int, expected: bool
) -> None:
    assert holds({"time": window}, received_at=at(hour, minute)) is expected


@pytest.mark.parametrize(
    "window", ["24:00-01:00", "19:00-24:01", "19:60-20:00", "19.00-20.00", "19:00"]
)
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match="stretch of the day"):
        compile_condition({"time": window}, station_names=())


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_and_its_other_half_share_no_minute_and_leave_none_out(
    start: int, end: int, minute: int
) -> None:
    if start == end:
        return

    def text(first: int, last: int) -> str:
        return f"{first // 60:02}:{first % 60:02}-{last // 60:02}:{last % 60:02}"

    moment = at(minute // 60, minute % 60)
    inside = holds({"time": text(start, end)}, received_at=moment)
    assert holds({"time": text(end, start)}, received_at=moment) is not inside


def test_the_hour_that_comes_twice_matches_twice(zone: pytest.MonkeyPatch) -> None:
    use(zone, "Europe/Berlin")
    first, second = utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)  # both 02:30 by the wall
    assert time.localtime(first)[3:5] == time.localtime(second)[3:5] == (2, 30)
    for moment in (first, second):
        assert holds({"time": "02:00-03:00"}, received_at=moment)
        assert holds({"weekday": "sun"}, received_at=moment)


def test_the_hour_that_does_not_come_matches_never(zone: pytest.MonkeyPatch) -> None:
    use(zone, "Europe/Berlin")
    before = utc(2026, 3, 29, 0, 59)  # 01:59
    for second in range(0, 120, 30):
        assert not holds({"time": "02:00-03:00"}, received_at=before + second)
    assert holds({"time": "03:00-03:01"}, received_at=before + 60)
    assert holds({"time": "19:00-07:00"}, received_at=before + 60)


@pytest.mark.parametrize(
    ("name", "shown", "weekday"),
    [
        ("UTC", "23:30", "mon"),
        ("Asia/Tokyo", "08:30", "tue"),
        ("America/Sao_Paulo", "20:30", "mon"),
    ],
)
def test_time_and_weekday_are_those_of_the_wall(
    zone: pytest.MonkeyPatch, name: str, shown: str, weekday: str
) -> None:
    use(zone, name)
    condition = compile_condition(
        {"time": "00:00-24:00", "weekday": weekday}, station_names=STATIONS
    )
    rows = condition.explain(facts(received_at=utc(2026, 11, 23, 23, 30)))
    assert [row[1:] for row in rows] == [(shown, True), (weekday, True)]


@pytest.mark.parametrize(
    ("day", "name"), list(zip(range(23, 30), "mon tue wed thu fri sat sun".split()))
)
def test_weekdays(day: int, name: str) -> None:
    assert holds({"weekday": name}, received_at=at(12, 0, day))
    others = [other for other in "mon tue wed thu fri sat sun".split() if other != name]
    assert not holds({"weekday": others}, received_at=at(12, 0, day))
    full = f"{calendar.day_name[day - 23]}"
    assert holds({"weekday": full.upper()}, received_at=at(12, 0, day))


ADDRESSES = [
    ("10.1.1.21", "10.1.1.21", True),
    ("10.1.1.21", "10.1.1.21/32", True),
    ("10.1.1.21", "10.1.1.20/31", True),
    ("10.1.1.22", "10.1.1.20/31", False),
    ("10.1.1.21", "10.0.0.0/8", True),
    ("11.1.1.21", "10.0.0.0/8", False),
    ("10.1.1.255", "10.1.1.0/24", True),
    ("10.1.2.0", "10.1.1.0/24", False),
    ("10.1.1.21", "0.0.0.0/0", True),
    ("10.1.1.21", "::/0", False),
    ("::1", "0.0.0.0/0", False),
    ("fd00::1", "fd00::/8", True),
    ("fe80::1", "fd00::/8", False),
    ("FD00:0:0:0:0:0:0:1", "fd00::1", True),
    ("::ffff:10.1.1.21", "10.1.1.0/24", True),
    ("10.1.1.21", "::ffff:10.1.1.21", True),
    ("10.1.1.21 ", "10.1.1.21", True),
    ("10.1.1", "10.1.1.0/24", False),
    ("ct.example", "0.0.0.0/0", False),
]


@pytest.mark.parametrize(("address", "network", "expected"), ADDRESSES)
def test_addresses_and_networks(address: str, network: str, expected: bool) -> None:
    assert holds({"address": network}, address=address) is expected
    assert holds({"not": {"address": network}}, address=address) is not expected
    assert holds({"address": ["192.0.2.1", network]}, address=address) is expected


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("10.1.1.21/24", "write 10.1.1.0/24"),
        ("fd00::1/64", "write fd00::/64"),
        ("10.1.1.0/33", "10.1.0.0/16"),
        ("10.1.1", "10.1.0.0/16"),
        ("10.1.1.256", "10.1.0.0/16"),
        ("ct.example", "10.1.0.0/16"),
        ("", "10.1.0.0/16"),
    ],
)
def test_what_is_no_network_is_refused_with_a_hint(wrong: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        compile_condition({"address": wrong}, station_names=())
    (problem,) = caught.value.problems
    assert (problem.code, hint in problem.hint) == ("DR212", True)


def test_patterns_over_facts_see_what_the_facts_show() -> None:
    assert holds({"address": {"glob": "10.1.*"}})
    assert holds({"calling_ae_title": {"regex": "^CT[0-9]$"}}, calling_ae_title=" CT1 ")
    assert holds({"called_ae_title": "EDGE_A"}, called_ae_title="EDGE_A  ")
    assert not holds({"organization": {"glob": "?*"}}, organization="")
