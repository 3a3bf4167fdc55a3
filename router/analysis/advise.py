"""The way in: all advice about a plan that is otherwise sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.analysis import changes, loops, overlaps, reach, unused
from router.analysis.study import Study, Summary
from router.config.plugged import Plugs
from router.config.report import Report
from router.model.plan import Plan
from router.model.problem import Place


def advisor(plugs: Plugs) -> Callable[[Plan, Report], Any]:
    """What `config.load` is given to have its plans analysed with these plugs."""

    def advise_plan(plan: Plan, report: Report) -> Summary:
        return advise(plan, report, plugs)

    return advise_plan


def advise(plan: Plan, report: Report, plugs: Plugs) -> Summary:
    """Report all advice about a plan; how much was looked at."""
    operators = {operator.name: operator for operator in plugs.operators}
    morphs = {morph.name: morph for morph in plugs.morphs}
    study = Study.of(plan, report, operators, morphs)
    dead = reach.advise(study)
    unused.advise(study)
    loops.advise(study)
    changes.advise(study)
    overlaps.advise(study, dead)
    if study.left_out:
        place = study.rules[0].place if study.rules else None
        message = f"{study.left_out} comparisons of rules were left out: there are too many"
        hint = "what was compared is told; name senders with `from` to have more of them compared"
        report.warn("DR325", message, place or Place("", 1, 1), hint=hint)
    return Summary(study.compared, len(study.undecided), study.left_out)
