"""How an explanation is shown, as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.flow.explain import Explanation
from router.model.rule import Decision
from router.morph.apply import Change


def outcome(decision: Decision) -> str:
    """The decision in one word: routed, unmatched, discarded, quarantined or refused."""
    return "refused" if decision.refusal else decision.disposition.value


def explanation_json(told: Explanation) -> dict[str, Any]:
    """Rules with each predicate and the value it saw, deliveries with each change."""
    return {
        "outcome": outcome(told.decision),
        "failure": told.failure or None,
        "received": [_change(change) for change in told.received],
        "rules": [
            {
                "name": rule.name,
                "matched": rule.matched,
                "predicates": [
                    {"asked": asked, "seen": seen, "held": held}
                    for asked, seen, held in rule.predicates
                ],
            }
            for rule in told.rules
        ],
        "deliveries": [
            {
                "station": one.owed.station,
                "rule": one.owed.rule,
                "priority": one.owed.priority.word,
                "recipe": one.owed.recipe.digest,
                "failure": one.failure or None,
                "changes": [_change(change) for change in one.changes],
            }
            for one in told.owed
        ],
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "tag": change.tag,
        "keyword": change.keyword,
        "before": change.before,
        "after": change.after,
    }


def explanation_text(told: Explanation) -> str:
    """As people read it."""
    lines: list[str] = []
    if told.failure:
        lines.append(f"no rule is asked: {told.failure}")
    if told.received:
        lines += ["on receive, before the rules:", *change_lines(told.received)]
    for rule in told.rules:
        lines.append(f"{rule.name}   {'MATCH' if rule.matched else 'no match'}")
        lines += [
            f"    {asked:44} {seen:28} {'yes' if held else 'no'}"
            for asked, seen, held in rule.predicates
        ]
    for one in told.owed:
        lines.append(f"→ {one.owed.station}   priority {one.owed.priority.word}   {one.owed.rule}")
        if one.failure:
            lines.append(f"    quarantined, nothing is sent: {one.failure}")
        lines += change_lines(one.changes)
    if not told.owed:
        lines.append(f"→ nowhere: {outcome(told.decision)}")
    return "\n".join(lines)


def change_lines(changes: Iterable[Change]) -> list[str]:
    """Each change on a line of its own."""
    return [
        f"    {change.tag} {change.keyword}  {_shown(change.before)} → {_shown(change.after)}"
        for change in changes
    ]


def _shown(value: str | None) -> str:
    if value is None:
        return "(absent)"
    return value or "(empty)"
