"""`priors list|fetch`: whose earlier studies rules have fetched, what came of it, and asking anew."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    group_of_verbs,
    iso_time,
    table,
)
from router.cli.plan import plan_in_use, read_ledger, write_ledger
from router.flow.told import fetches_of, prior_json

priors = group_of_verbs(
    "priors", "Earlier studies that rules with `fetch_priors` have fetched: list, fetch."
)


@priors.command(name="list")
@config_option
@format_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=100)
def list_priors(config: Path | None, form: str, limit: int) -> int:
    """The studies that asked for earlier ones, the latest first; each fetch is a task as well."""
    found = read_ledger(plan_in_use(config_folder(config))).priors(limit)
    if form == "json":
        emit_json({"priors": [prior_json(one) for one in found]})
        return 0
    rows = [["STUDY", "RULE", "STATE", "TRIES", "NEXT", "RESULT"]]
    for one in found:
        next_at = (iso_time(one.due_at or None) or "now") if one.state == "waiting" else "-"
        rows.append(
            [one.study_instance_uid, one.rule, one.state, str(one.tries), next_at, one.message]
        )
    click.echo(table(rows))
    return 0


@priors.command(name="fetch")
@config_option
@format_option
@click.argument("study")
@click.option("--rule", default=None, help="As this rule says, whether or not it matched.")
def fetch_priors(config: Path | None, form: str, study: str, rule: str | None) -> int:
    """Have the earlier studies of the patient of STUDY, which is held here, fetched now or once more.

    The running router does it within a second, in the hours of the rule.
    """
    plan = plan_in_use(config_folder(config))
    known = fetches_of(plan)
    if rule is not None and rule not in known:
        raise click.ClickException(f"no enabled rule {rule!r} has fetch_priors")
    ledger = write_ledger(plan)
    try:
        asked = ledger.ask_priors(study, [rule] if rule else list(known), is_named=bool(rule))
    finally:
        ledger.close()
    if form == "json":
        emit_json({"study": study, "asked": asked})
    elif asked:
        click.echo(f"asked by {asked} rules: see priors list, and tasks list --study UID")
    else:
        click.echo("nothing of it is held here, or no rule with fetch_priors matched it", err=True)
    return 0 if asked else EXIT_FAILED
