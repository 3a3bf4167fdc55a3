"""`find`: search a station by C-FIND or QIDO-RS, from the command line."""

from __future__ import annotations

import time
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
    table,
)
from router.cli.plan import plan_in_use
from router.dicom.json_model import to_json
from router.dicom.keys import name_of, parse_keys, text_of
from router.dicom.tags import PathError
from router.errors import RouterError
from router.flow.querying import asked, search_hooks
from router.model.plan import Plan
from router.model.query import UNIQUE_KEYS, DataElement, Ending, Identifier, Level, Query
from router.model.station import Station
from router.peers.search import Searchable
from router.serve.mapping import mapping_key

_LEVELS: Final[dict[str, Level]] = {"study": "STUDY", "series": "SERIES", "image": "IMAGE"}
# Asked for besides what the caller names.
_COLUMNS: Final[dict[Level, tuple[str, ...]]] = {
    "STUDY": (
        "PatientName",
        "PatientID",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "AccessionNumber",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    "SERIES": ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID"),
    "IMAGE": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}


@click.command()
@config_option
@format_option
@click.argument("station")
@click.argument("keys", nargs=-1)
@click.option(
    "--level",
    type=click.Choice(list(_LEVELS), case_sensitive=False),
    default="study",
    help="What to search for; for series give the study's UID, for images the series' too.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="Most answers.")
@click.option(
    "--timeout", type=click.IntRange(1, 86_400), default=60, help="Seconds for the whole."
)
def find(
    config: Path | None,
    form: str,
    station: str,
    keys: tuple[str, ...],
    level: str,
    limit: int,
    timeout: int,
) -> int:
    r"""Search STATION. KEYS are attributes: KEY=VALUE to match, KEY alone to see it.

    Values take wildcards (YAMADA*), ranges (StudyDate=20260101-20261231), lists (UID\UID) and the
    attributes of sequences (RequestAttributesSequence[0].ScheduledProcedureStepID=7).
    """
    plan = plan_in_use(config_folder(config))
    known = station_or_exit(plan, station)
    named = _parsed(keys)
    wanted: Level = _LEVELS[level.lower()]
    shown = _parsed(_COLUMNS[wanted])
    query = Query(wanted, {**shown, **named}, limit, timeout)
    ask, told = search_hooks(plan, known, mapping_key(plan, make=False), time.time())
    failure = ""
    found: list[Identifier] = []
    with interrupt() as interrupted:
        peer = _searchable(known, plan)
        try:
            search = peer.find(asked(query, ask), interrupted.is_set)
            found.extend(map(told, search))
        except RouterError as error:
            failure = str(error)
        finally:
            peer.close()
    ending = Ending(True, failure) if failure else search.ending
    reported = sorted(tag for tag in ending.unsupported if tag in named)
    if form == "json":
        emit_json(
            {
                "station": station,
                "ok": not failure,
                "message": ending.words,
                "truncated": ending.is_truncated,
                "unsupported": [name_of(tag) for tag in reported],
                "answers": [to_json(one) for one in found],
            }
        )
    else:
        _print(found, (*named, *(tag for tag in shown if tag not in named)), wanted)
        _explain(station, len(found), ending, reported, failed=bool(failure))
    return EXIT_FAILED if failure else 0


def _parsed(keys: tuple[str, ...]) -> dict[int, DataElement]:
    try:
        return parse_keys(keys)
    except PathError as error:
        hint = f"; did you mean {error.hint}?" if error.hint else ""
        raise click.UsageError(f"{error}{hint}") from error


def _searchable(station: Station, plan: Plan) -> Searchable:
    may_be_asked_or_exit(station)
    peer = peer_of(plan, station)
    if not isinstance(peer, Searchable):
        raise click.ClickException(f"station {station.name} is a {station.kind}: it has no search")
    return peer


def _print(found: list[Identifier], tags: tuple[int, ...], level: Level) -> None:
    if not found:
        return
    order = sorted(tags, key=lambda tag: tag == UNIQUE_KEYS[level])
    rows = [[name_of(tag) for tag in order]]
    rows += [[text_of(one, tag) for tag in order] for one in found]
    click.echo(table(rows))


def _explain(
    station: str, count: int, ending: Ending, unsupported: list[int], *, failed: bool
) -> None:
    """What the table does not say, on standard error."""
    if unsupported:
        names = ", ".join(name_of(tag) for tag in unsupported)
        click.echo(f"{station} does not search by or know: {names}", err=True)
    if failed:
        click.echo(f"{station}: {ending.words}; {count} answers before", err=True)
    elif ending.is_truncated:
        click.echo(f"truncated: {count} answers, there may be more ({ending.words})", err=True)
    else:
        click.echo(f"{count} answers from {station} ({ending.words})", err=True)
