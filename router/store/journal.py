"""The journal on a local disk: `journal/<n>.seg` of sealed records, read and written.

Open it after a fork. Several processes may have the same journal open: each appends to segments of
its own and reads all. `records.py` says what it promises.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from router.model.instance import RecordRef
from router.model.plan import StoreSettings
from router.store.files import make_folder, refuse_network_file_system, store_error
from router.store.keys import KeyRing
from router.store.pool import SegmentPool
from router.store.records import RecordDamaged
from router.store.room import Room
from router.store.segment import segment_path
from router.store.stored import ReadBuffers, StoredRecord
from router.store.writer import Buffers, RecordWriter

_MAX_OPEN: Final = 16


class Journal:
    """Records in segments. Safe for threads."""

    def __init__(self, data_dir: Path, keys: KeyRing, settings: StoreSettings, room: Room) -> None:
        """Raises StoreDown on a network file system or an unusable folder."""
        self.folder = data_dir / "journal"
        self.keys = keys
        make_folder(self.folder)
        refuse_network_file_system(self.folder)
        self.pool = SegmentPool(self.folder, settings.segment_bytes)
        self._room = room
        self._spare: list[Buffers] = []
        self._spare_reads: list[ReadBuffers] = []
        self._reading = OpenSegments(self.folder)

    @property
    def broken(self) -> bool:
        """Stable storage failed twice: this process must end."""
        return self.pool.broken

    def begin(self, expected_bytes: int = 0) -> RecordWriter:
        """A writer for one record. Raises StoreFull, StoreDown."""
        self.pool.refuse_when_broken()
        claim = self._room.claim(expected_bytes)
        return RecordWriter(self.pool, self.keys, claim, self._spare)

    def open(self, ref: RecordRef) -> StoredRecord:
        """The record at that place. Raises RecordDamaged, StoreDown."""
        number = ref.segment
        descriptor = self._reading.take(number)
        try:
            return StoredRecord(
                descriptor,
                ref,
                self.keys,
                segment_path(self.folder, number),
                self._spare_reads,
                lambda: self._reading.give_back(number),
            )
        except BaseException:
            self._reading.give_back(number)
            raise

    def close(self) -> None:
        """Close every segment, and hold no key."""
        self.pool.close()
        self._reading.close()
        self.keys.release()


class OpenSegments:
    """A few segments open for reading, the least used one closed first. Safe for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[int, int] = OrderedDict()
        self._users: dict[int, int] = {}

    def take(self, number: int) -> int:
        """The open file of a segment; give it back after. Raises RecordDamaged, StoreDown."""
        with self._lock:
            descriptor = self._open.get(number)
            if descriptor is None:
                descriptor = self._open_file(number)
                self._trim(_MAX_OPEN - 1)
                self._open[number] = descriptor
            self._open.move_to_end(number)
            self._users[number] = self._users.get(number, 0) + 1
            return descriptor

    def give_back(self, number: int) -> None:
        """One user less."""
        with self._lock:
            self._users[number] -= 1

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._lock:
            self._trim(0)

    def _open_file(self, number: int) -> int:
        try:
            return os.open(segment_path(self._folder, number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise RecordDamaged("the segment of the record is gone") from None
        except OSError as error:
            raise store_error(error, "opening a segment") from error

    def _trim(self, size: int) -> None:
        # Files that were deleted meanwhile go first: an open one still takes its space.
        idle = [number for number in self._open if not self._users.get(number)]
        gone = [number for number in idle if not os.fstat(self._open[number]).st_nlink]
        rest = [number for number in idle if number not in gone]
        surplus = max(0, len(self._open) - len(gone) - size)
        for number in gone + rest[:surplus]:
            os.close(self._open.pop(number))
            self._users.pop(number, None)
