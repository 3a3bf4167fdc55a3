"""`stations export|import|enable|disable`: stations as JSON, and their YAML written for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from router.cli.asking import station_or_exit
from router.cli.common import (
    EXIT_FAILED,
    EXIT_PENDING,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
)
from router.cli.plan import load_folder, plan_or_exit, read_ledger
from router.config.exchange import MAX_BYTES, Wanted, document, read_document, station_json
from router.config.folder import read_folder
from router.config.load import Loaded
from router.config.report import Report
from router.config.station_changes import Changed, change_stations
from router.config.writing import is_release, patch, write_texts
from router.errors import ConfigError
from router.flow.told import station_states
from router.model.plan import Plan
from router.plugs import all_plugs
from router.serve.places import Places, is_running
from router.serve.reload_state import answer_of

_ANSWER_SECONDS = 60.0


@click.command(name="export")
@config_option
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--without-status", is_flag=True, help="Only what is configured.")
@click.option("--format", expose_value=False, type=click.Choice(["json"]), help="It is JSON.")
def export_stations(config: Path | None, names: tuple[str, ...], *, without_status: bool) -> int:
    """Print stations as JSON: those named, or every DICOM station. No secret is in it."""
    plan = plan_or_exit(config_folder(config))
    chosen = [station_or_exit(plan, name) for name in names or sorted(plan.stations)]
    other = [f"{one.name} ({one.kind})" for one in chosen if one.kind != "dicom"]
    if other and names:
        raise click.ClickException(f"the format is for DICOM stations, not {', '.join(other)}")
    if other:
        click.echo(f"left out, no DICOM stations: {', '.join(other)}", err=True)
    found = [station_json(one) for one in chosen if one.kind == "dicom"]
    if not without_status:
        _add_status(plan, found)
    emit_json(document(found))
    return 0


def _add_status(plan: Plan, found: list[dict[str, Any]]) -> None:
    """The status of each station, where somebody looked already."""
    if not Places(plan.router.data_dir).ledger.exists():
        return
    known = {each["name"]: each for each in station_states(read_ledger(plan), plan.stations)}
    for station in found:
        state = known[station["name"]]
        if state["checked"] is not None:
            station["status"] = state["status"]
            station["statusCheckedAt"] = state["checked"]


@click.command(name="import")
@config_option
@format_option
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="Write it; else it is only shown (exit 2).")
def import_stations(config: Path | None, form: str, file: Any, *, yes: bool) -> int:
    """Take stations from a JSON FILE (- is standard input) into the configuration.

    Shows what would change and exits 2; with --yes it is written as YAML, and a running router
    takes it. A key that is left out stays as it is, null takes it out, status is ignored. Stations
    that the file does not name are left alone.
    """
    try:
        wanted = read_document(file.read(MAX_BYTES + 1))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"{file.name}: {problem}", err=True)
        click.echo("nothing was changed", err=True)
        return EXIT_FAILED
    return _change(config_folder(config), wanted, form, yes=yes)


@click.command(name="enable")
@config_option
@format_option
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def enable(config: Path | None, form: str, names: tuple[str, ...]) -> int:
    """Have the router speak with a station again: `active: true` in its YAML."""
    return _switch(config_folder(config), names, form, active=True)


@click.command(name="disable")
@config_option
@format_option
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def disable(config: Path | None, form: str, names: tuple[str, ...]) -> int:
    """No association with a station, either way; what it is owed waits: `active: false`."""
    return _switch(config_folder(config), names, form, active=False)


def _switch(folder: Path, names: tuple[str, ...], form: str, *, active: bool) -> int:
    plan = plan_or_exit(folder)
    for name in names:
        station_or_exit(plan, name)
    wanted = [Wanted(name, {("active",): active}) for name in dict.fromkeys(names)]
    return _change(folder, wanted, form, yes=True)


def _change(folder: Path, wanted: Sequence[Wanted], form: str, *, yes: bool) -> int:
    """Show what changes, then write it, or say how; the exit code."""
    before = load_folder(folder)
    if before.plan is None:
        click.echo(before.render(), err=True)
        return EXIT_FAILED
    try:
        changed = change_stations(before, folder, all_plugs(), wanted)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo("nothing was changed", err=True)
        return EXIT_FAILED
    if form == "text":
        _show(changed, len(wanted))
    if changed.loaded.plan is None:
        click.echo(changed.loaded.render(), err=True)
        click.echo("nothing was changed: the configuration would not be sound", err=True)
        return EXIT_FAILED
    outcome, code = "unchanged", 0
    difference = ""
    if changed.texts and is_release(folder):
        outcome, code = "patch", EXIT_PENDING
        difference = patch({one.relative: one.text for one in before.sources}, changed.texts)
    elif changed.texts and not yes:
        outcome, code = "pending", EXIT_PENDING
    elif changed.texts:
        outcome, code = _written(folder, before, changed)
    if form == "json":
        emit_json(
            {
                "state": outcome,
                "changes": [asdict(each) for each in changed.changes],
                "files": sorted(changed.texts),
                "patch": difference,
            }
        )
    elif difference:
        click.echo(difference, nl=False)
        click.echo(f"{folder} is a release: apply this patch where it comes from", err=True)
    elif outcome == "pending":
        click.echo("nothing is written yet: say --yes to write it")
    return code


def _written(folder: Path, before: Loaded, changed: Changed) -> tuple[str, int]:
    """Write the files and have a running router take them; what came of it, and the exit code."""
    if read_folder(folder, Report()) != before.sources:
        raise click.ClickException("somebody changed the folder meanwhile: nothing was written")
    try:
        write_texts(folder, changed.texts)
    except OSError as error:
        raise click.ClickException(f"cannot write into {folder}: {error.strerror}") from error
    assert changed.loaded.plan is not None
    places = Places(changed.loaded.plan.router.data_dir)
    if not is_running(places):
        return "written", 0
    told = answer_of(places, _ANSWER_SECONDS)
    if told is None:
        fail_text(f"written, but no answer within {_ANSWER_SECONDS:g} s; `status` tells what runs")
        return "written", EXIT_FAILED
    if told.state == "refused":
        fail_text(f"written, but the running router refuses it:\n{told.problems}")
        return "refused", EXIT_FAILED
    return "applied", 0


def _show(changed: Changed, count: int) -> None:
    """The plan, for people."""
    for each in changed.changes:
        click.echo(f"{'+' if each.is_new else '~'} {each.station}")
        for key, (old, new) in each.keys.items():
            was = "" if each.is_new and old is None else f"{_word(old)} -> "
            click.echo(f"    {key}: {was}{_word(new)}")
    for path in sorted(changed.texts):
        click.echo(f"file {path}")
    same = count - len(changed.changes)
    click.echo(f"{len(changed.changes)} stations differ, {same} as they are")


def _word(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
