"""`explain FILE`: the facts, each predicate with the value it saw, each change, each destination."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from router.cli.common import config_folder, config_option, emit_json, format_option
from router.cli.plan import plan_or_exit
from router.dicom.part10 import open_part10
from router.errors import BadDataset, RouterError
from router.flow.explain import Explanation, Subject
from router.flow.explain import explain as explain_instance
from router.model.instance import Source
from router.model.plan import Plan
from router.model.rule import Decision
from router.morph.apply import Change
from router.morph.context import EXAMPLE_KEY
from router.plugs import morphs
from router.serve.mapping import mapping_key


@click.command()
@config_option
@format_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "station", default=None, help="As if this station had sent it.")
@click.option("--listener", default=None, help="As if it had come to this listener.")
def explain(
    config: Path | None, form: str, file: Path, station: str | None, listener: str | None
) -> int:
    """Say what the rules would do with a DICOM file, and why."""
    plan = plan_or_exit(config_folder(config))
    part10 = open_part10(file)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def read(offset: int, length: int) -> bytes:
        return os.pread(descriptor, length, part10.data_set_offset + offset)

    subject = Subject(
        read=read,
        length=file.stat().st_size - part10.data_set_offset,
        transfer_syntax_uid=part10.transfer_syntax_uid,
        sop_class_uid=part10.sop_class_uid,
        source=_source(plan, station, listener),
        received_at=time.time(),
    )
    try:
        known = {plug.name: plug for plug in morphs()}
        told = explain_instance(plan, subject, known, _mapping_key(plan))
    except BadDataset as error:
        raise click.ClickException(
            f"{file}: would be refused with status 0x{error.status:04X}: {error}"
        ) from error
    finally:
        os.close(descriptor)
    if form == "json":
        emit_json(_as_json(told))
    else:
        click.echo(_as_text(told))
    return 0


def _mapping_key(plan: Plan) -> bytes:
    """The key of this installation where it can be read, so that mapped values are the real ones."""
    try:
        return mapping_key(plan, make=False) or EXAMPLE_KEY
    except RouterError:
        return EXAMPLE_KEY


def _source(plan: Plan, station: str | None, listener: str | None) -> Source:
    known = plan.stations.get(station) if station else None
    if station and known is None:
        raise click.UsageError(f"there is no station {station!r}")
    first = next((one for one in plan.listeners.values() if one.kind == "dimse"), None)
    return Source(
        listener=listener or (first.name if first else ""),
        calling_ae_title=known.ae_title if known else "",
        called_ae_title=plan.router.ae_title,
        address=known.host if known else "",
        station=station,
    )


def outcome(decision: Decision) -> str:
    """The decision in one word: routed, unmatched, discarded, quarantined or refused."""
    return "refused" if decision.refusal else decision.disposition.value


def _as_json(told: Explanation) -> dict[str, Any]:
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


def _lines(changes: Iterable[Change]) -> list[str]:
    return [
        f"    {change.tag} {change.keyword}  {_shown(change.before)} → {_shown(change.after)}"
        for change in changes
    ]


def _as_text(told: Explanation) -> str:
    lines: list[str] = []
    if told.failure:
        lines.append(f"its station's morph on receive fails: {told.failure}")
    if told.received:
        lines += ["on receive, before the rules:", *_lines(told.received)]
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
        lines += _lines(one.changes)
    if not told.owed:
        lines.append(f"→ nowhere: {outcome(told.decision)}")
    return "\n".join(lines)


def _shown(value: str | None) -> str:
    if value is None:
        return "(absent)"
    return value or "(empty)"
