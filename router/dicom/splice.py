"""An edited data set as pieces: the bytes that changed, and spans of the bytes that did not.

With no edit the result is one span over everything. Sequences keep the form of their lengths,
defined or undefined (PS3.5 7.5); only those on the way to an edit are written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from router.dicom.elements import UNDEFINED, Coding, Element
from router.dicom.tree import NewElement, Node, OpenSequence
from router.dicom.write import element_header, item_end, item_header, sequence_end


class Span(NamedTuple):
    """Bytes of the original data set, from `start` to before `end`."""

    start: int
    end: int


Piece = bytes | Span
# By place, not by name: a header has a hundred elements, and most are passed over here.
_START: Final = 2
_END: Final = 4


def pieces_of(top: Node, length: int) -> list[Piece]:
    """The data set of this tree, whose original had `length` bytes."""
    if not top.is_changed:
        return [Span(0, length)] if length else []
    return merged(_entries(top))


def length_of(pieces: Iterable[Piece]) -> int:
    """How many bytes the pieces are."""
    return sum(
        piece.end - piece.start if isinstance(piece, Span) else len(piece) for piece in pieces
    )


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """The same bytes in as few pieces as possible."""
    result: list[Piece] = []
    fresh: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            fresh.append(piece)
            continue
        if piece.start == piece.end:
            continue
        if fresh:
            result.append(b"".join(fresh))
            fresh = []
        last = result[-1] if result else None
        if isinstance(last, Span) and last.end == piece.start:
            result[-1] = Span(last.start, piece.end)
        else:
            result.append(piece)
    if fresh:
        result.append(b"".join(fresh))
    return result


def _entries(node: Node) -> list[Piece]:
    pieces: list[Piece] = []
    start = end = 0
    for entry in node.entries:
        if isinstance(entry, Element):
            if entry[_START] != end:
                pieces.append(Span(start, end))
                start = entry[_START]
            end = entry[_END]
            continue
        pieces.append(Span(start, end))
        start = end
        pieces.extend(_changed(entry, node.coding))
    pieces.append(Span(start, end))
    return pieces


def _changed(entry: NewElement | OpenSequence, coding: Coding) -> list[Piece]:
    if isinstance(entry, NewElement):
        return [element_header(entry.tag, entry.vr, len(entry.value), coding) + entry.value]
    if entry.source is not None and not entry.is_changed:
        return [Span(entry.source.start, entry.source.end)]
    return _sequence(entry, coding)


def _sequence(sequence: OpenSequence, coding: Coding) -> list[Piece]:
    inside = coding.inside(sequence.vr)
    body: list[Piece] = []
    for item in sequence.items:
        body.extend(_item(item, inside))
    if sequence.source is not None and sequence.source.undefined:
        head = element_header(sequence.tag, sequence.vr, UNDEFINED, coding)
        return [head, *body, sequence_end(inside)]
    return [element_header(sequence.tag, sequence.vr, length_of(body), coding), *body]


def _item(node: Node, coding: Coding) -> list[Piece]:
    source = node.source
    if source is not None and not node.is_changed:
        return [Span(source.start, source.end)]
    body = _entries(node)
    if source is not None and source.undefined:
        return [item_header(UNDEFINED, coding), *body, item_end(coding)]
    return [item_header(length_of(body), coding), *body]
