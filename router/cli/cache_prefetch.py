"""`cache prefetch|prefetches`: have studies here before somebody asks for them."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Final

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    interrupt,
    iso_time,
    table,
)
from router.cli.plan import plan_in_use, write_ledger
from router.clock import Clock
from router.flow.cache_told import prefetch_json
from router.flow.prefetching import NotWanted, wanted_of
from router.model.plan import Plan
from router.serve.places import Places, is_running
from router.store.cache_book import CacheBook
from router.store.prefetches import BATCH, CAP, MOST, Prefetch

LOOK_SECONDS: Final = 0.5
EXIT_INTERRUPTED: Final = 130


@click.command(name="prefetch")
@config_option
@format_option
@click.argument("station")
@click.argument("uids", nargs=-1, required=True, metavar="STUDY[/SERIES[/INSTANCE]]...")
@click.option("--batch", type=click.IntRange(1, CAP), default=BATCH, show_default=True,
              help="So many side by side.")  # fmt: skip
@click.option("--cap", type=click.IntRange(1, MOST), default=CAP, show_default=True,
              help="So many at most; what is named behind them is left out.")  # fmt: skip
@click.option("--follow", is_flag=True, help="Wait for the end: 0 when all of it is here.")
def prefetch(
    config: Path | None,
    form: str,
    station: str,
    uids: tuple[str, ...],
    batch: int,
    cap: int,
    *,
    follow: bool,
) -> int:
    """Have studies, series or instances of STATION here, in the order they are named.

    The running router fetches them; what is held already is not asked for again. Cancel it with
    cache prefetches --cancel.
    """
    if any(uid.count("/") > 2 for uid in uids):
        raise click.UsageError("name STUDY, STUDY/SERIES or STUDY/SERIES/INSTANCE")
    plan = plan_in_use(config_folder(config))
    try:
        wanted = [wanted_of(plan, station, *uid.split("/")) for uid in uids]
    except NotWanted as error:
        raise click.ClickException(str(error)) from error
    book = book_of(plan)
    try:
        made = book.prefetch(getpass.getuser(), wanted, batch, cap)
        if not is_running(Places(plan.router.data_dir)):
            fail_text("no router is running: it is fetched once one does")
        if follow:
            return _followed(book, made.prefetch_id, form)
        _tell(made, form)
    finally:
        book.close()
    return 0


@click.command(name="prefetches")
@config_option
@format_option
@click.option("--cancel", type=int, default=None, metavar="NUMBER", help="Fetch no more of it.")
@click.option("--show", type=int, default=None, metavar="NUMBER", help="One, item by item.")
def prefetches(config: Path | None, form: str, cancel: int | None, show: int | None) -> int:
    """The last prefetches and how far they are; or cancel one."""
    plan = plan_in_use(config_folder(config))
    book = book_of(plan)
    try:
        if cancel is not None and not book.cancel_prefetch(cancel, getpass.getuser()):
            raise click.ClickException(f"prefetch {cancel} is over, or there is none")
        number = cancel if cancel is not None else show
        if number is not None:
            found = book.find_prefetch(number)
            if found is None:
                raise click.ClickException(f"there is no prefetch {number}")
            _tell(found, form)
            return 0
        listed = book.prefetches()
    finally:
        book.close()
    if form == "json":
        emit_json({"prefetches": [prefetch_json(one) for one in listed]})
        return 0
    rows = [["NUMBER", "STATUS", "ITEMS", "FETCHED", "HELD", "FAILED", "BY", "CREATED"]]
    for one in listed:
        told = prefetch_json(one)
        counts = [str(told[name]) for name in ("fetched", "held", "failed")]
        rows.append(
            [str(one.prefetch_id), one.status, str(len(one.items)), *counts, one.requester,
             iso_time(one.created_at) or ""]
        )  # fmt: skip
    click.echo(table(rows))
    return 0


def _followed(book: CacheBook, number: int, form: str) -> int:
    with interrupt() as interrupted:
        while True:
            found = book.find_prefetch(number)
            assert found is not None
            if found.ended_at is not None:
                _tell(found, form)
                return 0 if found.status == "Completed" else EXIT_FAILED
            if interrupted.wait(LOOK_SECONDS):
                _tell(found, form)
                return EXIT_INTERRUPTED


def _tell(found: Prefetch, form: str) -> None:
    told = prefetch_json(found)
    if form == "json":
        emit_json(told)
        return
    click.echo(
        f"prefetch {found.prefetch_id}: {found.status}, {told['fetched']} fetched, "
        f"{told['held']} held before, {told['failed']} failed"
    )
    for one in told["items"]:
        uid = one["sop_instance_uid"] or one["series_instance_uid"] or one["study_instance_uid"]
        click.echo(f"  {one['state']:9}  {one['station']}  {uid}  {one['message']}".rstrip())


def book_of(plan: Plan) -> CacheBook:
    """The cache book of a plan. Raises click.ClickException where nothing was ever held."""
    write_ledger(plan).close()
    return CacheBook.open(Places(plan.router.data_dir).ledger, Clock())
