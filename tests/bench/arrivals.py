"""The log of a sender or a destination: one record of 64 bytes per instance, appended in one write.

Several processes append to one file; whoever counts looks at its size. Times are CLOCK_MONOTONIC
in nanoseconds, which all processes of a machine share.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_RECORD = struct.Struct("<qqqq32s")
NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance: its number, when its last byte passed, its length, whether it was changed."""

    number: int
    at_ns: int
    length: int
    changed: bool
    digest: bytes = NO_DIGEST


class ArrivalLog:
    """Appends records; safe for several processes, each with an object of its own or a fork's."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(
        self, number: int, at_ns: int, length: int, *, changed: bool, digest: bytes = NO_DIGEST
    ) -> None:
        """Append one record."""
        os.write(self._descriptor, _RECORD.pack(number, at_ns, length, changed, digest))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def count(path: Path) -> int:
    """How many records the file holds; 0 when it is not there yet."""
    try:
        return path.stat().st_size // _RECORD.size
    except FileNotFoundError:
        return 0


def read(path: Path, start: int = 0) -> Iterator[Arrival]:
    """The records from number `start` on, in the order they were appended."""
    data = path.read_bytes()[start * _RECORD.size :] if path.exists() else b""
    for fields in _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]):
        number, at_ns, length, changed, digest = fields
        yield Arrival(number, at_ns, length, bool(changed), digest)
