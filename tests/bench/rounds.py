"""Rounds, interleaved over contestants: whatever drifts on the machine drifts for all of them.

In a round each contestant is started once for each work, fresh, and measured in all cells of that
work. Before each measurement what others left in the page cache is written out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contestants import CONTESTANTS, CSTORE, RECEIVE, STOW, Contestant, Task
from tests.bench.measure import Bench, Sample, destination
from tests.bench.sets import DataSets

PRODUCT = "dicom-router"
LATENCY = 0
FEWEST = 2


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is measured: a work, a set, how many associations (LATENCY: one, every 50 ms)."""

    work: str
    set_name: str
    associations: int
    product_only: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the bench: how many rounds of which cells, instances for a latency."""

    name: str
    rounds: int
    cells: tuple[Cell, ...]
    latency_count: int


def _cells(work: str, text: str, *, product_only: bool = False) -> tuple[Cell, ...]:
    """`S1 M4` to cells; `S0` is the latency of S."""
    words = text.split()
    return tuple(Cell(work, word[0], int(word[1:]), product_only) for word in words)


QUICK = Form(
    "quick",
    2,
    (
        *_cells(RECEIVE, "S1 S4 M1 L1"),
        *_cells(RECEIVE, "S16", product_only=True),
        *_cells(CSTORE, "S1 M1 L1 S0 M0"),
        *_cells(CSTORE, "S4", product_only=True),
        *_cells(STOW, "S1 M1"),
    ),
    latency_count=20,
)
FULL = Form(
    "full",
    5,
    (
        *_cells(RECEIVE, "S1 S4 M1 M4 L1 L4"),
        *_cells(RECEIVE, "S16 M16 G1", product_only=True),
        *_cells(CSTORE, "S1 M1 L1 S0 M0"),
        *_cells(CSTORE, "S4 M4 S16 M16 G1", product_only=True),
        *_cells(STOW, "S1 M1"),
        *_cells(STOW, "S4 S0 M0", product_only=True),
    ),
    latency_count=100,
)

Samples = Mapping[tuple[Cell, str], tuple[Sample, ...]]
Say = Callable[[str], None]


def run(
    form: Form, sets: Mapping[str, DataSets], folder: Path, names: Iterable[str], say: Say
) -> Samples:
    """All rounds of a form for the contestants named. AssertionError when one does not do its work:
    a figure of something that lost instances is none."""
    wanted = frozenset(names)
    found: dict[tuple[Cell, str], tuple[Sample, ...]] = {}
    works = tuple(dict.fromkeys(cell.work for cell in form.cells))
    for number in range(form.rounds):
        for work in works:
            for contestant in CONTESTANTS:
                if contestant.name not in wanted or work not in contestant.works:
                    continue
                say(f"round {number + 1} of {form.rounds}: {work}, {contestant.name}")
                for cell, sample in _visit(contestant, work, form, sets, folder):
                    key = (cell, contestant.name)
                    found[key] = (*found.get(key, ()), sample)
    return found


def _visit(
    contestant: Contestant, work: str, form: Form, sets: Mapping[str, DataSets], folder: Path
) -> Iterator[tuple[Cell, Sample]]:
    """Start a contestant in a folder of its own, measure it in every cell of the work."""
    cells = [
        cell
        for cell in form.cells
        if cell.work == work and (contestant.name == PRODUCT or not cell.product_only)
    ]
    here = folder / "contestant"
    here.mkdir()
    try:
        with (
            destination(work, here) as sink,
            contestant.start(Task(work, sink.port, here / "data")) as target,
        ):
            bench = Bench(target, sink, work, here)
            for cell in cells:
                os.sync()
                yield cell, _measure(bench, cell, sets[cell.set_name], form, contestant)
    finally:
        shutil.rmtree(here)


def _measure(
    bench: Bench, cell: Cell, data: DataSets, form: Form, contestant: Contestant
) -> Sample:
    if cell.associations == LATENCY:
        return bench.latency(data, form.latency_count, changes=contestant.changes)
    share = int(data.count * contestant.share(cell.work))
    count = max(share, cell.associations, min(FEWEST, data.count))
    return bench.measure(data, count, cell.associations, changes=contestant.changes)
