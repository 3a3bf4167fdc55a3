"""Explain: what the rules make of one data set, and why. The engine is the live one.

The header is read by the reader that reads arriving instances, the decision is `route.decide`, and
the changes are made by the recipes that deliveries use: nothing is told that would not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import RandomAccess
from router.dicom.header import HeaderReader
from router.errors import BadDataset, MorphFailed
from router.flow.received import (
    ReceiveHooks,
    assumed_character_set,
    context_of,
    plain,
    receive_recipe,
)
from router.flow.route import decide
from router.match.facts import Facts, Header
from router.model.delivery import Disposition
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.recipe import Recipe
from router.model.rule import Decision, Owed
from router.morph.apply import Change, describe_changes
from router.morph.context import EXAMPLE_KEY

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RuleTold:
    """One rule: whether it matched, and each predicate with the value it saw."""

    name: str
    matched: bool
    predicates: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class OwedTold:
    """One delivery that would be made, with every change; `failure` when the recipe fails."""

    owed: Owed
    changes: tuple[Change, ...]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to the instance.

    `received` is what the receive hook of its station changes before the rules see it, `failure` why
    that hook cannot be applied: the instance is quarantined then, and no rule is asked.
    """

    decision: Decision
    rules: tuple[RuleTold, ...]
    owed: tuple[OwedTold, ...]
    received: tuple[Change, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A data set to explain: how to read it, how long it is, how it is encoded, who sends it."""

    read: RandomAccess
    length: int
    transfer_syntax_uid: str
    sop_class_uid: str
    source: Source
    received_at: float


def explain(
    plan: Plan, subject: Subject, morphs: Mapping[str, Morph], mapping_key: bytes = EXAMPLE_KEY
) -> Explanation:
    """The explanation; without the key of the installation mapped values are examples.

    Raises BadDataset when the data set would be refused.
    """
    routed = routed_as(plan, subject, ReceiveHooks(morphs, mapping_key))
    decision, facts = routed.decision, routed.facts
    if facts is None:
        return Explanation(decision, (), (), failure=routed.failure)
    told: list[RuleTold] = []
    for rule in plan.rules:
        matched = rule.name in decision.rules
        told.append(RuleTold(rule.name, matched, rule.condition.explain(facts)))
        if matched and (rule.final or rule.refuse is not None):
            break
    first = receive_recipe(plan, subject.source)
    received, _ = _changes(plan, subject, first, morphs, mapping_key)
    owed = tuple(
        OwedTold(one, *_changes(plan, subject, one.recipe, morphs, mapping_key))
        for one in decision.owed
    )
    return Explanation(decision, tuple(told), owed, received)


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision and the facts it was made of; without facts, why the receive hook failed."""

    decision: Decision
    facts: Facts | None
    failure: str = ""


def routed_as(plan: Plan, subject: Subject, hooks: ReceiveHooks) -> Routed:
    """What would be decided. Raises BadDataset when the data set would be refused."""
    try:
        facts = _facts_of(plan, subject, hooks)
    except MorphFailed as error:
        return Routed(Decision(Disposition.QUARANTINED, (), ()), None, str(error))
    return Routed(decide(plan, facts), facts)


def _facts_of(plan: Plan, subject: Subject, hooks: ReceiveHooks) -> Facts:
    """The facts the rules see, read as an arriving instance is read."""
    reader = HeaderReader(
        subject.transfer_syntax_uid,
        plan.needs,
        default_character_set=assumed_character_set(plan, subject.source),
    )
    for offset in range(0, subject.length, READ_BYTES):
        reader.feed(subject.read(offset, min(READ_BYTES, subject.length - offset)))
    reader.finish()
    header: Header = reader
    if not receive_recipe(plan, subject.source).is_empty:
        octets = subject.read, subject.length
        header = hooks.header(
            plan, subject.source, subject.received_at, subject.transfer_syntax_uid, octets
        )
    return Facts(
        header=header,
        source=subject.source,
        transfer_syntax_uid=subject.transfer_syntax_uid,
        sop_class_uid=subject.sop_class_uid,
        received_at=subject.received_at,
        organization=plan.router.organization,
    )


def _changes(
    plan: Plan,
    subject: Subject,
    recipe: Recipe,
    morphs: Mapping[str, Morph],
    mapping_key: bytes,
) -> tuple[tuple[Change, ...], str]:
    """What a recipe changes, or why it fails."""
    if recipe.is_empty:
        return (), ""
    context = context_of(plan, subject.source, subject.received_at, mapping_key)
    try:
        data_set = EditableDataSet(
            *plain((subject.read, subject.length), subject.transfer_syntax_uid),
            subject.transfer_syntax_uid,
            default_character_set=assumed_character_set(plan, subject.source),
        )
        return describe_changes(recipe, morphs, data_set, context), ""
    except (MorphFailed, BadDataset) as error:
        return (), str(error)
