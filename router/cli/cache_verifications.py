"""`cache verifications`: have the running router read all that is held, and see how far it is."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from router.cli.cache_prefetch import book_of
from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    iso_time,
    table,
)
from router.cli.plan import plan_in_use, read_ledger
from router.flow.cache_told import damage_json, verification_json
from router.model.plan import Plan
from router.serve.places import Places, is_running
from router.store.cache_book import CacheBook


@click.command(name="verifications")
@config_option
@format_option
@click.option("--begin", is_flag=True, help="Have everything read, or the --study.")
@click.option("--study", default=None, help="With --begin: only this study.")
@click.option("--show", type=int, default=None, metavar="NUMBER", help="What one found.")
@click.option("--cancel", type=int, default=None, metavar="NUMBER", help="Read no more of it.")
def verifications(
    config: Path | None,
    form: str,
    study: str | None,
    show: int | None,
    cancel: int | None,
    *,
    begin: bool,
) -> int:
    """The last verifications and how far they are; begin, show or cancel one.

    The running router reads beside its work, and goes on after a restart. cache verify reads at once,
    without a router too.
    """
    if begin + (show is not None) + (cancel is not None) > 1 or (study and not begin):
        raise click.UsageError("one of --begin, --show and --cancel; --study goes with --begin")
    plan = plan_in_use(config_folder(config))
    book = book_of(plan)
    try:
        number = show if cancel is None else cancel
        if begin:
            number = book.want_verification(getpass.getuser(), study).verification_id
            if not is_running(Places(plan.router.data_dir)):
                fail_text("no router is running: it begins once one does")
        if cancel is not None and not book.end_verification(
            cancel, f"cancelled by {getpass.getuser()}"
        ):
            raise click.ClickException(f"verification {cancel} is over, or there is none")
        if number is not None:
            return _tell(plan, book, number, form)
        listed = [verification_json(one) for one in book.verifications()]
    finally:
        book.close()
    if form == "json":
        emit_json({"verifications": listed})
        return 0
    rows = [["NUMBER", "STATUS", "READ", "OF", "DO NOT OPEN", "BY", "CREATED"]]
    for one in listed:
        counts = [str(one[name]) for name in ("records", "total", "damaged")]
        rows.append(
            [str(one["verification"]), one["status"], *counts, one["requester"], one["created"]]
        )
    click.echo(table(rows))
    return 0


def _tell(plan: Plan, book: CacheBook, number: int, form: str) -> int:
    known = book.find_verification(number)
    if known is None:
        raise click.ClickException(f"there is no verification {number}")
    found, damages = known
    ledger = read_ledger(plan)
    try:
        named = [damage_json(one, ledger) for one in damages]
    finally:
        ledger.close()
    if form == "json":
        emit_json({**verification_json(found), "records_that_do_not_open": named})
    else:
        told = found.done
        click.echo(
            f"verification {number}: {found.status}, {told.records} of {found.total} records read, "
            f"{told.damaged} do not open; created {iso_time(found.created_at)}"
        )
        for one in named:
            click.echo(f"  {one['state']}  {one['sop_instance_uid']}  {one['reason']}")
    return EXIT_FAILED if found.done.damaged else 0
