"""The result of a run as text, as Markdown and as JSON: one table, the floors, the bars."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bars import Bar
from tests.bench.contestants import CONTESTANTS
from tests.bench.figures import Figure, Figures
from tests.bench.rounds import LATENCY, PRODUCT

HEADINGS = (
    "work", "set", "associations", "contestant", "instances/s", "slowest–fastest", "MB/s",
    "CPU ms", "peak MB", "over idle", "latency 50/95/99 ms", "router is ×", "load",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run. `extras` are figures that are not of a cell."""

    form: str
    command: str
    folder: Path
    figures: Figures
    floors: Mapping[str, float]
    extras: Mapping[str, float]
    bars: Sequence[Bar]

    def text(self) -> str:
        """For a terminal."""
        rows = [HEADINGS, *self._rows()]
        widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += ["", *(f"floor  {name}: {value:,.0f}" for name, value in self.floors.items())]
        lines += [f"extra  {name}: {value:.3g}" for name, value in self.extras.items()]
        lines += [f"bar    {bar.sentence()}" for bar in self.bars if bar.figure is not None]
        return "\n".join(lines)

    def markdown(self) -> str:
        """For docs/PERFORMANCE.md."""
        lines = [
            "# Performance",
            "",
            f"Written by `{self.command}`.",
            "Every figure is a median of interleaved rounds, in one run with the peers.",
            *("", f"{machine()}. The data lay on {file_system(self.folder)}.", ""),
            "| who | options |",
            "|---|---|",
            *(f"| {one.name} | {one.options} |" for one in CONTESTANTS),
            "",
            "CPU is user and system time of all processes of a contestant, per instance;",
            "memory is the sum of their resident sets; `load` is the load average when a",
            "measurement began. Latency is from the last byte handed over to the last byte at the",
            "destination, one instance every 50 ms.",
            "",
            "## Bars",
            "",
            "| bar | bound | measured | reached |",
            "|---|---|---|---|",
            *map(_bar_row, self.bars),
            "",
            "## Figures",
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|" + "---|" * len(HEADINGS),
            *("| " + " | ".join(row) + " |" for row in self._rows()),
            *(
                "",
                "## Floors of this machine, in the same run",
                "",
                "| floor | figure |",
                "|---|---|",
            ),
            *(f"| {name} | {value:,.0f} |" for name, value in self.floors.items()),
        ]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """Everything, for a machine."""
        return json.dumps(
            {
                "form": self.form,
                "command": self.command,
                "machine": machine(),
                "file_system": file_system(self.folder),
                "floors": self.floors,
                "extras": self.extras,
                "figures": [one.as_json() for one in self.figures],
                "bars": [
                    {"text": bar.text, "bound": bar.bound, "at_most": bar.at_most,
                     "figure": bar.figure, "reached": bar.reached}
                    for bar in self.bars
                ],
            },
            indent=1,
        )  # fmt: skip

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in sorted(self.figures, key=lambda figure: figure.cell):
            yield self._row(one)

    def _row(self, one: Figure) -> tuple[str, ...]:
        cell = one.cell
        ratio = self.figures.ratio(cell.work, cell.set_name, cell.associations, one.contestant)
        paced = cell.associations == LATENCY
        return (
            cell.work,
            cell.set_name,
            "latency" if paced else str(cell.associations),
            one.contestant,
            "" if paced else _short(one.per_second),
            "" if paced else f"{_short(one.low)}–{_short(one.high)}",
            "" if paced else _short(one.megabytes_per_second),
            f"{one.cpu_ms:.2f}",
            f"{one.peak_megabytes:.0f}",
            f"{one.over_idle_megabytes:.0f}",
            " / ".join(f"{value:.1f}" for value in one.latency_ms or ()),
            "" if paced or ratio is None or one.contestant == PRODUCT else f"{ratio:.2f}",
            f"{one.load_average:.1f}",
        )


def _bar_row(bar: Bar) -> str:
    sign = "≤" if bar.at_most else "≥"
    found = "not measured" if bar.figure is None else f"{bar.figure:.3g}"
    return f"| {bar.text} | {sign} {bar.bound:g} | {found} | {'yes' if bar.reached else '**no**'} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def machine() -> str:
    """Processors, kernel and interpreter."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    model = names[0] if names else platform.machine()
    return (
        f"{os.cpu_count()} × {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def file_system(folder: Path) -> str:
    """The type and device of the file system a folder is on, as `df` tells them."""
    done = subprocess.run(
        ["df", "--output=fstype,source", str(folder)], capture_output=True, text=True, check=True
    )
    kind, device = done.stdout.splitlines()[1].split()
    return f"{kind} ({device})"
