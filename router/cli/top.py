"""`top`: roles, rates, stations and the latest failures, again and again, or once.

Read from the data directory alone, as `status` does: counters as the roles publish them, the rest
from the ledger. Rates are what happened between two looks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import config_folder, config_option, emit_json, format_option, interrupt
from router.cli.plan import plan_in_use, read_ledger
from router.cli.top_shown import picture_lines
from router.clock import Clock, iso_time
from router.flow.told import account_json, station_states
from router.model.plan import Plan
from router.serve.places import Places, is_running
from router.store.ledger import Ledger
from router.telemetry.metrics import counted, published_ages

_PREFIX: Final = "dicom_router_"
# What is told as a rate: the counter, and the label that must have that value.
_RATES: Final = {
    "received": ("instances_received_total", None),
    "delivered": ("send_attempts_total", ("result", "delivered")),
    "received_bytes": ("received_bytes_total", None),
    "delivered_bytes": ("sent_bytes_total", None),
}


_ACCOUNTED: Final = (
    "received", "delivered", "queued", "sending", "held", "dead", "quarantined", "unmatched",
    "balanced",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Look:
    """Counters at one moment: by name of the rate, then by station."""

    at: float
    totals: Mapping[str, Mapping[str, float]]
    associations_open: int


@click.command()
@config_option
@format_option
@click.option("--once", is_flag=True, help="One picture, and the end. So it is without a terminal.")
@click.option(
    "--every",
    "seconds",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks; rates are over that time.",
)
@click.option(
    "--failures", type=click.IntRange(0, 1000), default=5, help="Most failed tries shown."
)
def top(config: Path | None, form: str, seconds: float, failures: int, *, once: bool) -> int:
    """Watch the router at work: roles, rates, stations, the latest failures. Ctrl-C ends it.

    With --format json, with --once or without a terminal it prints one picture and ends.
    """
    plan = plan_in_use(config_folder(config))
    ledger, clock = read_ledger(plan), Clock()
    before = _look(plan, clock)
    with interrupt() as wish:
        if form == "json" or once or not sys.stdout.isatty():
            clock.wait(wish, seconds)
            picture = _picture(plan, ledger, failures, before, _look(plan, clock))
            if form == "json":
                emit_json(picture)
            else:
                click.echo("\n".join(picture_lines(picture)))
            return 0
        with _screen():
            while not clock.wait(wish, seconds):
                now = _look(plan, clock)
                _draw(_picture(plan, ledger, failures, before, now))
                before = now
    return 0


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, so that what was there before comes back (xterm ctlseqs)."""
    sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[Hlooking ...")
    sys.stdout.flush()
    try:
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def _draw(picture: dict[str, Any]) -> None:
    """Over the last picture, line by line: nothing flickers."""
    size = shutil.get_terminal_size()
    lines = picture_lines(picture, width=size.columns, height=size.lines - 1, styled=True)
    sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines) + "\x1b[J")
    sys.stdout.flush()


def _look(plan: Plan, clock: Clock) -> _Look:
    series = counted(Places(plan.router.data_dir).run)
    totals: dict[str, dict[str, float]] = {}
    for name, (counter, wanted) in _RATES.items():
        totals[name] = {}
        for labels, value in series.get(_PREFIX + counter, {}).items():
            if wanted is None or wanted in labels:
                station = dict(labels)["station"]
                totals[name][station] = totals[name].get(station, 0.0) + value
    still_open = sum(series.get(_PREFIX + "associations_open", {}).values())
    return _Look(clock.monotonic(), totals, int(still_open))


def _picture(
    plan: Plan, ledger: Ledger, failures: int, before: _Look, now: _Look
) -> dict[str, Any]:
    """Everything that is shown, as `--format json` prints it."""
    places, moment = Places(plan.router.data_dir), Clock().now()
    running = is_running(places)
    backlog, account = ledger.backlog(), account_json(ledger.account())
    rates = {name: _per_second(before, now, name) for name in _RATES}
    stations = []
    for state in station_states(ledger, {*plan.stations, *backlog.oldest_waiting_at}):
        name = state["name"]
        since = backlog.oldest_waiting_at.get(name)
        stations.append(
            {
                **{key: state[key] for key in ("name", "status", "since", "queued", "reason")},
                "oldest_seconds": None if since is None else round(max(0.0, moment - since), 1),
                **{f"{rate}_per_second": rates[rate].get(name, 0.0) for rate in _RATES},
            }
        )
    return {
        "router": plan.router.name,
        "at": iso_time(moment),
        "running": running,
        "roles": {
            name: round(age, 1)
            for name, age in (published_ages(places.run) if running else {}).items()
        },
        "seconds": round(now.at - before.at, 1),
        "associations_open": now.associations_open if running else 0,
        **{f"{rate}_per_second": round(sum(rates[rate].values()), 2) for rate in _RATES},
        "account": {name: account[name] for name in _ACCOUNTED},
        "storage_free_bytes": shutil.disk_usage(places.data_dir).free,
        "stations": stations,
        "failures": [{**asdict(one), "at": iso_time(one.at)} for one in ledger.failures(failures)],
    }


def _per_second(before: _Look, now: _Look, name: str) -> dict[str, float]:
    """By station. A counter that fell belongs to a router that was started anew."""
    seconds = max(now.at - before.at, 0.001)
    return {
        station: round(max(0.0, total - before.totals[name].get(station, 0.0)) / seconds, 2)
        for station, total in now.totals[name].items()
    }
