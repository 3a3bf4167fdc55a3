"""`test`: the tests beside the rules, what they reach, and whether they would notice a mistake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import click

from router.analysis.mutants import mutants
from router.analysis.trial import Coverage, Result, Trial
from router.cli.common import EXIT_FAILED, config_folder, config_option, emit_json, format_option
from router.cli.plan import plan_or_exit
from router.config.cases import Case, read_cases
from router.config.problems import render_all
from router.config.report import Report
from router.model.plan import Plan
from router.plugs import all_plugs

MUTATION_SECONDS = 120.0


@click.command()
@config_option
@format_option
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML.")
@click.option("--coverage", is_flag=True, help="Tell what no test reaches.")
@click.option(
    "--mutate", is_flag=True, help="Change the rules one by one; tell what nobody notices."
)
@click.option("--fail-on-survivors", is_flag=True, help="With --mutate: survivors are a failure.")
def test(
    config: Path | None,
    form: str,
    junit: Path | None,
    *,
    coverage: bool,
    mutate: bool,
    fail_on_survivors: bool,
) -> int:
    """Run the tests in *.test.yaml: exit 0 when all pass, 1 when one fails or a file is wrong."""
    folder = config_folder(config)
    plan, plugs, report = plan_or_exit(folder), all_plugs(), Report()
    found = read_cases(folder, plan, plugs, report)
    problems = report.problems()
    trial = Trial({plug.name: plug for plug in plugs.morphs})
    reached = Coverage()
    results = [trial.run(plan, case, reached) for case in found.cases]
    failed = [one for one in results if one.failures]
    survivors = _survivors(trial, plan, found.cases) if mutate and not failed else []
    if junit is not None:
        junit.write_text(_junit(results), encoding="utf-8")
    if form == "json":
        emit_json(
            {
                "tests": [_as_json(one) for one in results],
                "problems": len(problems),
                "uncovered": _uncovered(plan, reached) if coverage else None,
                "survivors": survivors if mutate else None,
            }
        )
    else:
        if problems:
            click.echo(render_all(problems, found.texts) + "\n", err=True)
        _print(results)
        if coverage:
            _print_list("no test reaches", _uncovered(plan, reached))
        if mutate and not failed:
            _print_list("no test notices", survivors)
        click.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    bad = failed or report.has_errors or (fail_on_survivors and survivors)
    return EXIT_FAILED if bad else 0


def _survivors(trial: Trial, plan: Plan, cases: tuple[Case, ...]) -> list[str]:
    """Changes of the rules that every test passes with, with the places of the rules."""
    until = time.monotonic() + MUTATION_SECONDS
    found = []
    for mutant in mutants(plan):
        if time.monotonic() > until:
            found.append(f"(stopped after {MUTATION_SECONDS:g} s: not every change was tried)")
            break
        if not any(trial.run(mutant.plan, case).failures for case in cases):
            place = mutant.rule.place
            where = f"{place.file}:{place.line}: " if place else ""
            found.append(f"{where}'{mutant.rule.name}': {mutant.change}")
    return found


def _uncovered(plan: Plan, reached: Coverage) -> list[str]:
    rows = []
    for rule in plan.rules:
        if not rule.enabled:
            continue
        if rule.name not in reached.rules:
            rows.append(f"rule '{rule.name}' never acts")
            continue
        for (name, _, asked), ways in reached.predicates.items():
            if name == rule.name and ways == {True}:
                rows.append(f"rule '{rule.name}': {asked} always holds")
            elif name == rule.name and ways == {False}:
                rows.append(f"rule '{rule.name}': {asked} never holds")
    return rows


def _print(results: list[Result]) -> None:
    for one in results:
        click.echo(f"{'FAIL' if one.failures else 'ok  '}  {one.case.name}")
        place = one.case.place
        for failure in one.failures:
            click.echo(f"      {place.file}:{place.line}: {failure}")


def _print_list(title: str, rows: list[str]) -> None:
    click.echo(f"\n{title}: {'nothing' if not rows else ''}")
    for row in rows:
        click.echo(f"  {row}")
    click.echo("")


def _as_json(one: Result) -> dict[str, Any]:
    place = one.case.place
    return {
        "name": one.case.name,
        "file": place.file,
        "line": place.line,
        "passed": not one.failures,
        "failures": list(one.failures),
    }


def _junit(results: list[Result]) -> str:
    failed = sum(bool(one.failures) for one in results)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="dicom-router rules" tests="{len(results)}" failures="{failed}">',
    ]
    for one in results:
        place = one.case.place
        lines.append(
            f"  <testcase name={quoteattr(one.case.name)} file={quoteattr(place.file)} "
            f'line="{place.line}" time="{one.seconds:.4f}">'
        )
        if one.failures:
            text = escape("\n".join(one.failures))
            lines.append(f"    <failure message={quoteattr(one.failures[0])}>{text}</failure>")
        lines.append("  </testcase>")
    return "\n".join([*lines, "</testsuite>", ""])
