"""`tap`: what passes, live: a line for each instance, delivery, association and change of a station.

The roles of the running router tell it as it happens; nothing is asked of the ledger, and nothing
waits for a terminal that is slow.
"""

from __future__ import annotations

import fnmatch
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import config_folder, config_option, format_option, interrupt
from router.cli.plan import plan_in_use
from router.clock import Clock, iso_time
from router.serve.places import Places, is_running
from router.store.keys import KeyRing
from router.telemetry.log import escaped
from router.telemetry.tap import Listener

KINDS: Final = ("association", "instance", "delivery", "station", "log")
_SLICE_SECONDS: Final = 0.2
_INDENT: Final = 10
_WELL: Final = frozenset({"routed", "delivered", "discarded", "duplicate"})
_ASSOCIATION: Final = ("association", "connection", "operation", "store_fault", "accept_failed")
_STATION: Final = ("station status", "probe failed")


@dataclass(frozen=True, slots=True)
class _Wanted:
    kinds: frozenset[str]
    stations: tuple[str, ...]
    failed: bool

    def takes(self, kind: str, event: Mapping[str, Any]) -> bool:
        """Whether the event is to be shown."""
        if self.kinds and kind not in self.kinds:
            return False
        if self.failed and not _has_failed(event):
            return False
        named = [str(event.get("station") or "-"), *map(str, event.get("to", ()))]
        return not self.stations or any(
            fnmatch.fnmatchcase(name, pattern) for name in named for pattern in self.stations
        )


@click.command()
@config_option
@format_option
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this; again.")
@click.option(
    "--station", "stations", multiple=True, help="Only of this one; * and ? match; again."
)
@click.option("--failed", is_flag=True, help="Only what did not go well.")
@click.option("--phi", is_flag=True, help="With patient IDs, accession numbers and UIDs.")
@click.option("--limit", type=click.IntRange(1), default=None, help="End after so many lines.")
@click.option("--seconds", type=click.FloatRange(0.1), default=None, help="End after so long.")
def tap(
    config: Path | None,
    form: str,
    kinds: tuple[str, ...],
    stations: tuple[str, ...],
    limit: int | None,
    seconds: float | None,
    *,
    failed: bool,
    phi: bool,
) -> int:
    """Watch what passes: instances, deliveries, associations, stations. Ctrl-C ends it.

    No patient is named without --phi, which asks for the right to read the key ring, and which the
    router's log tells of. With --format json each line is one object.
    """
    places = Places(plan_in_use(config_folder(config)).router.data_dir)
    if not is_running(places):
        raise click.ClickException(f"no router runs with {places.data_dir}")
    if phi:
        KeyRing.open(places.keys)  # raises StoreDown for whoever may not read the images either
    wanted, clock, shown = _Wanted(frozenset(kinds), stations, failed), Clock(), 0
    until = None if seconds is None else clock.monotonic() + seconds
    try:
        with interrupt() as wish, Listener(places.run, identifying=phi) as listener:
            while not wish.is_set() and (until is None or clock.monotonic() < until):
                for event in listener.told(_SLICE_SECONDS):
                    if missed := event.pop("missed", 0):
                        print(f"{missed} events missed: too slow here", file=sys.stderr)
                    kind = kind_of(event)
                    if not wanted.takes(kind, event):
                        continue
                    _show(form, {"at": iso_time(clock.now()), "kind": kind, **event})
                    shown += 1
                    if shown == limit:
                        return 0
                if not is_running(places):
                    print("the router has ended", file=sys.stderr)
                    return 0
    except PermissionError as error:
        raise click.ClickException(f"{places.run}: {error.strerror}") from error
    return 0


def kind_of(event: Mapping[str, Any]) -> str:
    """The kind of an event, by its words."""
    name = str(event["event"])
    if name in KINDS:
        return name
    if name.startswith(_ASSOCIATION):
        return "association"
    return "station" if name.startswith(_STATION) else "log"


def _has_failed(event: Mapping[str, Any]) -> bool:
    outcome = event.get("outcome")
    if outcome is not None:
        return outcome not in _WELL
    return event.get("level") in {"warning", "error"} or event.get("status") == "offline"


def _show(form: str, event: dict[str, Any]) -> None:
    if form == "json":
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    kind, name = event.pop("kind"), event.pop("event")
    station, outcome = event.pop("station", None) or "-", event.pop("outcome", None)
    to = event.pop("to", None)
    route = f"{station} → {', '.join(to) or '-'}" if to is not None else station
    facts = {key: value for key, value in event.items() if value not in (None, "", [])}
    at = facts.pop("at")
    if kind != "log":
        facts.pop("role", None)
    rest = [f"{key}={escaped(_words(value))}" for key, value in facts.items()]
    told = f"{kind:11}  {_plain(route)}  {outcome or name}"
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        print("\n".join(wrapped(f"{at[11:19]}  {told}", rest, width)), flush=True)
    else:
        print(f"{at}  {told}  {' '.join(rest)}".rstrip(), flush=True)


def wrapped(head: str, rest: Iterable[str], width: int) -> list[str]:
    """One event for a terminal: what does not fit goes on below, set in, so that events stand out."""
    lines = [head]
    for one in rest:
        if len(lines[-1]) + 2 + len(one) <= width:
            lines[-1] += f"  {one}"
        else:
            lines.append(f"{' ' * _INDENT}{one}")
    return lines


def _plain(text: str) -> str:
    """Names of the configuration as they are, and nothing that moves a cursor."""
    return text if text.isprintable() else escaped(text)


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
