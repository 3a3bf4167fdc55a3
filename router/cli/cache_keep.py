"""`cache verify|evict|rekey`: whether all of it opens, letting go of it, wrapping its keys anew."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from router.cli.common import (
    EXIT_FAILED,
    EXIT_PENDING,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    interrupt,
)
from router.cli.plan import plan_in_use, read_ledger, write_ledger
from router.clock import Clock
from router.config.units import seconds, size_bytes
from router.flow.auditing import entry_of
from router.flow.cache_told import damaged_json
from router.flow.letting_go import LetGo, LettingGo, Wish, shredded_event
from router.model.audit import Participant
from router.model.plan import Plan
from router.serve.auditing import note_command
from router.serve.places import Places
from router.serve.rekeying import publish
from router.serve.stores import open_journal
from router.store.audit import AuditTrail
from router.store.audit_due import whose
from router.store.cache_book import CacheBook
from router.store.choosing import Choice
from router.store.journal import Journal
from router.store.rekeying import Rekeyed, Rekeying
from router.store.verifying import Verified
from router.store.verifying import verify as verified

EXIT_INTERRUPTED: Final = 130
_TELL_SECONDS: Final = 2.0
_SHOWN: Final = 1000


@contextmanager
def _opened(plan: Plan, *, read_only: bool = False) -> Iterator[tuple[Journal, CacheBook]]:
    """Journal and book of a plan. Raises click.ClickException where nothing was ever held."""
    read_ledger(plan).close()
    clock, places = Clock(), Places(plan.router.data_dir)
    journal = open_journal(places, plan, clock)
    book = CacheBook.open(places.ledger, clock, read_only=read_only)
    try:
        yield journal, book
    finally:
        book.close()
        journal.close()


@click.command(name="verify")
@config_option
@format_option
@click.option("--study", default=None, help="Only this study: Study Instance UID.")
def verify(config: Path | None, form: str, study: str | None) -> int:
    """Read every sealed record to its end, and name those that do not open; 1 where there are any.

    Nothing is changed; it may run beside the router, and without one. Ctrl-C ends it with what was
    found so far.
    """
    plan = plan_in_use(config_folder(config))
    done, told_at = Verified(), time.monotonic()
    found: list[dict[str, object]] = []
    with _opened(plan, read_only=True) as (journal, book), interrupt() as interrupted:

        def goes_on() -> bool:
            nonlocal told_at
            if time.monotonic() - told_at > _TELL_SECONDS and sys.stderr.isatty():
                told_at = time.monotonic()
                click.echo(f"{done.records} records, {done.damaged} do not open", err=True)
            return not interrupted.is_set()

        for one in verified(journal, book.database, done, study, goes_on):
            data = damaged_json(one)
            if len(found) < _SHOWN:
                found.append(data)
            if form == "text":
                click.echo(
                    f"{data['state']}  instance {data['instance']}  {data['sop_instance_uid']}  "
                    f"from {data['source']}  segment {data['segment']} at {data['offset']}: "
                    f"{data['reason']}"
                )
        is_whole = not interrupted.is_set()
    if form == "json":
        emit_json({**done.counts(), "is_whole": is_whole, "records_that_do_not_open": found})
    else:
        click.echo(
            f"{done.records} records with {done.data_set_bytes} bytes read, "
            f"{done.damaged} do not open{'' if is_whole else '; not all were read'}"
        )
    if done.damaged:
        return EXIT_FAILED
    return 0 if is_whole else EXIT_INTERRUPTED


@click.command(name="evict")
@config_option
@format_option
@click.option("--study", default=None, help="A study: Study Instance UID.")
@click.option("--station", default=None, help="What came from a station (or AE title).")
@click.option("--older-than", default=None, metavar="DURATION", help="What came before: 30d, 12h.")
@click.option("--to-size", default=None, metavar="SIZE", help="The oldest, until so much is left.")
@click.option("--shred", is_flag=True, help="With --study alone: unreadable for good.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
def evict(
    config: Path | None,
    form: str,
    study: str | None,
    station: str | None,
    older_than: str | None,
    to_size: str | None,
    *,
    shred: bool,
    dry_run: bool,
) -> int:
    """Let go of what is held; never of what a delivery needs, nor of what no rule wanted.

    --study, --station and --older-than narrow one another. --shred overwrites the keys of a study's
    records, also of those that no rule wanted or that could not be delivered; it is refused while
    something of the study is still to be sent.
    """
    wish = _wish(study, station, older_than, to_size)
    if shred and (study is None or station or older_than):
        raise click.UsageError("--shred takes a --study and nothing else")
    plan = plan_in_use(config_folder(config))
    ledger = write_ledger(plan)
    try:
        with _opened(plan) as (journal, book):
            going = LettingGo(book, journal, ledger, Clock())
            if shred and study is not None:
                told = going.shred_foretold(study) if dry_run else _shredded(plan, going, study)
            else:
                told = going.foretold(wish) if dry_run else going.done(wish)
    finally:
        ledger.close()
    if form == "json":
        emit_json({**asdict(told), "dry_run": dry_run})
    else:
        _tell(told, dry_run=dry_run)
    return 0


def _wish(
    study: str | None, station: str | None, older_than: str | None, to_size: str | None
) -> Wish:
    if not any((study, station, older_than, to_size)):
        raise click.UsageError("say what: --study, --station, --older-than or --to-size")
    if to_size is not None and any((study, station, older_than)):
        raise click.UsageError("--to-size takes the oldest, whatever it is: nothing else with it")
    try:
        before = time.time() - seconds(older_than) if older_than else None
        size = size_bytes(to_size) if to_size else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return Wish(Choice(study, station, before), size)


def _shredded(plan: Plan, going: LettingGo, study: str) -> LetGo:
    """Shred it, and tell the audit trail whose study it was."""
    places = Places(plan.router.data_dir)
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    trail = AuditTrail.open(places.ledger, places.keys)
    try:
        known = whose(trail, study)
        told = going.shredded(study, user)
        person = Participant(user, is_requestor=True, address=socket.gethostname())
        event = shredded_event(plan, time.time(), person, study, known, told.shredded)
        trail.append([entry_of(event, plan)])
    finally:
        trail.close()
    return told


def _tell(told: LetGo, *, dry_run: bool) -> None:
    verb = "would go" if dry_run else "went"
    click.echo(
        f"{told.instances} instances of {told.studies} studies, {told.record_bytes} bytes {verb}"
    )
    if told.shredded:
        click.echo(f"{told.shredded} records {'would be' if dry_run else 'were'} shredded")
    if not told.log_emptied:
        fail_text(
            "the ledger's log still holds sealed rows of them: shred once more a little later"
        )
    if told.needed:
        click.echo(f"{told.needed} instances stay: they are still owed, failed, or unmatched")
    if not dry_run and told.instances:
        click.echo(f"{told.freed_bytes} bytes free on the disk now, the rest with its segments")


@click.command(name="rekey")
@config_option
@format_option
def rekey(config: Path | None, form: str) -> int:
    """Wrap anew what old keys of the ring wrapped, and drop the keys that nothing needs any more.

    A running router does the same by itself after keys rotate. It may be broken off and begun again;
    exit 2 while an old key is still needed, with the reason.
    """
    plan = plan_in_use(config_folder(config))
    places = Places(plan.router.data_dir)
    with _opened(plan) as (journal, book), interrupt() as interrupted:

        def tell(told: Rekeyed) -> None:
            publish(places, told, time.time())
            if sys.stderr.isatty():
                click.echo(
                    f"\r{told.segments_done} of {told.segments} segments", err=True, nl=False
                )

        done = Rekeying(journal, book.database).run(lambda: not interrupted.is_set(), tell)
        left = len(journal.keys.old())
        is_whole = not interrupted.is_set()
    for name in done.retired:
        note_command(plan, "keys_changed", f"key {name} dropped")
    if form == "json":
        emit_json({**asdict(done), "old_keys": left})
    else:
        click.echo(f"{done.records} records and {done.rows} rows wrapped anew")
        for name in done.retired:
            click.echo(f"key {name} dropped: nothing needs it")
        for name, why in done.kept.items():
            fail_text(f"key {name} is kept for: {why}")
    if not is_whole:
        return EXIT_INTERRUPTED
    return EXIT_PENDING if left else 0
