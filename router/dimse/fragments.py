"""The writing side: command sets and data sets as P-DATA-TF PDUs (PS3.8 9.3.5 and annex E).

Data sets are not copied into PDUs: each batch is a list of headers and slices for one `sendmsg`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from router.dimse.wire import Buffer

MAX_BATCH_PARTS = 512
MAX_BATCH_BYTES = 256 * 1024
UNLIMITED_PDU_BYTES = 1024 * 1024
SMALLEST_PDU_BYTES = 7
_HEADERS = struct.Struct(">BxIIBB")
_OVERHEAD = 6
_WORTH_A_PDU = 32 * 1024
_DATA, _COMMAND, _LAST = 0, 1, 2


def payload_bytes(max_pdu_bytes: int) -> int:
    """Bytes of a message one PDU to this peer may carry; 0 as its maximum means no limit.

    Even, but for a peer that has room for a single byte. Raises ValueError when it has for none.
    """
    if 0 < max_pdu_bytes < SMALLEST_PDU_BYTES:
        raise ValueError(f"a maximum PDU length of {max_pdu_bytes} leaves no room for data")
    room = min(max_pdu_bytes or UNLIMITED_PDU_BYTES, UNLIMITED_PDU_BYTES) - _OVERHEAD
    return max(room & ~1, 1)


def command_pdus(context_id: int, command_set: bytes, payload: int) -> bytes:
    """The command set in as many PDUs as the peer's maximum asks for."""
    size = len(command_set)
    if size <= payload:
        headers = _HEADERS.pack(4, size + 6, size + 2, context_id, _COMMAND | _LAST)
        return headers + command_set
    pieces = []
    for start in range(0, size, payload):
        piece = command_set[start : start + payload]
        control = _COMMAND | (_LAST if start + payload >= size else 0)
        pieces.append(_HEADERS.pack(4, len(piece) + 6, len(piece) + 2, context_id, control) + piece)
    return b"".join(pieces)


def data_batches(
    first: bytes,
    chunks: Iterable[Buffer],
    context_id: int,
    payload: int,
    length: int | None = None,
) -> Iterator[list[Buffer]]:
    """`first` (the command's PDUs) and the data set, in lists to be sent one after the other.

    A list holds slices of the current chunk, so it must be sent before the next is asked for;
    then the chunk's memory may be used again. Which fragment is the last is known only at the end,
    so up to one PDU of bytes is held back as a copy, unless `length`, the bytes of all chunks, is
    given: then large chunks go out uncopied. Raises ValueError when the chunks have another length.
    """
    full_headers = _HEADERS.pack(4, payload + 6, payload + 2, context_id, _DATA)
    parts: list[Buffer] = [first]
    parts_bytes = 0
    held = bytearray()
    left = length
    following = iter(chunks)
    for chunk in following:
        view = memoryview(chunk)
        position = 0
        waiting = len(held) + len(view)
        if left is not None:
            left -= len(view)
        while waiting > payload:
            take = payload - len(held)
            parts.append(full_headers)
            if held:
                parts.append(held)
                held = bytearray()
            parts.append(view[position : position + take])
            position += take
            waiting -= payload
            parts_bytes += payload
            if parts_bytes >= MAX_BATCH_BYTES or len(parts) >= MAX_BATCH_PARTS:
                yield parts
                parts, parts_bytes = [], 0
        if left == 0 and position < len(view):
            last: list[Buffer] = [held, view[position:]] if held else [view[position:]]
            yield [*parts, _last_headers(waiting, context_id), *last]
            if any(len(more) for more in following):
                raise ValueError("the data set is longer than was said")
            return
        if left and waiting >= _WORTH_A_PDU:
            # A PDU that is not full costs its header; to hold these bytes would be to copy them.
            whole = waiting & ~1
            parts.append(_HEADERS.pack(4, whole + 6, whole + 2, context_id, _DATA))
            if held:
                parts.append(held)
                whole -= len(held)
                held = bytearray()
            parts.append(view[position : position + whole])
            position += whole
            parts_bytes += whole
        if parts_bytes:
            yield parts
            parts, parts_bytes = [], 0
        held += view[position:]
    if left:
        raise ValueError("the data set is not as long as was said")
    yield [*parts, _last_headers(len(held), context_id), held]


def _last_headers(size: int, context_id: int) -> bytes:
    return _HEADERS.pack(4, size + 6, size + 2, context_id, _DATA | _LAST)
