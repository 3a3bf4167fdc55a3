"""Rules that cannot act: their conditions contradict themselves, or rules before take everything.

DR316: nothing meets the condition. DR310: everything that meets it meets, before, a rule that ends
the list (`final` or `refuse`), or one of several together. The example is an instance that meets the
condition (for DR316: all of it but one part), and that the engine did not let come to the rule.
"""

from __future__ import annotations

from router.analysis.answers import Can
from router.analysis.formula import Alternatives, Conjunction
from router.analysis.study import Study
from router.model.rule import Rule

_MAX_TOGETHER = 8


def advise(study: Study) -> set[str]:
    """Report them; the names of the rules that cannot act."""
    dead: set[str] = set()
    ends: list[Rule] = []
    for rule in study.rules:
        form = study.solver.form(rule)
        if study.solver.can(form).can is Can.NO:
            _contradiction(study, rule, form or [])
            dead.add(rule.name)
            continue
        if ends and _is_shadowed(study, rule, form, ends):
            dead.add(rule.name)
        elif rule.final or rule.refuse is not None:
            ends.append(rule)
    return dead


def _contradiction(study: Study, rule: Rule, form: Alternatives) -> None:
    message = f"rule '{rule.name}' can never match: its conditions contradict each other"
    hint, found = "", None
    for conjunction in form[:1]:
        part = study.solver.impossible_part(conjunction).parts
        words = [atom.shown for holds, _ in part.values() for atom in sorted(holds)]
        words += [f"not {atom.shown}" for _, fails in part.values() for atom in sorted(fails)]
        hint = (
            f"nothing is at once {' and '.join(words)}" if words[1:] else f"nothing has {words[0]}"
        )
        rest = {name: both for name, both in conjunction.parts.items() if name not in part}
        found = study.decided(Conjunction(rest))
    if found is not None and rule.name in found[1].rules:
        return  # the engine knows better
    study.advise("DR316", message, rule.place, hint=hint, found=found)


def _is_shadowed(study: Study, rule: Rule, form: Alternatives | None, ends: list[Rule]) -> bool:
    """Whether rules before leave nothing; reported when they do."""
    meeting: list[tuple[Rule, Alternatives | None]] = []
    for end in ends:
        if not study.may_compare(rule, end):
            continue
        both = study.overlap(rule, end)
        if both == []:
            continue
        meeting.append((end, both))
        left = study.solver.can(study.solver.together(form, study.solver.form(end, negated=True)))
        if left.can is Can.NO and _report_shadow(study, rule, form, [end]):
            return True
        if left.can is Can.UNKNOWN:
            study.undecided.add((end.name, rule.name))
    if not 1 < len(meeting) <= _MAX_TOGETHER:
        return False
    contrary = [study.solver.form(end, negated=True) for end, _ in meeting]
    left = study.solver.can(study.solver.together(form, *contrary))
    return left.can is Can.NO and _report_shadow(study, rule, form, [end for end, _ in meeting])


def _report_shadow(study: Study, rule: Rule, form: Alternatives | None, ends: list[Rule]) -> bool:
    found = study.confirmed(form, set())
    if found is None:
        return False
    stopped_by = {end.name for end in ends} & set(found[1].rules)
    if rule.name in found[1].rules or not stopped_by:
        return False
    names = " and ".join(f"'{end.name}'" for end in ends)
    why = "and is final" if ends[0].final else "and refuses it"
    takes = f"takes all of it {why}" if len(ends) == 1 else "together take all of it"
    study.advise(
        "DR310",
        f"rule '{rule.name}' can never match: {names} {takes}",
        rule.place,
        hint="move it up, or let the other match less",
        other=ends[0].place,
        found=found,
    )
    return True
