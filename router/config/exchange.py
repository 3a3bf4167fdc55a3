"""Stations as JSON: the format `dicom-router/stations/v1`, written and read.

The format has what people exchange about DICOM stations; it never carries a secret. Every key is
always written, null where there is nothing. Read leniently: a key that is left out says nothing,
null or '' says there is none, `status*` is ignored, `isFileServer` is `isArchiveServer`. Anything
else unknown is refused with a hint, and all that is wrong is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from router.config.suggest import did_you_mean
from router.errors import ConfigError
from router.model.station import Station

SCHEMA: Final = "dicom-router/stations/v1"
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_STATIONS: Final = 10_000
_MAX_PROBLEMS: Final = 50
_MAX_SHOWN: Final = 80
_ALIASES: Final = {"isFileServer": "isArchiveServer"}
_TEXTS: Final = {
    "description": "description",
    "aeTitle": "ae_title",
    "ipAddressOrHostname": "host",
    "issuerOfPatientId": "issuer_of_patient_id",
    "characterSet": "character_set",
}
_SWITCHES: Final = {
    "active": "active",
    "isArchiveServer": "archive_server",
    "needIocmNotification": "iocm",
    "sendToStation": "send",
    "queryRetrieve": "query_retrieve",
    "sendOriginalPatientIdAndIssuer": "original_patient_id",
}
_KINDS: Final[dict[str, str]] = {
    "name": "a text",
    **dict.fromkeys(_TEXTS, "a text or null"),
    "port": "a whole number from 1 to 65535 or null",
    "enableTls": "true or false",
    "tlsProfile": "a text or null",
    **dict.fromkeys(_SWITCHES, "true or false"),
    "commit": 'true, false or "query"',
    "enableHeartbeat": "true or false",
    "heartbeatIntervalSeconds": "a number of seconds",
}

# A setting of a station by its path of YAML keys, such as ("heartbeat", "every").
Settings = dict[tuple[str, ...], Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file says of one station; None among the settings is a key that must not be there."""

    name: str
    settings: Settings


def station_json(station: Station) -> dict[str, Any]:
    """A DICOM station in the format, without its status."""
    every = station.heartbeat.every_seconds
    return {
        "name": station.name,
        "description": station.description or None,
        "aeTitle": station.ae_title,
        "ipAddressOrHostname": station.host or None,
        "port": station.port,
        "enableTls": station.tls is not None,
        "tlsProfile": station.tls,
        "active": station.active,
        "isArchiveServer": station.archive_server,
        "needIocmNotification": station.iocm,
        "enableHeartbeat": station.heartbeat.enabled,
        "heartbeatIntervalSeconds": int(every) if every == int(every) else round(every, 3),
        "sendToStation": station.send,
        "queryRetrieve": station.query_retrieve,
        "sendOriginalPatientIdAndIssuer": station.original_patient_id,
        "commit": "query" if station.commit == "query" else bool(station.commit),
        "issuerOfPatientId": station.issuer_of_patient_id or None,
        "characterSet": station.character_set or None,
    }


def document(stations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole file of these stations."""
    return {"schema": SCHEMA, "stations": list(stations)}


def current_settings(station: Station) -> Settings:
    """The settings a station has now, as a file that was exported this moment would say them."""
    return _settings(station_json(station))


def read_document(data: bytes) -> tuple[Wanted, ...]:
    """What a file wants. Raises ConfigError with everything that is wrong with it."""
    if len(data) > MAX_BYTES:
        raise ConfigError([f"the file is larger than {MAX_BYTES // 1024**2} MiB"])
    try:
        root = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError([f"{where}: no JSON: {error.msg}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(["the file is no UTF-8"]) from error
    except RecursionError as error:
        raise ConfigError(["the file is nested too deeply"]) from error
    except ValueError as error:
        raise ConfigError([f"no JSON: {error}"]) from error
    problems = iter(_problems(root))
    shown = list(islice(problems, _MAX_PROBLEMS))
    if shown:
        more = sum(1 for _ in problems)
        raise ConfigError([*shown, *([f"and {more} more"] if more else [])])
    return tuple(Wanted(each["name"], _settings(_named(each))) for each in root["stations"])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {_short(name)} is there twice in one object")
        found[name] = value
    return found


def _short(name: str) -> str:
    return repr(name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}…")


def _problems(root: Any) -> Iterable[str]:
    """Everything that is wrong, in order."""
    if not isinstance(root, dict):
        yield f'the file must be an object with "schema": "{SCHEMA}" and "stations"'
        return
    # What is not shown needs no hint: each looks through all keys.
    hints = iter(range(_MAX_PROBLEMS))
    for key in root.keys() - {"schema", "stations"}:
        yield _unknown(key, ("schema", "stations"), hints)
    if root.get("schema") != SCHEMA:
        yield f'"schema" must be "{SCHEMA}"'
    stations = root.get("stations")
    if not isinstance(stations, list):
        yield '"stations" must be a list'
        return
    if len(stations) > MAX_STATIONS:
        yield f"{len(stations)} stations are more than the {MAX_STATIONS} one file may bring"
        return
    seen: set[str] = set()
    for number, each in enumerate(stations):
        where = f"stations[{number}]"
        if not isinstance(each, dict):
            yield f"{where} must be an object"
            continue
        name = each.get("name")
        if not isinstance(name, str) or not name:
            yield f"{where} needs a name"
        else:
            where = f"{where} ({_short(name)})"
            if name in seen:
                yield f"{where}: this name is there twice"
            seen.add(name)
        yield from (f"{where}: {problem}" for problem in _problems_of(each, hints))


def _problems_of(each: Mapping[str, Any], hints: Iterator[int]) -> Iterable[str]:
    for key, value in each.items():
        known = _ALIASES.get(key, key)
        if known.startswith("status"):
            continue
        if known not in _KINDS:
            yield _unknown(key, (*_KINDS, *_ALIASES), hints)
        elif key in _ALIASES and known in each and each[known] != value:
            yield f"{key!r} and {known!r} say different things"
        elif not _is_kind(known, value):
            yield f"{key} must be {_KINDS[known]}"
    if each.get("enableTls") is True and "tlsProfile" in each and not each["tlsProfile"]:
        yield "enableTls is true, but tlsProfile names none"


def _unknown(key: str, known: tuple[str, ...], hints: Iterator[int]) -> str:
    hint = did_you_mean(key, known) if next(hints, None) is not None else ""
    return f"unknown key {_short(key)}" + (f"; {hint}" if hint else "")


def _is_kind(key: str, value: Any) -> bool:
    if key == "name":
        return isinstance(value, str)
    if key in _TEXTS or key == "tlsProfile":
        return value is None or isinstance(value, str)
    if key == "port":
        return value is None or (type(value) is int and 1 <= value <= 65535)
    if key == "heartbeatIntervalSeconds":
        return type(value) in (int, float) and 0.001 <= value < 1e9
    if key == "commit" and value == "query":
        return True
    return isinstance(value, bool)


def _named(each: Mapping[str, Any]) -> dict[str, Any]:
    return {_ALIASES.get(key, key): value for key, value in each.items()}


def _settings(each: Mapping[str, Any]) -> Settings:
    """The YAML settings of one station of the file."""
    found: Settings = {}
    for key, yaml_key in _TEXTS.items():
        if key in each:
            text = each[key] or None
            found[yaml_key,] = text.strip(" ") if text and yaml_key == "ae_title" else text
    if "port" in each:
        found["port",] = each["port"]
    if each.get("enableTls") is False:
        found["tls",] = None
    elif each.get("tlsProfile"):
        found["tls",] = each["tlsProfile"]
    found.update({(_SWITCHES[key],): each[key] for key in _SWITCHES if key in each})
    if "commit" in each:
        found["commit",] = each["commit"]
    if "enableHeartbeat" in each:
        found["heartbeat", "enabled"] = each["enableHeartbeat"]
    if "heartbeatIntervalSeconds" in each:
        found["heartbeat", "every"] = _duration(each["heartbeatIntervalSeconds"])
    return found


def _duration(seconds: float) -> str:
    """The shortest way to write it: `10m`, `90s`, `0.5s`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{int(seconds) // length}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
