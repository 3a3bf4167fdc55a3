"""The matching of C-FIND keys (PS3.4 C.2.2.2): whether an answer fits an identifier.

Single value, list of UIDs, wildcard, range of dates, times or date-times, sequence, and universal.
Names match without regard to case and trailing delimiters, each component group by itself; all
other texts match exactly. A multi-valued attribute matches when one of its values does, and so does
a key of several values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from router.model.query import DataElement, Identifier

WILDCARD_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
RANGE_VRS: Final = frozenset({"DA", "TM", "DT"})
_LEGACY_DATE: Final = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)\Z")


def is_universal(key: DataElement) -> bool:
    """Whether a key matches everything: it is empty, `*` alone, or only asks for an item."""
    if key.vr == "SQ":
        return all(is_universal(one) for item in key.items for one in item.values())
    return (
        all(str(value).strip("*") == "" for value in key.values)
        if key.vr in WILDCARD_VRS
        else (not key.text)
    )


def matches(keys: Identifier, found: Identifier) -> bool:
    """Whether a data set fits every key. An absent attribute fits universal keys only."""
    return all(
        is_universal(key) or _element_matches(key, found.get(tag)) for tag, key in keys.items()
    )


def _element_matches(key: DataElement, found: DataElement | None) -> bool:
    if found is None or not found.values:
        return False
    if key.vr == "SQ":
        return any(matches(key.items[0], item) for item in found.items) if key.items else True
    tests = [_test(key.vr, str(value)) for value in key.values if str(value) != ""]
    return any(test(str(value)) for test in tests for value in found.values)


@lru_cache(maxsize=1024)
def _test(vr: str, wanted: str) -> Callable[[str], bool]:
    """The test of one value of a key over one value of an attribute."""
    if vr == "PN":
        return _name_test(wanted)
    if vr in RANGE_VRS:
        return _range_test(vr, wanted)
    if vr in WILDCARD_VRS and ("*" in wanted or "?" in wanted):
        pattern = wildcard(wanted.strip(" "))
        return lambda value: pattern(value.strip(" "))
    if vr in {"IS", "DS"}:
        return lambda value: _same_number(wanted, value)
    plain = wanted.strip(" \0")
    return lambda value: value.strip(" \0") == plain


def wildcard(pattern: str) -> Callable[[str], bool]:
    """A test for `*` (any run) and `?` (any one character), linear in the length of the text."""
    parts = re.split(r"\*+", pattern)
    tests = [
        re.compile("".join("." if c == "?" else re.escape(c) for c in part), re.DOTALL)
        for part in parts
    ]

    def test(text: str) -> bool:
        # Each stretch is taken at its first place; the last must reach the end.
        if len(parts) == 1:
            return tests[0].fullmatch(text) is not None
        head = tests[0].match(text)
        if head is None:
            return False
        at, last = head.end(), len(text) - len(parts[-1])
        for middle in tests[1:-1]:
            hit = middle.search(text, at)
            if hit is None:
                return False
            at = hit.end()
        return last >= at and tests[-1].fullmatch(text, last) is not None

    return test


def _name_test(wanted: str) -> Callable[[str], bool]:
    """Each group of the key against the same group; a key of one group against any of them."""
    groups = [folded(group) for group in wanted.split("=")]
    tests = [wildcard(group) if group else None for group in groups]

    def test(value: str) -> bool:
        found = [folded(group) for group in value.split("=")]
        if len(tests) == 1:
            only = tests[0]
            return only is None or any(only(group) for group in found)
        found += [""] * (len(tests) - len(found))
        return all(one is None or one(group) for one, group in zip(tests, found, strict=False))

    return test


def folded(group: str) -> str:
    """A component group of a name as it is compared."""
    return group.casefold().strip(" ").rstrip("^").rstrip(" ")


def _same_number(wanted: str, value: str) -> bool:
    try:
        return float(wanted) == float(value)
    except ValueError:
        return wanted.strip() == value.strip()


def _range_test(vr: str, wanted: str) -> Callable[[str], bool]:
    low, dash, high = _bounds(vr, wanted)
    if not dash:
        plain = _normal(vr, low)
        return lambda value: (
            _padded(vr, value, "0") == _padded(vr, plain, "0")
            or (vr != "DA" and _normal(vr, value).startswith(plain))
        )
    least = _padded(vr, low, "0") if low else ""
    most = _padded(vr, high, "9") if high else "~"
    return lambda value: least <= _padded(vr, value, "0") <= most


def _bounds(vr: str, wanted: str) -> tuple[str, str, str]:
    wanted = wanted.strip(" ")
    if vr != "DT":
        return wanted.partition("-")
    # The offset of a date-time from UTC begins with a dash too: -HHMM behind at least a year.
    for place, character in enumerate(wanted):
        if character != "-":
            continue
        tail = wanted[place + 1 :]
        is_offset = place >= 4 and re.match(r"(0\d|1[0-2])\d\d(-|\Z)", tail) is not None
        if not is_offset:
            return wanted[:place], "-", tail
    return wanted, "", ""


def _normal(vr: str, text: str) -> str:
    """Digits alone: `2020.01.31` and `10:20:30` are old forms (PS3.5 6.2)."""
    text = text.strip(" \0")
    if vr == "DA":
        return _LEGACY_DATE.sub(r"\1\2\3", text)
    if vr == "TM":
        return text.replace(":", "")
    return re.sub(r"[+-]\d{4}\Z", "", text)


def _padded(vr: str, text: str, filler: str) -> str:
    """As long as the longest form, so that text order is time order."""
    text = _normal(vr, text)
    whole, _, fraction = text.partition(".")
    width = {"DA": 8, "TM": 6, "DT": 14}[vr]
    return f"{whole.ljust(width, filler)}.{fraction.ljust(6, filler)}"
