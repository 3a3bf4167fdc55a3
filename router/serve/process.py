"""One role process: what every role has in common, from fork to exit.

It dies with its supervisor, stops on SIGTERM within its drain time, publishes its metrics once a
second (a role that hangs stops publishing, and readiness tells), and leaves no core dump: its
memory holds patients' data.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
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
from router.threads import Threads

PUBLISH_SECONDS = 1.0
DRAIN_SECONDS = 30.0
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
    refresh: list[Callable[[], None]] = field(default_factory=list)

    def when_there_is_room(self, work: Callable[[], object]) -> bool:
        """Do the work, again and again while the disk is full; false when told to stop first."""
        while not self.threads.stop.is_set():
            try:
                work()
            except StoreFull as error:
                self.log.warning("waiting for room", reason=str(error))
                self.threads.stop.wait(PUBLISH_SECONDS)
            else:
                return True
        return False

    def wait(self) -> None:
        """Publish metrics until told to stop. `refresh` functions set gauges just before."""
        while not self.threads.stop.is_set():
            for function in self.refresh:
                function()
            _publish(self.places.run, self.name, self.metrics)
            self.threads.stop.wait(PUBLISH_SECONDS)


def _publish(folder: Path, name: str, metrics: Metrics) -> None:
    try:
        publish(folder, name, metrics)
    except OSError:
        # A full disk must not end a role: readiness shows the age of what was published last.
        return


def run_role(name: str, plan: Plan, boot_id: str, log: Log, body: Callable[[Role], None]) -> int:
    """Run a role to its end in this (forked) process; the exit status."""
    log = log.bind(role=name, pid=os.getpid())
    threads = Threads(lambda thread, error: log.bug(f"thread {thread} crashed", error))

    def stop(_signal: int, _frame: FrameType | None) -> None:
        threads.stop.set()

    # What was loaded before the fork lives as long as the process: it is shared with the other
    # roles while nobody walks it, and need not be walked. Cycles are rare in what a role makes.
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    role = Role(
        name=name,
        plan=plan,
        places=Places(plan.router.data_dir),
        boot_id=boot_id,
        clock=Clock(),
        log=log,
        metrics=Metrics(),
        threads=threads,
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
