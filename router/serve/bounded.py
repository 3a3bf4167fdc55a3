"""Work that may never end or take all memory, in a process of its own with bounds on both.

Forked from a process without threads, where everything is imported: it costs what the work costs.
What it comes to is JSON. The process and all it started are one group, which ends with it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from router.serve.process import EXIT_CRASHED, die_with_parent

MAX_MEMORY_BYTES: Final = 1024**3
MAX_FILE_BYTES: Final = 256 * 1024**2
_READ_BYTES: Final = 64 * 1024
_STEP_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds by the clock and of one processor."""

    seconds: float
    processor_seconds: int

    def __str__(self) -> str:
        return f"{self.processor_seconds} s and {MAX_MEMORY_BYTES // 1024**2} MiB"


class Bounded:
    """Work under way in its process."""

    def __init__(self, work: Callable[[], Any], bounds: Bounds) -> None:
        self._until = time.monotonic() + bounds.seconds
        self._said = bytearray()
        self._ended = False
        self._read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read, False)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            status = EXIT_CRASHED
            try:
                _bind(parent, bounds)
                with open(write, "w", encoding="utf-8") as answer:
                    json.dump(work(), answer)
                status = 0
            finally:
                os._exit(status)
        os.close(write)

    def fileno(self) -> int:
        """Readable when there is something new."""
        return self._read

    def has_ended(self) -> bool:
        """Whether `came_to` has something to say; what takes too long is ended here."""
        if self._ended:
            return True
        with suppress(BlockingIOError):
            while octets := os.read(self._read, _READ_BYTES):
                self._said += octets
            self.end()
        if time.monotonic() >= self._until:
            self.end()
        return self._ended

    def came_to(self) -> Any:
        """What the work gave; None when it did not come to its end within the bounds."""
        try:
            return json.loads(self._said)
        except ValueError:
            return None

    def wait(self) -> Any:
        """`came_to`, once it has ended."""
        try:
            while not self.has_ended():
                time.sleep(_STEP_SECONDS)
        finally:
            self.end()
        return self.came_to()

    def end(self) -> None:
        """It has said everything, or takes too long, or nobody waits any more."""
        if self._ended:
            return
        self._ended = True
        os.close(self._read)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):  # before it leads a group it is alone
                kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _bind(parent: int, bounds: Bounds) -> None:
    os.setpgid(0, 0)
    # Whoever stops every process at once means our parent: it ends this one.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(parent)
    limits = (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, bounds.processor_seconds),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
    )
    for kind, most in limits:
        resource.setrlimit(kind, (most, most))
