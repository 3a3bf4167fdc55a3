"""Elements and items of a data set that can be read at any offset: positions only, no values.

Used for what is already held: the items of a wanted sequence, the data set to edit or to convert.
Everything is bounded by `Limits`; bytes that are no data set raise BadDataset. The reader for
bytes as they arrive is `router.dicom.header`; both follow PS3.5 7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from router.dicom.tags import format_tag
from router.dicom.transfer_syntax import Layout
from router.errors import BadDataset

RandomAccess = Callable[[int, int], bytes]

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010
SHORT_VRS: Final = frozenset({"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS"}) | {
    *("LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US")
}
FRAGMENT_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_WINDOW_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one data set may cost to read; beyond it is BadDataset (0xC000)."""

    max_depth: int = 32
    max_items: int = 100_000
    max_elements: int = 200_000
    max_fragments: int = 2_000_000
    max_value_bytes: int = 1024 * 1024
    max_kept_bytes: int = 8 * 1024 * 1024
    max_inflated_bytes: int = 1024 * 1024
    max_inflate_ratio: int = 100


class Coding(NamedTuple):
    """VR form and byte order of a stretch of a data set."""

    explicit_vr: bool
    little_endian: bool

    def inside(self, vr: str) -> Coding:
        """The coding of the items of an element: Implicit VR LE inside UN (PS3.5 6.2.2 note 2)."""
        return IMPLICIT if vr == "UN" else self


IMPLICIT: Final = Coding(explicit_vr=False, little_endian=True)
EXPLICIT: Final = Coding(explicit_vr=True, little_endian=True)


def coding_of(layout: Layout) -> Coding:
    """The coding of the top of a data set in this layout."""
    return Coding(layout.explicit_vr, layout.little_endian)


class Element(NamedTuple):
    """Where one element lies: header from `start`, value from `value_start`, next from `end`.

    `vr` is '' in an implicit coding. With `undefined`, the value ends in a delimiter of 8 bytes
    before `end`.
    """

    tag: int
    vr: str
    start: int
    value_start: int
    end: int
    undefined: bool

    @property
    def value_end(self) -> int:
        """Where the value ends; a delimiter is no part of it."""
        return self.end - 8 if self.undefined else self.end


class Item(NamedTuple):
    """Where one item lies: its own header from `start`, elements from `body_start`."""

    start: int
    body_start: int
    end: int
    undefined: bool

    @property
    def body_end(self) -> int:
        """Where the elements end; a delimiter is no part of them."""
        return self.end - 8 if self.undefined else self.end


_FORMATS: Final = {
    True: struct.Struct("<HH2sH").unpack_from,
    False: struct.Struct(">HH2sH").unpack_from,
}
_SHORT_NAMES: Final = {vr.encode(): vr for vr in SHORT_VRS}
_DELIMITERS: Final = 0xFFFE
_new: Final = tuple.__new__
_LENGTHS: Final = {True: struct.Struct("<I").unpack_from, False: struct.Struct(">I").unpack_from}
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Two capital letters that are no VR of ours are a VR of a later edition: the long form.
_LONG_NAMES: Final = {
    (first + second).encode(): first + second
    for first in _CAPITALS
    for second in _CAPITALS
    if first + second not in SHORT_VRS
}


class ElementReader:
    """Walks a data set of `length` bytes behind `read(offset, length)`."""

    def __init__(self, read: RandomAccess, length: int, limits: Limits | None = None) -> None:
        self.length = length
        self._read = read
        self._limits = limits or Limits()
        self._work = 0
        self._max_work = 8 * self._limits.max_elements + self._limits.max_fragments
        self._window = b""
        self._window_start = 0

    def header(self, at: int, end: int, coding: Coding) -> tuple[int, str, int, int]:
        """Tag, VR, offset of the value and length of the element at an offset.

        Delimiters and items have VR ''. Raises BadDataset where the header passes `end`.
        """
        self._count(1)
        place = at - self._window_start
        if place < 0 or at + 8 > end or place + 8 > len(self._window):
            place = self._load(at, end, 8)
        group, number, letters, short = _FORMATS[coding[1]](self._window, place)
        tag = (group << 16) | number
        if not coding[0] or group == 0xFFFE:
            return tag, "", at + 8, _LENGTHS[coding[1]](self._window, place + 4)[0]
        vr = _LONG_NAMES.get(letters)
        if vr is None:
            return tag, letters.decode("latin-1"), at + 8, short
        if at + 12 > end or place + 12 > len(self._window):
            place = self._load(at, end, 12)
        return tag, vr, at + 12, _LENGTHS[coding[1]](self._window, place + 8)[0]

    def elements(self, start: int, end: int, coding: Coding) -> list[Element]:
        """The elements between two offsets, in their order; stray delimiters are passed over."""
        found: list[Element] = []
        at = start
        while at < end:
            if coding == EXPLICIT:
                at = self._plain_run(found, at, end)
                if at == end:
                    break
            element = self.element(at, end, coding)
            if element.tag >> 16 != _DELIMITERS:
                found.append(element)
            at = element.end
        return found

    def element(self, at: int, end: int, coding: Coding) -> Element:
        """The element, or stray delimiter, at an offset."""
        tag, vr, value_start, length = self.header(at, end, coding)
        if tag in {ITEM_END, SEQUENCE_END}:
            return Element(tag, vr, at, value_start, value_start, False)
        if tag == ITEM:
            raise BadDataset("an item outside a sequence")
        undefined = length == UNDEFINED
        after = (
            self._end_of_undefined(value_start, end, coding, vr)
            if undefined
            else value_start + length
        )
        if after > end:
            raise BadDataset(f"the length of {format_tag(tag)} points past the end")
        return Element(tag, vr, at, value_start, after, undefined)

    def _plain_run(self, found: list[Element], at: int, end: int) -> int:
        """Take the run of elements of known length whose headers lie in the window.

        Nearly all elements of nearly all headers are such; `element` looks closer at the others.
        Gives the offset of the first that is not taken.
        """
        base = self._window_start
        place, last = at - base, min(end - base, len(self._window)) - 8
        if place < 0:
            return at
        window, unpack, unpack_length = self._window, _FORMATS[True], _LENGTHS[True]
        take, before = found.append, len(found)
        while place <= last:
            group, number, letters, length = unpack(window, place)
            vr, body = _SHORT_NAMES.get(letters), 8
            if vr is None:
                vr, body = _LONG_NAMES.get(letters), 12
                if vr is None or place + 4 > last:
                    break
                length = unpack_length(window, place + 8)[0]
            start = base + place
            after = start + body + length
            if group == _DELIMITERS or after > end or length == UNDEFINED:
                break
            take(_new(Element, ((group << 16) | number, vr, start, start + body, after, False)))
            place = after - base
        self._count(len(found) - before)
        return base + place

    def _count(self, more: int) -> None:
        """Nested content may be passed once per level, so the whole walk has a larger budget."""
        self._work += more
        if self._work > self._max_work:
            raise BadDataset("too many elements")

    def items(self, element: Element, coding: Coding) -> Iterator[Item]:
        """The items of a sequence; `coding` is the one inside it."""
        at, end = element.value_start, element.value_end
        while at < end:
            tag, _, body_start, length = self.header(at, end, Coding(False, coding.little_endian))
            if tag == SEQUENCE_END:
                return
            if tag != ITEM:
                raise BadDataset(f"{format_tag(tag)} where an item of a sequence belongs")
            undefined = length == UNDEFINED
            after = (
                self._skip(body_start, end, coding, in_item=True)
                if undefined
                else body_start + length
            )
            if after > end:
                raise BadDataset("the length of an item points past its sequence")
            yield Item(at, body_start, after, undefined)
            at = after

    def value(self, element: Element) -> bytes:
        """The value's bytes, at most `max_value_bytes`, else BadDataset."""
        size = element.value_end - element.value_start
        if size > self._limits.max_value_bytes:
            raise BadDataset(f"{format_tag(element.tag)} is too long to be decoded")
        return self.read(element.value_start, size)

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start`, or BadDataset when they are not there."""
        if size == 0:
            return b""
        place = start - self._window_start
        if place >= 0 and place + size <= len(self._window):
            return self._window[place : place + size]
        found = bytes(self._read(start, size))
        if len(found) != size:
            raise BadDataset("the data set ends early")
        return found

    def _end_of_undefined(self, at: int, end: int, coding: Coding, vr: str) -> int:
        return self._skip(at, end, coding.inside(vr), in_item=False)

    def _skip(self, at: int, end: int, coding: Coding, *, in_item: bool) -> int:
        """The offset behind the delimiter that closes the sequence or item whose content starts here."""
        stack: list[tuple[bool, Coding]] = [(in_item, coding)]
        while stack:
            in_item, coding = stack[-1]
            if len(stack) > 2 * self._limits.max_depth:
                raise BadDataset("sequences are nested too deep")
            probe = coding if in_item else Coding(False, coding.little_endian)
            tag, vr, value_start, length = self.header(at, end, probe)
            at = value_start
            if tag == (ITEM_END if in_item else SEQUENCE_END):
                stack.pop()
            elif in_item == (tag >> 16 == 0xFFFE) or (not in_item and tag != ITEM):
                raise BadDataset(f"{format_tag(tag)} at a place where it cannot be")
            elif length == UNDEFINED:
                stack.append((not in_item, coding.inside(vr) if in_item else coding))
            else:
                at = value_start + length
            if at > end:
                raise BadDataset("a length points past the end")
        return at

    def _load(self, at: int, end: int, size: int) -> int:
        """Have `size` bytes from an offset in the window; gives their place in it."""
        if at + size > end:
            raise BadDataset("the data set ends inside an element header")
        place = at - self._window_start
        if place < 0 or place + size > len(self._window):
            self._window = bytes(self._read(at, min(_WINDOW_BYTES, self.length - at)))
            self._window_start = at
            place = 0
            if len(self._window) < size:
                raise BadDataset("the data set ends early")
        return place
