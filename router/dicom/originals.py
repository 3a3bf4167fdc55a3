"""An edited data set beside what it was: old values as they came, given back, both headers encoded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from router.dicom.charset import UTF_8
from router.dicom.recode import recode
from router.dicom.splice import Piece, Span, pieces_of
from router.dicom.tree import NewElement, Node, OpenSequence
from router.dicom.wanted import CHARACTER_SET
from router.errors import MorphFailed

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
    """Make attributes at the top what they were: their bytes, or their absence.

    Where the text of the object was brought to another character set since, theirs is too; if it
    does not fit there, all of the object is brought to UTF-8.
    """
    came = Node(top.reader, top.coding, span=(0, length))
    before = came.declared_character_set() or default_character_set
    now = top.declared_character_set() or default_character_set
    came.entries = [entry for entry in came.entries if entry.tag in tags]
    if now != before:
        try:
            _convert(came, now, before)
        except MorphFailed:
            recode(top, UTF_8, default_character_set)
            _convert(came, UTF_8, before)
    for tag in tags:
        entry = came.find(tag)
        if entry is None:
            top.drop(tag)
        elif top.find(tag) != entry:
            top.put(entry)


def _convert(node: Node, character_set: str, before: str) -> None:
    recode(node, character_set, before)
    node.drop(CHARACTER_SET)
