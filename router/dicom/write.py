"""Element headers and delimiters as bytes (PS3.5 7.1, 7.5)."""

from __future__ import annotations

import struct
from typing import Final

from router.dicom.elements import ITEM, ITEM_END, SEQUENCE_END, SHORT_VRS, Coding

MAX_SHORT_LENGTH: Final = 65534


def element_header(tag: int, vr: str, length: int, coding: Coding) -> bytes:
    """The header of an element. A value too long for its short form becomes UN (PS3.5 6.2.2).

    `vr` is ignored in an implicit coding; `length` may be UNDEFINED.
    """
    order = "<" if coding.little_endian else ">"
    group, number = tag >> 16, tag & 0xFFFF
    if not coding.explicit_vr:
        return struct.pack(f"{order}HHI", group, number, length)
    if vr in SHORT_VRS:
        if length <= MAX_SHORT_LENGTH:
            return struct.pack(f"{order}HH2sH", group, number, vr.encode(), length)
        vr = "UN"
    return struct.pack(f"{order}HH2sHI", group, number, vr.encode("latin-1"), 0, length)


def item_header(length: int, coding: Coding) -> bytes:
    """The header of an item; `length` may be UNDEFINED."""
    return _plain(ITEM, length, coding)


def item_end(coding: Coding) -> bytes:
    """The delimiter behind an item of undefined length."""
    return _plain(ITEM_END, 0, coding)


def sequence_end(coding: Coding) -> bytes:
    """The delimiter behind a sequence, or fragments, of undefined length."""
    return _plain(SEQUENCE_END, 0, coding)


def _plain(tag: int, length: int, coding: Coding) -> bytes:
    order = "<" if coding.little_endian else ">"
    return struct.pack(f"{order}HHI", tag >> 16, tag & 0xFFFF, length)
