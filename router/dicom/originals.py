"""An edited data set beside what it was: old values as they came, given back, both headers encoded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from router.dicom.charset import decode_text, encode_text
from router.dicom.elements import Element
from router.dicom.nested import resolve_vr
from router.dicom.splice import Piece, Span, pieces_of
from router.dicom.tree import NewElement, Node, OpenSequence
from router.dicom.values import decode
from router.dicom.wanted import CHARACTER_SET

_PIXEL_GROUP: Final = 0x7FE0


def originals(top: Node, length: int) -> list[tuple[int, str, bytes]]:
    """(tag, VR, bytes of the value) as they came, of what was changed or removed at the top."""
    found: list[tuple[int, str, bytes]] = []
    for element in top.reader.elements(0, length, top.coding):
        now = top.find(element.tag)
        if now is element or now == element or element.tag & 0xFFFF == 0:
            continue
        if isinstance(now, OpenSequence) and not now.is_changed:
            continue
        raw = top.reader.value(element)
        if isinstance(now, NewElement) and now.value == raw:
            continue
        found.append((element.tag, element.vr, raw))
    return found


def encoded_header(top: Node, length: int, *, original: bool) -> bytes:
    """All bytes but those of group 7FE0, as they came or as they are now."""
    read = top.reader.read
    pixels = [
        Span(element.start, element.end)
        for element in top.reader.elements(0, length, top.coding)
        if element.tag >> 16 == _PIXEL_GROUP
    ]
    pieces: list[Piece] = [Span(0, length)] if original else pieces_of(top, length)
    found: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            found.append(piece)
            continue
        start = piece.start
        for gap in pixels:
            if start <= gap.start < piece.end:
                found.append(read(start, gap.start - start))
                start = gap.end
        if start < piece.end:
            found.append(read(start, piece.end - start))
    return b"".join(found)


def restore(top: Node, length: int, tags: Collection[int], default_character_set: str) -> None:
    """Put the elements of these tags back as they came, or take them away where none was.

    Where the text of the object was brought to another character set since, a restored text is
    brought there too, and the items of a restored sequence say which one they are in.
    """
    declared = ""
    found: dict[int, Element] = {}
    for element in top.reader.elements(0, length, top.coding):
        if element.tag == CHARACTER_SET:
            values = decode("CS", top.reader.value(element), top.surroundings("").layout, "")
            declared = "\\".join(map(str, values))
        if element.tag in tags:
            found[element.tag] = element
    before = declared or default_character_set
    now = top.declared_character_set() or default_character_set
    for tag in tags:
        original = found.get(tag)
        if original is None:
            top.drop(tag)
        elif top.find(tag) != original:
            _put_back(top, original, before, now)


def _put_back(top: Node, element: Element, before: str, now: str) -> None:
    vr = resolve_vr(element.vr, element.tag, None, is_signed=False)
    raw = b"" if vr == "SQ" else top.reader.value(element)
    if vr != "SQ" and before != now and not raw.isascii():
        text = encode_text(decode_text(raw, before, strict=True).rstrip(" \0"), now)
        raw = text + b" " * (len(text) % 2)
    top.put(NewElement(element.tag, vr, raw))
    if vr != "SQ":
        return
    top.entries = [element if entry.tag == element.tag else entry for entry in top.entries]
    sequence = top.open(element, None) if before != now and before else None
    for item in sequence.items if sequence is not None else ():
        if item.find(CHARACTER_SET) is None:
            octets = before.encode("ascii")
            item.put(NewElement(CHARACTER_SET, "CS", octets + b" " * (len(octets) % 2)))
