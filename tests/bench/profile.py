"""Where the time goes: py-spy beside a running router, a table per workload.

    make profile                   writes docs/PROFILES.md

A sample counts for the innermost function of the router on the stack that holds the interpreter,
so what a library does is charged to whoever asked for it. What runs without the interpreter (the
kernel, ciphers, SQLite) is not in the samples: the processor time of user and kernel stands beside.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.contestants import CSTORE, RECEIVE, STOW, Target
from tests.bench.measure import Bench, destination
from tests.bench.report import machine
from tests.bench.routers import Variant, router
from tests.bench.sets import DataSets, build
from tests.support.process import PROJECT
from tests.support.roles import role_pids

SAMPLES_A_SECOND = 250
LINES = 14
_OURS = "(router/"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is sent, how often, where to; `roles` are those worth a look."""

    title: str
    work: str
    set_name: str
    count: int
    roles: tuple[str, ...]


WORKLOADS = (
    Workload("64 KB, receive only, one association", RECEIVE, "S", 12_000, ("receive",)),
    Workload("64 KB to C-STORE, three tags", CSTORE, "S", 6_000, ("receive", "deliver")),
    Workload("0.5 MB to C-STORE, three tags", CSTORE, "M", 2_500, ("receive", "deliver")),
    Workload("64 KB to STOW-RS, three tags", STOW, "S", 6_000, ("deliver",)),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Of one role: microseconds an instance in user code and in the kernel, samples by function."""

    user: float
    kernel: float
    samples: Counter[str]


def profile(workload: Workload, data: DataSets, folder: Path) -> Mapping[str, Profile]:
    """What each role did while the workload ran."""
    variant = Variant(
        modalities="XA" if workload.work == RECEIVE else "CT, MR",
        station="cloud" if workload.work == STOW else "pacs",
    )
    with (
        destination(workload.work, folder) as sink,
        router(folder / "router", sink.port, variant) as edge,
    ):
        assert edge.process is not None
        target = Target(edge.port, edge.ae_title, edge.process.pid)
        bench = Bench(target, sink, workload.work, folder)
        bench.measure(data, 200, 1)
        found = role_pids(edge)
        pids = {role: found[role] for role in workload.roles}
        with _watched(pids, folder) as stacks:
            before = {role: _seconds(pid) for role, pid in pids.items()}
            bench.measure(data, workload.count, 1)
            after = {role: _seconds(pid) for role, pid in pids.items()}
    each = 1e6 / workload.count
    return {
        role: Profile(
            (after[role][0] - before[role][0]) * each,
            (after[role][1] - before[role][1]) * each,
            _own(path.read_text(encoding="utf-8")),
        )
        for role, path in stacks.items()
    }


def _seconds(pid: int) -> tuple[float, float]:
    times = psutil.Process(pid).cpu_times()
    return times.user, times.system


@contextmanager
def _watched(pids: Mapping[str, int], folder: Path) -> Iterator[Mapping[str, Path]]:
    """py-spy beside each process; the collapsed stacks are complete when the block has ended."""
    stacks = {role: folder / f"{role}.stacks" for role in pids}
    running = [
        subprocess.Popen(
            [
                shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy")),
                *("record", "--pid", str(pid), "--rate", str(SAMPLES_A_SECOND)),
                *("--format", "raw", "--output", str(stacks[role])),
                "--gil",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for role, pid in pids.items()
    ]
    try:
        yield stacks
    finally:
        for process in running:
            process.send_signal(2)
            process.wait(30)


def _own(text: str) -> Counter[str]:
    """Samples by the innermost function of the router, from collapsed stacks."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame for frame in stack.split(";") if _OURS in frame]
        if frames:
            name, _, place = frames[-1].partition(" (router/")
            module = place.partition(".py")[0].replace("/", ".")
            found[f"{module}.{name}"] += int(count)
    return found


READING = (
    "Reading",
    (
        "No function stands out: the profiles are flat, and what an instance costs is the sum of some "
        "hundred short calls (tests/guard counts them). Receiving small objects spends a third of its "
        "processor time in the kernel, which moves the bytes out of the socket and writes and syncs the "
        "record; at 0.5 MB it is half. Delivering is user code above all: the header is read again and "
        "written anew (`dicom.elements`, `dicom.splice`, `dicom.tree`), the record opened and its seal "
        "checked (`store`), the answer waited for (`dimse.client`). Over HTTP the library that frames a "
        "request (`dicomweb.client` asks it) costs as much as the header."
    ),
)


def page(found: Mapping[str, Mapping[str, Profile]]) -> str:
    """All workloads as Markdown."""
    lines = [
        "# Where the time goes",
        "",
        f"Written by `make profile` on {machine()}: py-spy, {SAMPLES_A_SECOND} samples a second of",
        "the stack that holds the interpreter, charged to the innermost function of the router on it.",
        "What runs without the interpreter (the kernel, ciphers, SQLite, syncs) is not in the",
        "samples; the processor time of user code and kernel stands above each table.",
    ]
    for title, roles in found.items():
        lines += ["", f"## {title}"]
        for role, one in roles.items():
            total = one.samples.total()
            lines += [
                "",
                (
                    f"Role `{role}`: {one.user:.0f} µs of user code and {one.kernel:.0f} µs of the kernel "
                    f"an instance, with py-spy beside it; {total} samples."
                ),
                *("", "| share | function |", "|---|---|"),
            ]
            lines += [
                f"| {count / total:.1%} | `{name}` |"
                for name, count in one.samples.most_common(LINES)
            ]
    title, text = READING
    return "\n".join([*lines, "", f"## {title}", "", text, ""])


def main() -> int:
    """Profile every workload and write the page."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        sets = build(Path(folder), quick=True)
        for number, workload in enumerate(WORKLOADS):
            print(workload.title, file=sys.stderr, flush=True)
            here = Path(folder) / str(number)
            here.mkdir()
            found[workload.title] = profile(workload, sets[workload.set_name], here)
    (PROJECT / "docs" / "PROFILES.md").write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
