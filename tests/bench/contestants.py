"""Who is measured, each started with its best options and gone when its block ends.

A contestant is a context manager over a `Task` (which work, where to, where its data go); it
yields a `Target`: port, AE title and the process whose tree is charged. `CONTESTANTS` says what
each can do and which options it ran with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.orthanc_lua import SETTINGS, orthanc_script
from tests.bench.routers import Variant, router
from tests.support.orthanc import Orthanc
from tests.support.process import Process, free_port, is_listening, wait_until

RECEIVE, CSTORE, STOW = "receive", "cstore", "stow"
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to do: `work` is RECEIVE, CSTORE or STOW; `destination_port` is the sink's."""

    work: str
    destination_port: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and which process tree pays."""

    port: int
    ae_title: str
    pid: int


Start = Callable[[Task], AbstractContextManager[Target]]


@contextmanager
def product(task: Task) -> Iterator[Target]:
    """`python -m router run`: durable, sealed, rules and metrics on, nothing tuned."""
    variant = Variant(
        modalities="XA" if task.work == RECEIVE else "CT, MR",
        station="cloud" if task.work == STOW else "pacs",
    )
    with router(task.folder, task.destination_port, variant) as edge:
        assert edge.process is not None
        yield Target(edge.port, edge.ae_title, edge.process.pid)


@contextmanager
def orthanc(task: Task) -> Iterator[Target]:
    """Orthanc; for routing with the Lua script that was the fastest of those tried."""
    task.folder.mkdir(parents=True)
    settings: dict[str, object] = {**SETTINGS}
    if task.work != RECEIVE:
        script = task.folder / "route.lua"
        script.write_text(orthanc_script(stow=task.work == STOW))
        settings["LuaScripts"] = [str(script)]
        settings["DicomModalities"] = {"sink": ["SINK", "127.0.0.1", task.destination_port]}
        url = f"http://127.0.0.1:{task.destination_port}/dicom-web/"
        settings["DicomWeb"] = {
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {"sink": {"Url": url, "ChunkedTransfers": False}},
        }
    server = Orthanc(task.folder, settings=settings)
    try:
        yield Target(server.dicom_port, "ORTHANC", server.pid)
    finally:
        server.kill()


def _program(command: Callable[[Task, int], Sequence[str]], ae_title: str) -> Start:
    """A program on a port of its own, charged with everything it leaves behind."""

    @contextmanager
    def start(task: Task) -> Iterator[Target]:
        (task.folder / "out").mkdir(parents=True)
        port = free_port()
        parts = [sys.executable, "-m", "tests.bench.usage", *command(task, port)]
        process = Process(parts, task.folder / "program.log")
        try:
            wait_until(lambda: is_listening(port), START_SECONDS, what=f"{ae_title} listens")
            yield Target(port, ae_title, process.pid)
        finally:
            process.kill()

    return start


def _storescp(*options: str) -> Callable[[Task, int], Sequence[str]]:
    def command(task: Task, port: int) -> Sequence[str]:
        best = ["--fork", "+xa", "-pm", "+uf", "-pdu", "131072", *options]
        return ["storescp", *best, "-od", str(task.folder / "out"), str(port)]

    return command


def _naive(task: Task, port: int) -> Sequence[str]:
    command = [sys.executable, "-m", "tests.bench.naive", str(port), str(task.destination_port)]
    return [*command, str(task.folder / "out")] if task.work == RECEIVE else command


def _chain(task: Task, port: int) -> Sequence[str]:
    where = [str(port), str(task.destination_port), str(task.folder / "out")]
    return [sys.executable, "-m", "tests.bench.chain", *where]


def _sink(task: Task, port: int) -> Sequence[str]:
    log = str(task.folder / "sink.log")
    return [sys.executable, "-m", "tests.bench.sink", log, "--port", str(port)]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A name, the works it can do, how to start it, and what it ran with. `shares`: by work, the
    share of a set it is given, so that the slow do not hold up a round; rates stay comparable.
    `changes`: whether it sets the three tags."""

    name: str
    works: tuple[str, ...]
    start: Start
    options: str
    shares: Mapping[str, float]
    changes: bool = True

    def share(self, work: str) -> float:
        """The share of the set for this work."""
        return self.shares.get(work, 1.0)


CONTESTANTS = (
    Contestant(
        "dicom-router",
        (RECEIVE, CSTORE, STOW),
        product,
        "`dicom-router run`, nothing tuned: every instance synced and sealed before its answer, "
        "rules and metrics on",
        {},
    ),
    Contestant(
        "storescp +B",
        (RECEIVE,),
        _program(_storescp("+B"), "SCP"),
        "DCMTK `storescp --fork +B +xa -pm +uf -pdu 131072`: bytes as they come, no sync",
        {},
    ),
    Contestant(
        "storescp",
        (RECEIVE,),
        _program(_storescp(), "SCP"),
        "DCMTK `storescp --fork +xa -pm +uf -pdu 131072`: no sync",
        {},
    ),
    Contestant(
        "Orthanc",
        (RECEIVE, CSTORE, STOW),
        orthanc,
        "Debian's Orthanc and DICOMweb plugin, no MD5, no sync of files, PDUs of 131072, jobs not "
        "saved; routing in Lua: modify in memory, then store-straight; for STOW 64 jobs",
        {RECEIVE: 0.5, CSTORE: 0.15, STOW: 0.1},
    ),
    Contestant(
        "pynetdicom",
        (RECEIVE, CSTORE),
        _program(_naive, "NAIVE"),
        "tests/bench/naive.py: one open association to the destination, TCP_NODELAY, any PDU size",
        {RECEIVE: 0.5, CSTORE: 0.2},
    ),
    Contestant(
        "chain",
        (CSTORE,),
        _program(_chain, "CHAIN"),
        "tests/bench/chain.py: storescp --fork, dcmdump per file, dcmsend in batches; sets no tags",
        {CSTORE: 0.15},
        changes=False,
    ),
    Contestant(
        "sink",
        (RECEIVE,),
        _program(_sink, "SINK"),
        "tests/bench/sink.py: reads and forgets; what sender and loopback can do at most",
        {},
    ),
)
