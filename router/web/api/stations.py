"""Stations: list, show, test, switch, exchange as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from router.clock import iso_time
from router.config.exchange import MAX_BYTES, Wanted, document, read_document, station_json
from router.config.suggest import did_you_mean
from router.flow.told import described_stations, effective_settings, probe_json, station_states
from router.model.station import Station
from router.web.api.call import (
    Body,
    Call,
    Endpoint,
    Parameter,
    Reply,
    Wrong,
    flag,
    many,
    maybe,
    record,
    text,
)
from router.web.api.folder import change, folder_etag, loaded
from router.web.reach import reach_of, reaches
from router.web.services import Services

_CHANGES: Final = 500


def known(services: Services, call: Call, name: str) -> Station:
    """The station of that name, of those that who asks may see. Raises Wrong 404 with a hint."""
    stations = reach_of(services.plan, call.identity)
    station = services.plan.stations.get(name)
    if station is None or not reaches(stations, name):
        hint = did_you_mean(name, services.plan.stations if stations is None else stations)
        raise Wrong(404, f"there is no station {name!r}; {hint}")
    return station


def list_stations(services: Services, call: Call) -> dict[str, Any]:
    """Stations as they are configured and as they are, by name; all, or those that were asked for."""
    stations = reach_of(services.plan, call.identity)
    found = [
        one
        for one in described_stations(services.plan, services.ledger)
        if reaches(stations, one["name"]) and _is_wanted(one, call.query)
    ]
    found = found[: call.query.get("limit") or len(found)]
    for one in found:
        station = services.plan.stations.get(one["name"])
        one["description"] = station.description if station else ""
    return {"stations": found}


def _is_wanted(one: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    prefix, whose = (query.get("prefix") or "").casefold(), query.get("organization")
    names = (one["name"], one["ae_title"] or "")
    is_begun = not prefix or any(name.casefold().startswith(prefix) for name in names)
    return is_begun and whose in {None, "", one["organization"]}


def show_station(services: Services, call: Call) -> Reply:
    """One station, its changes of status; the entity tag is that of the configuration."""
    station = known(services, call, call.path["name"])
    found = described_stations(services.plan, services.ledger)
    one = next(each for each in found if each["name"] == station.name)
    events = services.ledger.station_events(station.name, _CHANGES)
    data = {
        "station": {**one, "description": station.description},
        "settings": station_json(station) if station.kind == "dicom" else None,
        "effective": effective_settings(station),
        "changes": [
            {"at": iso_time(each.at), "status": each.state, "reason": each.reason}
            for each in events
        ],
    }
    return Reply(data, etag=folder_etag(loaded(services).sources))


def test_station(services: Services, call: Call) -> dict[str, Any]:
    """Ask for a sign of life now: latency and the exact answer."""
    station = known(services, call, call.path["name"])
    peer = services.make_peer(station)
    try:
        probe = peer.probe()
    finally:
        peer.close()
    return probe_json(station.name, probe)


def enable(services: Services, call: Call) -> dict[str, Any]:
    """`active: true` in its YAML."""
    return _switch(services, call, active=True)


def disable(services: Services, call: Call) -> dict[str, Any]:
    """`active: false`: no association either way, what it is owed waits."""
    return _switch(services, call, active=False)


def _switch(services: Services, call: Call, *, active: bool) -> dict[str, Any]:
    station = known(services, call, call.path["name"])
    wanted = [Wanted(station.name, {("active",): active})]
    return change(services, wanted, call.if_match, write=True)


def export(services: Services, call: Call) -> dict[str, Any]:
    """Stations in the exchange format; no secret is in it."""
    names = [one for one in (call.query["names"] or "").split(",") if one]
    stations = reach_of(services.plan, call.identity)
    every = sorted(services.plan.stations if stations is None else stations)
    chosen = [known(services, call, name) for name in names or every]
    found = [station_json(one) for one in chosen if one.kind == "dicom"]
    states = {one["name"]: one for one in station_states(services.ledger, services.plan.stations)}
    for one in found:
        state = states[one["name"]]
        if state["checked"] is not None:
            one["status"], one["statusCheckedAt"] = state["status"], state["checked"]
    return document(found)


def import_stations(services: Services, call: Call) -> dict[str, Any]:
    """Show what would change; with `write` it is written as YAML and taken into use."""
    wanted = read_document(json.dumps(call.body).encode())
    return change(services, wanted, call.if_match, write=call.query["write"])


_STATION: Final = record({"name": text("Its name."), "status": text("online, offline, unknown.")},
                         open_ended=True)  # fmt: skip
_CHANGED: Final = record(
    {
        "state": text("unchanged, pending, applied, written, refused or patch."),
        "problems": text("Why the running router refuses it."),
        "patch": text("The change, where the folder is a release."),
        "changes": many(record({}, open_ended=True)),
    }
)
_PROBE: Final = record(
    {
        "station": text("Its name."),
        "ok": flag("Whether it answered."),
        "seconds": {"type": "number"},
        "message": text("Its exact answer."),
    }
)
_PREFIX: Final = Parameter(
    "prefix", {"type": "string"}, "Only those whose name or AE title begins so, in either case."
)
_WHOSE: Final = Parameter("organization", {"type": "string"}, "Only those of this organization.")
_MOST: Final = Parameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": 500}, "Most of them, by name; all."
)
_NAMES: Final = Parameter("names", {"type": "string"}, "Only these, with commas between.")
_WRITE: Final = Parameter(
    "write", {"type": "boolean", "default": False}, "Write it; else it is only shown."
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/stations", "read", "Stations and how they are.", list_stations,
        record({"stations": many(_STATION)}), parameters=(_PREFIX, _WHOSE, _MOST), within=True,
    ),
    Endpoint("GET", "/stations/export", "read", "Stations in the exchange format.", export,
             record({"schema": text("The format."), "stations": many(record({}, open_ended=True))}),
             parameters=(_NAMES,), within=True),
    Endpoint(
        "POST", "/stations/import", "configure", "Take stations from the exchange format.",
        import_stations, _CHANGED, parameters=(_WRITE,), acts=True,
        body=Body("A document of `/stations/export`, or one station of it.", most_bytes=MAX_BYTES),
    ),
    Endpoint(
        "GET", "/stations/{name}", "read", "One station: settings, status and its history.",
        show_station,
        record({"station": _STATION, "settings": maybe(record({}, open_ended=True)),
                "effective": many(record({"key": text("As in the files, such as heartbeat.every."),
                                          "value": text("What holds."),
                                          "from": text("An organization, defaults, or station."),
                                          "written_in": text("File and line.")})),
                "changes": many(record({}, open_ended=True))}), within=True,
    ),
    Endpoint("POST", "/stations/{name}/test", "operate", "Ask for a sign of life now.",
             test_station, _PROBE, within=True),
    Endpoint("POST", "/stations/{name}/enable", "configure", "Speak with it again.", enable,
             _CHANGED, acts=True, needs_match=True),
    Endpoint("POST", "/stations/{name}/disable", "configure", "Speak with it no more.", disable,
             _CHANGED, acts=True, needs_match=True),
)  # fmt: skip
