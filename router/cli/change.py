"""`plan`: the folder against the running router, and what it would have done with what arrived."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import (
    EXIT_PENDING,
    config_folder,
    config_option,
    emit_json,
    format_option,
    iso_time,
    table,
)
from router.cli.plan import load_or_exit, shown_mapping_key
from router.clock import Clock
from router.config.diff import Difference, compare
from router.config.last_good import load_last_good
from router.config.load import Loaded
from router.flow.forecast import EVICTED, Forecast, StudyChange, forecast
from router.flow.replay import Replay
from router.model.plan import Plan
from router.plugs import all_plugs, morphs_by_name
from router.serve.places import Places, is_running
from router.serve.stores import open_journal, open_ledger

DAY_SECONDS: Final = 86_400.0
_SIGNS: Final = {"added": "+", "changed": "~", "removed": "-"}


@click.command()
@config_option
@format_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=None,
    help="The running router's data directory; else the one the folder names.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0, max=36_500),
    default=7.0,
    show_default=True,
    help="Replay what arrived in so many days; 0 replays nothing.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=100_000),
    default=50,
    show_default=True,
    help="Rows of each table; the rest is counted.",
)
def plan(config: Path | None, form: str, data_dir: Path | None, days: float, limit: int) -> int:
    """Say what would change if the folder as it is now were taken into use.

    Exit 0 when nothing changes, 2 when something does, 1 when the folder has errors.
    """
    candidate = load_or_exit(config_folder(config))
    assert candidate.plan is not None
    places = Places(data_dir or candidate.plan.router.data_dir)
    running = load_last_good(places.data_dir, all_plugs())
    differences = _differences(running, candidate)
    told: Forecast | None = None
    since = time.time() - days * DAY_SECONDS
    if differences and days and running is not None and running.plan is not None:
        told = _replay(running.plan, candidate.plan, places, since, limit)
    if form == "json":
        emit_json(_as_json(running, candidate, places, differences, told, since, limit))
    else:
        click.echo(_as_text(running, candidate, places, differences, told, since, limit))
    return EXIT_PENDING if differences else 0


def _differences(running: Loaded | None, candidate: Loaded) -> tuple[Difference, ...]:
    """In the words of the files; also where the kept texts do not compile in this version."""
    if running is None:
        return compare((), candidate.sources)
    if _digest(running) == _digest(candidate):
        return ()
    return compare(running.sources, candidate.sources)


def _digest(loaded: Loaded | None) -> str:
    return loaded.plan.digest if loaded is not None and loaded.plan is not None else ""


def _replay(
    running: Plan, candidate: Plan, places: Places, since: float, limit: int
) -> Forecast | None:
    if not places.ledger.exists():
        return None
    clock = Clock()
    ledger = open_ledger(places, clock, "plan", read_only=True)
    journal = open_journal(places, running, clock)
    try:
        key = new_key = shown_mapping_key(running)
        if candidate.router.mapping_key != running.router.mapping_key:
            new_key = shown_mapping_key(candidate)
        replay = Replay((running, key), (candidate, new_key), morphs_by_name())
        return forecast(replay, journal, ledger, since, limit, _show_progress)
    finally:
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        journal.close()
        ledger.close()


def _show_progress(seen: int) -> None:
    """Whoever waits at a terminal sees that it goes on; a pipe gets nothing."""
    if sys.stderr.isatty():
        click.echo(f"\rreplaying: {seen} instances", nl=False, err=True)


def _as_json(
    running: Loaded | None,
    candidate: Loaded,
    places: Places,
    differences: tuple[Difference, ...],
    told: Forecast | None,
    since: float,
    limit: int,
) -> dict[str, Any]:
    return {
        "running": {"plan": _digest(running) or None, "is_running": is_running(places)},
        "candidate": {"plan": _digest(candidate)},
        "changes": [
            {
                "kind": one.kind,
                "path": one.path,
                "before": one.before or None,
                "after": one.after or None,
            }
            for one in differences
        ],
        "replay": None if told is None else _replay_json(told, since, limit),
    }


def _replay_json(told: Forecast, since: float, limit: int) -> dict[str, Any]:
    attributes = list(told.attributes.values())
    return {
        "since": iso_time(since),
        "replayed": told.replayed,
        "changed": told.changed,
        "not_replayed": dict(told.not_replayed),
        "outcomes": {"before": dict(told.outcomes_before), "after": dict(told.outcomes_after)},
        "becomes_unmatched": told.becomes_unmatched,
        "stations": {
            name: {
                "deliveries_before": load.deliveries_before,
                "deliveries_after": load.deliveries_after,
                "bytes_before": load.bytes_before,
                "bytes_after": load.bytes_after,
            }
            for name, load in sorted(told.stations.items())
        },
        "studies": [
            {
                "study_instance_uid": study.study_instance_uid,
                "from": sorted(study.sources),
                "instances": study.instances,
                "changed": study.changed,
                "routes": [
                    {"before": before, "after": after, "instances": count}
                    for (before, after), count in study.routes.most_common()
                ],
                "attributes": sorted(study.attributes),
            }
            for study in told.studies
        ],
        "attributes": [
            {
                "station": one.station,
                "tag": one.tag,
                "keyword": one.keyword,
                "instances": one.instances,
                "before": one.before,
                "after": one.after,
            }
            for one in attributes[:limit]
        ],
        "quarantined": [
            {"station": station, "reason": reason, "deliveries": count}
            for (station, reason), count in told.failures.most_common(limit)
        ],
        "beyond_limit": _beyond(told, limit),
    }


def _beyond(told: Forecast, limit: int) -> dict[str, int]:
    """How many rows of each table are counted and not shown."""
    return {
        "studies": told.beyond["studies"],
        "attributes": told.beyond["attributes"] + max(0, len(told.attributes) - limit),
        "quarantined": told.beyond["failures"] + max(0, len(told.failures) - limit),
    }


def _as_text(
    running: Loaded | None,
    candidate: Loaded,
    places: Places,
    differences: tuple[Difference, ...],
    told: Forecast | None,
    since: float,
    limit: int,
) -> str:
    name = _digest(candidate)[:12]
    if not differences:
        return f"nothing changes: the folder is plan {name}, which ran last"
    if running is None:
        lines = [f"nothing ran in {places.data_dir} yet: all of plan {name} is new"]
    else:
        verb = "runs" if is_running(places) else "ran last"
        was = _digest(running)[:12] or "(does not compile in this version)"
        lines = [f"plan {was} {verb}, the folder is plan {name}"]
    for one in differences:
        what = " → ".join(part for part in (one.before, one.after) if part)
        lines.append(f"  {_SIGNS[one.kind]} {one.path}  {what}")
    if told is None:
        lines.append("nothing was replayed")
    else:
        lines += _replay_text(told, since, limit)
    return "\n".join(lines)


def _replay_text(told: Forecast, since: float, limit: int) -> list[str]:
    missing = ", ".join(f"{count} {why}" for why, count in sorted(told.not_replayed.items()))
    lines = [
        "",
        f"replayed {told.replayed} instances since {iso_time(since)}: {told.changed} change"
        + (f"; not replayed: {missing}" if missing else ""),
    ]
    if gone := told.not_replayed[EVICTED]:
        lines.append(
            f"of {gone} instances the bytes are not here any more: what becomes of their like is "
            "not foretold"
        )
    rows = [["OUTCOME", "BEFORE", "AFTER"]]
    for outcome in sorted({*told.outcomes_before, *told.outcomes_after}):
        before, after = told.outcomes_before[outcome], told.outcomes_after[outcome]
        rows.append([outcome, str(before), str(after)])
    lines += ["", table(rows)]
    if told.becomes_unmatched:
        lines.append(f"{told.becomes_unmatched} instances become unmatched")
    if told.stations:
        rows = [["STATION", "DELIVERIES", "AFTER", "BYTES", "AFTER"]]
        for name, load in sorted(told.stations.items()):
            counts = (load.deliveries_before, load.deliveries_after)
            rows.append([name, *map(str, (*counts, load.bytes_before, load.bytes_after))])
        lines += ["", table(rows)]
    if told.studies:
        rows = [["STUDY", "FROM", "CHANGE", "NOW", "THEN"]]
        for study in told.studies:
            rows += _study_rows(study)
        lines += ["", table(rows)]
    if told.attributes:
        rows = [["STATION", "ATTRIBUTE", "INSTANCES", "NOW", "THEN"]]
        for one in list(told.attributes.values())[:limit]:
            name = f"{one.tag} {one.keyword}".rstrip()
            rows.append([one.station, name, str(one.instances), one.before, one.after])
        lines += ["", table(rows)]
    for (station, reason), count in told.failures.most_common(limit):
        lines.append(f"{count} deliveries to {station} would be quarantined: {reason}")
    beyond = _beyond(told, limit).items()
    lines += [f"and {count} more {name}" for name, count in beyond if count]
    return lines


def _study_rows(study: StudyChange) -> list[list[str]]:
    sources = ", ".join(sorted(study.sources))
    routes = [
        [study.study_instance_uid, sources, f"{count}/{study.instances}", before, after]
        for (before, after), count in study.routes.most_common()
    ]
    if routes:
        return routes
    changes = f"{study.changed}/{study.instances}"
    return [[study.study_instance_uid, sources, changes, "as before", "other values"]]
