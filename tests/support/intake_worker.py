"""Processes that take, book, send and settle objects, and the system calls at which they are hurt.

A helper imports the product once and forks for every run; strace attaches to the stopped child and
kills it, or fails its calls, at the call it is told. The child says one line a step: `answer NUMBER
STATUS SHA256` when a sender would hear it, `sent UID SHA256` when a station has an object, `settled`
when the ledger knows. It has one thread, so the system calls of two runs come in the same order.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from router.errors import StoreDown, StoreFull
from router.flow.settle import settle
from router.model.delivery import Outcome, Result
from tests.support.inside import Edge
from tests.support.process import PROJECT, environment, wait_until
from tests.support.synthetic import Synthetic, instance

LARGE = 4


@cache
def image(number: int) -> Synthetic:
    """The object of that number; one of them is too large for a writer's memory."""
    edge = 1024 if number == LARGE else 8
    return instance(number, study=1 + number // 3, rows=edge, columns=edge)


def say(line: str) -> None:
    """One line in one call, so that a kill leaves whole lines."""
    os.write(1, line.encode() + b"\n")


def send_what_is_due(edge: Edge, say: Callable[[str], None] = say) -> None:
    """One turn of a dispatcher: lease, send, settle, two at most."""
    station = edge.plan.stations["pacs"]
    leased = edge.lease(count=2)
    settlements = []
    with edge.courier().parcels(leased) as parcels:
        for parcel in parcels:
            data = b"".join(map(bytes, parcel.outgoing(None).chunks()))
            say(f"sent {parcel.leased.sop_instance_uid} {hashlib.sha256(data).hexdigest()}")
            outcome = Outcome(parcel.leased.delivery_id, Result.DELIVERED, "", 0)
            settlements.append(settle(outcome, parcel.leased, station, edge.clock))
    edge.ledger.turn(settlements, {}, edge.clock.now())
    say("settled")


def work(folder: Path, count: int) -> None:
    """Take so many objects, and go on whatever the store answers, until the ledger is down."""
    edge = Edge(folder)
    say("begin")
    for number in range(1, count + 1):
        found = image(number)
        answer = edge.take(found, size=65536)
        digest = hashlib.sha256(found.data_set).hexdigest()
        say(f"answer {number} {answer.status:04X} {digest}")
        try:
            if number % 2 == 0:
                edge.index()
            if number % 4 == 0:
                send_what_is_due(edge)
        except (StoreDown, StoreFull) as error:
            say(f"down {type(error).__name__}")
            break
    edge.store.close()
    say("end")


@dataclass(frozen=True)
class Run:
    """What one child said, how it ended (a negative signal number), its calls by name in their
    order, and the thread that made each."""

    lines: tuple[str, ...]
    code: int
    calls: tuple[str, ...]
    threads: tuple[str, ...]

    @property
    def answers(self) -> dict[int, tuple[int, str]]:
        """Number → (status, SHA-256 of the data set), as a sender would have heard it."""
        found = (line.split() for line in self.lines if line.startswith("answer"))
        return {int(number): (int(status, 16), digest) for _, number, status, digest in found}

    @property
    def sent(self) -> list[tuple[str, str]]:
        """(SOP Instance UID, SHA-256) of what a station was given."""
        found = (line.split() for line in self.lines if line.startswith("sent"))
        return [(uid, digest) for _, uid, digest in found]

    @property
    def counts(self) -> Counter[str]:
        """How often each call was made by the thread that made it most often: a call to be hurt is
        counted in each thread for itself."""
        by_thread = Counter(zip(self.calls, self.threads, strict=True))
        return Counter(
            {
                name: max(number for (call, _), number in by_thread.items() if call == name)
                for name in self.calls
            }
        )


def is_possible() -> bool:
    """Whether strace is here."""
    return shutil.which("strace") is not None


class Workers:
    """The helper; `run` is one child to its end."""

    def __init__(self) -> None:
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.intake_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env=environment(),
            text=True,
        )

    def run(self, folder: Path, count: int, calls: str, inject: str = "") -> Run:
        """Work in the folder with these system calls traced; `inject` as strace takes it."""
        folder.mkdir(parents=True)
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        self._helper.stdin.write(json.dumps({"folder": str(folder), "count": count}) + "\n")
        self._helper.stdin.flush()
        pid = int(self._helper.stdout.readline())
        trace = folder / "trace"
        command = ["strace", "-f", "-e", f"trace={calls}", "-o", str(trace), "-p", str(pid)]
        with open(folder / "strace", "wb") as said:
            tracer = subprocess.Popen(
                [*command, "-e", f"inject={inject}"] if inject else command, stderr=said
            )
        attached = folder / "strace"
        wait_until(lambda: b"attached" in attached.read_bytes(), 10, what="strace attaches")
        os.kill(pid, signal.SIGCONT)
        code = int(self._helper.stdout.readline())
        tracer.wait(10)
        text = (folder / "said").read_text()
        made = re.findall(r"^(\d+) +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE)
        lines = tuple(text[: text.rfind("\n") + 1].splitlines())
        return Run(lines, code, tuple(name for _, name in made), tuple(who for who, _ in made))

    def close(self) -> None:
        """End the helper."""
        assert self._helper.stdin is not None
        self._helper.stdin.close()
        self._helper.wait(10)
        assert self._helper.stdout is not None
        self._helper.stdout.close()


def _child(folder: Path, count: int) -> None:
    # Where only children may be traced, this one lets anybody of the same user do it.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    os.dup2(os.open(folder / "said", os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.kill(os.getpid(), signal.SIGSTOP)
    code = 70
    try:
        work(folder, count)
        code = 0
    finally:
        os._exit(code)


def _serve() -> None:
    """One line of JSON in; the child's pid and, when it has ended, its exit code out."""
    for number in range(1, 11):
        image(number)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(Path(request["folder"]), request["count"])
        os.waitpid(pid, os.WUNTRACED)
        print(pid, flush=True)
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
