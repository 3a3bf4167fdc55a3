"""Large records past the page cache: blocks between the disk and our own buffers, copied by nobody.

A large object is written once and read once; through the page cache each of its bytes would be
copied twice more and push out what is asked for often. What is written here is on stable storage
after the sync of the file, like any other write. File systems that cannot do this (tmpfs of older
kernels) give no descriptor, and everything goes the usual way.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

BLOCK_BYTES: Final = 4096


def open_direct(path: Path, flags: int) -> int:
    """A descriptor for whole blocks of page-aligned memory; -1 where there is none.

    Raises OSError for anything but a file system that cannot.
    """
    try:
        return os.open(path, flags | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
            return -1
        raise


def whole_blocks(size: int) -> int:
    """The size, cut to whole blocks."""
    return size & -BLOCK_BYTES


def blocks_around(start: int, end: int) -> tuple[int, int]:
    """The blocks that hold a stretch: offset of the first, offset behind the last."""
    return start & -BLOCK_BYTES, -(-end // BLOCK_BYTES) * BLOCK_BYTES
