"""`make growth`: measures every series, draws it, and writes what it says."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.growth import inside, running
from tests.bench.growth.plot import svg
from tests.bench.growth.series import Series, short
from tests.bench.report import machine
from tests.support.process import PROJECT

MEASURES = {
    "size": running.by_size,
    "associations": running.by_associations,
    "rules": inside.by_rules,
    "stations": inside.by_stations,
    "backlog": inside.by_backlog,
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make growth", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, into build/growth")
    parser.add_argument("--only", action="append", choices=MEASURES, help="this series")
    return parser.parse_args()


def page(found: list[Series], command: str) -> str:
    """All series as Markdown: picture, exponent, reading, figures."""
    lines = [
        "# How cost grows",
        "",
        f"Written by `{command}` on {machine()}. The product alone, as a user runs it; both axes of",
        "the pictures are logarithmic. The exponent is the slope over the last two decades: 0 is a",
        "cost that stays, 1 one that grows as its number does.",
    ]
    for series in found:
        lines += [
            "",
            f"## {series.number[0].upper()}{series.number[1:]}",
            "",
            f"![{series.cost}](growth/{series.name}.svg)",
            "",
            f"Exponent {series.exponent:.2f}. {series.reading}",
            "",
            f"| {series.number} | {series.cost} |",
            "|---|---|",
            *(f"| {short(number)} | {short(cost)} |" for number, cost in series.points),
        ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Measure, draw, write."""
    given = arguments()
    found = []
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        for name, measure in MEASURES.items():
            if given.only and name not in given.only:
                continue
            here = Path(folder) / name
            here.mkdir()
            found.append(measure(here, _say, quick=given.quick))
    target = PROJECT / ("build/growth" if given.quick or given.only else "docs")
    (target / "growth").mkdir(parents=True, exist_ok=True)
    for series in found:
        (target / "growth" / f"{series.name}.svg").write_text(svg(series), encoding="utf-8")
    (target / "GROWTH.md").write_text(page(found, "make growth"), encoding="utf-8")
    for series in found:
        figures = ", ".join(f"{short(number)}: {short(cost)}" for number, cost in series.points)
        print(f"{series.name}: exponent {series.exponent:.2f}; {figures}")
    print(f"written: {target / 'GROWTH.md'}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
