"""What a process of the router and its codec child say to each other: a header as JSON, then bytes.

Each message is its two lengths, the JSON and the bytes. An end in the middle is an EOFError.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

_LENGTHS: Final = struct.Struct(">IQ")


def write_message(
    stream: BinaryIO, header: dict[str, Any], parts: Iterable[bytes | memoryview] = ()
) -> None:
    """Write one message; `parts` are its bytes, which are counted and not joined."""
    pieces = tuple(parts)
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), sum(map(len, pieces))) + text)
    stream.writelines(pieces)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError where there is none, or not all of it."""
    text_length, length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    header = json.loads(_exactly(stream, text_length))
    return header, _exactly(stream, length)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
