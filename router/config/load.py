"""The way in: a folder, or texts kept from before, become a plan or a list of problems.

Never raises for anything that is written in a file, and never starts anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from router.clock import Clock
from router.config.compile import compile_document
from router.config.context import Context
from router.config.folder import Source, read_folder, shown_folder
from router.config.plugged import Plugs
from router.config.problems import render_all
from router.config.report import Report
from router.config.schema import Shapes
from router.config.tree import merge
from router.config.work import TooMuchWork, Work
from router.model.plan import Plan
from router.model.problem import Place, Problem

# What analyses a sound plan: it reports advice, and tells how much it looked at.
Advisor = Callable[[Plan, Report], Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The plan, or None; the problems, at most 50 and a count; the files they are about.

    `analysis` is what the advisor said of its work, None without one or without a plan.
    """

    plan: Plan | None
    problems: tuple[Problem, ...]
    sources: tuple[Source, ...]
    analysis: Any = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the plan from being."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def render(self) -> str:
        """All problems with their source lines, as people read them; '' when there are none."""
        texts = {source.shown: source.text for source in self.sources}
        return render_all(self.problems, texts)


def load(
    folder: Path,
    plugs: Plugs,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    advise: Advisor | None = None,
) -> Loaded:
    """Read and compile a configuration folder; `advise` is asked about a plan without errors."""
    report = Report()
    sources = read_folder(folder, report)
    return _compile(sources, folder, plugs, report, environment, clock or Clock(), advise)


def load_texts(
    texts: Mapping[str, str],
    folder: Path,
    plugs: Plugs,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    advise: Advisor | None = None,
) -> Loaded:
    """Compile texts by relative path as if they stood in the folder."""
    shown = shown_folder(folder)
    ordered = sorted(texts, key=lambda name: name.split("/"))
    sources = tuple(Source(name, f"{shown}/{name}", texts[name]) for name in ordered)
    return _compile(sources, folder, plugs, Report(), environment, clock or Clock(), advise)


def _compile(
    sources: tuple[Source, ...],
    folder: Path,
    plugs: Plugs,
    report: Report,
    environment: Mapping[str, str],
    clock: Clock,
    advise: Advisor | None,
) -> Loaded:
    work = Work()
    try:
        document = merge(sources, report, work)
    except TooMuchWork as error:
        report.add(error.problem)
        return Loaded(None, report.problems(), sources)
    context = Context(
        report=report,
        shapes=Shapes(plugs, report),
        plugs=plugs,
        folder=Path(os.path.realpath(folder)),
        lines={source.shown: source.text.splitlines() for source in sources},
        environment=environment,
        work=work,
    )
    plan = None
    try:
        plan = compile_document(document, context, clock.now()) if sources else None
    except TooMuchWork as error:
        report.add(error.problem)
    analysis = advise(plan, report) if advise is not None and plan is not None else None
    problems = report.problems()
    secrets = [problem.place for problem in problems if problem.code == "DR107"]
    return Loaded(plan, problems, _masked(sources, secrets), analysis)


def _masked(sources: tuple[Source, ...], secrets: Iterable[Place]) -> tuple[Source, ...]:
    """The sources with every secret that was written in clear made unreadable."""
    by_file: dict[str, list[Place]] = {}
    for place in secrets:
        by_file.setdefault(place.file, []).append(place)
    if not by_file:
        return sources
    return tuple(
        replace(source, text=_mask(source.text, by_file.get(source.shown, ())))
        for source in sources
    )


def _mask(text: str, places: Iterable[Place]) -> str:
    lines = text.splitlines(keepends=True)
    for place in places:
        line = lines[place.line - 1]
        start, end = place.column - 1, place.column - 1 + place.length
        lines[place.line - 1] = line[:start] + "*" * (end - start) + line[end:]
    return "".join(lines)
