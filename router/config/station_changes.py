"""What a wish about stations does to the files of a folder, compiled before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.config.edit import Unwritable, edited, new_station
from router.config.exchange import Settings, Wanted, current_settings
from router.config.load import Loaded, load_texts
from router.config.plugged import Plugs
from router.errors import ConfigError
from router.model.plan import Plan
from router.model.station import Station

# A setting may bring another with it, as a port brings the heartbeat; more would be a circle.
_MOST_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class StationChange:
    """What changes about one station: by YAML key, from what to what."""

    station: str
    is_new: bool
    keys: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Changed:
    """The folder as it would be: the texts that differ, by relative path, and what they come to.

    `loaded.plan` is None when the change cannot be; its problems say why.
    """

    changes: tuple[StationChange, ...]
    texts: Mapping[str, str]
    loaded: Loaded


def change_stations(
    before: Loaded, folder: Path, plugs: Plugs, wanted: Sequence[Wanted]
) -> Changed:
    """The folder with these wishes in it. Raises ConfigError (Unwritable) when they cannot be."""
    assert before.plan is not None
    plan = before.plan
    originals = {source.relative: source.text for source in before.sources}
    texts = dict(originals)
    loaded = before
    for _ in range(_MOST_ROUNDS):
        differing = _differing(loaded.plan, wanted)
        if not differing:
            break
        _write(differing, loaded, texts)
        loaded = load_texts(texts, folder, plugs)
        if loaded.plan is None:
            break
    else:
        names = ", ".join(_differing(loaded.plan, wanted))
        raise Unwritable([f"{names}: not every setting can be written as it is wanted"])
    changes = [each for each in _changes(plan, wanted) if each.is_new or each.keys]
    different = {path: text for path, text in texts.items() if originals.get(path) != text}
    return Changed(tuple(changes), different, loaded)


def _differing(plan: Plan | None, wanted: Iterable[Wanted]) -> dict[str, Settings]:
    """What is not yet as it is wanted, by station."""
    found: dict[str, Settings] = {}
    for each in wanted:
        station = plan.stations.get(each.name) if plan else None
        if station is not None and station.kind != "dicom":
            raise ConfigError([f"{each.name} is a {station.kind} station: JSON is for DICOM ones"])
        now = current_settings(station or Station(each.name, "dicom"))
        differing = {path: value for path, value in each.settings.items() if now.get(path) != value}
        if station is None and ("ae_title",) not in differing:
            raise ConfigError([f"{each.name} is new and needs an aeTitle"])
        if differing:
            found[each.name] = differing
    return found


def _write(differing: Mapping[str, Settings], loaded: Loaded, texts: dict[str, str]) -> None:
    plan = loaded.plan
    by_shown = {source.shown: source.relative for source in loaded.sources}
    by_file: dict[str, dict[str, Settings]] = {}
    for name, settings in differing.items():
        station = plan.stations.get(name) if plan else None
        if station is None:
            given = {path: value for path, value in settings.items() if value is not None}
            texts[_file_of(name, texts)] = new_station(name, given)
        elif station.place is not None:
            by_file.setdefault(by_shown[station.place.file], {})[name] = settings
    for path, changes in by_file.items():
        try:
            texts[path] = edited(texts[path], changes)
        except Unwritable as error:
            raise Unwritable([f"{path}: {problem}" for problem in error.problems]) from error


def _file_of(name: str, texts: Mapping[str, str]) -> str:
    """A file for a station of that name: never hidden, no rule tests, no file there is already."""
    safe = "".join(
        each if each == "_" or (each.isascii() and each.isalnum()) else "-" for each in name
    )[:64]
    path, number = f"stations/{safe}.yaml", 1
    while path in texts:
        number += 1
        path = f"stations/{safe}-{number}.yaml"
    return path


def _changes(plan: Plan, wanted: Iterable[Wanted]) -> Iterable[StationChange]:
    for each in wanted:
        station = plan.stations.get(each.name)
        now = current_settings(station or Station(each.name, "dicom"))
        keys = {
            ".".join(path): (now.get(path), value)
            for path, value in each.settings.items()
            if now.get(path) != value
        }
        yield StationChange(each.name, station is None, keys)
