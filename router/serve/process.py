"""One role process: what every role has in common, from fork to exit.

It dies with its supervisor, stops on SIGTERM within its drain time, publishes its metrics once a
second (a role that hangs stops publishing, and readiness tells), and leaves no core dump: its
memory holds patients' data.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from router.clock import Clock
from router.errors import StoreFull
from router.model.plan import Plan
from router.serve.places import Places
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics, publish
from router.telemetry.tap import Tap
from router.threads import Threads

PUBLISH_SECONDS = 1.0
DRAIN_SECONDS = 30.0
_SLICE_SECONDS = 0.25
EXIT_CRASHED = 70
_COLLECT_AFTER = (50_000, 20, 50)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class Role:
    """What a role's body is given."""

    name: str
    plan: Plan
    places: Places
    boot_id: str
    clock: Clock
    log: Log
    metrics: Metrics
    threads: Threads
    notices: Notices
    generation: int = 0
    refresh: list[Callable[[], None]] = field(default_factory=list)
    _publish_at: list[float] = field(default_factory=lambda: [float("-inf")])

    def when_there_is_room(self, work: Callable[[], object]) -> bool:
        """Do the work, again and again while the disk is full; false when told to stop first."""
        while self.keeps_running(0.0):
            try:
                work()
            except StoreFull as error:
                self.log.warning("waiting for room", reason=str(error))
                self.keeps_running(PUBLISH_SECONDS)
            else:
                return True
        return False

    def has_successor(self) -> bool:
        """Whether the next generation has this role: what only one process does is left to it."""
        return self.notices.retiring

    def keeps_running(self, seconds: float) -> bool:
        """Wait so long, publishing meanwhile; false as soon as the role is to stop or to retire."""
        self._live(seconds, lambda: not self.notices.retiring)
        return not self.threads.stop.is_set() and not self.notices.retiring

    def wait(self) -> None:
        """Publish metrics until told to stop or to retire. `refresh` functions set gauges before."""
        while self.keeps_running(PUBLISH_SECONDS):
            pass

    def finish(self, has_ended: Callable[[], bool]) -> None:
        """Retire: publish on until what was begun has ended, however long; a stop is sooner."""
        self._live(float("inf"), lambda: not has_ended())

    def _live(self, seconds: float, goes_on: Callable[[], bool]) -> None:
        until = self.clock.monotonic() + seconds
        while not self.threads.stop.is_set() and goes_on():
            now = self.clock.monotonic()
            if now >= self._publish_at[0]:
                for function in self.refresh:
                    function()
                _publish(self.places.run, f"{self.name}@{self.generation}", self.metrics)
                self._publish_at[0] = now + PUBLISH_SECONDS
            if now >= until:
                return
            self.notices.wait(min(_SLICE_SECONDS, until - now))
            if self.notices.stopping:
                self.threads.stop.set()


def accepting_mark(role: Role) -> Path:
    """The file in the run folder that is there while a role of this generation accepts."""
    return role.places.run / f"accepting@{role.generation}"


class Notices:
    """What the supervisor said by signal: stop now (SIGTERM), or retire (SIGUSR1).

    A handler only notes it and wakes the main thread: a lock taken in a handler may be one that the
    interrupted thread holds.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.retiring = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def listen(self) -> None:
        """Take the signals; in the main thread."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGUSR1, self._retire)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until something is said."""
        if select.select([self._bell], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True
        os.eventfd_write(self._bell, 1)

    def _retire(self, _signal: int, _frame: FrameType | None) -> None:
        self.retiring = True
        os.eventfd_write(self._bell, 1)


def _publish(folder: Path, name: str, metrics: Metrics) -> None:
    try:
        publish(folder, name, metrics)
    except OSError:
        # A full disk must not end a role: readiness shows the age of what was published last.
        return


def run_role(
    name: str,
    plan: Plan,
    boot_id: str,
    log: Log,
    body: Callable[[Role], None],
    generation: int = 0,
) -> int:
    """Run a role to its end in this (forked) process; the exit status."""
    log = log.bind(role=name, pid=os.getpid())
    if plan.revision:
        log = log.bind(revision=plan.revision)
    threads = Threads(lambda thread, error: log.bug(f"thread {thread} crashed", error))
    notices = Notices()
    # What was loaded before the fork lives as long as the process: it is shared with the other
    # roles while nobody walks it, and need not be walked. Cycles are rare in what a role makes.
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    notices.listen()
    places = Places(plan.router.data_dir)
    tap = Tap(places.run, name)
    log = log.tapped(tap)

    def look_for_listeners() -> None:
        for listener in tap.look():
            log.info("tapped", by=listener)

    role = Role(
        name=name,
        plan=plan,
        places=places,
        boot_id=boot_id,
        clock=Clock(),
        log=log,
        metrics=Metrics(),
        threads=threads,
        notices=notices,
        generation=generation,
        refresh=[look_for_listeners],
    )
    try:
        body(role)
    except Exception as error:  # noqa: BLE001 - process boundary: logged, and the supervisor acts
        log.bug("role crashed", error)
        return EXIT_CRASHED
    return EXIT_CRASHED if threads.crashed.is_set() else 0


def die_with_parent(parent: int) -> None:
    """Be killed when the supervisor dies, and never dump core (PR_SET_PDEATHSIG, PR_SET_DUMPABLE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:
        os._exit(EXIT_CRASHED)
