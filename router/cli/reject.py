"""`reject`: reject a study, a series or instances held here, with a note to the stations that want it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Final

import click

from router.cli.common import config_folder, config_option, emit_json, format_option
from router.cli.plan import plan_in_use, read_ledger
from router.errors import BadDataset, Refused
from router.flow.reject import WORDS, Wanted, chosen
from router.model.rejection import title
from router.serve.intaking import reject_beside
from router.serve.mapping import mapping_key
from router.store.records import RecordDamaged

_PENDING: Final = 2


@click.command()
@config_option
@format_option
@click.argument("study")
@click.option("--series", default="", help="Only this series: Series Instance UID.")
@click.option(
    "--instance", "instances", multiple=True, help="Only this SOP Instance UID; repeatable."
)
@click.option("--as", "word", required=True, type=click.Choice(list(WORDS)), help="The reason.")
@click.option(
    "--yes", is_flag=True, help="Do it; without, what would be done is told, exit code 2."
)
def reject(
    config: Path | None,
    form: str,
    study: str,
    series: str,
    instances: tuple[str, ...],
    word: str,
    *,
    yes: bool,
) -> int:
    """Reject STUDY, or a part of it, that is held here: nothing takes it back.

    A rejection note (IHE IOCM) goes to each station with `iocm: true` that has, or may have, one of
    the objects, behind them. safety and worklist also cancel what is not sent yet, to every station.
    quality leaves the objects here visible; retention is of this router alone, and is not passed on.
    """
    plan = plan_in_use(config_folder(config))
    wanted = Wanted(study, WORDS[word], series, frozenset(instances))
    told = f"rejected: {title(wanted.code)}"
    try:
        if not yes:
            count = len(chosen(read_ledger(plan), wanted))
            if form == "json":
                emit_json({"study": study, "code": wanted.code, "objects": count, "notes": []})
            else:
                click.echo(f"{count} objects would be {told}; add --yes to do it")
            return _PENDING
        done = reject_beside(plan, wanted, getpass.getuser(), mapping_key(plan, make=False))
    except (Refused, BadDataset, RecordDamaged) as error:
        raise click.ClickException(str(error)) from None
    if form == "json":
        emit_json(
            {"study": study, "code": wanted.code, "objects": done.objects, "notes": done.notes}
        )
    else:
        click.echo(f"{done.objects} objects {told}, in {len(done.notes)} notes")
    return 0
