"""`audit`: the trail of who did what, its messages, whether it is whole, and a copy of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    group_of_verbs,
    iso_time,
    table,
)
from router.cli.plan import plan_in_use
from router.model.audit import AuditRow
from router.model.plan import Plan
from router.serve.auditing import note_command
from router.serve.places import Places
from router.store.audit import AuditTrail, Verdict
from router.store.records import RecordDamaged
from router.telemetry.audit_message import EVENTS, laid_out

_BATCH = 500


audit = group_of_verbs("audit", "The audit trail: list, show, verify, export.")


@audit.command(name="list")
@config_option
@format_option
@click.option("--event", type=click.Choice(sorted(EVENTS)), default=None, help="Only this event.")
@click.option("--who", default=None, help="Only of this person, station or program.")
@click.option("--what", default=None, help="Only about this, such as a Study Instance UID.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="Most of them; 100.")
@click.option("--before", type=int, default=None, metavar="ID", help="Only older ones.")
def list_audit(
    config: Path | None,
    form: str,
    event: str | None,
    who: str | None,
    what: str | None,
    limit: int,
    before: int | None,
) -> int:
    """What happened, the latest first; no patient is named."""
    with closing(_trail(_plan(config))) as trail:
        rows = trail.page(limit, before, event=event, who=who, what=what)
    if form == "json":
        emit_json({"entries": [_told(one) for one in rows]})
        return 0
    lines = [["ID", "AT", "EVENT", "OUTCOME", "WHO", "WHAT"]]
    lines += [
        [str(one.audit_id), iso_time(one.at) or "", one.event, _outcome(one), one.who, one.what]
        for one in rows
    ]
    click.echo(table(lines))
    return 0


@audit.command(name="show")
@config_option
@format_option
@click.argument("audit_id", type=int, metavar="ID")
def show(config: Path | None, form: str, audit_id: int) -> int:
    """One message as XML (PS3.15 A.5.1). It may name a patient."""
    plan = _plan(config)
    with closing(_trail(plan)) as trail:
        note_command(plan, "audit_used", f"message {audit_id}")
        try:
            message = trail.message(audit_id)
        except RecordDamaged as error:
            fail_text(f"message {audit_id}: {error}; run: dicom-router audit verify")
            return EXIT_FAILED
    if message is None:
        fail_text(f"there is no audit message {audit_id}")
        return EXIT_FAILED
    if form == "json":
        emit_json({"id": audit_id, "message": message.decode()})
    else:
        click.echo(laid_out(message.decode()))
    return 0


@audit.command(name="verify")
@config_option
@format_option
@click.option(
    "--expect",
    default=None,
    metavar="ID:DIGEST",
    help="What an earlier `verify` printed: nothing up to there was written anew.",
)
def verify(config: Path | None, form: str, expect: str | None) -> int:
    """Whether every message is there, in its place and as it was written; exit 1 when not."""
    anchor = _anchor(expect)
    with closing(_trail(_plan(config))) as trail:
        verdict = trail.verify()
        faults = list(verdict.faults)
        if anchor is not None and trail.digest_of(anchor[0]) != anchor[1]:
            faults.append(f"message {anchor[0]} is not the one that was expected")
    if form == "json":
        emit_json(
            {
                "whole": not faults,
                "messages": verdict.rows,
                "last": verdict.last_id,
                "digest": verdict.last_digest.hex(),
                "faults": faults,
            }
        )
    else:
        click.echo(_verdict_text(verdict, faults))
    return EXIT_FAILED if faults else 0


def _verdict_text(verdict: Verdict, faults: list[str]) -> str:
    end = f"{verdict.last_id}:{verdict.last_digest.hex()}"
    head = "whole" if not faults else "NOT WHOLE"
    return "\n".join(
        [f"{verdict.rows} messages, {head}", f"ends at {end}", *(f"  {one}" for one in faults)]
    )


def _anchor(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise click.UsageError("--expect: ID:DIGEST, as verify prints them")
    number, _, digest = text.partition(":")
    return int(number), bytes.fromhex(digest)


@audit.command(name="export")
@config_option
@format_option
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--since", default=None, metavar="DATE", help="From this day on: 2026-11-22.")
@click.option("--until", default=None, metavar="DATE", help="Up to the end of this day.")
def export(
    config: Path | None, form: str, target: Path, since: str | None, until: str | None
) -> int:
    """Write messages into a new file, one JSON object a line. It names patients: mode 0600."""
    begin, end = _day(since, "--since"), _day(until, "--until")
    end = None if end is None else end + 86_400.0
    number = 0
    damaged: list[int] = []
    plan = _plan(config)
    note_command(plan, "audit_used", f"export from {since or 'the first'} to {until or 'the last'}")
    with closing(_trail(plan)) as trail:
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            fail_text(f"{target}: {error.strerror}")
            return EXIT_FAILED
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for row, message in _all(trail):
                if not (begin or 0.0) <= row.at < (end or float("inf")):
                    continue
                if message is None:
                    damaged.append(row.audit_id)
                line = {**_told(row), "message": None if message is None else message.decode()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                number += 1
    if form == "json":
        emit_json({"exported": number, "damaged": damaged, "file": str(target)})
    else:
        click.echo(f"{number} messages in {target}")
    if damaged:
        fail_text(
            f"{len(damaged)} of them were changed on disk and do not open (`message` is null), the"
            f" first is {damaged[0]}; run: dicom-router audit verify"
        )
    return EXIT_FAILED if damaged else 0


def _all(trail: AuditTrail) -> Iterator[tuple[AuditRow, bytes | None]]:
    last = 0
    while batch := trail.after(last, _BATCH):
        yield from batch
        last = batch[-1][0].audit_id


def _day(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").astimezone().timestamp()
    except ValueError:
        raise click.UsageError(f"{option}: a day such as 2026-11-22") from None


def _plan(config: Path | None) -> Plan:
    return plan_in_use(config_folder(config))


def _trail(plan: Plan) -> AuditTrail:
    places = Places(plan.router.data_dir)
    if not places.ledger.exists():
        raise click.ClickException(f"nothing has run in {places.data_dir} yet")
    return AuditTrail.open(places.ledger, places.keys, read_only=True)


def _outcome(one: AuditRow) -> str:
    return {0: "success", 4: "minor failure", 8: "failure"}.get(one.outcome, "major failure")


def _told(one: AuditRow) -> dict[str, Any]:
    return {
        "id": one.audit_id,
        "at": iso_time(one.at),
        "event": one.event,
        "outcome": one.outcome,
        "who": one.who,
        "what": one.what,
        "digest": one.digest.hex(),
    }
