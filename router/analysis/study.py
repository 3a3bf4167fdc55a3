"""What every finding needs: plan, solver, laboratory, report, and what is left of its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.analysis.answers import Can
from router.analysis.example import Laboratory, Specimen, shown
from router.analysis.formula import Alternatives, Conjunction
from router.analysis.peers import fixed_literals
from router.analysis.solver import Solver
from router.config.report import Report
from router.model.plan import Plan
from router.model.plug import Morph, Operator
from router.model.problem import Place
from router.model.rule import Decision, Rule

MAX_COMPARISONS: Final = 20_000
MAX_WORK: Final = 10_000
MAX_FINDINGS: Final = 100
_NOWHERE: Final = Place("", 1, 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """How much was looked at: pairs compared, pairs undecided, pairs left out for their number."""

    compared: int
    undecided: int
    left_out: int


@dataclass(slots=True)
class Study:
    """One analysis."""

    plan: Plan
    report: Report
    solver: Solver
    laboratory: Laboratory
    morphs: Mapping[str, Morph]
    rules: tuple[Rule, ...]
    ends: tuple[Rule, ...]
    compared: int = 0
    undecided: set[tuple[str, str]] = field(default_factory=set)
    left_out: int = 0
    _found: int = 0
    _literals: dict[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        plan: Plan,
        report: Report,
        operators: Mapping[str, Operator],
        morphs: Mapping[str, Morph],
    ) -> Study:
        """A study of a sound plan."""
        solver = Solver(plan, operators)
        rules = tuple(rule for rule in plan.rules if rule.enabled)
        laboratory = Laboratory(plan, solver, morphs)
        ends = tuple(rule for rule in rules if rule.final or rule.refuse is not None)
        return cls(plan, report, solver, laboratory, morphs, rules, ends)

    def may_compare(self, one: Rule, other: Rule) -> bool:
        """Whether the pair may be looked at; those that may not are counted.

        Rules that ask for different senders, or different literals, never meet and cost nothing.
        """
        mine, theirs = self._fixed(one), self._fixed(other)
        if any(name in theirs and mine[name].isdisjoint(theirs[name]) for name in mine):
            return False
        if self._is_over():
            self.left_out += 1
            return False
        self.compared += 1
        return True

    def _is_over(self) -> bool:
        return (
            self.compared >= MAX_COMPARISONS
            or self.solver.work >= MAX_WORK
            or self._found >= MAX_FINDINGS
        )

    def _fixed(self, rule: Rule) -> Mapping[str, frozenset[str]]:
        """By variable: the literals one of which it must be."""
        if rule.name not in self._literals:
            self._literals[rule.name] = fixed_literals(self.solver.form(rule))
        return self._literals[rule.name]

    def overlap(self, one: Rule, other: Rule) -> Alternatives | None:
        """What meets both conditions; [] when nothing does, None when that is not known."""
        forms = self.solver.form(one), self.solver.form(other)
        return self.solver.together(*forms)

    def confirmed(
        self,
        form: Alternatives | None,
        wanted: set[str],
        more: Mapping[str, str] | None = None,
    ) -> tuple[Specimen, Decision] | None:
        """A specimen of the form that the engine lets through all the wanted rules."""
        for conjunction in (form or [])[:4]:
            if self.solver.can([conjunction]).can is not Can.YES:
                continue
            found = self.decided(conjunction, more)
            if found is not None and wanted <= set(found[1].rules):
                return found
        return None

    def decided(
        self, conjunction: Conjunction, more: Mapping[str, str] | None = None
    ) -> tuple[Specimen, Decision] | None:
        """A specimen of the conjunction and its decision."""
        specimen = self.laboratory.specimen(conjunction, more)
        decision = None if specimen is None else self.laboratory.decide(specimen)
        return None if specimen is None or decision is None else (specimen, decision)

    def advise(
        self,
        code: str,
        message: str,
        place: Place | None,
        *,
        hint: str = "",
        other: Place | None = None,
        found: tuple[Specimen, Decision] | None = None,
        note: str = "",
    ) -> None:
        """Report a finding, with the specimen that shows it."""
        self._found += 1
        example = None if found is None else shown(*found, note)
        where = place or _NOWHERE
        self.report.warn(code, message, where, hint=hint, other=other, example=example)
