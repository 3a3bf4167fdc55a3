"""Rules that meet on the same instance and want different things of it.

DR317: one discards or refuses what another routes. DR318: two send the same station the same
instance with different changes: it gets one SOP Instance UID twice with different content. DR321: a
rule adds nothing to what one before it does. Each is shown by an instance that meets both rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from router.analysis.answers import Can
from router.analysis.formula import Alternatives
from router.analysis.study import Study
from router.model.rule import Rule

_MAX_ENDS = 20


def advise(study: Study, dead: set[str]) -> None:
    """Report them among the rules that can act."""
    rules = [rule for rule in study.rules if rule.name not in dead]
    _opposed(study, rules)
    _changed_differently(study, rules)
    _nothing_new(study, rules)


def _opposed(study: Study, rules: list[Rule]) -> None:
    for place, rule in enumerate(rules):
        if not (rule.discard or rule.refuse):
            continue
        for other_place, other in enumerate(rules):
            # What ends the list is asked for nothing else behind it; a refusal always ends it.
            is_before = other_place < place
            first = other if is_before else rule
            if other is rule or not other.sends or first.final or first.refuse:
                continue
            if not study.may_compare(rule, other):
                continue
            found = study.confirmed(_apart(study, rule, other), {rule.name, other.name})
            if found is None:
                continue
            words = (
                f"rule '{rule.name}' refuses what '{other.name}' routes: it goes nowhere"
                if rule.refuse
                else f"rule '{rule.name}' discards what '{other.name}' routes: it is routed"
            )
            hint = "let one of them match less, or put the discard first and make it final"
            if rule.refuse:
                hint = "let one of them match less"
            study.advise("DR317", words, rule.place, hint=hint, other=other.place, found=found)
            break


def _apart(study: Study, one: Rule, other: Rule) -> Alternatives | None:
    """What meets both and no rule before that ends the list, as far as that can be said."""
    both = study.overlap(one, other)
    if both is None:
        study.undecided.add((one.name, other.name))
    for each in study.ends[:_MAX_ENDS] if both else ():
        if each is one or each is other:
            break
        free = study.solver.together(both, study.solver.form(each, negated=True))
        both = free or both
    return both


def _changed_differently(study: Study, rules: list[Rule]) -> None:
    told: set[str] = set()
    for (one, other), station in _pairs_to_one_station(rules):
        if other.name in told or not study.may_compare(one, other):
            continue
        found = study.confirmed(_apart(study, one, other), {one.name, other.name})
        if found is None:
            continue
        owed = [each for each in found[1].owed if each.station == station]
        if len({each.recipe.digest for each in owed}) < 2:
            continue
        told.add(other.name)
        message = f"'{station}' gets the same instance twice, changed by '{one.name}' and by '{other.name}'"
        hint = "make the first final, or let one of them match less"
        study.advise("DR318", message, other.place, hint=hint, other=one.place, found=found)


def _pairs_to_one_station(rules: list[Rule]) -> Iterator[tuple[tuple[Rule, Rule], str]]:
    senders: dict[str, list[tuple[Rule, str]]] = defaultdict(list)
    for rule in rules:
        for send in rule.sends:
            for before, digest in senders[send.station]:
                if digest != send.recipe.digest and not before.final:
                    yield (before, rule), send.station
            senders[send.station].append((rule, send.recipe.digest))


def _nothing_new(study: Study, rules: list[Rule]) -> None:
    first: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in rules:
        keys = [(send.station, send.recipe.digest) for send in rule.sends]
        common = [set(map(id, first[key])) for key in keys]
        before = [each for key in keys[:1] for each in first[key]]
        for other in before:
            if not all(id(other) in ids for ids in common) or other.final or rule.final:
                continue
            if not study.may_compare(rule, other):
                continue
            contrary = study.solver.form(other, negated=True)
            left = study.solver.can(study.solver.together(study.solver.form(rule), contrary))
            if left.can is Can.NO and _adds_no_priority(rule, other):
                _report_idle(study, rule, other)
                break
        for key in keys:
            first[key].append(rule)


def _adds_no_priority(rule: Rule, other: Rule) -> bool:
    earlier = {send.station: send.priority for send in other.sends}
    return all(send.priority >= earlier[send.station] for send in rule.sends)


def _report_idle(study: Study, rule: Rule, other: Rule) -> None:
    found = study.confirmed(study.overlap(rule, other), {rule.name, other.name})
    if found is None or any(owed.rule == rule.name for owed in found[1].owed):
        return
    message = f"rule '{rule.name}' adds nothing: '{other.name}' sends all of it there already"
    study.advise("DR321", message, rule.place, other=other.place, found=found)
