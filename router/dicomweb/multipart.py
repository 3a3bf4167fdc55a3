"""multipart/related out: streamed, of known length, and the same again for a second try.

Framing as in RFC 2046 5.1 and PS3.18 8.6.1.2: CRLF everywhere, no preamble, no epilogue, each part
with exactly one header. A body that cannot keep its promised length raises PartFailed and names the
part, so that the others can be sent without it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import BadDataset, RouterError

Chunk = bytes | memoryview
DICOM: Final = "application/dicom"
_GATHER_BYTES: Final = 256 * 1024
_LARGE_BYTES: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One complete PS3.10 file: its bytes and their number; `chunks` can be called again."""

    length: int
    chunks: Callable[[], Iterator[Chunk]]


class PartFailed(RouterError):
    """The bytes of one part could not be read; `index` says which, `cause` why."""

    scope = "delivery"

    def __init__(self, index: int, cause: RouterError) -> None:
        super().__init__(str(cause))
        self.index = index
        self.cause = cause


class RelatedBody:
    """The body of a STOW-RS request (PS3.18 10.5.1)."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.boundary = new_boundary()
        self._opening = f"--{self.boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
        self._closing = f"--{self.boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes of the whole body, for Content-Length."""
        framing = len(self._opening) + 2
        return sum(framing + part.length for part in self._parts) + len(self._closing)

    def content_type(self, *, quoted: bool = True) -> str:
        """The Content-Type; `type` in quotation marks as RFC 2045 asks, or bare for old servers."""
        media_type = f'"{DICOM}"' if quoted else DICOM
        return f"multipart/related; type={media_type}; boundary={self.boundary}"

    def chunks(self) -> Iterator[Chunk]:
        """The bytes; small pieces are gathered, so that each goes out in one write."""
        return gathered(self._pieces())

    def _pieces(self) -> Iterator[Chunk]:
        for index, part in enumerate(self._parts):
            yield self._opening
            sent = 0
            try:
                for chunk in part.chunks():
                    sent += len(chunk)
                    if sent > part.length:
                        break
                    yield chunk
            except RouterError as error:
                raise PartFailed(index, error) from error
            if sent != part.length:
                raise PartFailed(index, BadDataset("the data set is not as long as it was"))
            yield b"\r\n"
        yield self._closing


def new_boundary() -> str:
    """128 random bits: not met in the data by accident, nor guessed by who made them."""
    return secrets.token_hex(16)


def gathered(pieces: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same bytes in few blocks: small pieces are gathered, large ones pass uncopied."""
    waiting = bytearray()
    for piece in pieces:
        if len(piece) >= _LARGE_BYTES:
            if waiting:
                yield bytes(waiting)
                waiting = bytearray()
            yield piece
            continue
        waiting += piece
        if len(waiting) >= _GATHER_BYTES:
            yield bytes(waiting)
            waiting = bytearray()
    if waiting:
        yield bytes(waiting)
