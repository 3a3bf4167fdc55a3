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
from router.dicom.inflate import InflatedAccess
from router.dicom.transfer_syntax import layout_of
from router.errors import BadDataset, MorphFailed
from router.flow.intake import assumed_character_set
from router.flow.route import decide
from router.match.facts import Facts
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.rule import Decision, Owed
from router.morph.apply import Change, MorphContext, describe_changes
from router.morph.context import EXAMPLE_KEY

READ_BYTES = 1024 * 1024
# One chunk of a record: nothing behind the header is opened in vain.
HELD_READ_BYTES = 256 * 1024


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
    """What would happen to the instance."""

    decision: Decision
    rules: tuple[RuleTold, ...]
    owed: tuple[OwedTold, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A data set to explain: how to read it, how long it is, how it is encoded, who sends it.

    `is_held`: its shape was checked when it was accepted, so no more than its header is read.
    """

    read: RandomAccess
    length: int
    transfer_syntax_uid: str
    sop_class_uid: str
    source: Source
    received_at: float
    is_held: bool = False


def explain(
    plan: Plan, subject: Subject, morphs: Mapping[str, Morph], mapping_key: bytes = EXAMPLE_KEY
) -> Explanation:
    """The explanation; without the key of the installation mapped values are examples.

    Raises BadDataset when the data set would be refused.
    """
    facts = facts_of(plan, subject)
    decision = decide(plan, facts)
    told: list[RuleTold] = []
    for rule in plan.rules:
        matched = rule.name in decision.rules
        told.append(RuleTold(rule.name, matched, rule.condition.explain(facts)))
        if matched and (rule.final or rule.refuse is not None):
            break
    owed = tuple(tell_owed(plan, subject, one, morphs, mapping_key) for one in decision.owed)
    return Explanation(decision, tuple(told), owed)


def facts_of(plan: Plan, subject: Subject) -> Facts:
    """The facts the rules see, read as an arriving instance is read. Raises BadDataset."""
    reader = HeaderReader(
        subject.transfer_syntax_uid,
        plan.needs,
        default_character_set=assumed_character_set(plan, subject.source),
    )
    step = HELD_READ_BYTES if subject.is_held else READ_BYTES
    for offset in range(0, subject.length, step):
        reader.feed(subject.read(offset, min(step, subject.length - offset)))
        if subject.is_held and reader.is_past_wanted:
            break
    else:
        reader.finish()
    return Facts(
        header=reader,
        source=subject.source,
        transfer_syntax_uid=subject.transfer_syntax_uid,
        sop_class_uid=subject.sop_class_uid,
        received_at=subject.received_at,
        organization=plan.router.organization,
    )


def context_of(plan: Plan, subject: Subject, mapping_key: bytes = EXAMPLE_KEY) -> MorphContext:
    """What recipes may know of the instance and of us."""
    return MorphContext(
        source=subject.source,
        received_at=subject.received_at,
        router_name=plan.router.name,
        organization=plan.router.organization,
        mapping_key=mapping_key,
    )


def tell_owed(
    plan: Plan, subject: Subject, owed: Owed, morphs: Mapping[str, Morph], mapping_key: bytes
) -> OwedTold:
    """What the recipe of a delivery does to the data set, or why it fails."""
    if owed.recipe.is_empty:
        return OwedTold(owed, ())
    context = context_of(plan, subject, mapping_key)
    try:
        data_set = EditableDataSet(
            *_inflated(subject),
            subject.transfer_syntax_uid,
            default_character_set=assumed_character_set(plan, subject.source),
        )
        return OwedTold(owed, describe_changes(owed.recipe, morphs, data_set, context))
    except (MorphFailed, BadDataset) as error:
        return OwedTold(owed, (), str(error))


def _inflated(subject: Subject) -> tuple[RandomAccess, int]:
    """The plain bytes and their length; a deflated data set is read inflated, bounded."""
    if not layout_of(subject.transfer_syntax_uid).deflated:
        return subject.read, subject.length
    access = InflatedAccess(subject.read, subject.length)
    return access, access.measure()
