"""Route: the facts of an instance and the plan, to a decision. Pure: no clock, no disk, no socket.

Every enabled rule whose match holds acts, in the order they are written; `final: true` ends the
list. A rule that refuses ends it at once and nothing is kept. Two rules that owe the same station
the same recipe owe it once, at the higher priority; to none but it, where one of them says so. An instance is discarded when a rule says so
and no rule routes it.
"""

from __future__ import annotations

from dataclasses import replace

from router.flow.received import receive_recipe
from router.match.facts import Facts
from router.model.delivery import Disposition
from router.model.plan import Plan
from router.model.recipe import Recipe
from router.model.rule import Decision, Owed, Refusal, Rule
from router.model.station import USUAL_DUPLICATES
from router.model.status import REFUSED_BY_RULE

UNMATCHED_REFUSAL = Refusal(REFUSED_BY_RULE, "no rule takes this instance")


def decide(plan: Plan, facts: Facts) -> Decision:
    """What becomes of the instance with these facts under this plan.

    The recipes stand behind what its station has done on receive.
    """
    decision = _decided(plan, facts)
    sender = plan.stations.get(facts.source.station) if facts.source.station else None
    if sender is not None and sender.duplicates != USUAL_DUPLICATES:
        decision = replace(decision, duplicates=sender.duplicates)
    first = receive_recipe(plan, facts.source)
    if first.is_empty:
        return decision
    owed = tuple(_behind(first, one) for one in decision.owed)
    return replace(decision, owed=owed, receive=first)


def _behind(first: Recipe, owed: Owed) -> Owed:
    others = tuple(replace(one, recipe=first.then(one.recipe)) for one in owed.others)
    return replace(owed, recipe=first.then(owed.recipe), others=others)


def _decided(plan: Plan, facts: Facts) -> Decision:
    owed: dict[tuple[str, str], Owed] = {}
    matched: list[str] = []
    discarded = False
    for rule in plan.rules:
        if not rule.enabled or not rule.condition.test(facts):
            continue
        matched.append(rule.name)
        if rule.refuse is not None:
            return Decision(Disposition.DISCARDED, (), tuple(matched), rule.refuse)
        discarded = discarded or rule.discard
        _owe(owed, rule)
        if rule.final:
            break
    if owed:
        return Decision(Disposition.ROUTED, tuple(owed.values()), tuple(matched))
    if discarded:
        return Decision(Disposition.DISCARDED, (), tuple(matched))
    return _unmatched(plan, tuple(matched))


def _owe(owed: dict[tuple[str, str], Owed], rule: Rule) -> None:
    for send in rule.sends:
        key = (send.station, send.recipe.digest)
        known = owed.get(key)
        one = Owed(send.station, send.recipe, send.priority, rule.name, send.silence, send.others)
        if known is None:
            owed[key] = one
            continue
        first = one if one.priority < known.priority else known
        # What is owed to the station itself is not left to another one.
        is_choice = bool(one.others and known.others)
        owed[key] = first if is_choice or not first.others else replace(first, others=())


def _unmatched(plan: Plan, matched: tuple[str, ...]) -> Decision:
    if plan.router.unmatched == "refuse":
        return Decision(Disposition.UNMATCHED, (), matched, UNMATCHED_REFUSAL)
    if plan.router.unmatched == "discard":
        return Decision(Disposition.DISCARDED, (), matched)
    return Decision(Disposition.UNMATCHED, (), matched)
