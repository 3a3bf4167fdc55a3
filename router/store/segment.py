"""One segment of the journal while this process writes it.

Appends go to the end, one at a time, so a crash leaves whole records and at most one torn tail;
a hole in front of a record someone was answered for cannot come to be. Syncs are grouped: the
waiter that finds no sync under way does it for all who wait (leader and followers, no timer); one
who finds the segment wholly synced writes and syncs in a single call, which is cheaper. A failed sync is never retried: the segment is sealed off at the last byte known to be stable, and
everybody who waits hears StoreDown (StoreFull when there was no room).

The file carries a lock for as long as it is written, so that recovery and eviction, here and in
other processes, leave it alone.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from router.errors import StoreDown, StoreFull
from router.store.direct import BLOCK_BYTES, open_direct
from router.store.files import NO_ROOM, store_error, sync_folder
from router.store.records import Octets

SUFFIX = ".seg"


def segment_path(folder: Path, number: int) -> Path:
    """Where the segment of that number lies."""
    return folder / f"{number}{SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of all segments in the folder, ascending."""
    names = (entry[: -len(SUFFIX)] for entry in os.listdir(folder) if entry.endswith(SUFFIX))
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def journal_bytes(folder: Path) -> int:
    """What all segments in the folder take; one that is deleted meanwhile is left out."""
    total = 0
    for number in segment_numbers(folder):
        with suppress(FileNotFoundError):
            total += segment_path(folder, number).stat().st_size
    return total


def lock_file(descriptor: int) -> bool:
    """Take the lock of an open segment without waiting; false when someone has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Segment:
    """An open, locked segment. Safe for threads."""

    def __init__(self, path: Path, number: int, descriptor: int) -> None:
        self.number = number
        self.end = 0
        self._path = path
        self._descriptor = descriptor
        self._direct: int | None = None
        self._synced = 0
        self._syncing = False
        self._failure: StoreDown | StoreFull | None = None
        self._turn = threading.Condition(threading.Lock())

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """A fresh segment, its name durable before it is used. Raises StoreFull, StoreDown."""
        try:
            number = max(segment_numbers(folder), default=0) + 1
            while True:
                segment = cls._claim(folder, number)
                if segment is not None:
                    segment._make_durable(folder)
                    return segment
                number += 1
        except OSError as error:
            raise store_error(error, "creating a segment") from error

    @classmethod
    def _claim(cls, folder: Path, number: int) -> Segment | None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(segment_path(folder, number), flags, 0o600)
        except FileExistsError:
            return None
        try:
            # Between the two calls a recovery elsewhere may have taken the empty file away.
            if lock_file(descriptor) and os.fstat(descriptor).st_nlink:
                return cls(segment_path(folder, number), number, descriptor)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _make_durable(self, folder: Path) -> None:
        try:
            os.fsync(self._descriptor)
            sync_folder(folder)
        except OSError:
            with suppress(OSError):
                os.unlink(segment_path(folder, self.number))
            self.close()
            raise

    @property
    def sealed_off(self) -> bool:
        """A write or a sync failed: nothing more may be appended."""
        return self._failure is not None

    def commit(self, parts: Sequence[Octets]) -> int:
        """Append the parts and wait until they are on stable storage; the offset of the first.

        Raises as `append` and `sync` do.
        """
        turn = self._turn
        total = sum(map(len, parts))
        with turn:
            if self._failure is None and not self._syncing and self._synced == self.end:
                offset = self.end
                self.end = offset + total
                self._write_through(parts, offset, total)
                return offset
        offset = self.append(parts)
        self.sync(offset + total)
        return offset

    def _write_through(self, parts: Sequence[Octets], offset: int, total: int) -> None:
        """Write and sync at once, holding the turn before and after; others append meanwhile.

        They wait for this sync to end before one of them leads the next, so nothing behind this
        record can be answered for before it.
        """
        turn = self._turn
        self._syncing = True
        turn.release()
        failure: OSError | None = None
        try:
            if os.pwritev(self._descriptor, parts, offset, os.RWF_DSYNC) != total:
                # A short write: a signal, or the last free block.
                _write_all(self._descriptor, parts, offset)
                os.fdatasync(self._descriptor)
        except OSError as error:
            failure = error
        finally:
            turn.acquire()
            self._syncing = False
            turn.notify_all()
        if failure is not None:
            self._fail(failure)
            raise store_error(failure, "writing to the journal") from failure
        self._synced = offset + total

    def append_unaligned(self, buffer: memoryview, used: int) -> int:
        """Append what of the first `used` bytes lies before a block of the file, or all of it.

        How many bytes are left for `append_direct` is given, moved to the front of the buffer; none
        are where the file system knows no way past the page cache. For a segment nobody else
        appends to. Raises as `append` does.
        """
        try:
            if self._direct is None:
                self._direct = open_direct(self._path, os.O_WRONLY)
        except OSError as error:
            raise store_error(error, "opening a segment") from error
        if self._direct < 0:
            self.append((buffer[:used],))
            return 0
        skew = -self.end % BLOCK_BYTES
        if skew:
            # Behind a record that ended within a block: up to the block's end the usual way.
            self.append((buffer[: min(skew, used)],))
            used = max(0, used - skew)
            buffer[:used] = buffer[skew : skew + used]
        return used

    def append_direct(self, blocks: memoryview) -> None:
        """Append whole blocks of page-aligned memory past the page cache. Raises as `append`."""
        self.append((blocks,), self._direct)

    def append(self, parts: Sequence[Octets], descriptor: int | None = None) -> int:
        """Write the parts behind one another at the end; the offset of the first.

        Raises StoreFull with nothing left behind, or StoreDown with the segment sealed off.
        """
        with self._turn:
            if self._failure is not None:
                raise StoreDown("the segment was sealed off")
            offset = self.end
            try:
                self.end = offset + _write_all(self._descriptor, parts, offset, descriptor)
            except OSError as error:
                self._cut(offset)
                if error.errno not in NO_ROOM:
                    self._failure = StoreDown("writing to the journal failed")
                raise store_error(error, "writing to the journal") from error
            return offset

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite bytes that are not synced yet. Raises StoreFull, StoreDown."""
        try:
            os.pwrite(self._descriptor, octets, offset)
        except OSError as error:
            raise store_error(error, "writing to the journal") from error

    def cut(self, end: int) -> None:
        """Take back what was appended beyond `end`; only for a segment nobody else appends to."""
        with self._turn:
            if self._failure is None:
                self._cut(end)

    def _cut(self, end: int) -> None:
        self.end = end
        self._synced = min(self._synced, end)
        try:
            os.ftruncate(self._descriptor, end)
        except OSError:
            self._failure = StoreDown("the end of a segment could not be taken back")

    def sync(self, end: int) -> None:
        """Wait until everything before `end` is on stable storage.

        Raises StoreDown or StoreFull when the sync failed: what waited for it is void.
        """
        turn = self._turn
        with turn:
            while self._synced < end:
                if self._failure is not None:
                    raise type(self._failure)(str(self._failure))
                if self._syncing:
                    turn.wait()
                    continue
                self._syncing = True
                target = self.end
                turn.release()
                failure: OSError | None = None
                try:
                    os.fdatasync(self._descriptor)
                except OSError as error:
                    failure = error
                finally:
                    turn.acquire()
                    self._syncing = False
                    turn.notify_all()
                if failure is None:
                    self._synced = target
                else:
                    self._fail(failure)

    def _fail(self, error: OSError) -> None:
        self._failure = store_error(error, "syncing the journal")
        self.end = self._synced
        # Unanswered records behind the stable end are void; recovery would find whole ones.
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._synced)

    @property
    def sync_failed(self) -> bool:
        """The failure was one of stable storage, not of room."""
        return isinstance(self._failure, StoreDown)

    def close(self) -> None:
        """Close the file and let its lock go; harmless when closed."""
        with self._turn:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                if self._direct is not None and self._direct >= 0:
                    os.close(self._direct)
                self._direct = -1
                if self._failure is None:
                    self._failure = StoreDown("the segment is closed")


def _write_all(
    descriptor: int, parts: Sequence[Octets], offset: int, first: int | None = None
) -> int:
    total = sum(map(len, parts))
    written = os.pwritev(descriptor if first is None else first, parts, offset)
    if written == total:
        return total
    # A short write is rare: a signal, or the last free block. The rest is written as one piece.
    rest = memoryview(b"".join(parts))
    while written < total:
        written += os.pwrite(descriptor, rest[written:], offset + written)
    return total
