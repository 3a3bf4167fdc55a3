"""Can these conditions hold together? Yes with a witness, no, or unknown.

Attributes and facts are independent of each other, apart from who sent it (`circumstances`), so an
alternative can hold when each of its variables can. Answers are kept by what was asked: a thousand
rules about few attributes are few questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.analysis.answers import NO, UNKNOWN, Answer, Can
from router.analysis.attributes import Attributes
from router.analysis.circumstances import SENDER, Circumstances
from router.analysis.formula import (
    Alternatives,
    Both,
    Conjunction,
    alternatives,
    product,
)
from router.analysis.language import Walker
from router.match.named_facts import FACTS
from router.model.plan import Plan
from router.model.plug import Operator
from router.model.rule import Rule

Question = tuple[tuple[str, Both], ...]


class Solver:
    """Answers for the conditions of one plan, each worked out once."""

    def __init__(self, plan: Plan, operators: Mapping[str, Operator]) -> None:
        self._walker = Walker()
        self._attributes = Attributes(operators, self._walker)
        self._circumstances = Circumstances(plan, operators, self._walker)
        self._answers: dict[Question, Answer] = {}
        self._forms: dict[tuple[str, bool], Alternatives | None] = {}
        self._asked = 0

    @property
    def work(self) -> int:
        """What the answers so far took, in steps of some microseconds."""
        return self._walker.steps + self._asked

    def form(self, rule: Rule, *, negated: bool = False) -> Alternatives | None:
        """The alternatives of a rule's condition, or of its contrary; None when too many."""
        key = rule.condition.spec, negated
        if key not in self._forms:
            self._forms[key] = alternatives(rule.condition.spec, negated=negated)
        return self._forms[key]

    def together(self, *forms: Alternatives | None) -> Alternatives | None:
        """The alternatives of all of them at once, without those that cannot be."""
        found: Alternatives | None = [Conjunction({})]
        for form in forms:
            joined = None if form is None or found is None else product(found, form)
            found = None if joined is None else [each for each in joined if not self._is_out(each)]
        return found

    def can(self, form: Alternatives | None) -> Answer:
        """Whether one of the alternatives can hold; the value is its Conjunction."""
        if form is None:
            return UNKNOWN
        best = NO
        for conjunction in form:
            answer = self._can(conjunction)
            if answer.can is Can.YES:
                return answer
            if answer.can is Can.UNKNOWN:
                best = answer
        return best

    def witness(self, conjunction: Conjunction) -> dict[str, Any]:
        """A value for each variable; `sender` is one for who sent it."""
        return {_name(question): self._ask(question).value for question in _questions(conjunction)}

    def impossible_part(self, conjunction: Conjunction) -> Conjunction:
        """The first of its questions that has no answer, as a conjunction of its own."""
        for question in _questions(conjunction):
            if self._ask(question).can is Can.NO:
                return Conjunction(dict(question))
        return Conjunction({})

    def is_solved(self, conjunction: Conjunction) -> bool:
        """Whether each of its variables has a value."""
        return all(self._ask(each).can is Can.YES for each in _questions(conjunction))

    def anyone(self) -> Any:
        """Some sender, a station if there is one."""
        return self._circumstances.sender({}).value

    def _is_out(self, conjunction: Conjunction) -> bool:
        return self._can(conjunction).can is Can.NO

    def _can(self, conjunction: Conjunction) -> Answer:
        unknown = False
        for question in _questions(conjunction):
            if _is_plain(question):
                continue
            answer = self._ask(question)
            if answer.can is Can.NO:
                return answer
            unknown = unknown or answer.can is Can.UNKNOWN
        return Answer(Can.UNKNOWN if unknown else Can.YES, conjunction)

    def _ask(self, question: Question) -> Answer:
        known = self._answers.get(question)
        if known is None:
            self._asked += 1
            known = self._answers[question] = self._solve(question)
        return known

    def _solve(self, question: Question) -> Answer:
        name, both = question[0]
        if name in SENDER:
            return self._circumstances.sender(dict(question))
        if name in FACTS:
            return self._circumstances.other(name, both)
        return self._attributes.solve(name, *both)


def _questions(conjunction: Conjunction) -> list[Question]:
    parts = conjunction.parts
    about_sender = tuple((name, parts[name]) for name in SENDER if name in parts)
    questions: list[Question] = [about_sender] if about_sender else []
    questions += [((name, both),) for name, both in parts.items() if name not in SENDER]
    return questions


def _is_plain(question: Question) -> bool:
    """One test of one attribute: taken as possible, and a value only made when one is wanted."""
    if len(question) > 1 or question[0][0] in FACTS:
        return False
    holds, fails = question[0][1]
    return len(holds) + len(fails) == 1


def _name(question: Question) -> str:
    name = question[0][0]
    return "sender" if name in SENDER else name
