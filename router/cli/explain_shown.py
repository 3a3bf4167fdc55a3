"""How an explanation is shown as text."""

from __future__ import annotations

from collections.abc import Iterable

from router.dicom.uid_names import shown_uid
from router.flow.explain import Explanation, OwedTold
from router.flow.told import outcome
from router.model.rejection import title
from router.model.rule import FetchPriors
from router.morph.apply import Change


def explanation_text(told: Explanation) -> str:
    """As people read it."""
    lines: list[str] = []
    if told.failure:
        lines.append(f"no rule is asked: {told.failure}")
    if told.received:
        lines += ["on receive, before the rules:", *change_lines(told.received)]
    rejection = told.decision.rejection
    if rejection is not None:
        objects = f"{len(rejection.references)} objects"
        lines.append(f"rejection note: {title(rejection.code)} of {objects}")
        names = ", ".join(rejection.stations) or "nobody"
        lines.append(f"    goes behind them to whoever has them, of: {names}")
        lines.append("    goes where rules lead, of these, if one of them never came through here")
    for rule in told.rules:
        lines.append(f"{rule.name}   {'MATCH' if rule.matched else 'no match'}")
        lines += [
            f"    {asked:44} {seen:28} {'yes' if held else 'no'}"
            for asked, seen, held in rule.predicates
        ]
        if rule.fetches is not None:
            lines.append(f"    fetches earlier studies: {_fetched(rule.fetches)}")
    for one in told.owed:
        lines.append(f"→ {one.owed.station}   priority {one.owed.priority.word}   {one.owed.rule}")
        if silence := one.owed.silence:
            lines.append(f"  when the {silence.of} has been silent for {silence.idle_seconds:g} s")
        lines += _recipe_lines(one)
        for other in one.instead:
            lines.append(
                f"  → {other.owed.station}   in its place, where those before cannot take it"
            )
            lines += _recipe_lines(other)
    if not told.owed and rejection is None:
        lines.append(f"→ nowhere: {outcome(told.decision)}")
    return "\n".join(lines)


def _fetched(fetches: FetchPriors) -> str:
    """Which studies of the patient are meant, and where they are looked for."""
    words = [f"the latest {fetches.at_most} of the patient"]
    if fetches.modalities:
        words.append(f"modality {' or '.join(fetches.modalities)}")
    if fetches.words:
        words.append(f"described as {' or '.join(fetches.words)}")
    if fetches.hours is not None:
        begin, end = (f"{one // 60:02}:{one % 60:02}" for one in fetches.hours)
        words.append(f"between {begin} and {end}")
    return f"{', '.join(words)}, from {', '.join(fetches.stations)}"


def _recipe_lines(told: OwedTold) -> list[str]:
    uid = told.owed.recipe.transfer_syntax_uid
    lines = [f"    in {shown_uid(uid)}"] if uid else []
    lines += [f"    quarantined, nothing is sent: {told.failure}"] if told.failure else []
    return [*lines, *change_lines(told.changes)]


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
