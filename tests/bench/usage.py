"""What a process and all it started have cost, from /proc: CPU time and resident memory.

Descendants are found by their parents; those that ended are in the children's time of whoever
waited for them. `reap` is a parent for programs that leave orphans behind: it inherits and waits
for every one of them, so that nothing is lost from the sum.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.1


def tree(pid: int) -> Iterator[tuple[int, list[str]]]:
    """The process and its descendants, zombies too: pid and the fields of stat behind the name."""
    children: dict[int, list[int]] = {}
    fields: dict[int, list[str]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                found = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields[int(name)] = found
        children.setdefault(int(found[1]), []).append(int(name))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        if one in fields:
            yield one, fields[one]
            waiting += children.get(one, [])


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, and of everything in it that ended and was waited for."""
    ticks = sum(sum(map(int, fields[11:15])) for _, fields in tree(pid))
    return ticks / _TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """The sum of the resident sets of the tree; pages that processes share count for each."""
    return sum(int(fields[21]) for _, fields in tree(pid)) * _PAGE_BYTES


class MemoryWatch:
    """Samples the resident memory of a tree in a thread; `peak_bytes` after the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.idle_bytes = resident_bytes(pid)
        self.peak_bytes = self.idle_bytes

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()


def load_average() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def reap(command: list[str]) -> int:
    """Run a command as the parent of all its orphans, until nothing is left."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(command)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return child.returncode or 0


if __name__ == "__main__":
    sys.exit(reap(sys.argv[1:]))
