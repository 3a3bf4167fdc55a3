"""Frames of a stored object: where their bytes lie (PS3.5 8.2, A.4).

Nothing is decoded: a native frame is a stretch of the pixel data, an encapsulated one is the
fragments it is made of. Where those cannot be told apart, or a frame does not begin at a byte,
BadDataset says so. Reading is bounded by the number of fragments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.dicom.elements import RandomAccess
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import layout_of
from router.dicom.values import Attribute
from router.errors import BadDataset
from router.model.path import Path

MAX_FRAGMENTS: Final = 1_000_000
_PIXEL_DATA: Final = {True: b"\xe0\x7f\x10\x00", False: b"\x7f\xe0\x00\x10"}
_ITEM: Final = b"\xfe\xff\x00\xe0"
_END: Final = b"\xfe\xff\xdd\xe0"
_UNDEFINED: Final = 0xFFFFFFFF
_IMAGE_TYPES: Final = {
    "4.50": "image/jpeg",
    "4.51": "image/jpeg",
    "4.57": "image/jpeg",
    "4.70": "image/jpeg",
    "4.80": "image/jls",
    "4.81": "image/jls",
    "4.90": "image/jp2",
    "4.91": "image/jp2",
    "4.92": "image/jpx",
    "4.93": "image/jpx",
    "4.110": "image/jxl",
    "4.111": "image/jxl",
    "4.112": "image/jxl",
    "4.201": "image/jphc",
    "4.202": "image/jphc",
    "4.203": "image/jphc",
    "5": "image/dicom-rle",
}
_SYNTAXES: Final = "1.2.840.10008.1.2."


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """What the header says of the pixels (PS3.3 C.7.6.3), with what is usual where it is silent."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    frames: int
    bits_stored: int = 0
    pixel_representation: int = 0
    planar_configuration: int = 0
    photometric_interpretation: str = ""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one native frame. Raises BadDataset where it does not end at a byte."""
        # With 4:2:2 two pixels share their colour (PS3.3 C.7.6.3.1.2).
        is_shared = self.samples == 3 and self.photometric_interpretation == "YBR_FULL_422"
        samples = 2 if is_shared else self.samples
        bits = self.rows * self.columns * samples * self.bits_allocated
        if bits <= 0 or bits % 8:
            raise BadDataset("its frames cannot be told apart by bytes")
        return bits // 8


_FACTS: Final = {
    keyword: parse_path(keyword)
    for keyword in (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
        "NumberOfFrames",
        "BitsStored",
        "PixelRepresentation",
        "PlanarConfiguration",
        "PhotometricInterpretation",
    )
}
FACT_PATHS: Final = tuple(_FACTS.values())


def pixel_facts(get: Callable[[Path], Attribute | None]) -> PixelFacts:
    """The facts from a header whose FACT_PATHS `get` gives."""

    def first(path: Path) -> str:
        attribute = get(path)
        return str(attribute.values[0]).strip() if attribute and attribute.values else ""

    def number(keyword: str, usual: int = 0) -> int:
        text = first(_FACTS[keyword])
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else usual

    return PixelFacts(
        rows=number("Rows"),
        columns=number("Columns"),
        samples=number("SamplesPerPixel", 1),
        bits_allocated=number("BitsAllocated"),
        frames=number("NumberOfFrames", 1),
        bits_stored=number("BitsStored"),
        pixel_representation=number("PixelRepresentation"),
        planar_configuration=number("PlanarConfiguration"),
        photometric_interpretation=first(_FACTS["PhotometricInterpretation"]).upper(),
    )


Stretch = tuple[int, int]


def image_type_of(transfer_syntax_uid: str) -> str:
    """The media type of a frame in this transfer syntax (PS3.18 table 8.7.3-5)."""
    if not layout_of(transfer_syntax_uid).encapsulated:
        return "application/octet-stream"
    return _IMAGE_TYPES.get(transfer_syntax_uid.removeprefix(_SYNTAXES), "application/octet-stream")


def frame_stretches(
    read: RandomAccess, start: int, length: int, transfer_syntax_uid: str, facts: PixelFacts
) -> list[tuple[Stretch, ...]]:
    """(offset, bytes) of the pieces of each frame; the Pixel Data element begins at `start`.

    Raises BadDataset where there is none, or its frames cannot be told apart.
    """
    layout = layout_of(transfer_syntax_uid)
    head = read(start, 12)
    if head[:4] != _PIXEL_DATA[layout.little_endian] or layout.deflated or len(head) < 12:
        raise BadDataset("it has no pixel data whose frames can be given as they are")
    order = "<" if layout.little_endian else ">"
    size = struct.unpack_from(f"{order}I", head, 8 if layout.explicit_vr else 4)[0]
    begin = start + (12 if layout.explicit_vr else 8)
    if size != _UNDEFINED:
        return _native(begin, min(size, length - begin), facts)
    offsets, fragments = _fragments(read, begin, length)
    return _encapsulated(offsets, fragments, facts.frames)


def _native(begin: int, size: int, facts: PixelFacts) -> list[tuple[Stretch, ...]]:
    if facts.frames == 1 and facts.bits_allocated == 1:
        return [((begin, size),)]
    each = facts.frame_bytes
    if each * facts.frames > size:
        raise BadDataset("its pixel data are shorter than its frames")
    return [((begin + each * number, each),) for number in range(facts.frames)]


def _fragments(read: RandomAccess, at: int, length: int) -> tuple[list[int], list[Stretch]]:
    """The offsets of the basic offset table, and the fragments with their item headers left out."""
    offsets: list[int] = []
    found: list[Stretch] = []
    is_table = True
    while at + 8 <= length:
        head = read(at, 8)
        if head[:4] == _END:
            return offsets, found
        size = struct.unpack_from("<I", head, 4)[0]
        if head[:4] != _ITEM or at + 8 + size > length or len(found) >= MAX_FRAGMENTS:
            break
        if is_table:
            table = read(at + 8, size - size % 4)
            offsets = list(struct.unpack(f"<{len(table) // 4}I", table))
            is_table = False
        else:
            found.append((at + 8, size))
        at += 8 + size
    raise BadDataset("its fragments do not end where they should")


def _encapsulated(
    offsets: list[int], fragments: list[Stretch], frames: int
) -> list[tuple[Stretch, ...]]:
    if frames == 1:
        return [tuple(fragments)]
    if len(fragments) == frames:
        return [(one,) for one in fragments]
    if len(offsets) != frames or not fragments:
        raise BadDataset("its fragments do not say which frame they are of")
    first = fragments[0][0] - 8
    ends = [*offsets[1:], 1 << 62]
    return [
        tuple(one for one in fragments if begin <= one[0] - 8 - first < end)
        for begin, end in zip(offsets, ends, strict=True)
    ]
