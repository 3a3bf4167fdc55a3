"""What a header reader keeps: paths compiled once to a dictionary of raw element keys.

A key is the tag as the four bytes read in one integer, so that the reader compares without taking
tags apart: element << 16 | group in little endian, the tag itself in big endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from router.dicom.elements import ITEM, ITEM_END, PIXEL_DATA, SEQUENCE_END
from router.dicom.tags import all_vrs_for
from router.model.path import Path

KEEP: Final = 1
PIXELS: Final = 2
DELIMITER: Final = 3

CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
ACCESSION_NUMBER: Final = 0x00080050
MODALITY: Final = 0x00080060
PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
PIXEL_REPRESENTATION: Final = 0x00280103
ALWAYS: Final = (
    CHARACTER_SET,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    ACCESSION_NUMBER,
    MODALITY,
    PATIENT_ID,
    ISSUER_OF_PATIENT_ID,
    STUDY_INSTANCE_UID,
    SERIES_INSTANCE_UID,
)
_PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, PIXEL_DATA)


@dataclass(frozen=True, slots=True)
class WantedKeys:
    """Raw key to KEEP, PIXELS or DELIMITER, at the top and inside items; and the last tag wanted."""

    top: dict[int, int]
    nested: dict[int, int]
    highest_tag: int


def raw_key(tag: int, *, little_endian: bool) -> int:
    """The tag as one integer in the byte order of the data set."""
    return ((tag & 0xFFFF) << 16) | (tag >> 16) if little_endian else tag


@lru_cache(maxsize=64)
def compile_wanted(wanted: frozenset[Path], little_endian: bool) -> WantedKeys:  # noqa: FBT001 - cached by position
    """The keys of these paths and of ALWAYS, for one byte order."""
    tags = set(ALWAYS)
    for path in wanted:
        step = path.steps[0]
        if step.creator is None:
            tags.add(step.tag)
            if "SS" in all_vrs_for(step.tag):
                tags.add(PIXEL_REPRESENTATION)
            continue
        group, low = step.tag & 0xFFFF0000, step.tag & 0xFF
        for block in range(0x10, 0x100):
            tags.update((group | block, group | (block << 8) | low))
    # Both byte orders: the content of UN is little endian in any data set.
    delimiters = {
        raw_key(tag, little_endian=order): DELIMITER
        for tag in (ITEM, ITEM_END, SEQUENCE_END)
        for order in (True, False)
    }
    top = {raw_key(tag, little_endian=little_endian): KEEP for tag in tags}
    top |= {raw_key(tag, little_endian=little_endian): PIXELS for tag in _PIXEL_TAGS}
    return WantedKeys(top | delimiters, delimiters, max(tags))
