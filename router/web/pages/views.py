"""What the pages show and do, in terms of the API's own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from router.flow.reject import WORDS
from router.flow.told import fetches_of
from router.model.station import Station
from router.telemetry.audit_message import EVENTS, laid_out
from router.web.api import (
    audit,
    cache,
    configuration,
    deployment,
    remote,
    rules,
    stations,
    status,
    studies,
    tasks,
    verifications,
)
from router.web.api.call import Call, Endpoint, Reply, Wrong
from router.web.api.dispatch import answer
from router.web.api.endpoints import ENDPOINTS
from router.web.api.organizations import organizations_of
from router.web.pages.form import Form
from router.web.reach import reach_of, reaches
from router.web.services import Services

_BY_NAME: Final[dict[tuple[str, str], Endpoint]] = {
    (one.method, one.path): one for one in ENDPOINTS
}
_ROWS: Final = 50
_SUGGESTED: Final = 50
_CHANGES: Final = 500


def asked(services: Services, call: Call, method: str, where: str, /, **more: Any) -> Reply:
    """What an endpoint answers to this visitor. Raises Wrong."""
    endpoint = _BY_NAME[method, where]
    defaults = {one.name: one.schema.get("default") for one in endpoint.parameters}
    query = defaults | more.pop("query", {})
    return answer(endpoint, services, replace(call, query=query, **more))


def overview(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """Health, balance, rates, stations, what failed last."""
    failed = asked(services, call, "GET", "/tasks", query={"status": "Failed", "limit": 5})
    is_limited = call.identity.is_limited
    return {
        "status": status.status(services, call),
        "account": None if is_limited else status.account(services, call),
        "rates": None if is_limited else status.rates(services, call),
        "stations": asked(services, call, "GET", "/stations").data["stations"],
        "failed": failed.data["tasks"],
        "in_sync": _in_sync(services),
    }


def _in_sync(services: Services) -> bool:
    reload = services.running.reload()
    return reload is None or reload["state"] != "refused"


def list_stations(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """Every station, with its day."""
    found = asked(services, call, "GET", "/stations").data
    names = [one["name"] for one in found["stations"]]
    return {
        **found,
        "strips": {name: _strip(services, name) for name in names},
        "now": services.clock.now(),
    }


def _strip(services: Services, name: str) -> list[tuple[float, str]]:
    """Since when the station had which status, latest first."""
    return [(one.at, one.state) for one in services.ledger.station_events(name, _CHANGES)]


def show_station(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """One station with its day and its last tasks."""
    reply = stations.show_station(services, call)
    query = {"station": call.path["name"], "limit": 10}
    recent = asked(services, call, "GET", "/tasks", query=query)
    return {
        **reply.data,
        "etag": reply.etag,
        "tasks": recent.data["tasks"],
        "strip": _strip(services, call.path["name"]),
        "now": services.clock.now(),
    }


def list_tasks(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """The Task Log; its filters are in the address."""
    wanted = {
        "status": call.query.get("status") or None,
        "station": call.query.get("station") or None,
        "direction": call.query.get("direction") or None,
        "cursor": call.query.get("cursor") or None,
        "limit": _ROWS,
    }
    if wanted["status"] not in {None, *tasks.STATUSES}:
        raise Wrong(400, "there is no such status")
    if wanted["direction"] not in {None, *tasks.DIRECTIONS}:
        raise Wrong(400, "there is no such direction")
    found = asked(services, call, "GET", "/tasks", query=wanted)
    return {
        **found.data,
        "filters": wanted,
        "statuses": tasks.STATUSES,
        "directions": tasks.DIRECTIONS,
        "names": sorted(_in_reach(services, call)),
    }


def _in_reach(services: Services, call: Call) -> dict[str, Station]:
    """The stations that the visitor may see, by name."""
    reach = reach_of(services.plan, call.identity)
    return {name: one for name, one in services.plan.stations.items() if reaches(reach, name)}


def _offered(
    services: Services, call: Call, form: Form, is_fit: Callable[[Station], bool]
) -> dict[str, Any]:
    """The organization that is chosen, what else begins as is typed, and its stations that are fit.

    Without an organization there is no station to choose; the only one there is is chosen.
    """
    able = [one for one in _in_reach(services, call).values() if is_fit(one)]
    whose = {one.organization for one in able}
    names = [one for one in organizations_of(services.plan, call.identity) if one in whose]
    typed = form.text("organization") or call.query.get("organization") or ""
    if not typed and len(names) == 1:
        typed = names[0]
    begun = [one for one in names if one.casefold().startswith(typed.casefold())]
    prefix = (form.text("station") or call.query.get("station") or "").casefold()
    theirs = sorted(one.name for one in able if one.organization == typed)
    return {
        "organization": typed,
        "organizations": (names if typed in names else begun)[:_SUGGESTED],
        "able": bool(able),
        "devices": [one for one in theirs if one.casefold().startswith(prefix)][:_SUGGESTED],
    }


def show_task(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """One task with its deliveries."""
    return tasks.show_task(services, call)


def list_studies(services: Services, call: Call, form: Form) -> dict[str, Any]:
    """Studies; what names a patient is searched for in a body, never in an address."""
    names = ("patient_name", "patient_id", "accession_number", "study_date", "modality", "cursor")
    wanted = {name: form.text(name) for name in names}
    given = {name: value for name, value in wanted.items() if value}
    if call.sees_patients:
        body = {**given, "limit": _ROWS}
        found = asked(services, call, "POST", "/studies/search", body=body)
    else:
        query = {name: given.get(name) for name in ("modality", "cursor")} | {"limit": _ROWS}
        found = asked(services, call, "GET", "/studies", query=query)
    return {**found.data, "filters": wanted}


def show_study(services: Services, call: Call, form: Form) -> dict[str, Any]:
    """One study, its series, and where it can be sent."""
    return {
        **studies.show_study(services, call),
        **_offered(services, call, form, lambda one: one.send and one.active),
        "station": form.text("station"),
        "priorities": tasks.PRIORITIES,
        "reasons": list(WORDS),
        "has_priors": bool(fetches_of(services.plan)),
    }


def query(services: Services, call: Call, form: Form) -> dict[str, Any]:
    """The form for a search, its answers where one was made, and the last retrievals."""
    priors: list[Any] = []
    if not call.identity.is_limited:
        priors = asked(services, call, "GET", "/priors", query={"limit": _ROWS}).data["priors"]
    names = ("station", "patient_name", "patient_id", "study_date", "accession_number", "more")
    found: dict[str, Any] | None = None
    problem = ""
    if form.text("do") == "search":
        try:
            found = _searched(services, call, form)
        except Wrong as wrong:
            problem = str(wrong)
    return {
        **_offered(services, call, form, lambda one: one.may_be_asked),
        "filters": {name: form.text(name) for name in names},
        "found": found,
        "problem": problem,
        "columns": remote.COLUMNS,
        "retrievals": remote.list_retrievals(services, call)["retrievals"],
        "priors": priors,
    }


_KEYS: Final = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "study_date": "StudyDate",
    "accession_number": "AccessionNumber",
}


def _searched(services: Services, call: Call, form: Form) -> dict[str, Any]:
    for name in ("organization", "station"):
        exactly_one(form, name, "nothing was asked")
    keys = [f"{key}={form.text(name)}" for name, key in _KEYS.items() if form.text(name)]
    keys += [one.strip() for one in form.text("more").splitlines() if one.strip()]
    body = {
        "organization": form.text("organization"),
        "station": form.text("station"),
        "keys": keys,
        "limit": _ROWS,
    }
    found = asked(services, call, "POST", "/query", body=body).data
    return {**found, "rows": [_row(one) for one in found["answers"]]}


def exactly_one(form: Form, name: str, otherwise: str) -> str:
    """The one value of a field. Raises Wrong 422 where there is none, or more than one."""
    given = [one.strip() for one in form.all(name) if one.strip()]
    if len(given) != 1:
        words = "choose one" if not given else "choose exactly one"
        raise Wrong(422, f"{name}: {words}; {otherwise}")
    return given[0]


def _row(found: dict[str, Any]) -> dict[str, str]:
    """One answer of the DICOM JSON model (PS3.18 F.2) as texts by keyword."""
    texts: dict[str, str] = {}
    for keyword, tag in zip(remote.COLUMNS, remote.COLUMN_TAGS, strict=True):
        values = found.get(tag, {}).get("Value", [])
        texts[keyword] = "\\".join(
            str(one.get("Alphabetic", "")) if isinstance(one, dict) else str(one) for one in values
        )
    return texts


def list_rules(services: Services, call: Call, form: Form) -> dict[str, Any]:
    """The rules, and what they would do with the file that was handed in."""
    told: dict[str, Any] | None = None
    problem = ""
    content = form.files.get("file", b"")
    if form.text("do") == "try":
        try:
            query = {"from": form.text("from") or None}
            told = asked(services, call, "POST", "/rules/try", body=content, query=query).data
        except Wrong as wrong:
            problem = str(wrong)
    return {
        **rules.list_rules(services, call),
        "told": told,
        "problem": problem,
        "sender": form.text("from"),
        "names": sorted(services.plan.stations),
    }


def show_configuration(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """Files and problems, and what is written against what runs."""
    shown = configuration.show(services, call).data
    changes: list[dict[str, Any]] = []
    if shown["written"] and not shown["in_sync"]:
        changes = configuration.changes(services, call)["changes"]
    deployed = deployment.show(services, call)["deployment"]
    return {**shown, "changes": changes, "deployment": deployed}


def show_file(services: Services, call: Call, form: Form) -> dict[str, Any]:
    """One file with its problems; what was typed stays when it could not be written."""
    reply = configuration.show_file(services, call)
    shown = configuration.show(services, call).data
    typed = form.texts.get("text", ("",))[0].replace("\r\n", "\n")
    etag = form.text("etag") or reply.etag
    return {
        **reply.data,
        "etag": etag if typed else reply.etag,
        "typed": typed or reply.data["text"],
        "is_release": shown["is_release"],
    }


def list_audit(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """The audit trail; its filters are in the address."""
    names = ("event", "who", "what", "cursor")
    wanted: dict[str, Any] = {name: call.query.get(name) or None for name in names}
    if wanted["event"] not in {None, *EVENTS}:
        raise Wrong(400, "there is no such event")
    found = asked(services, call, "GET", "/audit", query={**wanted, "limit": _ROWS})
    return {**found.data, "filters": wanted, "events": sorted(EVENTS)}


def show_audit(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """One message, laid out."""
    found = audit.show_entry(services, call)
    return {**found, "message": laid_out(found["message"])}


def system(services: Services, call: Call, _form: Form) -> dict[str, Any]:
    """Listeners, certificates, storage, keys, processes."""
    return {
        "status": status.status(services, call),
        "account": status.account(services, call),
        "cache": cache.show(services, call),
        **cache.list_prefetches(services, call),
        **verifications.list_verifications(services, call),
    }
