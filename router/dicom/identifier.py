"""Identifiers: small data sets decoded whole and written anew (PS3.4 C, PS3.7 9.1.2).

Keys may hold what an attribute may not: wildcards, ranges, lists; so nothing is checked against
the form of its VR. Reading is bounded in size, depth and number of elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.dicom.charset import UTF_8, CharacterSetProblem, encode_text
from router.dicom.elements import Coding, ElementReader, Limits, coding_of
from router.dicom.nested import Surroundings, resolve_vr
from router.dicom.tags import vr_for
from router.dicom.transfer_syntax import layout_of
from router.dicom.values import (
    CHARACTER_SET_VRS,
    SINGLE_VALUE_VRS,
    TEXT_VRS,
    ValueProblem,
    decode,
    encode,
)
from router.dicom.write import element_header, item_header
from router.errors import BadDataset
from router.model.query import SPECIFIC_CHARACTER_SET, DataElement, Identifier

MAX_IDENTIFIER_BYTES: Final = 1024 * 1024
_FLOATS: Final = frozenset({"FD", "FL"})
_LIMITS: Final = Limits(
    max_depth=16, max_items=4096, max_elements=16384, max_value_bytes=MAX_IDENTIFIER_BYTES
)


def decode_identifier(
    data: bytes,
    transfer_syntax_uid: str,
    default_character_set: str = "",
    limits: Limits = _LIMITS,
) -> dict[int, DataElement]:
    """The elements of a data set in a transfer syntax that is not deflated.

    `default_character_set` is assumed where none is declared. Group lengths and values of bulk VRs
    are left out. `limits` bounds what it may cost, its bytes by `max_value_bytes`. Raises BadDataset
    for bytes that are no data set, or a very large one.
    """
    if len(data) > limits.max_value_bytes:
        raise BadDataset(f"the data set is larger than {limits.max_value_bytes >> 20} MiB")
    reader = ElementReader(lambda at, size: data[at : at + size], len(data), limits)
    around = Surroundings(coding_of(layout_of(transfer_syntax_uid)), default_character_set)
    return _Decoder(reader, limits).elements(0, len(data), around, depth=0)


class _Decoder:
    """One walk over a data set, counting what it cost."""

    def __init__(self, reader: ElementReader, limits: Limits) -> None:
        self._reader = reader
        self._max_depth = limits.max_depth
        self._left = limits.max_elements

    def elements(
        self, start: int, end: int, around: Surroundings, depth: int
    ) -> dict[int, DataElement]:
        if depth > self._max_depth:
            raise BadDataset("sequences are nested too deep")
        found: dict[int, DataElement] = {}
        reader = self._reader
        for element in reader.elements(start, end, around.coding):
            self._left -= 1
            if self._left < 0:
                raise BadDataset("too many elements")
            if not element.tag & 0xFFFF:
                continue
            vr = resolve_vr(element.vr, element.tag, None, is_signed=False)
            if vr == "SQ":
                coding = around.coding.inside(element.vr)
                inside = Surroundings(coding, around.character_set)
                found[element.tag] = DataElement(
                    vr,
                    tuple(
                        self.elements(item.body_start, item.body_end, inside, depth + 1)
                        for item in reader.items(element, coding)
                    ),
                )
                continue
            raw = reader.value(element)
            if element.tag == SPECIFIC_CHARACTER_SET:
                declared = "\\".join(map(str, decode("CS", raw, around.layout, "")))
                around = Surroundings(around.coding, declared or around.character_set)
            values = decode(vr, raw, around.layout, around.character_set)
            found[element.tag] = DataElement(vr, values)
        return found


def encode_identifier(
    identifier: Identifier, transfer_syntax_uid: str, character_set: str = UTF_8
) -> bytes:
    """The data set, its Specific Character Set written by what its texts need.

    Plain ASCII declares none; else `character_set` where it has all the characters, else UTF-8.
    Raises ValueProblem for numbers that do not fit their VR.
    """
    coding = coding_of(layout_of(transfer_syntax_uid))
    plain = {tag: one for tag, one in identifier.items() if tag != SPECIFIC_CHARACTER_SET}
    for choice in ("", character_set, UTF_8):
        declared = {SPECIFIC_CHARACTER_SET: DataElement("CS", (choice,))} if choice else {}
        try:
            return _encoded({**plain, **declared}, coding, choice)
        except CharacterSetProblem:
            continue
    raise ValueProblem("text that no character set can hold")


def element_of(tag: int, text: str) -> DataElement:
    """The element with the values in this text; none where they do not fit its VR."""
    vr = vr_for(tag)
    parts = (text,) if vr in SINGLE_VALUE_VRS else tuple(text.split("\\"))
    if not text or vr in TEXT_VRS:
        return DataElement(vr, parts if text else ())
    try:
        return DataElement(vr, tuple(float(one) if vr in _FLOATS else int(one) for one in parts))
    except ValueError:
        return DataElement(vr)


def _encoded(identifier: Identifier, coding: Coding, character_set: str) -> bytes:
    around = Surroundings(coding, character_set)
    parts: list[bytes] = []
    for tag in sorted(identifier):
        element = identifier[tag]
        if element.vr == "SQ":
            items = [_encoded(item, coding, character_set) for item in element.items]
            value = b"".join(item_header(len(item), coding) + item for item in items)
        elif element.vr in TEXT_VRS:
            value = _encoded_text(element, character_set)
        else:
            plain = [one for one in element.values if not isinstance(one, Mapping)]
            value = encode(element.vr, plain, around.layout, character_set)
        parts += (element_header(tag, element.vr, len(value), coding), value)
    return b"".join(parts)


def _encoded_text(element: DataElement, character_set: str) -> bytes:
    value = encode_text(element.text, character_set if element.vr in CHARACTER_SET_VRS else "")
    if len(value) % 2:
        value += b"\0" if element.vr == "UI" else b" "
    return value
