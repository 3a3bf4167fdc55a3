"""The lock of a data directory: one router at a time.

`data/LOCK` is held by the supervising process for life and inherited by its children, so it is
free only when all of them are gone; a reused process id cannot confuse it. The file says who holds
it. A second router is refused at once with DataLocked.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from router.errors import RouterError
from router.store.files import make_folder, store_error


class DataLocked(RouterError):
    """Another router has the data directory."""

    retry = False


class DataLock:
    """The held lock. `unclean` says that the router before this one did not end in order."""

    def __init__(self, descriptor: int, *, unclean: bool) -> None:
        self._descriptor = descriptor
        self.unclean = unclean

    @classmethod
    def acquire(cls, data_dir: Path, boot_id: str, version: str) -> DataLock:
        """Take the lock without waiting. Raises DataLocked, StoreDown, StoreFull."""
        make_folder(data_dir)
        try:
            descriptor = os.open(data_dir / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise store_error(error, "opening the lock of the data directory") from error
        try:
            content = os.pread(descriptor, 4096, 0)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataLocked(
                    f"another router runs on this data directory: {_who(content)}"
                ) from None
            value = {"pid": os.getpid(), "boot_id": boot_id, "version": version}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(value).encode(), 0)
            os.fsync(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise store_error(error, "locking the data directory") from error
        except DataLocked:
            os.close(descriptor)
            raise
        return cls(descriptor, unclean=bool(content))

    @property
    def descriptor(self) -> int:
        """The open file that carries the lock, for a child that is started rather than forked."""
        return self._descriptor

    def release(self, *, in_order: bool = True) -> None:
        """Free the lock; `in_order` notes that nothing was left half done, else `unclean` stays."""
        if self._descriptor >= 0:
            if in_order:
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def _who(content: bytes) -> str:
    try:
        value = json.loads(content)
        return f"process {int(value['pid'])}, boot {str(value['boot_id'])[:64]}"
    except (ValueError, KeyError, TypeError):
        return "it has not said who it is"
