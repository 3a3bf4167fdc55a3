"""Attributes whose VR has an order: values just beside what tests name, and intervals.

What a comparison lets through is an interval between two places on the line of `match.moments` (or
of numbers). Values are given as texts of their VR.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from router.analysis.formula import LISTED, Atom
from router.match.moments import Stretch
from router.match.values import INTEGER_VRS, NUMBER_VRS, literal_stretch, text_of
from router.model.plug import PlugError

_DAY: Final = 86_400_000_000
_AGE = re.compile(r"(\d{1,3})([DWMY])\Z", re.ASCII)
COMPARISONS: Final = frozenset({"gt", "ge", "lt", "le", "between"})
_PRESENCE: Final = frozenset({"exists", "empty"})
_OPEN: Final = -math.inf, math.inf


def beside(vr: str, literals: Iterable[str]) -> list[str]:
    """What the literals name, and the nearest values below, between and above."""
    stretches = [stretch for text in literals if (stretch := _stretch(vr, text)) is not None]
    if vr in {"DA", "DT"}:
        return list(dict.fromkeys(_dates(stretches)))
    if vr == "TM":
        return list(dict.fromkeys(_times(stretches)))
    if vr == "AS":
        return list(dict.fromkeys(_ages(literals)))
    return list(dict.fromkeys(_numbers(vr, stretches)))


def is_empty(vr: str, holds: Iterable[Atom], fails: Iterable[Atom]) -> bool:
    """Whether certainly no single value of the VR meets these tests, when no candidate did."""
    tests = [atom for atom in holds if atom.operator not in _PRESENCE]
    if any(atom.operator not in COMPARISONS | LISTED for atom in (*tests, *fails)):
        only_tests = [atom for atom in tests if atom.operator in COMPARISONS | LISTED]
        return _no_room(vr, only_tests)
    if vr in NUMBER_VRS or vr == "DA":
        return True
    return _no_room(vr, tests)


def _no_room(vr: str, tests: list[Atom]) -> bool:
    low, high = _OPEN
    for atom in tests:
        if atom.is_listed:
            continue
        bounds = _interval(vr, atom)
        if bounds is None:
            return False
        low, high = max(low, bounds[0]), min(high, bounds[1])
    if low > high:
        return True
    for atom in tests:
        if atom.is_listed:
            stretches = [_stretch(vr, text) for text in _texts(atom)]
            if any(each is None or each[2] is not None for each in stretches):
                return False
            if all(each is not None and (each[1] < low or each[0] > high) for each in stretches):
                return True
    return False


def _interval(vr: str, atom: Atom) -> tuple[float, float] | None:
    """First and last place a whole value may take; None where offsets from UTC play a part."""
    stretches = [_stretch(vr, text) for text in _texts(atom)]
    first, last = stretches[0], stretches[-1]
    if first is None or last is None or first[2] is not None or last[2] is not None:
        return None
    step = 0.0 if vr in NUMBER_VRS - INTEGER_VRS else 1.0
    if atom.operator == "between":
        return first[0], last[1]
    return {
        "gt": (first[1] + step, math.inf),
        "ge": (first[0], math.inf),
        "lt": (-math.inf, first[0] - step),
        "le": (-math.inf, first[1]),
    }[atom.operator]


def _texts(atom: Atom) -> list[str]:
    return [text_of(each) for each in atom.values]


def _stretch(vr: str, text: str) -> Stretch | None:
    try:
        return literal_stretch(text, "DS" if vr in NUMBER_VRS else vr)
    except PlugError:
        return None


def _numbers(vr: str, stretches: Iterable[Stretch]) -> Iterator[str]:
    points = sorted({low for low, _, _ in stretches})
    for point in points:
        yield _number(vr, point)
    for low, high in pairwise(points):
        yield _number(vr, (low + high) / 2)
    for point in points:
        yield _number(vr, point + 1)
        yield _number(vr, point - 1)


def _number(vr: str, point: float) -> str:
    return str(math.floor(point)) if vr in INTEGER_VRS else f"{point:.12g}"


def _dates(stretches: Iterable[Stretch]) -> Iterator[str]:
    for low, high, _ in stretches:
        for day in (low // _DAY, high // _DAY, low // _DAY - 1, high // _DAY + 1):
            if 1 <= day <= dt.date.max.toordinal():
                yield dt.date.fromordinal(int(day)).strftime("%Y%m%d").zfill(8)


def _times(stretches: Iterable[Stretch]) -> Iterator[str]:
    for low, high, _ in stretches:
        for point in (low, high, low - 1, high + 1):
            if 0 <= point < _DAY:
                seconds, micro = divmod(int(point), 1_000_000)
                minutes, second = divmod(seconds, 60)
                text = f"{minutes // 60:02}{minutes % 60:02}{second:02}"
                yield f"{text}.{micro:06}" if micro else text


def _ages(literals: Iterable[str]) -> Iterator[str]:
    for literal in literals:
        found = _AGE.match(literal.strip())
        if found is not None:
            for count in (int(found[1]), int(found[1]) + 1, int(found[1]) - 1):
                if 0 <= count <= 999:
                    yield f"{count:03}{found[2]}"
