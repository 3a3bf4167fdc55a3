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
from router.flow.rejections import as_note, wanted
from router.flow.route import decide
from router.match.facts import Facts
from router.model.delivery import Disposition
from router.model.instance import Source
from router.model.plan import Plan
from router.model.plug import Morph
from router.model.recipe import Recipe
from router.model.rejection import KEY_OBJECT_SELECTION
from router.model.rule import Decision, FetchPriors, Owed
from router.morph.apply import Change, describe_changes
from router.morph.context import EXAMPLE_KEY

READ_BYTES = 1024 * 1024
# One chunk of a record: nothing behind the header is opened in vain.
HELD_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RuleTold:
    """One rule: whether it matched, and each predicate with the value it saw.

    `fetches` are the earlier studies it has fetched for this one, where it does.
    """

    name: str
    matched: bool
    predicates: tuple[tuple[str, str, bool], ...]
    fetches: FetchPriors | None = None


@dataclass(frozen=True, slots=True)
class OwedTold:
    """One delivery that would be made, with every change; `failure` when the recipe fails.

    `instead` tells the same of each station that gets it where those before cannot (`first_of`).
    """

    owed: Owed
    changes: tuple[Change, ...]
    failure: str = ""
    instead: tuple[OwedTold, ...] = ()


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
    routed = routed_as(plan, subject, ReceiveHooks(morphs, mapping_key))
    decision, facts = routed.decision, routed.facts
    if facts is None:
        return Explanation(decision, (), (), failure=routed.failure)
    told: list[RuleTold] = []
    sender = plan.stations.get(subject.source.station or "")
    is_archive = sender is not None and sender.archive_server
    for rule in plan.rules:
        matched = rule.name in decision.rules
        fetches = rule.fetch_priors if matched and not is_archive else None
        told.append(RuleTold(rule.name, matched, rule.condition.explain(facts), fetches))
        if matched and (rule.final or rule.refuse is not None):
            break
    first = receive_recipe(plan, subject.source)
    received, _ = _changes(plan, subject, first, morphs, mapping_key)
    owed = tuple(tell_owed(plan, subject, one, morphs, mapping_key) for one in decision.owed)
    return Explanation(decision, tuple(told), owed, received)


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision and the facts it was made of; without facts, why no rule could be asked."""

    decision: Decision
    facts: Facts | None
    failure: str = ""


def routed_as(plan: Plan, subject: Subject, hooks: ReceiveHooks) -> Routed:
    """What would be decided. Raises BadDataset when the data set would be refused."""
    kept = Decision(Disposition.QUARANTINED, (), (), receive=receive_recipe(plan, subject.source))
    try:
        facts, reader = _facts_of(plan, subject, hooks)
    except MorphFailed as error:
        return Routed(kept, None, f"its station's morph on receive fails: {error}")
    try:
        decision = decide(plan, facts)
        if subject.sop_class_uid == KEY_OBJECT_SELECTION:
            decision = as_note(plan, decision, subject.source.station, reader)
        return Routed(decision, facts)
    except BadDataset as error:
        # A sequence a rule asks about is broken; the object itself is whole, so it is kept.
        return Routed(kept, None, f"routing cannot read the header: {error}")


def _facts_of(plan: Plan, subject: Subject, hooks: ReceiveHooks) -> tuple[Facts, HeaderReader]:
    """The facts the rules see, and the header as it came, read as an arriving instance is read."""
    reader = HeaderReader(
        subject.transfer_syntax_uid,
        wanted(plan, subject.sop_class_uid),
        default_character_set=assumed_character_set(plan, subject.source),
    )
    is_hooked = not receive_recipe(plan, subject.source).is_empty
    step = HELD_READ_BYTES if subject.is_held else READ_BYTES
    for offset in range(0, subject.length, step):
        reader.feed(subject.read(offset, min(step, subject.length - offset)))
        if subject.is_held and reader.is_past_wanted and not is_hooked:
            break
    else:
        reader.finish()
    header = reader
    if is_hooked:
        octets = subject.read, reader.header_length
        header = hooks.header(
            plan, subject.source, subject.received_at, subject.transfer_syntax_uid, octets
        )
    facts = Facts(
        header=header,
        source=subject.source,
        transfer_syntax_uid=subject.transfer_syntax_uid,
        sop_class_uid=subject.sop_class_uid,
        received_at=subject.received_at,
        organization=plan.router.organization,
    )
    return facts, reader


def tell_owed(
    plan: Plan, subject: Subject, owed: Owed, morphs: Mapping[str, Morph], mapping_key: bytes
) -> OwedTold:
    """What the recipe of a delivery does to the data set, or why it fails."""
    _, *others = owed.alternatives
    instead = tuple(tell_owed(plan, subject, one, morphs, mapping_key) for one in others)
    return OwedTold(owed, *_changes(plan, subject, owed.recipe, morphs, mapping_key), instead)


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
