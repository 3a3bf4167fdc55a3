"""Advice about literals of `match` that no value of the VR can be (DR319).

`Modality: ct`, a Study ID of 30 characters, an Instance Number beyond 32 bits: the standard lets no
such value be written (PS3.5 6.2), so a rule that waits for one waits in vain, unless its sender breaks
the standard. The writer of values is the judge: what it refuses to encode is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.dicom.tags import PathError, parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.values import TEXT_VRS, ValueProblem, encode
from router.match.named_facts import FACTS
from router.match.values import INTEGER_VRS, NUMBER_VRS, Value, number, person_name_groups, vr_of

Path = tuple[str | int, ...]
_LITERAL_OPERATORS: Final = ("equals", "any", "all")
_LAYOUT: Final = layout_of(EXPLICIT_VR_LITTLE_ENDIAN)
_CHECKED: Final = TEXT_VRS - {"DA", "TM", "DT", "AS", "PN", "DS"} | (NUMBER_VRS - {"DS"})
_LENGTHS: Final = {"AE": 16, "CS": 16, "LO": 64, "SH": 16, "UI": 64, "ST": 1024, "LT": 10240}


def impossible_literals(match: Any) -> Iterator[tuple[Path, str, str]]:
    """(path below the match, message, hint) of each literal that cannot be."""
    for key, value, here in _conditions(match, ()):
        if key not in FACTS:
            yield from _of_attribute(key, value, here)


def literals_of(match: Any, fact: str) -> Iterator[tuple[Path, str]]:
    """(path below the match, text) of each literal a fact is compared with; no patterns."""
    for key, value, here in _conditions(match, ()):
        if key == fact:
            yield from _literals(value, here)


def _conditions(match: Any, at: Path) -> Iterator[tuple[str, Any, Path]]:
    """Each key of a match that is no combinator, with its value and its path."""
    if not isinstance(match, Mapping):
        return
    for key, value in match.items():
        here = (*at, key)
        if key == "not":
            yield from _conditions(value, here)
        elif key in ("all", "any") and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _conditions(item, (*here, index))
        else:
            yield str(key), value, here


def _of_attribute(key: str, value: Any, at: Path) -> Iterator[tuple[Path, str, str]]:
    try:
        vr = vr_of(parse_path(key))
    except PathError:
        return
    for place, literal in _literals(value, at):
        fault = _fault(vr, literal)
        if fault is not None:
            yield place, f"{key} is never '{_short(literal)}': {fault[0]}", fault[1]


def _literals(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _literals(item, (*at, index))
    elif isinstance(value, Mapping):
        for name in _LITERAL_OPERATORS:
            if name in value:
                yield from _literals(value[name], (*at, name))


def _fault(vr: str, literal: str) -> tuple[str, str] | None:
    """Why no value of the VR is this literal, and what to write."""
    text = literal.rstrip(" \0")
    if vr == "PN":
        if any(len(group) > 64 for group in person_name_groups(text)):
            return "a component group of a name (PN) has at most 64 characters", ""
        return None
    if vr not in _CHECKED:
        return None
    value: Value = text
    if vr in NUMBER_VRS:
        found = number(text)  # 5.0 is 5, in a whole-number VR too
        value = int(found) if found is not None and vr in INTEGER_VRS else found or text
    try:
        encode(vr, (value,), _LAYOUT, "ISO_IR 192")
    except ValueProblem as problem:
        return _words(vr, text, str(problem))
    return None


def _words(vr: str, text: str, problem: str) -> tuple[str, str]:
    most = _LENGTHS.get(vr, 0)
    if most and len(text) > most:
        return f"VR {vr} holds at most {most} characters, these are {len(text)}", ""
    if vr == "CS":
        hint = f"write {text.upper()}" if _is_code(text.upper()) else ""
        return "VR CS has upper case letters, digits, spaces and underscores only", hint
    if vr == "UI":
        return "a UID has digits and dots, and no component with a leading zero", ""
    if vr in NUMBER_VRS:
        return f"it is out of the range of VR {vr}", ""
    return problem, ""


def _is_code(text: str) -> bool:
    return len(text) <= 16 and all(
        sign.isascii() and (sign.isalnum() or sign in " _") for sign in text
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
