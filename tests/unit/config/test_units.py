"""Durations, sizes, rates and hours: every unit, its bounds, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config import units
from tests.support.configuration import loaded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("1ms", 0.001),
        ("250ms", 0.25),
        ("30s", 30),
        ("10m", 600),
        ("1.5h", 5400),
        ("7d", 604_800),
        ("0.001s", 0.001),
        ("999999999d", 999_999_999 * 86_400),
    ],
)
def test_durations_are_seconds(text, expected):
    assert units.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0B", 0),
        ("512B", 512),
        ("1KB", 1000),
        ("64MB", 64_000_000),
        ("500GB", 500 * 10**9),
        ("2TB", 2 * 10**12),
        ("1KiB", 1024),
        ("64MiB", 64 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("1TiB", 2**40),
        ("0.001KB", 1),
    ],
)
def test_sizes_are_decimal_or_binary_bytes(text, expected):
    assert units.size_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1B/s", 1),
        ("20MB/s", 20_000_000),
        ("1GB/s", 10**9),
        ("1KB/s", 1000),
        ("1KiB/s", 1024),
        ("1MiB/s", 2**20),
        ("1GiB/s", 2**30),
        ("64kbit/s", 8000),
        ("100Mbit/s", 12_500_000),
        ("2.5Gbit/s", 312_500_000),
    ],
)
def test_rates_are_bytes_per_second(text, expected):
    assert units.bytes_per_second(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19:00-07:00", (1140, 420)),
        ("00:00-23:59", (0, 1439)),
        ("07:05-07:06", (425, 426)),
        ("12:00-12:00", (720, 720)),
    ],
)
def test_hours_are_minutes_of_the_day(text, expected):
    assert units.hours(text) == expected


NO_DURATION = [
    "",
    "s",
    "30",
    "30 s",
    "30S",
    "30sec",
    "-1s",
    "1.s",
    ".5s",
    "1e3s",
    "1w",
    "1s ",
    "٣s",
]
NO_SIZE = ["", "64", "64mb", "64M", "64 MB", "64MB/s", "-1B", "1.2345MB", "1PB", "64KIB", "1kB"]
NO_RATE = ["20MB", "20MB/m", "20 MB/s", "20Mb/s", "20mbit/s", "1Kbit/s", "20MB/s\n", "1TB/s"]
NO_HOURS = ["", "19-7", "24:00-07:00", "7:00-19:00", "19:00 - 07:00", "19:60-07:00", "19:00"]


@pytest.mark.parametrize("text", [*NO_DURATION, "1" * 10 + "s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="unit"):
        units.seconds(text)


@pytest.mark.parametrize("text", NO_SIZE)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="unit"):
        units.size_bytes(text)


@pytest.mark.parametrize("text", NO_RATE)
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="unit"):
        units.bytes_per_second(text)


@pytest.mark.parametrize("text", NO_HOURS)
def test_what_is_no_stretch_of_hours_is_refused(text):
    with pytest.raises(ValueError, match="hours"):
        units.hours(text)


KEYS = {
    "every": ("heartbeat: {{every: '{}'}}", "a duration with its unit", "30s, 10m, 7d"),
    "size": ("limits: {{batch: {{size: '{}'}}}}", "a size with its unit", "64MB, 500GB"),
    "bandwidth": ("limits: {{bandwidth: '{}'}}", "a rate with its unit", "20MB/s, 100Mbit/s"),
    "hours": ("limits: {{hours: '{}'}}", "a stretch of hours", "19:00-07:00"),
}
WRONG = {"every": "30sec", "size": "64mb", "bandwidth": "20MB", "hours": "24:00-07:00"}


@pytest.mark.parametrize("key", KEYS)
def test_the_refusal_says_what_it_is_and_how_it_is_written(tmp_path, key):
    form, words, examples = KEYS[key]
    text = f"stations: {{a: {{ae_title: A, host: a, port: 1, {form.format(WRONG[key])}}}}}"
    (problem,) = loaded(tmp_path, text).errors
    assert problem.code == "DR105"
    assert problem.message == f"{key}: '{WRONG[key]}' is not {words}"
    assert problem.hint == f"such as {examples}"


@given(st.integers(0, 10**9 - 1), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_longer_text_of_the_same_unit_is_never_shorter(count, unit):
    assert units.seconds(f"{count}{unit}") <= units.seconds(f"{count}.5{unit}")


@given(st.integers(0, 10**9 - 1))
def test_units_of_bytes_agree_with_each_other(count):
    assert units.size_bytes(f"{count}KiB") == units.size_bytes(f"{count}B") * 1024
    assert units.bytes_per_second(f"{count}MB/s") == units.size_bytes(f"{count}MB")
    assert units.bytes_per_second(f"{count}Mbit/s") * 8 == units.size_bytes(f"{count}MB")
