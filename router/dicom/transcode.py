"""Conversion between the uncompressed transfer syntaxes, as a stream of pieces.

Implicit to explicit takes VRs from the dictionaries, the private one included, and UN where they
are silent; it never guesses (PS3.5 6.2.2). Big endian numbers are swapped by VR (PS3.5 7.3).
Sequences come out with undefined lengths, so that nothing is held back to be measured; group
lengths and trailing padding are dropped (PS3.5 7.2). Raises Undeliverable for encapsulated pixel
data and BadDataset for bytes that are no data set.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from router.dicom.elements import (
    FRAGMENT_VRS,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    Coding,
    ElementReader,
    Limits,
)
from router.dicom.nested import SIGNED
from router.dicom.splice import Piece, Span
from router.dicom.tags import all_vrs_for, format_tag
from router.dicom.values import KNOWN_VRS
from router.dicom.wanted import PIXEL_REPRESENTATION
from router.dicom.write import element_header, item_end, item_header, sequence_end
from router.errors import BadDataset, Undeliverable

_SWAP_BYTES: Final = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
_BITS_ALLOCATED: Final = 0x00280100
_WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
_TRAILING_PADDING: Final = 0xFFFCFFFC
_LIMITS: Final = Limits()


class Swapped(NamedTuple):
    """Bytes of the original whose numbers of `size` bytes change byte order."""

    start: int
    end: int
    size: int


@dataclass(slots=True)
class _Level:
    """One open data set or sequence; `end` is None until a delimiter closes it."""

    is_sequence: bool
    end: int | None
    is_signed: bool = False
    bits_allocated: int = 16
    waveform_bits_allocated: int = 16
    creators: dict[tuple[int, int], str] = field(default_factory=dict)

    def inner(self, *, is_sequence: bool, end: int | None) -> _Level:
        """A level inside this one; it inherits what decides context-dependent VRs."""
        return _Level(
            is_sequence,
            end,
            self.is_signed,
            self.bits_allocated,
            self.waveform_bits_allocated,
        )


class Transcoder:
    """Converts one data set behind `reader` from one coding to another."""

    def __init__(self, reader: ElementReader, source: Coding, target: Coding) -> None:
        self._reader = reader
        self._source = source
        self._target = target
        self._swaps = source.little_endian != target.little_endian

    def pieces(self) -> Iterator[Piece | Swapped]:
        """The converted data set, front to back."""
        length = self._reader.length
        levels = [_Level(is_sequence=False, end=length)]
        at = 0
        while levels:
            level = levels[-1]
            if level.end is not None and at >= level.end:
                if at > level.end:
                    raise BadDataset("a length points past what holds it")
                levels.pop()
                if levels:
                    yield self._end(level)
            elif level.is_sequence:
                at = yield from self._item(levels, at, length)
            else:
                at = yield from self._element(levels, at, length)

    def _end(self, level: _Level) -> bytes:
        return sequence_end(self._target) if level.is_sequence else item_end(self._target)

    def _item(
        self, levels: list[_Level], at: int, length: int
    ) -> Generator[Piece | Swapped, None, int]:
        probe = Coding(False, self._source.little_endian)
        tag, _, body, size = self._reader.header(at, length, probe)
        if tag == SEQUENCE_END:
            yield self._end(levels.pop())
            return body
        if tag != ITEM:
            raise BadDataset(f"{format_tag(tag)} where an item belongs")
        self._push(levels, is_sequence=False, end=None if size == UNDEFINED else body + size)
        yield item_header(UNDEFINED, self._target)
        return body

    def _push(self, levels: list[_Level], *, is_sequence: bool, end: int | None) -> None:
        if len(levels) > 2 * _LIMITS.max_depth:
            raise BadDataset("sequences are nested too deep")
        levels.append(levels[-1].inner(is_sequence=is_sequence, end=end))

    def _element(
        self, levels: list[_Level], at: int, length: int
    ) -> Generator[Piece | Swapped, None, int]:
        level = levels[-1]
        tag, letters, body, size = self._reader.header(at, length, self._source)
        if tag == ITEM_END and level.end is None:
            yield self._end(levels.pop())
            return body
        if tag >> 16 == 0xFFFE:
            if tag == ITEM or len(levels) > 1:
                raise BadDataset(f"{format_tag(tag)} at a place where it cannot be")
            return body
        is_undefined = size == UNDEFINED
        vr = letters if letters in KNOWN_VRS else "SQ" if is_undefined else "UN"
        if not letters:
            vr = self._vr(level, tag)
        if vr == "SQ":
            yield element_header(tag, "SQ", UNDEFINED, self._target)
            self._push(levels, is_sequence=True, end=None if is_undefined else body + size)
            return body
        if is_undefined and (tag == PIXEL_DATA or vr in FRAGMENT_VRS):
            raise Undeliverable("compressed pixel data cannot be converted")
        end = body + size
        if is_undefined:
            end = self._end_of_unknown(at, length)
            vr = "UN"
        if end > (length if level.end is None else level.end):
            raise BadDataset(f"the length of {format_tag(tag)} points past the end")
        if tag & 0xFFFF and tag != _TRAILING_PADDING:
            yield element_header(tag, vr, size, self._target)
            width = _SWAP_BYTES.get(vr) if self._swaps else None
            yield Swapped(body, end, width) if width else Span(body, end)
            self._note(level, tag, body, size)
        return end

    def _end_of_unknown(self, at: int, length: int) -> int:
        """Where an element of undefined length ends whose content stays as it is."""
        return self._reader.element(at, length, self._source).end

    def _vr(self, level: _Level, tag: int) -> str:
        creator = level.creators.get((tag >> 16, (tag >> 8) & 0xFF)) if tag & 0x10000 else None
        choices = all_vrs_for(tag, creator)
        if len(choices) == 1:
            return choices[0]
        if choices == ("US", "SS"):
            return "SS" if level.is_signed else "US"
        if choices == ("OB", "OW"):
            is_waveform = tag >> 16 == 0x5400
            bits = level.waveform_bits_allocated if is_waveform else level.bits_allocated
            return "OB" if bits <= 8 and (is_waveform or tag == PIXEL_DATA) else "OW"
        return "OW"

    def _note(self, level: _Level, tag: int, body: int, size: int) -> None:
        """Remember what later VRs depend on."""
        if tag in {PIXEL_REPRESENTATION, _BITS_ALLOCATED, _WAVEFORM_BITS_ALLOCATED}:
            raw = self._reader.read(body, min(size, 2))
            number = int.from_bytes(raw, "little" if self._source.little_endian else "big")
            if tag == PIXEL_REPRESENTATION:
                level.is_signed = raw in SIGNED
            elif tag == _BITS_ALLOCATED:
                level.bits_allocated = number
            else:
                level.waveform_bits_allocated = number
        elif tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF and size <= 64:
            raw = self._reader.read(body, size)
            level.creators[tag >> 16, tag & 0xFF] = raw.decode("latin-1").strip(" \0")
