"""Attributes by path in what a header reader kept, into the items of sequences.

Private elements are found by their creator, in the data set or item they are in (PS3.5 7.8.1).
Character set and Pixel Representation of an item count before those around it. Raises BadDataset
where the bytes of a sequence are no sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.dicom.elements import Coding, Element, ElementReader
from router.dicom.tags import all_vrs_for
from router.dicom.transfer_syntax import Layout
from router.dicom.values import BULK_VRS, KNOWN_VRS, Attribute, Value, decode
from router.dicom.wanted import CHARACTER_SET, PIXEL_REPRESENTATION
from router.model.path import ALL_ITEMS, Path, PathStep

Kept = dict[int, tuple[str, bytes]]
# Pixel Representation 1, in either byte order.
SIGNED: Final = frozenset({b"\1\0", b"\0\1"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides how values are read: coding, character set, and whether pixels are signed."""

    coding: Coding
    character_set: str
    is_signed: bool = False

    @property
    def layout(self) -> Layout:
        """The same as a layout, for `values.decode`."""
        return _LAYOUTS[self.coding]


_LAYOUTS: Final = {
    Coding(explicit, little): Layout("", explicit_vr=explicit, little_endian=little)
    for explicit in (True, False)
    for little in (True, False)
}


def resolve_vr(vr: str, tag: int, creator: str | None, *, is_signed: bool) -> str:
    """The VR to read an element by: its own, or the dictionary's where it is missing or UN."""
    if vr in KNOWN_VRS and vr != "UN":
        return vr
    choices = all_vrs_for(tag, creator)
    return "SS" if is_signed and "SS" in choices else choices[0]


def find_attribute(kept: Kept, path: Path, coding: Coding, character_set: str) -> Attribute | None:
    """The attribute at the path; see `HeaderReader.get`."""
    pixels = kept.get(PIXEL_REPRESENTATION)
    around = Surroundings(coding, character_set, pixels is not None and pixels[1][:2] in SIGNED)
    step = path.steps[0]
    tag = _find_kept(kept, step, around)
    if tag is None:
        return None
    vr, raw = kept[tag]
    if len(path.steps) == 1 and step.item is None:
        return attribute_of(tag, vr, raw, step.creator, around)
    return _merge(_in_items(raw, vr, path.steps, around))


def attribute_of(
    tag: int, vr: str, raw: bytes, creator: str | None, around: Surroundings
) -> Attribute:
    """The decoded attribute of these bytes; values of UN are Implicit VR LE (PS3.5 6.2.2)."""
    resolved = resolve_vr(vr, tag, creator, is_signed=around.is_signed)
    layout = _LAYOUTS[around.coding.inside(vr)]
    return Attribute(tag, resolved, decode(resolved, raw, layout, around.character_set))


def _find_kept(kept: Kept, step: PathStep, around: Surroundings) -> int | None:
    if step.creator is None:
        return step.tag if step.tag in kept else None
    group = step.tag >> 16
    for tag, (vr, raw) in kept.items():
        if tag >> 16 == group and 0x10 <= tag & 0xFFFF <= 0xFF:
            found = (group << 16) | ((tag & 0xFF) << 8) | (step.tag & 0xFF)
            if found in kept and attribute_of(tag, vr, raw, None, around).values == (step.creator,):
                return found
    return None


def _in_items(
    raw: bytes, vr: str, steps: tuple[PathStep, ...], around: Surroundings
) -> Iterator[Attribute]:
    """The attributes that the rest of a path finds in the items of one sequence."""
    reader = ElementReader(lambda start, size: raw[start : start + size], len(raw))
    sequence = Element(steps[0].tag, vr, 0, 0, len(raw), undefined=False)
    pending = [(sequence, steps, around)]
    while pending:
        element, left, around = pending.pop()
        step, coding = left[0], around.coding.inside(element.vr)
        found: list[tuple[Element, tuple[PathStep, ...], Surroundings]] = []
        for place, item in enumerate(reader.items(element, coding)):
            if step.item not in {ALL_ITEMS, place}:
                continue
            if len(left) == 1:
                yield Attribute(element.tag, "SQ", ())
                continue
            inner = tuple(reader.elements(item.body_start, item.body_end, coding))
            here = _inside(reader, inner, coding, around)
            hit = find_element(reader, inner, left[1], here)
            if hit is None:
                continue
            if len(left) == 2 and left[1].item is None:
                bulk = resolve_vr(hit.vr, hit.tag, left[1].creator, is_signed=here.is_signed)
                value = b"" if bulk in BULK_VRS else reader.value(hit)
                yield attribute_of(hit.tag, hit.vr, value, left[1].creator, here)
            else:
                found.append((hit, left[1:], here))
        pending.extend(reversed(found))


def _inside(
    reader: ElementReader, inner: tuple[Element, ...], coding: Coding, around: Surroundings
) -> Surroundings:
    character_set, is_signed = around.character_set, around.is_signed
    for element in inner:
        if element.tag == CHARACTER_SET:
            values = decode("CS", reader.value(element), around.layout, "")
            character_set = "\\".join(map(str, values)) or character_set
        elif element.tag == PIXEL_REPRESENTATION:
            is_signed = reader.value(element)[:2] in SIGNED
    return Surroundings(coding, character_set, is_signed)


def find_element(
    reader: ElementReader, inner: tuple[Element, ...], step: PathStep, around: Surroundings
) -> Element | None:
    """The element a step names among these of one data set, or None."""
    if step.creator is None:
        return next((element for element in inner if element.tag == step.tag), None)
    group = step.tag >> 16
    for creator in inner:
        if creator.tag >> 16 != group or not 0x10 <= creator.tag & 0xFFFF <= 0xFF:
            continue
        named = attribute_of(creator.tag, creator.vr, reader.value(creator), None, around)
        if named.values == (step.creator,):
            tag = (group << 16) | ((creator.tag & 0xFF) << 8) | (step.tag & 0xFF)
            found = next((element for element in inner if element.tag == tag), None)
            if found is not None:
                return found
    return None


def _merge(found: Iterator[Attribute]) -> Attribute | None:
    first: Attribute | None = None
    values: list[Value] = []
    for attribute in found:
        first = first or attribute
        values.extend(attribute.values)
    return None if first is None else Attribute(first.tag, first.vr, tuple(values))
