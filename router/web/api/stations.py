"""Stations: list, show, test, switch, exchange as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from router.clock import iso_time
from router.config.exchange import MAX_BYTES, Wanted, document, read_document, station_json
from router.config.suggest import did_you_mean
from router.flow.told import described_stations, station_states
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
from router.web.services import Services

_CHANGES: Final = 500


def known(services: Services, name: str) -> Station:
    """The station of that name. Raises Wrong 404 with what was probably meant."""
    station = services.plan.stations.get(name)
    if station is None:
        hint = did_you_mean(name, services.plan.stations)
        raise Wrong(404, f"there is no station {name!r}; {hint}")
    return station


def list_stations(services: Services, _call: Call) -> dict[str, Any]:
    """Every station as it is configured and as it is."""
    found = described_stations(services.plan, services.ledger)
    for one in found:
        station = services.plan.stations.get(one["name"])
        one["description"] = station.description if station else ""
    return {"stations": found}


def show_station(services: Services, call: Call) -> Reply:
    """One station, its changes of status; the entity tag is that of the configuration."""
    station = known(services, call.path["name"])
    found = described_stations(services.plan, services.ledger)
    one = next(each for each in found if each["name"] == station.name)
    events = services.ledger.station_events(station.name, _CHANGES)
    data = {
        "station": {**one, "description": station.description},
        "settings": station_json(station) if station.kind == "dicom" else None,
        "changes": [
            {"at": iso_time(each.at), "status": each.state, "reason": each.reason}
            for each in events
        ],
    }
    return Reply(data, etag=folder_etag(loaded(services).sources))


def test_station(services: Services, call: Call) -> dict[str, Any]:
    """Ask for a sign of life now: latency and the exact answer."""
    station = known(services, call.path["name"])
    peer = services.make_peer(station)
    try:
        probe = peer.probe()
    finally:
        peer.close()
    return {
        "station": station.name,
        "ok": probe.ok,
        "seconds": round(probe.seconds, 4),
        "message": probe.message,
    }


def enable(services: Services, call: Call) -> dict[str, Any]:
    """`active: true` in its YAML."""
    return _switch(services, call, active=True)


def disable(services: Services, call: Call) -> dict[str, Any]:
    """`active: false`: no association either way, what it is owed waits."""
    return _switch(services, call, active=False)


def _switch(services: Services, call: Call, *, active: bool) -> dict[str, Any]:
    station = known(services, call.path["name"])
    wanted = [Wanted(station.name, {("active",): active})]
    return change(services, wanted, call.if_match, write=True)


def export(services: Services, call: Call) -> dict[str, Any]:
    """Stations in the exchange format; no secret is in it."""
    names = [one for one in (call.query["names"] or "").split(",") if one]
    chosen = [known(services, name) for name in names or sorted(services.plan.stations)]
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
_NAMES: Final = Parameter("names", {"type": "string"}, "Only these, with commas between.")
_WRITE: Final = Parameter(
    "write", {"type": "boolean", "default": False}, "Write it; else it is only shown."
)
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/stations", "read", "Every station and how it is.", list_stations,
        record({"stations": many(_STATION)}),
    ),
    Endpoint("GET", "/stations/export", "read", "Stations in the exchange format.", export,
             record({"schema": text("The format."), "stations": many(record({}, open_ended=True))}),
             parameters=(_NAMES,)),
    Endpoint(
        "POST", "/stations/import", "configure", "Take stations from the exchange format.",
        import_stations, _CHANGED, parameters=(_WRITE,), acts=True,
        body=Body("A document of `/stations/export`, or one station of it.", most_bytes=MAX_BYTES),
    ),
    Endpoint(
        "GET", "/stations/{name}", "read", "One station: settings, status and its history.",
        show_station,
        record({"station": _STATION, "settings": maybe(record({}, open_ended=True)),
                "changes": many(record({}, open_ended=True))}),
    ),
    Endpoint("POST", "/stations/{name}/test", "operate", "Ask for a sign of life now.",
             test_station, _PROBE),
    Endpoint("POST", "/stations/{name}/enable", "configure", "Speak with it again.", enable,
             _CHANGED, acts=True, needs_match=True),
    Endpoint("POST", "/stations/{name}/disable", "configure", "Speak with it no more.", disable,
             _CHANGED, acts=True, needs_match=True),
)  # fmt: skip
