"""Dates, times, date-times and ages as stretches on a line (PS3.5 6.2, VRs DA, TM, DT, AS).

A value of little precision is a stretch: `2024` is the whole year, `10` in a TM the whole hour. So
each text becomes (first microsecond, last microsecond, UTC offset in microseconds or None).
Texts that are none give None; nothing here raises.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Final

Stretch = tuple[float, float, int | None]

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_MAX_LENGTH: Final = 64

# The old forms YYYY.MM.DD and HH:MM:SS are still met (PS3.5 6.2, notes), ISO dates people write.
_DATE = re.compile(r"(\d{4})(?:[.-]?(\d\d)(?:[.-]?(\d\d))?)?", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}(?:\d\d(?:\d\d)?)?)((?<=\d{8})\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?([+-]\d{4})?",
    re.ASCII,
)
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)

# In sixteenths of a day, so that twelve months are exactly a year and all numbers stay whole.
_AGE_UNITS: Final = {"D": 16, "W": 7 * 16, "M": 487, "Y": 5844}


def date_stretch(text: str) -> Stretch | None:
    """A DA value, or the beginning of one: a year, a year and month."""
    found = _DATE.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    try:
        first = dt.date(year, month or 1, day or 1)
        last_month = month or 12
        last_day = day or calendar.monthrange(year, last_month)[1]
        last = dt.date(year, last_month, last_day)
    except ValueError:
        return None
    if found[2] == "00" or found[3] == "00":
        return None
    return first.toordinal() * _DAY, (last.toordinal() + 1) * _DAY - 1, None


def time_stretch(text: str) -> Stretch | None:
    """A TM value of any precision. A leap second (60) is allowed."""
    found = _TIME.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    first = hour * _HOUR + minute * _MINUTE + second * _SECOND
    if found[4]:
        unit = 10 ** (6 - len(found[4]))
        first += int(found[4]) * unit
    elif found[3]:
        unit = _SECOND
    else:
        unit = _MINUTE if found[2] else _HOUR
    return first, first + unit - 1, None


def date_time_stretch(text: str) -> Stretch | None:
    """A DT value of any precision, with or without its offset from UTC."""
    found = _DATE_TIME.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if found is None:
        return None
    day = date_stretch(found[1])
    if day is None:
        return None
    low, high, _ = day
    if found[2]:
        time = time_stretch(found[2])
        if time is None:
            return None
        low, high = low + time[0], low + time[1]
    return low, high, _offset(found[3]) if found[3] else None


def _offset(text: str) -> int:
    microseconds = int(text[1:3]) * _HOUR + int(text[3:5]) * _MINUTE
    return -microseconds if text[0] == "-" else microseconds


def age_stretch(text: str) -> Stretch | None:
    """An AS value: `018Y`, `18Y`, `006M`, `3W`, `10D`. Twelve months are one year."""
    found = _AGE.fullmatch(text)
    if found is None:
        return None
    age = int(found[1]) * _AGE_UNITS[found[2]]
    return age, age, None
