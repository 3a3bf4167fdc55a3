"""Processes of a test: started in a group of their own, logged to a file, gone when the test is.

Nothing is ever killed by name: only the process groups started here, and those surely, at the
latest when the interpreter ends.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

PROJECT = Path(__file__).resolve().parents[2]
_running: set[Process] = set()

# Settings of the caller's machine that change what clients trust or say.
_UNWANTED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "DICOM_ROUTER_CONFIG")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether a process of this machine listens on the port; the listener does not notice."""
    suffix = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table, encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if fields[1].endswith(suffix) and fields[3] == "0A":
                    return True
    return False


def wait_until(
    condition: Callable[[], bool], timeout_seconds: float = 20.0, *, what: str = "it"
) -> None:
    """Wait for the condition; AssertionError with `what` when it does not come true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not after {timeout_seconds} s")
        time.sleep(0.01)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child: no surprises from outside, no delayed ACK."""
    env = {key: value for key, value in os.environ.items() if key not in _UNWANTED}
    env["TCP_NODELAY"] = "1"
    env["PYTHONPATH"] = str(PROJECT)
    # pynetdicom brings programs named like DCMTK's: the system's come first.
    env["PATH"] = "/usr/bin:/usr/sbin:/bin:/sbin:" + env.get("PATH", "")
    env.update(extra or {})
    return env


class Child(Protocol):
    """A process that was begun, as `subprocess.Popen` shows it."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""

    def wait(self, timeout: float) -> int:
        """The exit code; raises subprocess.TimeoutExpired."""


# Command, files of its output and its errors, working directory, environment.
Begin = Callable[[Sequence[str], Path, Path, Path, Mapping[str, str]], Child]


def begin_program(
    command: Sequence[str], log: Path, errors: Path, cwd: Path, env: Mapping[str, str]
) -> Child:
    """Start a program in a session of its own."""
    with open(log, "ab") as output, open(errors, "ab") as told:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=told,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )


class Process:
    """A child with its output in `log`; `kill()` ends its whole group."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        begin: Begin = begin_program,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        self.log = log
        self.errors = log.with_suffix(".err")
        self._child = begin(self.command, log, self.errors, cwd or PROJECT, environment(env))
        self.pid = self._child.pid
        _running.add(self)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._child.poll()

    def wait(self, timeout_seconds: float) -> int:
        """The exit code; AssertionError, with the log, when it still runs at the deadline."""
        try:
            return self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.command[0]} still runs after {timeout_seconds} s\n{self.tail()}"
            ) from None

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL the whole group, and reap it. Harmless when it has ended."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait(10)
        wait_until(lambda: not self.group(), 10, what="the end of the process group")
        _running.discard(self)

    def group(self) -> tuple[int, ...]:
        """The living processes of the group, the first one included."""
        return tuple(pid for pid in _pids() if _group_of(pid) == self.pid)

    def tail(self, lines: int = 40) -> str:
        """The end of what it wrote, for a failure message."""
        parts = []
        for path in (self.log, self.errors):
            text = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name}\n" + "\n".join(text))
        return "\n".join(parts)


def run(
    command: Iterable[str | os.PathLike[str]],
    *,
    timeout_seconds: float = 60.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, output captured; the caller looks at `returncode`."""
    return subprocess.run(
        [os.fspath(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        cwd=cwd or PROJECT,
        env=environment(env),
        check=False,
    )


def memory_peak_bytes(pid: int) -> int:
    """The peak resident set of a process since it began, or since `reset_memory_peak`."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def reset_memory_peak(pid: int) -> None:
    """Let the peak start again from the present resident set (needs to own the process)."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as control:
        control.write("5")


def _pids() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _group_of(pid: int) -> int:
    """The process group; -1 when it is gone, or dead and not yet reaped by whoever inherited it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            state, _, group = stat.read().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return -1 if state in "ZX" else int(group)


@atexit.register
def _kill_all() -> None:
    for process in tuple(_running):
        process.kill()
