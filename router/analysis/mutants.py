"""Rules with one thing wrong in each, to see whether the tests notice.

A rule is left out, its condition turned round, an operator or a combinator flipped, one of several
conditions dropped, a step or a destination left out, `final` taken away. A change no test notices
is a survivor: something the rules say that nothing proves.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from router.match.condition import ConditionProblems, compile_condition
from router.model.plan import Plan
from router.model.recipe import Recipe
from router.model.rule import Condition, Rule

MAX_MUTANTS: Final = 5_000
_FLIPS: Final = {
    "gt": "le",
    "le": "gt",
    "ge": "lt",
    "lt": "ge",
    "all": "any",
    "any": "all",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A plan with one thing changed, and what that is."""

    rule: Rule
    change: str
    plan: Plan


def mutants(plan: Plan) -> Iterator[Mutant]:
    """Every single change of every enabled rule, at most MAX_MUTANTS."""
    made = 0
    for place, rule in enumerate(plan.rules):
        if not rule.enabled:
            continue
        for change, other in _others(plan, rule):
            if made >= MAX_MUTANTS:
                return
            made += 1
            rules = (*plan.rules[:place], other, *plan.rules[place + 1 :])
            yield Mutant(rule, change, replace(plan, rules=rules))


def _others(plan: Plan, rule: Rule) -> Iterator[tuple[str, Rule]]:
    yield "the rule is left out", replace(rule, enabled=False)
    if rule.final:
        yield "final is taken away", replace(rule, final=False)
    for change, spec in _conditions(json.loads(rule.condition.spec)):
        condition = _compiled(plan, spec)
        if condition is not None:
            yield change, replace(rule, condition=condition)
    for place, send in enumerate(rule.sends):
        rest = (*rule.sends[:place], *rule.sends[place + 1 :])
        yield f"nothing is sent to {send.station}", replace(rule, sends=rest)
        for left_out in send.others:
            others = tuple(one for one in send.others if one is not left_out)
            sends = (*rule.sends[:place], replace(send, others=others), *rule.sends[place + 1 :])
            change = f"{left_out.station} may not take it in the place of {send.station}"
            yield change, replace(rule, sends=sends)
        steps = send.recipe.unpacked()
        for number, (name, _) in enumerate(steps):
            recipe = Recipe.of([*steps[:number], *steps[number + 1 :]])
            sends = (*rule.sends[:place], replace(send, recipe=recipe), *rule.sends[place + 1 :])
            change = f"step {number + 1} ({name}) is left out for {send.station}"
            yield change, replace(rule, sends=sends)


def _compiled(plan: Plan, spec: Any) -> Condition | None:
    try:
        return compile_condition(spec, station_names=plan.stations)
    except ConditionProblems:
        return None


def _conditions(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if spec:
        yield "the condition is turned round", {"not": spec}
    for path, value in _parts(spec, ()):
        key = path[-1]
        shown = ".".join(str(part) for part in path)
        if isinstance(key, str) and key in _FLIPS:
            other = copy.deepcopy(spec)
            around = _at(other, path[:-1])
            around[_FLIPS[key]] = around.pop(key)
            yield f"{shown} becomes {_FLIPS[key]}", other
        if isinstance(key, str) and key in {"exists", "empty"} and isinstance(value, bool):
            other = copy.deepcopy(spec)
            _at(other, path[:-1])[key] = not value
            yield f"{shown} becomes {not value}", other
        around = _at(spec, path[:-1])
        if len(around) > 1:
            other = copy.deepcopy(spec)
            del _at(other, path[:-1])[key]
            yield f"{shown} is not asked for", other


def _parts(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key), inner
        if isinstance(inner, dict | list):
            yield from _parts(inner, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
