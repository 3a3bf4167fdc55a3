"""Query and retrieve: search a station, have studies of it here."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from router.dicom.json_model import to_json
from router.dicom.keys import name_of, parse_keys
from router.dicom.tags import PathError, tag_for
from router.errors import Refused, RouterError
from router.flow.querying import asked, search_hooks
from router.flow.told import task_json
from router.model.query import Ending, Identifier, Query
from router.model.station import Station
from router.model.task import TaskFilter
from router.peers.search import Searchable
from router.web.api.call import Body, Call, Endpoint, Reply, Wrong, flag, many, record, text
from router.web.api.organizations import of_organization
from router.web.api.stations import known
from router.web.api.tasks import TASK
from router.web.audited import queried
from router.web.reach import reach_of, task_within
from router.web.services import Services

MOST_ANSWERS: Final = 1000
MOST_RETRIEVALS: Final = 50
DEFAULT_ANSWERS: Final = 100
DEADLINE_SECONDS: Final = 30.0
COLUMNS: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "ModalitiesInStudy",
    "StudyDescription", "AccessionNumber", "NumberOfStudyRelatedInstances", "StudyInstanceUID",
)  # fmt: skip
COLUMN_TAGS: Final = tuple(f"{tag_for(name) or 0:08X}" for name in COLUMNS)

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*\Z")


def query(services: Services, call: Call) -> dict[str, Any]:
    """Search one station for studies; `truncated` says when there may be more."""
    wanted: dict[str, Any] = call.body
    whose = of_organization(services, call, wanted["organization"])
    station = _askable(services, call, wanted["station"])
    if station.organization != whose:
        raise Wrong(422, f"station {station.name} is of {station.organization!r}, not of {whose!r}")
    limit = wanted.get("limit", DEFAULT_ANSWERS)
    if not 1 <= limit <= MOST_ANSWERS:
        raise Wrong(422, f"limit is a number from 1 to {MOST_ANSWERS}")
    named = _parsed(wanted.get("keys", []))
    keys = {**_parsed(list(COLUMNS)), **named}
    asked_for = " ".join(f"{name_of(tag)}={one.text}" for tag, one in sorted(named.items()))
    queried(
        services.audit, services.plan, call.identity.name, call.address, asked_for, station.name
    )
    found, ending, failure = _search(
        services, station, Query("STUDY", keys, limit, DEADLINE_SECONDS)
    )
    return {
        "station": station.name,
        "ok": not failure,
        "message": failure or ending.words,
        "truncated": ending.is_truncated,
        "unsupported": [name_of(tag) for tag in sorted(ending.unsupported) if tag in named],
        "answers": [to_json(one) for one in found],
    }


def _search(
    services: Services, station: Station, wanted: Query
) -> tuple[list[Identifier], Ending, str]:
    ask, told = search_hooks(services.plan, station, services.mapping_key, time.time())
    peer = services.make_peer(station)
    found: list[Identifier] = []
    try:
        if not isinstance(peer, Searchable):
            raise Wrong(409, f"station {station.name} is a {station.kind}: it has no search")
        search = peer.find(asked(wanted, ask), lambda: False)
        try:
            found.extend(map(told, search))
        except RouterError as error:
            return found, search.ending, str(error)
        return found, search.ending, ""
    finally:
        peer.close()


def _askable(services: Services, call: Call, name: str) -> Station:
    station = known(services, call, name)
    if not station.active:
        raise Wrong(409, f"station {name} is not active: nothing was asked")
    if not station.query_retrieve:
        raise Wrong(409, f"station {name} may not be asked: set query_retrieve: true on it")
    return station


def _parsed(texts: list[Any]) -> Identifier:
    if len(texts) > 64 or not all(isinstance(one, str) and len(one) <= 256 for one in texts):
        raise Wrong(422, "keys: at most 64 texts such as PatientName=YAMADA*")
    try:
        return parse_keys(texts)
    except PathError as error:
        hint = f"; did you mean {error.hint}?" if error.hint else ""
        raise Wrong(422, f"keys: {error}{hint}") from None


def retrieve(services: Services, call: Call) -> Reply:
    """Have studies of a station here; answered at once, with the tasks that tell how far it is."""
    station = _askable(services, call, call.body["station"])
    studies: list[Any] = call.body["studies"]
    if not 1 <= len(studies) <= 4:
        raise Wrong(422, "studies: 1 to 4 Study Instance UIDs")
    for uid in studies:
        if not isinstance(uid, str) or not _UID.match(uid) or len(uid) > 64:
            raise Wrong(422, f"studies: {uid!r} is no UID")
    begun: list[dict[str, Any]] = []
    for uid in studies:
        try:
            task_id = services.retrievals.begin(station, uid, call.identity.name)
        except Refused as error:
            raise Wrong(409, str(error)) from None
        task = services.ledger.task(task_id)
        if task is not None:
            begun.append(task_json(task))
    return Reply({"retrievals": begun}, status=202)


def list_retrievals(services: Services, call: Call) -> dict[str, Any]:
    """The last retrievals, whoever asked for them, with the counts of their stations."""
    stations = reach_of(services.plan, call.identity)
    wanted = TaskFilter(kind="retrieve", stations=stations)
    found = services.ledger.tasks(wanted=wanted, limit=MOST_RETRIEVALS)
    return {"retrievals": [task_json(task_within(services.plan, stations, one)) for one in found]}


_QUERY: Final = record(
    {
        "organization": text("Whose station."),
        "station": text("Which one."),
        "keys": {**many(text("KEY=VALUE, or KEY to see it.")), "description": "What to match."},
        "limit": {"type": "integer", "description": f"Most answers; {DEFAULT_ANSWERS}."},
    },
    optional=("keys", "limit"),
)
_RETRIEVE: Final = record(
    {"station": text("Which one."), "studies": many(text("Study Instance UID."))}
)
_LISTED: Final = record({"retrievals": many(TASK)})
ENDPOINTS: Final = (
    Endpoint(
        "POST", "/query", "phi", "Search a station for studies.", query,
        record({"station": text("Which one."), "ok": flag("It answered to its end."),
                "message": text("Its own words."), "truncated": flag("There may be more."),
                "unsupported": many(text("A key it does not search by.")),
                "answers": many(record({}, open_ended=True))}),
        body=Body("What is searched for where.", schema=_QUERY), within=True,
    ),
    Endpoint("POST", "/retrievals", "operate", "Have studies of a station here.", retrieve,
             _LISTED, body=Body("Which studies of which station.", schema=_RETRIEVE), acts=True,
             within=True),
    Endpoint("GET", "/retrievals", "read", "The last retrievals.", list_retrievals, _LISTED,
             within=True),
)  # fmt: skip
