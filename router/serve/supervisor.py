"""The supervisor: a single thread that binds, forks, watches and stops the role processes.

It holds the lock on the data directory and the listening sockets, so both outlive a role that
crashes: such a role is started again after a growing pause, and when that happens too often the
whole router ends for the service manager to see. SIGTERM stops accepting at once, lets work under
way finish within the drain time, and ends.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from router.serve.manager import tell_manager
from router.serve.process import DRAIN_SECONDS, EXIT_CRASHED, die_with_parent
from router.telemetry.log import Log

RESTARTS_ALLOWED = 5
RESTART_WINDOW_SECONDS = 60.0
KILL_AFTER_SECONDS = DRAIN_SECONDS + 5.0
POLL_SECONDS = 0.2


Bodies = Mapping[str, Callable[[], int]]


class Readable(Protocol):
    """Something with a file descriptor."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


HasFileno = int | Readable


class Successors(Protocol):
    """Where the bodies of a changed configuration come from."""

    def next(self, asked: bool) -> Bodies | None:  # noqa: FBT001 - the one question
        """They, or None; `asked`: somebody wants the configuration looked at (SIGHUP)."""
        ...

    def news(self) -> Sequence[HasFileno]:
        """What becomes readable when there may be some."""
        ...


@dataclass(slots=True)
class _Child:
    name: str
    body: Callable[[], int]
    pid: int = 0
    starts: list[float] = field(default_factory=list)
    start_at: float = 0.0
    retiring: bool = False


class Supervisor:
    """Runs role bodies in forked processes until told to stop."""

    def __init__(self, bodies: Bodies, log: Log, successors: Successors | None = None) -> None:
        self._children = [_Child(name, body) for name, body in bodies.items()]
        self._log = log
        self._successors = successors
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._asked = False

    def run(self, on_started: Callable[[], None]) -> int:
        """Start every role, call `on_started`, watch until stopped; 0, or 1 after a failure."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._ask)  # a closed terminal must not stop the images
        for child in self._children:
            self._start(child)
        on_started()
        failed = False
        while not self._stopping:
            self._reap()
            failed = not self._revive()
            if failed:
                break
            self._succeed()
            self._wait()
        self._end()
        return 1 if failed else 0

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
        os.eventfd_write(self._bell, 1)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked = True
        os.eventfd_write(self._bell, 1)

    def _wait(self) -> None:
        """Until somebody says something, at most a moment."""
        news = self._successors.news() if self._successors is not None else ()
        if self._bell in select.select([self._bell, *news], [], [], POLL_SECONDS)[0]:
            os.eventfd_read(self._bell)

    def _succeed(self) -> None:
        """Where there is a new configuration: its roles begin, then those before them retire."""
        if self._successors is None:
            return
        asked, self._asked = self._asked, False
        bodies = self._successors.next(asked)
        if bodies is None:
            return
        fresh = [_Child(name, body) for name, body in bodies.items()]
        for child in fresh:
            self._start(child)
        for child in self._children:
            if child.pid and not child.retiring:
                os.kill(child.pid, signal.SIGUSR1)
            child.retiring = True
        self._children += fresh

    def _start(self, child: _Child) -> None:
        parent = os.getpid()
        child.starts.append(time.monotonic())
        # A stop that comes between the fork and the role's own handler must not be lost on ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        child.pid = os.fork()
        if child.pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        else:
            status = EXIT_CRASHED
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
                die_with_parent(parent)
                status = child.body()
            finally:
                os._exit(status)

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid and child.retiring:
                child.pid = 0
                if status:
                    self._log.error("role ended", role=child.name, status=_describe(status))
            elif pid:
                child.pid = 0
                child.start_at = time.monotonic() + 0.5 * 2.0 ** len(self._recent(child))
                self._log.error("role ended", role=child.name, status=_describe(status))

    def _revive(self) -> bool:
        self._children = [one for one in self._children if one.pid or not one.retiring]
        for child in self._children:
            if child.pid:
                continue
            # Before the pause, not after it: the pauses grow past the window that is looked at.
            if len(self._recent(child)) > RESTARTS_ALLOWED:
                self._log.error("role fails again and again, the router ends", role=child.name)
                return False
            if time.monotonic() >= child.start_at:
                self._start(child)
        return True

    def _recent(self, child: _Child) -> list[float]:
        since = time.monotonic() - RESTART_WINDOW_SECONDS
        child.starts = [start for start in child.starts if start > since]
        return child.starts

    def _end(self) -> None:
        tell_manager("STOPPING=1")
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + KILL_AFTER_SECONDS
        while any(child.pid for child in self._children) and time.monotonic() < deadline:
            for child in self._children:
                if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                    child.pid = 0
            time.sleep(0.02)
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid:
                os.kill(child.pid, number)


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"
