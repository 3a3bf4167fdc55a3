"""The heads of records in a segment, one after another, without reading what lies between them.

Whoever moves records, or writes into what is written already (a key wrapped anew, a record
shredded), holds the lock on the journal's folder, so that none of them undoes the work of another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router.store import layout
from router.store.files import store_error
from router.store.records import RecordDamaged
from router.store.segment import segment_path

_SEARCH_BYTES: Final = 1024 * 1024


@contextmanager
def opened_segment(folder: Path, number: int) -> Iterator[int | None]:
    """A segment open for reading and writing; None when it is gone. Raises StoreDown."""
    try:
        descriptor = os.open(segment_path(folder, number), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise store_error(error, "opening a segment") from error
    try:
        yield descriptor
    except OSError as error:
        raise store_error(error, "writing into a segment") from error
    finally:
        os.close(descriptor)


def heads(descriptor: int, start: int, end: int) -> Iterator[tuple[int, layout.Head]]:
    """(offset, head) of every complete record between; a damaged stretch is passed over."""
    offset = start
    while offset < end:
        head = head_at(descriptor, offset)
        if head is not None and 0 < head.record_length <= end - offset:
            yield offset, head
            offset += head.record_length
        else:
            offset = next_magic(descriptor, offset + 1, end)


def head_at(descriptor: int, offset: int) -> layout.Head | None:
    """The head at that place; None where there is none that can be read."""
    try:
        return layout.unpack_head(os.pread(descriptor, layout.HEAD_BYTES, offset))
    except RecordDamaged:
        return None


def next_magic(descriptor: int, offset: int, size: int) -> int:
    """Where the next record may begin, from that offset on; the size when none does."""
    overlap = len(layout.MAGIC) - 1
    while offset < size:
        block = os.pread(descriptor, _SEARCH_BYTES + overlap, offset)
        found = block.find(layout.MAGIC)
        if found >= 0:
            return offset + found
        offset += _SEARCH_BYTES
    return size
