"""`retrieve`: have a study of a station here, by C-MOVE or WADO-RS, from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from router.cli.asking import may_be_asked_or_exit, peer_of, station_or_exit
from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    interrupt,
)
from router.cli.plan import plan_in_use
from router.errors import RouterError
from router.flow.retrieving import counts, verdict
from router.model.query import MoveProgress, Retrieval
from router.serve.retrieving import retrieved_from

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*\Z")


@click.command()
@config_option
@format_option
@click.argument("station")
@click.option("--study", required=True, help="Study Instance UID.")
@click.option("--series", default="", help="Only this series: Series Instance UID.")
@click.option(
    "--timeout", type=click.IntRange(1, 604_800), default=3600, help="Seconds for the whole."
)
def retrieve(
    config: Path | None, form: str, station: str, study: str, series: str, timeout: int
) -> int:
    """Have STATION send a study here (C-MOVE), or fetch it (WADO-RS), and wait until that is over.

    The objects arrive like any others from STATION, and the rules route them. What a DICOM station
    sends needs the running router. Ctrl-C ends it: with a C-CANCEL, or by asking for no more.
    """
    for uid in (study, *([series] if series else [])):
        if not _UID.match(uid) or len(uid) > 64:
            raise click.UsageError(f"{uid!r} is no UID")
    plan = plan_in_use(config_folder(config))
    known = station_or_exit(plan, station)
    may_be_asked_or_exit(known)
    peer = peer_of(plan, known)
    last: MoveProgress | None = None
    failure = ""
    with interrupt() as interrupted:
        try:
            wanted = Retrieval(study, series, timeout)
            answers = retrieved_from(plan, known, peer, wanted, interrupted.is_set)
            last = _followed(answers, quiet=form == "json")
        except RouterError as error:
            failure = str(error)
        finally:
            peer.close()
    ok, message = verdict(last, failure)
    if form == "json":
        emit_json(
            {
                "station": station,
                "study": study,
                "ok": ok,
                "message": message,
                "remaining": last.remaining if last else None,
                "completed": last.completed if last else None,
                "failed": last.failed if last else None,
                "warnings": last.warnings if last else None,
                "failed_instances": list(last.failed_uids) if last else [],
            }
        )
    else:
        click.echo(f"{station}: {message}", err=not ok)
        for uid in last.failed_uids if last else ():
            click.echo(f"not sent: {uid}", err=True)
    return 0 if ok else EXIT_FAILED


def _followed(answers: Iterator[MoveProgress], *, quiet: bool) -> MoveProgress | None:
    """The last answer; each before it is shown as it comes, on standard error."""
    last: MoveProgress | None = None
    for last in answers:
        if not quiet and last.status == 0xFF00:
            click.echo(f"  {counts(last)}", err=True)
    return last
