"""`make bench`: instances a second and CPU per instance, the router beside storescp and Orthanc.

    make bench ARGS="--rounds 5"

Sets: S is 2,000 MR of 64 KB, M is 500 CT of 0.5 MB. `receive` counts from the first byte sent to
the last answer; `route` until the last object is at the destination. Rounds are interleaved, the
medians are printed as JSON. storescp syncs nothing; the router answers when it is safe.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.support import synthetic
from tests.support.load import renumbered, template
from tests.support.orthanc import Orthanc
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender
from tests.support.storescp import StoreScp


@dataclass(frozen=True, slots=True)
class Load:
    """One set of objects."""

    name: str
    count: int
    item: synthetic.Synthetic


@dataclass(frozen=True, slots=True)
class Target:
    """Something that receives: its port, title and the process whose group is charged."""

    port: int
    ae_title: str
    pid: int
    arrived: Callable[[], int] | None = None


SETS = (
    Load("S", 2000, template(1, modality="MR", rows=180, columns=180)),
    Load("M", 500, template(2, modality="CT", rows=512, columns=512)),
)


@contextmanager
def router(work: Path) -> Iterator[Target]:
    """The router, durable, with one rule that sends everything on."""
    with ScriptedScp(Script(max_pdu_bytes=0)) as destination:
        edge = Router(work / "router", destination=destination.port)
        edge.start()
        assert edge.process is not None
        try:
            yield Target(edge.port, "EDGE_A", edge.process.pid, lambda: len(destination.stored))
        finally:
            edge.kill()


@contextmanager
def storescp(work: Path) -> Iterator[Target]:
    """DCMTK's receiver, which keeps the bytes and syncs nothing."""
    peer = StoreScp(work / "storescp")
    try:
        yield Target(peer.port, peer.ae_title, peer.pid)
    finally:
        peer.kill()


@contextmanager
def orthanc(work: Path) -> Iterator[Target]:
    """Orthanc as it comes."""
    (work / "orthanc").mkdir()
    peer = Orthanc(work / "orthanc")
    try:
        yield Target(peer.dicom_port, "ORTHANC", peer.pid)
    finally:
        peer.kill()


def cpu_seconds(pid: int) -> float:
    """CPU of a process and its children, the ended ones included."""
    first = psutil.Process(pid)
    used = 0.0
    for process in [first, *first.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # ended meanwhile: its parent has its time
            continue
        used += times.user + times.system + times.children_user + times.children_system
    return used


def measure(target: Target, load: Load) -> dict[str, float]:
    """One round: instances a second, and CPU milliseconds per instance."""
    contexts = [(load.item.sop_class_uid, [load.item.transfer_syntax_uid])]
    objects = [renumbered(load.item, number) for number in range(load.count)]
    cpu, began = cpu_seconds(target.pid), time.monotonic()
    with Sender(target.port, contexts, called_ae_title=target.ae_title) as sender:
        for uid, data_set in objects:
            status = sender.store(
                load.item.sop_class_uid, uid, load.item.transfer_syntax_uid, data_set
            )
            assert status == 0, hex(status)
    figures = {"receive_per_second": load.count / (time.monotonic() - began)}
    if (arrived := target.arrived) is not None:
        wait_until(lambda: arrived() >= load.count, 300, what="arrival of every object")
        figures["route_per_second"] = load.count / (time.monotonic() - began)
    figures["cpu_ms"] = (cpu_seconds(target.pid) - cpu) * 1000 / load.count
    return figures


def main() -> int:
    """Measure in interleaved rounds and print the medians."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for load in SETS:
            for make in (router, storescp, orthanc):
                with tempfile.TemporaryDirectory() as work, make(Path(work)) as target:
                    for name, value in measure(target, load).items():
                        table = found.setdefault(f"{load.name} {make.__name__}", {})
                        table.setdefault(name, []).append(value)
    medians = {
        key: {name: round(median(values), 2) for name, values in table.items()}
        for key, table in found.items()
    }
    json.dump({"rounds": rounds, "medians": medians}, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
