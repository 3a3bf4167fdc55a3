"""Values and literals by VR: what it means that two are equal, or that one is less.

A literal is what a rule says, a value what a data set says. Literals that no value of the VR can
ever equal are refused when the rule is compiled (PlugError); values are hostile, and one that is
not what its VR promises compares with nothing, and never raises.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import Any, Final

from router.dicom.tags import vr_for
from router.match.moments import (
    Stretch,
    age_stretch,
    date_stretch,
    date_time_stretch,
    time_stretch,
)
from router.model.path import Path
from router.model.plug import PlugError

Value = str | int | float
Values = tuple[Value, ...]
Test = Callable[[Any], bool]

LITERAL_SCHEMA: Final = {"type": ["string", "number", "boolean"]}
INTEGER_VRS: Final = frozenset({"IS", "SS", "US", "SL", "UL", "SV", "UV"})
NUMBER_VRS: Final = INTEGER_VRS | {"DS", "FL", "FD"}
VALUELESS_VRS: Final = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)
_MOMENTS: Final[dict[str, tuple[Callable[[str], Stretch | None], str, str]]] = {
    "DA": (date_stretch, "date", "20240131, 202401 or 2024"),
    "TM": (time_stretch, "time", "143000, 1430 or 14:30"),
    "DT": (date_time_stretch, "date and time", "20240131143000+0100 or 20240131"),
    "AS": (age_stretch, "age", "018Y, 6M, 3W or 10D"),
}


def vr_of(path: Path | None) -> str:
    """The VR of the attribute a path ends in; a fact (no path) is text."""
    if path is None:
        return "LO"
    return vr_for(path.steps[-1].tag, path.steps[-1].creator)


def text_of(literal: Any) -> str:
    """What was written, as text. Raises PlugError for a list, a mapping or nothing."""
    if isinstance(literal, str):
        return literal
    if isinstance(literal, bool):
        return "true" if literal else "false"
    if isinstance(literal, int | float):
        return str(literal)
    raise PlugError("a single value is expected here", code="DR102")


def number(value: Value) -> int | float | None:
    """The number a value stands for, or None. Whole numbers stay exact."""
    if not isinstance(value, str):
        return value
    value = value.strip(" \0")
    if len(value) > 64 or not _NUMBER.fullmatch(value):
        return None
    if _WHOLE.fullmatch(value):
        return int(value)
    found = float(value)
    return found if math.isfinite(found) else None


def person_name_groups(value: str) -> tuple[str, ...]:
    """The component groups of a PN value, without trailing `^` and padding (PS3.5 6.2.1)."""
    return tuple(group.rstrip(" ^\0") for group in value.split("="))


def comparable(vr: str) -> Callable[[Value], Stretch | None] | None:
    """Value to stretch for a VR that has an order: numbers, dates, times, ages. Else None.

    For an unknown VR the order is that of numbers.
    """
    if vr in _MOMENTS:
        parse = _MOMENTS[vr][0]
        return lambda value: parse(value.strip(" \0")) if isinstance(value, str) else None
    if vr in NUMBER_VRS or vr == "UN":
        return _number_stretch
    return None


def _number_stretch(value: Value) -> Stretch | None:
    found = number(value)
    return None if found is None else (found, found, None)


def literal_stretch(literal: Any, vr: str) -> Stretch:
    """What was written, for an ordered VR. Raises PlugError when it is none."""
    text = text_of(literal).strip()
    if vr in _MOMENTS:
        parse, noun, example = _MOMENTS[vr]
        moment = parse(text)
        if moment is None:
            raise PlugError(
                f"'{text}' is no {noun} (VR {vr})", hint=f"write {example}", code="DR212"
            )
        return moment
    found = number(text)
    if found is None:
        raise PlugError(f"'{text}' is no number (VR {vr})", code="DR212")
    if vr == "FL":
        found = _single(found, text)
    return found, found, None


def _single(found: float, text: str) -> float:
    # A 32-bit 0.1 is not the 64-bit 0.1: the literal takes the precision of the values.
    try:
        single: float = struct.unpack("<f", struct.pack("<f", found))[0]
    except OverflowError:
        raise PlugError(f"'{text}' does not fit a 32-bit number", code="DR212") from None
    return single


def aligned(value: Stretch, literal: Stretch) -> tuple[float, float, float, float]:
    """First and last of the value, first and last of the literal, on one line.

    Two date-times that both carry an offset from UTC are compared as instants, others as written.
    """
    value_low, value_high, value_offset = value
    low, high, offset = literal
    if offset is not None and value_offset is not None:
        shift = offset - value_offset
        return value_low + shift, value_high + shift, low, high
    return value_low, value_high, low, high


def equality(literals: list[Any], path: Path | None) -> Test:
    """A test: one of the values equals one of the literals. Raises PlugError with an index."""
    vr = vr_of(path)
    if vr in VALUELESS_VRS:
        raise PlugError(
            f"an attribute of VR {vr} has no value to compare",
            hint="ask for exists, or for an attribute inside: …[*].Keyword",
        )
    if vr in _MOMENTS:
        return _equal_moments([_at(literal_stretch, i, x, vr) for i, x in enumerate(literals)], vr)
    if vr in NUMBER_VRS:
        numbers = frozenset(_at(_literal_number, i, x, vr) for i, x in enumerate(literals))
        return lambda values: bool(values) and any(number(value) in numbers for value in values)
    wanted = frozenset(_at(_literal_text, i, x, vr) for i, x in enumerate(literals))
    if vr == "PN":
        return _equal_person_names(wanted)
    if vr == "UN":
        return _equal_unknown(wanted)
    if vr in {"AE", "AT"}:
        clean = str.strip if vr == "AE" else str.lower
        return lambda values: (
            bool(values)
            and any(isinstance(value, str) and clean(value) in wanted for value in values)
        )
    return lambda values: bool(values) and not wanted.isdisjoint(values)


def _at(convert: Callable[[Any, str], Any], index: int, literal: Any, vr: str) -> Any:
    try:
        return convert(literal, vr)
    except PlugError as error:
        error.path = (index, *error.path)
        raise


def _literal_number(literal: Any, vr: str) -> float:
    value = literal_stretch(literal, vr)[0]
    if vr in INTEGER_VRS and value != int(value):
        raise PlugError(f"'{text_of(literal)}' is no whole number (VR {vr})", code="DR212")
    return value


def _literal_text(literal: Any, vr: str) -> str:
    text = text_of(literal).rstrip(" \0")
    if not text:
        raise PlugError(
            "a text without characters equals nothing",
            hint="write {empty: true} for an attribute without a value",
            code="DR212",
        )
    if vr == "UI" and not _UID.fullmatch(text):
        hint = "a UID has digits and dots; sop_class and transfer_syntax take names too"
        raise PlugError(f"'{text}' is no UID", hint=hint, code="DR212")
    if vr == "PN":
        return "=".join(person_name_groups(text)).rstrip("=")
    if vr == "AE":
        return text.strip(" ")
    if vr == "AT":
        return text.lower().strip("()").replace(",", "")
    return text


def _equal_moments(literals: list[Stretch], vr: str) -> Test:
    parse = comparable(vr)
    assert parse is not None

    def test(values: Values | None) -> bool:
        for value in values or ():
            moment = parse(value)
            if moment is None:
                continue
            for literal in literals:
                value_low, value_high, low, high = aligned(moment, literal)
                if low <= value_low and value_high <= high:
                    return True
        return False

    return test


def _equal_person_names(wanted: frozenset[str]) -> Test:
    def test(values: Values | None) -> bool:
        for value in values or ():
            if not isinstance(value, str):
                continue
            groups = person_name_groups(value)
            if not wanted.isdisjoint(groups) or "=".join(groups).rstrip("=") in wanted:
                return True
        return False

    return test


def _equal_unknown(wanted: frozenset[str]) -> Test:
    """Private attributes: the VR is seen only in the data set, so text and numbers both count."""
    numbers = {found for found in map(number, wanted) if found is not None}

    def test(values: Values | None) -> bool:
        return any(
            value in wanted if isinstance(value, str) else value in numbers
            for value in values or ()
        )

    return test


def subjects(values: Values | None, vr: str) -> list[str]:
    """What patterns are held against: each value as text, and each group of a person name."""
    texts = [value if isinstance(value, str) else str(value) for value in values or ()]
    if vr != "PN":
        return texts
    groups = [group for text in texts if "=" in text for group in person_name_groups(text) if group]
    return texts + groups
