"""`echo` and `send`: DICOM by hand, over the stations of the configuration."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path

import click

from router.cli.asking import probe_now, station_or_exit
from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
)
from router.cli.plan import plan_in_use, write_ledger
from router.clock import Clock
from router.errors import BadDataset
from router.flow.hand_in import Errand, hand_in
from router.flow.send_held import ANONYMIZED, send_held
from router.model.delivery import Priority
from router.model.plan import Plan
from router.serve.places import Places
from router.serve.stores import open_journal


@click.command()
@config_option
@format_option
@click.argument("station")
def echo(config: Path | None, form: str, station: str) -> int:
    """Ask STATION for a sign of life, now: C-ECHO, a token and a query, or a look at the folder."""
    return probe_now(plan_in_use(config_folder(config)), station, form)


@click.command()
@config_option
@format_option
@click.argument("station")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--study", default=None, help="Send this study, held here, instead of files.")
@click.option(
    "--priority",
    type=click.Choice(["high", "medium", "low"], case_sensitive=False),
    default="medium",
)
@click.option(
    "--anonymize",
    is_flag=True,
    help="De-identify what leaves by PS3.15, Basic Profile, behind everything else; failing sends "
    "nothing of the object.",
)
def send(
    config: Path | None,
    form: str,
    station: str,
    files: tuple[Path, ...],
    study: str | None,
    priority: str,
    *,
    anonymize: bool,
) -> int:
    """Queue FILES (or folders of them), or a study held here, for exactly one STATION.

    Queued is not sent: the progress is in `dicom-router tasks`.
    """
    if bool(files) == bool(study):
        raise click.UsageError("give files, or --study UID")
    plan = plan_in_use(config_folder(config))
    known = station_or_exit(plan, station)
    if not known.send:
        raise click.ClickException(f"station {station} has send: false; nothing was queued")
    errand = Errand(
        getpass.getuser(),
        station,
        known.hooks.send.then(ANONYMIZED) if anonymize else known.hooks.send,
        Priority.of(priority),
        plan.router.ae_title,
        plan.digest,
    )
    failed: Sequence[tuple[Path | str, str]] = ()
    if study:
        queued, failed = _send_study(plan, study, errand)
    else:
        queued, failed = _send_files(plan, files, errand)
    if form == "json":
        emit_json(
            {
                "station": station,
                "queued": queued,
                "failed": [{"file": str(what), "reason": reason} for what, reason in failed],
            }
        )
    else:
        for what, reason in failed:
            click.echo(f"{what}: not queued: {reason}", err=True)
        click.echo(f"{queued} instances queued for {station}, priority {priority}")
    return EXIT_FAILED if failed or not queued else 0


def _send_study(
    plan: Plan, study_instance_uid: str, errand: Errand
) -> tuple[int, list[tuple[str, str]]]:
    """How many were queued; what was not, and why."""
    ledger = write_ledger(plan)
    journal = open_journal(Places(plan.router.data_dir), plan, Clock())
    try:
        sent = send_held(study_instance_uid, errand, journal, ledger, Clock())
    except KeyError as error:
        raise click.ClickException(str(error.args[0])) from None
    finally:
        journal.close()
        ledger.close()
    return sent.queued, list(sent.failed)


def _send_files(
    plan: Plan, paths: tuple[Path, ...], errand: Errand
) -> tuple[int, list[tuple[Path, str]]]:
    ledger = write_ledger(plan)
    journal = open_journal(Places(plan.router.data_dir), plan, Clock())
    queued = 0
    failed: list[tuple[Path, str]] = []
    try:
        for path in _files(paths):
            try:
                hand_in(path, errand, journal, ledger, Clock())
                queued += 1
            except BadDataset as error:
                failed.append((path, str(error)))
            except OSError as error:
                failed.append((path, error.strerror or "cannot be read"))
    finally:
        journal.close()
        ledger.close()
    return queued, failed


def _files(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += (
            sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        )
    return found
