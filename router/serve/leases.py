"""Which delivering processes are alive: each holds a lock on a file named after its leases.

While the configuration changes two of them deliver, the retiring one what it has begun and its
successor the rest. Leases of a living process are its own; those of any other are free.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from router.store.files import store_error
from router.store.segment import lock_file

_PREFIX = "leases."


class Leases:
    """The lock of this process, and a look at those of others."""

    def __init__(self, folder: Path, lease_id: str) -> None:
        self._folder = folder
        self._own = folder / f"{_PREFIX}{lease_id}"
        self._descriptor = -1
        self._seen: frozenset[str] = frozenset()

    def hold(self) -> None:
        """Take the lock; harmless when it is held. Raises StoreFull, StoreDown."""
        while self._descriptor < 0:
            try:
                descriptor = os.open(self._own, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise store_error(error, "marking what is leased") from error
            # Whoever looked between the two took it for that of a dead process, and away.
            if lock_file(descriptor) and _is_at(self._own, descriptor):
                self._descriptor = descriptor
            else:
                os.close(descriptor)

    def living(self) -> frozenset[str]:
        """The ids of the other processes that are alive; files of dead ones are taken away."""
        found = set()
        for path in self._folder.glob(f"{_PREFIX}*"):
            if path == self._own:
                continue
            if not _taken_away(path):
                found.add(path.name.removeprefix(_PREFIX))
        self._seen = frozenset(found)
        return self._seen

    def when_one_ended(self, release: Callable[[frozenset[str]], object]) -> None:
        """Call `release` with the living when one of those seen last is not among them any more."""
        before = self._seen
        if before and self.living() != before:
            release(self._seen)

    def close(self) -> None:
        """Let the lock go; harmless when closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._own.unlink(missing_ok=True)


def _taken_away(path: Path) -> bool:
    """Take the file of a dead process away, under its lock; false where a living one has it.

    False too where that cannot be seen, for want of descriptors for one: what a living process
    sends must not be sent by another beside it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    try:
        is_dead = lock_file(descriptor)
        if is_dead:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return is_dead


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
