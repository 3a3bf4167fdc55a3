"""`stations list|show|test` and the group of all verbs about stations."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.asking import probe_now, station_or_exit
from router.cli.common import (
    config_folder,
    config_option,
    emit_json,
    format_option,
    group_of_verbs,
    iso_time,
    table,
)
from router.cli.exchange import disable, enable, export_stations, import_stations
from router.cli.plan import plan_in_use, read_ledger
from router.flow.told import described_stations, effective_settings
from router.model.plan import Plan
from router.serve.places import Places
from router.store.ledger import Ledger

stations = group_of_verbs(
    "stations", "Stations: list, show, test, enable, disable; export and import as JSON."
)


for _verb in (export_stations, import_stations, enable, disable):
    stations.add_command(_verb)


@stations.command(name="list")
@config_option
@format_option
def list_stations(config: Path | None, form: str) -> int:
    """Every station: how it is, since when, what it answered last, what waits for it."""
    plan = plan_in_use(config_folder(config))
    found = described_stations(plan, _ledger(plan))
    if form == "json":
        emit_json({"stations": found})
        return 0
    rows = [
        ["STATION", "KIND", "AE TITLE", "ADDRESS", "STATUS", "SINCE", "LATENCY", "QUEUED", "ANSWER"]
    ]
    rows += [
        [
            each["name"],
            each["kind"] or "gone",
            each["ae_title"] or "-",
            each["address"] or "-",
            each["status"],
            each["since"] or "-",
            _milliseconds(each["seconds"]),
            str(each["queued"]),
            each["reason"] or each["answer"],
        ]
        for each in found
    ]
    click.echo(table(rows))
    return 0


@stations.command(name="show")
@config_option
@format_option
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="Most changes shown.")
def show_station(config: Path | None, form: str, name: str, limit: int) -> int:
    """One station: what is configured and where each setting is from, how it is and when it changed."""
    plan = plan_in_use(config_folder(config))
    station_or_exit(plan, name)
    ledger = _ledger(plan)
    known = next(each for each in described_stations(plan, ledger) if each["name"] == name)
    events = ledger.station_events(name, limit) if ledger else ()
    effective = effective_settings(plan.stations[name])
    if form == "json":
        changes = [
            {"at": iso_time(event.at), "status": event.state, "reason": event.reason}
            for event in events
        ]
        emit_json({**known, "effective": effective, "changes": changes})
        return 0
    for key, value in known.items():
        click.echo(f"{key:24} {'-' if value is None or value == '' else value}")
    click.echo("")
    rows = [[one["key"], one["value"], one["from"], one["written_in"]] for one in effective]
    click.echo(table([["SETTING", "VALUE", "FROM", "WRITTEN IN"], *rows]))
    if events:
        click.echo("")
    for event in events:
        click.echo(f"{iso_time(event.at)}  {event.state:8}  {event.reason}".rstrip())
    return 0


@stations.command(name="test")
@config_option
@format_option
@click.argument("name")
def test_station(config: Path | None, form: str, name: str) -> int:
    """Ask a station for a sign of life, now: latency and its exact answer, as `echo` does."""
    return probe_now(plan_in_use(config_folder(config)), name, form)


def _ledger(plan: Plan) -> Ledger | None:
    """The ledger, None before the first start."""
    return read_ledger(plan) if Places(plan.router.data_dir).ledger.exists() else None


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
