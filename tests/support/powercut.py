"""Power cuts for real: an ext4 image on a loop device, shut down without flushing its log.

What was not synced before the cut is gone, as after a real one. Root only; Linux only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.process import environment, run, wait_until

# EXT4_IOC_SHUTDOWN = _IOR('X', 125, __u32), and its flag "do not flush the log".
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


def is_possible() -> bool:
    """Whether this process may make and cut file systems."""
    path = environment()["PATH"]
    programs = ("mkfs.ext4", "mount", "umount", "losetup")
    return os.geteuid() == 0 and all(shutil.which(program, path=path) for program in programs)


class PowerCutVolume:
    """A small ext4 volume at `path` that can lose power. Use as a context manager."""

    def __init__(self, work: Path, megabytes: int = 512) -> None:
        self._image = work / "volume.img"
        self.path = work / "volume"
        self.path.mkdir()
        with open(self._image, "wb") as image:
            image.truncate(megabytes << 20)
        _must("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it: the journal of ext4 is replayed, as at boot."""
        _must("mount", "-o", "loop", str(self._image), str(self.path))

    def cut(self) -> None:
        """The power goes: nothing reaches the image any more. Processes on it see errors."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount, when every process on it is gone; the last threads of a killed one take a while."""
        wait_until(
            lambda: run(["umount", str(self.path)]).returncode == 0, 10, what="umount of the volume"
        )

    def close(self) -> None:
        """Unmount if need be, and remove the image."""
        if os.path.ismount(self.path):
            run(["umount", "-l", str(self.path)])
        self._image.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SmallVolume:
    """A tmpfs of a given size at `path`, to be filled. Use as a context manager."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        _must("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path))

    def free_bytes(self) -> int:
        """What is left."""
        return shutil.disk_usage(self.path).free

    def resize(self, megabytes: int) -> None:
        """Another size, with its content kept."""
        _must("mount", "-o", f"remount,size={megabytes}m", str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run(["umount", "-l", str(self.path)])


def _must(*command: str) -> None:
    done = run(command)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
