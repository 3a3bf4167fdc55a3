"""Named, supervised threads with one stop signal.

A thread that ends by an exception it did not expect is a bug of ours: it is handed to `on_crash`
and the stop signal is set, so that the process ends and its supervisor starts a fresh one. Nothing
here restarts a thread: half a process is worse than none.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


class Threads:
    """The threads of one process and the signal that stops them all."""

    def __init__(self, on_crash: Callable[[str, BaseException], None]) -> None:
        self.stop = threading.Event()
        self.crashed = threading.Event()
        self._on_crash = on_crash
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Start `target` in a named thread; an escaping exception ends the process."""

        def run() -> None:
            try:
                target()
            except Exception as error:  # noqa: BLE001 - thread boundary: a bug must end the process
                self.crashed.set()
                self.stop.set()
                self._on_crash(name, error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
        thread.start()
        return thread

    def alive(self) -> tuple[str, ...]:
        """Names of the threads that run now."""
        with self._lock:
            return tuple(thread.name for thread in self._threads if thread.is_alive())

    def join(self, timeout_seconds: float) -> bool:
        """Wait for all of them to end; false when some still run at the deadline."""
        deadline_per_thread = timeout_seconds
        with self._lock:
            waiting = list(self._threads)
        for thread in waiting:
            thread.join(deadline_per_thread)
            if thread.is_alive():
                deadline_per_thread = 0.0
        return not any(thread.is_alive() for thread in waiting)


def side_by_side(
    tasks: Mapping[str, Callable[[], Result]], at_once: int, timeout_seconds: float
) -> dict[str, Result]:
    """What each task gives, by its name; those that have not ended in time are left out.

    For a command that asks many and must end: tasks may not raise, and one that hangs is left
    behind in its daemon thread.
    """
    found: dict[str, Result] = {}
    waiting: queue.SimpleQueue[tuple[str, Callable[[], Result]]] = queue.SimpleQueue()
    for named in tasks.items():
        waiting.put(named)
    lock = threading.Lock()

    def work() -> None:
        while True:
            try:
                name, task = waiting.get_nowait()
            except queue.Empty:
                return
            result = task()
            with lock:
                found[name] = result

    threads = [
        threading.Thread(target=work, name="side-by-side", daemon=True)
        for _ in range(min(at_once, len(tasks)))
    ]
    until = time.monotonic() + timeout_seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    with lock:
        return dict(found)
