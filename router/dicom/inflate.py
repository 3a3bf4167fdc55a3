"""Raw deflate (PS3.5 A.5), bounded: a small stream that inflates to gigabytes is refused early."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from router.errors import BadDataset

PIECE_BYTES: Final = 64 * 1024


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
