"""Asking: what a C-FIND, C-MOVE or C-GET identifier asks for, checked (PS3.4 C.4, C.6).

Queries are hierarchical: the unique key of every level above is needed, with one value. What is
missing or wrong raises BadDataset with 0xA900 and the offending tag.
"""

from __future__ import annotations

from typing import Final

from router.dicom.keys import name_of
from router.dimse.negotiate import PATIENT_ROOT
from router.errors import BadDataset
from router.model.query import (
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    SPECIFIC_CHARACTER_SET,
    UNIQUE_KEYS,
    Identifier,
    Level,
    Query,
)
from router.model.status import DATA_SET_MISMATCH

_LEVELS: Final[tuple[Level, ...]] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_NO_KEYS: Final = frozenset({SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE})


def find_query(
    identifier: Identifier, sop_class_uid: str, limit: int, deadline_seconds: float
) -> Query:
    """The query in a C-FIND identifier."""
    level = _level(identifier, sop_class_uid)
    keys = {tag: key for tag, key in identifier.items() if tag not in _NO_KEYS}
    if not keys:
        raise BadDataset("the query names no key", DATA_SET_MISMATCH)
    _check_above(level, keys, sop_class_uid)
    return Query(level, keys, limit, deadline_seconds)


def retrieve_query(identifier: Identifier, sop_class_uid: str) -> Query:
    """What a C-MOVE or C-GET identifier names; the unique key of its level has values."""
    level = _level(identifier, sop_class_uid)
    keys = {tag: identifier[tag] for tag in UNIQUE_KEYS.values() if tag in identifier}
    _check_above(level, keys, sop_class_uid)
    tag = UNIQUE_KEYS[level]
    if tag not in keys or not keys[tag].text:
        raise _wrong(f"{name_of(tag)} is missing", tag)
    return Query(level, keys, 0, 0.0)


def _level(identifier: Identifier, sop_class_uid: str) -> Level:
    """The level, which must be one of the model's."""
    element = identifier.get(QUERY_RETRIEVE_LEVEL)
    text = element.text.strip() if element else ""
    for level in _levels(sop_class_uid):
        if level == text:
            return level
    words = "the level is not one of this model" if text else "QueryRetrieveLevel is missing"
    raise _wrong(words, QUERY_RETRIEVE_LEVEL)


def _check_above(level: Level, keys: Identifier, sop_class_uid: str) -> None:
    levels = _levels(sop_class_uid)
    for above in levels[: levels.index(level)]:
        tag = UNIQUE_KEYS[above]
        element = keys.get(tag)
        if element is None or len(element.values) != 1 or not element.text.strip("*? "):
            raise _wrong(f"{level} needs one {name_of(tag)}", tag)


def _levels(sop_class_uid: str) -> tuple[Level, ...]:
    """The levels of the model a SOP class is of; Study Root has no PATIENT."""
    return _LEVELS if sop_class_uid.startswith(f"{PATIENT_ROOT}.") else _LEVELS[1:]


def _wrong(words: str, tag: int) -> BadDataset:
    return BadDataset(words, DATA_SET_MISMATCH, (tag,))
