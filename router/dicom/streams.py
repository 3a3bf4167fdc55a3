"""Pieces of a data set as streams and as random access; never more than 256 KiB at a time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from router.dicom.elements import RandomAccess
from router.dicom.splice import Piece, Span, length_of
from router.dicom.transcode import Swapped
from router.errors import BadDataset

CHUNK_BYTES: Final = 256 * 1024
_GATHER_BYTES: Final = 64 * 1024
_VIEW_BYTES: Final = 32 * 1024
# The bytes between two offsets, each view valid until the next is asked for.
Views = Callable[[int, int], Iterator[memoryview]]
_TYPE_CODES: Final = {2: "H", 4: "I", 8: "Q"}


def stream(
    pieces: Iterable[Piece | Swapped], read: RandomAccess, views: Views | None = None
) -> Iterator[bytes | memoryview]:
    """The bytes of the pieces in chunks; small ones are gathered. Raises BadDataset if cut short.

    Each chunk is valid until the next is asked for. With `views` long spans pass uncopied.
    """
    gathered: list[bytes | memoryview] = []
    size = 0
    for chunk in _chunks(pieces, read, views):
        is_view = isinstance(chunk, memoryview)
        if gathered and (is_view or size + len(chunk) > CHUNK_BYTES):
            yield b"".join(gathered)
            gathered, size = [], 0
        if is_view:
            yield chunk
            continue
        gathered.append(chunk)
        size += len(chunk)
        if size >= _GATHER_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _chunks(
    pieces: Iterable[Piece | Swapped], read: RandomAccess, views: Views | None
) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        start, end = piece.start, piece.end
        if views is not None and end - start >= _VIEW_BYTES and isinstance(piece, Span):
            for view in views(start, end):
                start += len(view)
                yield view
            if start != end:
                raise BadDataset("the stored data set is shorter than it was")
            continue
        for at in range(start, end, CHUNK_BYTES):
            size = min(CHUNK_BYTES, end - at)
            chunk = read(at, size)
            if len(chunk) != size:
                raise BadDataset("the stored data set is shorter than it was")
            yield _swap(chunk, piece.size) if isinstance(piece, Swapped) else chunk


def _swap(chunk: bytes, size: int) -> bytes:
    whole = len(chunk) - len(chunk) % size
    numbers = array(_TYPE_CODES[size], chunk[:whole])
    numbers.byteswap()
    return numbers.tobytes() + chunk[whole:]


def stream_length(pieces: Iterable[Piece | Swapped]) -> int:
    """How many bytes `stream` gives for these pieces."""
    return sum(
        len(piece) if isinstance(piece, bytes) else piece.end - piece.start for piece in pieces
    )


class PieceAccess:
    """Random access to pieces over random access to the original."""

    def __init__(self, pieces: Sequence[Piece], read: RandomAccess) -> None:
        self._pieces = pieces
        self._read = read
        self._starts = [0, *accumulate(length_of((piece,)) for piece in pieces)]
        self.length = self._starts[-1]

    def __call__(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end."""
        found: list[bytes] = []
        end = min(offset + size, self.length)
        place = bisect_right(self._starts, offset) - 1
        while offset < end:
            piece, start = self._pieces[place], self._starts[place]
            stop = min(end, self._starts[place + 1])
            if isinstance(piece, Span):
                found.append(bytes(self._read(piece.start + offset - start, stop - offset)))
            else:
                found.append(piece[offset - start : stop - start])
            offset, place = stop, place + 1
        return b"".join(found)
