"""Raw deflate (PS3.5 A.5), bounded: a small stream that inflates to gigabytes is refused early."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from router.dicom.elements import RandomAccess
from router.errors import BadDataset

PIECE_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 256 * 1024
_PREFIX_BYTES: Final = 4 * 1024 * 1024
_MAX_INFLATED_BYTES: Final = 4 * 1024**3
_MAX_RATIO: Final = 200


class Inflater:
    """Inflates stretches of a stream; at most PIECE_BYTES come out at a time.

    Raises BadDataset for broken streams, and with status 0xA900 once more than `max_bytes` came
    out, or more than `max_ratio` times the input after the first 64 KiB.
    """

    def __init__(self, max_bytes: int, max_ratio: int) -> None:
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def is_complete(self) -> bool:
        """Whether the final block of the stream was seen."""
        return self._stream.eof

    def pieces(self, view: bytes | memoryview) -> Iterator[bytes]:
        """What comes out when these bytes go in."""
        self.bytes_in += len(view)
        pending: bytes | memoryview = view
        while not self._stream.eof:
            try:
                piece = self._stream.decompress(pending, PIECE_BYTES)
            except zlib.error:
                raise BadDataset("the deflated data set is damaged") from None
            pending = self._stream.unconsumed_tail
            self.bytes_out += len(piece)
            if self.bytes_out > self._max_bytes or (
                self.bytes_out > PIECE_BYTES and self.bytes_out > self._max_ratio * self.bytes_in
            ):
                raise BadDataset("the data set inflates out of bounds", status=0xA900)
            if piece:
                yield piece
            if not pending and len(piece) < PIECE_BYTES:
                return


class InflatedAccess:
    """Random access to what a deflated data set inflates to, best read forwards.

    Keeps the first 4 MiB; further back-steps inflate from the start again. Raises BadDataset when
    the stream is damaged, ends early, or goes beyond 4 GiB or 200 times its size.
    """

    def __init__(self, read: RandomAccess, length: int) -> None:
        self._read = read
        self._raw_length = length
        self._prefix = bytearray()
        self._window = bytearray()
        self._start = 0
        self._source = self._inflate()

    def measure(self) -> int:
        """The inflated length, found by inflating all of it once."""
        return sum(len(piece) for piece in self._inflate())

    def __call__(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end."""
        end = offset + size
        if end <= len(self._prefix):
            return bytes(self._prefix[offset:end])
        if offset < self._start:
            self._source = self._inflate()
            self._start, self._window = 0, bytearray()
        while self._start + len(self._window) < end:
            piece = next(self._source, None)
            if piece is None:
                break
            if self._start + len(self._window) == len(self._prefix) < _PREFIX_BYTES:
                self._prefix += piece
            self._window += piece
            passed = min(offset - self._start, len(self._window))
            if passed >= PIECE_BYTES:
                del self._window[:passed]
                self._start += passed
        place = offset - self._start
        return bytes(self._window[place : place + size])

    def _inflate(self) -> Iterator[bytes]:
        inflater = Inflater(_MAX_INFLATED_BYTES, _MAX_RATIO)
        for offset in range(0, self._raw_length, _READ_BYTES):
            yield from inflater.pieces(
                self._read(offset, min(_READ_BYTES, self._raw_length - offset))
            )
        if self._raw_length and not inflater.is_complete:
            raise BadDataset("the deflated data set ends early")


def deflated(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The chunks as one raw deflate stream, padded to even length (PS3.5 A.5)."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    total = 0
    for chunk in chunks:
        out = stream.compress(chunk)
        total += len(out)
        if out:
            yield out
    out = stream.flush()
    yield out + b"\0" * ((total + len(out)) % 2)
