"""Room on the volume: refuse early, so that what was accepted can always be finished.

Refused (StoreFull) is what would start while less than 5 % of the volume is free, or less than
2 GiB and twice the largest instance seen (at most 10 % of the volume), or inodes run out likewise;
taken again only when 2 % more is free. Bytes of instances in flight are claimed, so that many at
once do not overshoot. A ballast file is given up when less than 1 % is free: a volume without a
free block does not even allow the ledger to settle.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from router.clock import Clock
from router.errors import StoreFull
from router.store.files import store_error

FIRST_CLAIM_BYTES: Final = 1024 * 1024
_LOOK_SECONDS: Final = 0.2
_RESERVE_BYTES: Final = 2 * 1024**3
_BALLAST_BYTES: Final = 64 * 1024 * 1024


class Room:
    """The free space of one data directory, as this process may use it. Safe for threads."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._data_dir = data_dir
        self._ballast = data_dir / "ballast"
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._free = self._total = 0
        self._inodes_short = False
        self._claimed = 0
        self._largest = 0
        self._refusing = False

    @property
    def refusing(self) -> bool:
        """Whether the watermark was under-run when last looked."""
        return self._refusing

    @property
    def claimed_bytes(self) -> int:
        """Bytes claimed by what is in flight."""
        return self._claimed

    def shortage_bytes(self) -> int:
        """Bytes to be freed until instances are taken again; 0 while they are. Raises StoreDown."""
        with self._lock:
            self._look()
            if not self._refusing:
                return 0
            resume = self._watermark() + self._total // 50 + FIRST_CLAIM_BYTES
            return max(0, resume - (self._free - self._claimed))

    def check(self, size_bytes: int = 0) -> None:
        """Raise StoreFull when so many bytes more would pass the watermark."""
        with self._lock:
            self._check(size_bytes)

    def claim(self, expected_bytes: int = 0) -> Claim:
        """Claim room for one instance. Raises StoreFull."""
        size_bytes = max(expected_bytes, FIRST_CLAIM_BYTES)
        with self._lock:
            self._check(size_bytes)
            self._claimed += size_bytes
        return Claim(self, size_bytes)

    def _grow(self, size_bytes: int) -> None:
        with self._lock:
            self._check(size_bytes)
            self._claimed += size_bytes

    def _release(self, claimed_bytes: int, used_bytes: int) -> None:
        with self._lock:
            self._claimed -= claimed_bytes
            self._largest = max(self._largest, used_bytes)

    def tend(self) -> None:
        """Make the ballast again when there is room for it; call it now and then."""
        with self._lock:
            self._look()
            size_bytes = min(_BALLAST_BYTES, self._total // 100)
            spare = self._free - self._claimed - self._watermark()
            if self._ballast.exists() or spare < size_bytes + self._total // 50:
                return
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self._ballast, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(size_bytes, 1))
            finally:
                os.close(descriptor)
        except OSError:
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)

    def _check(self, size_bytes: int) -> None:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._look()
            self._looked_at = now
        left = self._free - self._claimed - size_bytes
        watermark = self._watermark()
        if self._refusing:
            watermark += self._total // 50
        refuse = left < watermark or self._inodes_short
        if size_bytes <= FIRST_CLAIM_BYTES:
            # One instance too large for what is left says nothing about the next small one.
            self._refusing = refuse
        if refuse:
            raise StoreFull("the free space of the data directory is at its watermark")

    def _watermark(self) -> int:
        reserve = min(_RESERVE_BYTES + 2 * self._largest, self._total // 10)
        return max(self._total // 20, reserve)

    def _look(self) -> None:
        try:
            volume = os.statvfs(self._data_dir)
        except OSError as error:
            raise store_error(error, "looking at the free space") from error
        self._total = volume.f_blocks * volume.f_frsize
        self._free = volume.f_bavail * volume.f_frsize
        self._inodes_short = volume.f_files > 0 and volume.f_favail * 20 < volume.f_files
        if self._free * 100 < self._total:
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)


class Claim:
    """The room claimed for one instance; for one thread."""

    __slots__ = ("_room", "claimed_bytes")

    def __init__(self, room: Room, claimed_bytes: int) -> None:
        self._room = room
        self.claimed_bytes = claimed_bytes

    def grow(self, size_bytes: int) -> None:
        """Claim so many bytes more. Raises StoreFull."""
        self._room._grow(size_bytes)
        self.claimed_bytes += size_bytes

    def release(self, used_bytes: int) -> None:
        """Give the claim back; `used_bytes` is what the instance came to, 0 if unknown."""
        self._room._release(self.claimed_bytes, used_bytes)
        self.claimed_bytes = 0
