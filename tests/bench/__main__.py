"""`make bench`: the router beside storescp, Orthanc and others, in one run.

    make bench ARGS=--quick                                three minutes, reports, never gates
    make bench ARGS="--full --write docs/PERFORMANCE.md"   five rounds; exit 1 when a bar is missed
    make bench ARGS="--quick --only dicom-router --workload cstore"

Prints one table; the same as JSON and Markdown lands in `build/bench/`, or where `--write` says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.bench import rounds, sets
from tests.bench.bars import bars
from tests.bench.contestants import CONTESTANTS, CSTORE, RECEIVE, STOW
from tests.bench.extras import extras
from tests.bench.figures import Figures
from tests.bench.floors import floors
from tests.bench.report import Report
from tests.support.process import PROJECT

NAMES = tuple(one.name for one in CONTESTANTS)
EXTRA = "extra"
WORKS = (RECEIVE, CSTORE, STOW, EXTRA)
RESULTS = PROJECT / "build" / "bench"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="small sets, two rounds (default)")
    form.add_argument("--full", action="store_true", help="five rounds, and the bars gate")
    parser.add_argument("--only", action="append", choices=NAMES, help="this contestant")
    parser.add_argument("--workload", action="append", choices=WORKS, help="this work")
    parser.add_argument("--rounds", type=int, help="other than the form's")
    parser.add_argument("--write", type=Path, help="the Markdown file to write; JSON beside it")
    parser.add_argument("--folder", type=Path, help="where the data lie while it runs")
    return parser.parse_args()


def form_of(given: argparse.Namespace) -> rounds.Form:
    """The form, narrowed to what was asked for."""
    form = rounds.FULL if given.full else rounds.QUICK
    works = given.workload or WORKS
    cells = tuple(cell for cell in form.cells if cell.work in works)
    return replace(form, cells=cells, rounds=given.rounds or form.rounds)


def measure(given: argparse.Namespace, folder: Path) -> Report:
    """Run everything asked for."""
    form = form_of(given)
    found = floors(folder)
    data = sets.build(folder, quick=not given.full)
    samples = rounds.run(form, data, folder, given.only or NAMES, say)
    own: Mapping[str, float] = {}
    ours = rounds.PRODUCT in (given.only or NAMES)
    if ours and EXTRA in (given.workload or (WORKS if given.full else ())):
        own = extras(data, folder, say)
    figures = Figures.of(samples)
    command = f"make bench ARGS={' '.join(sys.argv[1:])!r}"
    return Report(form.name, command, folder, figures, found, own, bars(figures, own))


def say(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def write(report: Report, path: Path) -> None:
    """The Markdown, and the JSON beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.markdown(), encoding="utf-8")
    path.with_suffix(".json").write_text(report.as_json(), encoding="utf-8")
    say(f"written: {path} and {path.with_suffix('.json')}")


def main() -> int:
    """Measure and report; 1 when the full form misses a bar."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder) as folder:
        report = measure(given, Path(folder))
        print(report.text())
        write(report, given.write or RESULTS / f"{report.form}.md")
    missed = [bar for bar in report.bars if not bar.reached]
    return 1 if given.full and missed else 0


if __name__ == "__main__":
    sys.exit(main())
