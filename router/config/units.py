"""Durations, sizes, rates and hours: text with units in, seconds, bytes and minutes out.

Every function takes text that already has the right shape (the patterns here are part of the
schema) and raises ValueError when it has not.
"""

from __future__ import annotations

import re
from typing import Final

DURATION_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,3})?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
RATE_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,3})?(B|KB|MB|GB|KiB|MiB|GiB|kbit|Mbit|Gbit)/s$"
HOURS_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1.0,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
    "kbit": 125.0,
    "Mbit": 125e3,
    "Gbit": 125e6,
}
_NUMBER = re.compile(r"([0-9.]+)([A-Za-z]+)(?:/s)?\Z")


def seconds(text: str) -> float:
    """`30s`, `10m`, `1.5h`, `7d` as seconds."""
    return _scaled(text, DURATION_PATTERN, _SECONDS)


def size_bytes(text: str) -> int:
    """`64MB` (decimal) or `64MiB` (binary) as bytes."""
    return round(_scaled(text, SIZE_PATTERN, _BYTES))


def bytes_per_second(text: str) -> int:
    """`20MB/s` or `100Mbit/s` as bytes per second."""
    return round(_scaled(text, RATE_PATTERN, _BYTES))


def hours(text: str) -> tuple[int, int]:
    """`19:00-07:00` as minutes of the day, start and end; it may pass midnight."""
    if not re.fullmatch(HOURS_PATTERN, text):
        raise ValueError(f"{text!r} is no stretch of hours such as 19:00-07:00")
    start, end = text.split("-")
    return _minutes(start), _minutes(end)


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _scaled(text: str, pattern: str, units: dict[str, float]) -> float:
    found = _NUMBER.match(text) if re.fullmatch(pattern, text) else None
    if found is None:
        raise ValueError(f"{text!r} has no unit that is known here")
    return float(found.group(1)) * units[found.group(2)]
