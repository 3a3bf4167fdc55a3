"""`account` and `status`: read from the data directory, whether the router runs or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from router import __version__
from router.cli.common import (
    EXIT_FAILED,
    EXIT_PENDING,
    config_folder,
    config_option,
    emit_json,
    format_option,
    iso_time,
    table,
)
from router.cli.deploy import status_lines
from router.cli.plan import plan_in_use, read_ledger
from router.config.releases import Releases
from router.flow.told import account_json, station_states
from router.model.plan import Plan
from router.serve.deployment import deployment
from router.serve.device import device_json
from router.serve.places import Places, is_running
from router.serve.reload_state import read_state
from router.store.balance import Account
from router.store.device import first_start
from router.telemetry.metrics import published_ages


@click.command()
@config_option
@format_option
def account(config: Path | None, form: str) -> int:
    """Every accepted instance, and where it is.

    Exit 0 when the balance holds and nothing needs a person, 2 when something is dead, quarantined
    or unmatched, 1 when the balance does not hold.
    """
    ledger = read_ledger(plan_in_use(config_folder(config)))
    balance = ledger.account()
    data = account_json(balance)
    if form == "json":
        emit_json(data)
    else:
        click.echo(_account_text(balance))
    if not balance.balanced:
        return EXIT_FAILED
    return EXIT_PENDING if data["dead"] or data["quarantined"] or data["unmatched"] else 0


def _account_text(balance: Account) -> str:
    def sentence(counts: Mapping[str, int], total: str) -> str:
        rest = " + ".join(f"{count} {name}" for name, count in counts.items() if name != total)
        return f"{counts[total]} {total} = {rest}"

    lines = [
        "instances   " + sentence(balance.instances, "received"),
        "deliveries  " + sentence(balance.deliveries, "created"),
    ]
    if balance.stations:
        columns = list(balance.deliveries)
        rows = [["STATION", *(column.upper() for column in columns)]]
        rows += [
            [name, *(str(states.get(column, 0)) for column in columns)]
            for name, states in balance.stations.items()
        ]
        lines += ["", table(rows)]
    lines += ["", "balanced" if balance.balanced else "NOT BALANCED"]
    lines += [f"  {difference}" for difference in balance.differences]
    return "\n".join(lines)


@click.command()
@config_option
@format_option
def status(config: Path | None, form: str) -> int:
    """Whether the router runs, how its stations are, what waits for them."""
    folder = config_folder(config)
    plan = plan_in_use(folder)
    places = Places(plan.router.data_dir)
    ledger = read_ledger(plan)
    running = is_running(places)
    stations = station_states(ledger, plan.stations)
    roles = published_ages(places.run) if running else {}
    reloaded = read_state(places) if running else None
    deployed = deployment(Releases(folder), plan)
    if form == "json":
        emit_json(
            {
                "router": plan.router.name,
                "version": __version__,
                "device": device_json(plan, first_start(places.ledger)),
                "running": running,
                "plan": reloaded.digest if reloaded else plan.digest,
                "reload": asdict(reloaded) if reloaded else None,
                "deployment": deployed,
                "roles": {name: round(age, 1) for name, age in roles.items()},
                "stations": stations,
            }
        )
        return 0
    click.echo(f"{plan.router.name}  {'running' if running else 'not running'}")
    click.echo(f"  {_identity(plan, first_start(places.ledger))}")
    for name, age in roles.items():
        click.echo(f"  role {name}  seen {age:.0f} s ago")
    if reloaded is not None:
        click.echo(
            f"  configuration {reloaded.state} {iso_time(reloaded.at)}, plan {reloaded.digest[:12]}"
        )
        if reloaded.problems:
            click.echo(reloaded.problems)
    if deployed is not None:
        click.echo("\n".join(f"  {line}" for line in status_lines(deployed, runs=running)))
    rows = [["STATION", "STATUS", "SINCE", "QUEUED", "REASON"]]
    for station in stations:
        since = station["since"] or "-"
        rows.append(
            [station["name"], station["status"], since, str(station["queued"]), station["reason"]]
        )
    click.echo(table(rows))
    return 0


def _identity(plan: Plan, first_started_at: float | None) -> str:
    settings = plan.router
    link = "no link id" if settings.id is None else f"link id {settings.id}"
    since = f", first started {iso_time(first_started_at)}" if first_started_at else ""
    return f"version {__version__}, {link}, AE title {settings.ae_title}{since}"
