"""The Task Log: list, show, retry, cancel, and sending a study that is held."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, get_args

from router.clock import Clock
from router.flow.hand_in import Errand
from router.flow.send_held import ANONYMIZED, send_held
from router.flow.told import task_detail_json, task_json, unchangeable
from router.model.delivery import Priority
from router.model.task import Direction, Task, TaskFilter, TaskStatus
from router.web.api.call import (
    CURSOR,
    LIMIT,
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
    whole,
)
from router.web.api.patients import patient_of
from router.web.api.stations import known
from router.web.reach import (
    Stations,
    details_within,
    reach_of,
    reaches,
    sees_study,
    studies_in_reach,
    task_within,
)
from router.web.services import Services

STATUSES: Final[tuple[TaskStatus, ...]] = get_args(TaskStatus)
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
PRIORITIES: Final = ("high", "medium", "low")


def list_tasks(services: Services, call: Call) -> dict[str, Any]:
    """Tasks, newest first, a page at a time."""
    cursor, limit = call.query["cursor"], call.query["limit"]
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise Wrong(400, "cursor is not one of ours")
    stations = reach_of(services.plan, call.identity)
    found = services.ledger.tasks(
        limit=limit + 1,
        before=int(cursor) if cursor else None,
        wanted=TaskFilter(
            status=call.query["status"],
            station=call.query["station"] or None,
            direction=call.query["direction"],
            stations=stations,
        ),
    )
    page = found[:limit]
    following = str(page[-1].task_id) if len(found) > limit else None
    seen = studies_in_reach(services.ledger, stations, {one.study_instance_uid for one in page})
    told = [_told(services, call, one, stations, seen) for one in page]
    return {"tasks": told, "next": following}


def _told(
    services: Services, call: Call, task: Task, stations: Stations, seen: Collection[str]
) -> dict[str, Any]:
    """`seen` are the studies whose patients may be told."""
    data = task_json(task_within(services.plan, stations, task))
    data["progress"] = round(task.delivered / task.objects, 4) if task.objects else 0.0
    if call.sees_patients:
        study = task.study_instance_uid
        data["patient"] = patient_of(services, study) if study in seen else None
    return data


def show_task(services: Services, call: Call) -> dict[str, Any]:
    """A task with its deliveries and what each attempt was answered."""
    task = _task(services, call)
    stations = reach_of(services.plan, call.identity)
    seen = studies_in_reach(services.ledger, stations, [task.study_instance_uid])
    details = details_within(stations, task_detail_json(services.ledger, task))
    return {**details, "task": _told(services, call, task, stations, seen)}


def _task(services: Services, call: Call) -> Task:
    number = call.path["id"]
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    task = services.ledger.task(int(number)) if is_number else None
    if task is None or not reaches(reach_of(services.plan, call.identity), task.station):
        raise Wrong(404, f"there is no task {number}")
    return task


def _sent(services: Services, call: Call, *directions: Direction) -> Task:
    """A task that sends, or has one of these directions: others cannot be changed in this way."""
    task = _task(services, call)
    if task.direction not in ("send", *directions):
        raise Wrong(409, f"{unchangeable(task)}; nothing was changed")
    return task


def retry(services: Services, call: Call) -> dict[str, Any]:
    """Queue what is dead or quarantined again, or verify and report a commitment again."""
    task = _sent(services, call, "commit")
    count = services.ledger.retry([task.task_id], by=call.identity.name)
    if not count:
        raise Wrong(409, f"nothing of task {task.task_id} failed: it is {task.status}")
    return {"task": task.task_id, "deliveries": count}


def cancel(services: Services, call: Call) -> dict[str, Any]:
    """Cancel what still waits."""
    task = _sent(services, call, "commit")
    count = services.ledger.cancel([task.task_id], by=call.identity.name)
    if not count:
        raise Wrong(409, f"nothing of task {task.task_id} waits: it is {task.status}")
    return {"task": task.task_id, "deliveries": count}


def hold(services: Services, call: Call) -> dict[str, Any]:
    """Send nothing more of it until it is resumed."""
    task = _sent(services, call)
    if not services.ledger.hold([task.task_id], by=call.identity.name):
        raise Wrong(
            409, f"task {task.task_id} is held, or nothing of it waits: it is {task.status}"
        )
    return {"task": task.task_id, "deliveries": task.waiting}


def resume(services: Services, call: Call) -> dict[str, Any]:
    """Let it go on."""
    task = _sent(services, call)
    if not services.ledger.resume([task.task_id], by=call.identity.name):
        raise Wrong(409, f"nobody holds task {task.task_id}: it is {task.status}")
    return {"task": task.task_id, "deliveries": task.waiting}


def prioritise(services: Services, call: Call) -> dict[str, Any]:
    """Give what waits of it, and what joins it, another priority."""
    task = _sent(services, call)
    wanted = Priority.of(call.body["priority"])
    if not services.ledger.prioritise([task.task_id], wanted, by=call.identity.name):
        raise Wrong(409, f"task {task.task_id} is {wanted.word} already, or nothing of it waits")
    return {"task": task.task_id, "deliveries": task.waiting}


def send(services: Services, call: Call) -> Reply:
    """Queue a study held here for exactly one station; queued is not sent."""
    station = known(services, call, call.body["station"])
    whose = call.body.get("organization", station.organization)
    if whose != station.organization:
        raise Wrong(422, f"station {station.name} is of {station.organization!r}, not of {whose!r}")
    if not station.send:
        raise Wrong(409, f"station {station.name} has send: false; nothing was queued")
    plan = services.plan
    errand = Errand(
        call.identity.name,
        station.name,
        station.hooks.send.then(ANONYMIZED) if call.body.get("anonymize") else station.hooks.send,
        Priority.of(call.body.get("priority", "medium")),
        plan.router.ae_title,
        plan.digest,
    )
    study = call.body["study"]
    if not sees_study(services.ledger, reach_of(plan, call.identity), study):
        raise Wrong(404, f"no instance of study {study} is held here")
    try:
        sent = send_held(study, errand, services.journal, services.ledger, Clock())
    except KeyError as error:
        raise Wrong(404, str(error.args[0])) from None
    failed = [{"instance": uid, "reason": reason} for uid, reason in sent.failed]
    data = {"tasks": list(sent.tasks), "queued": sent.queued, "failed": failed}
    return Reply(data, status=202)


TASK: Final = record({"task_id": whole("Its number."), "status": text("How it is.")},
                     open_ended=True)  # fmt: skip
_DONE: Final = record({"task": whole("Its number."), "deliveries": whole("How many.")})
_STATUS: Final = Parameter("status", {"type": "string", "enum": list(STATUSES)}, "Only these.")
_DIRECTION: Final = Parameter(
    "direction",
    {"type": "string", "enum": list(DIRECTIONS)},
    "Only what comes in, is sent, or is asked to be committed.",
)
_STATION: Final = Parameter("station", {"type": "string"}, "Only those of this station.")
_SEND: Final = record(
    {
        "station": text("Exactly one."),
        "study": text("Study Instance UID."),
        "priority": text("Medium when left out.", enum=list(PRIORITIES)),
        "anonymize": flag("De-identify what leaves by PS3.15, Basic Profile."),
        "organization": text("Whose station it is; when given, it must be."),
    },
    optional=("priority", "anonymize", "organization"),
)
_PRIORITY: Final = record({"priority": text("Which.", enum=list(PRIORITIES))})
ENDPOINTS: Final = (
    Endpoint(
        "GET", "/tasks", "read", "The Task Log, newest first.", list_tasks,
        record({"tasks": many(TASK), "next": maybe(text("Cursor of the next page."))}),
        parameters=(_STATUS, _STATION, _DIRECTION, LIMIT, CURSOR), within=True,
    ),
    Endpoint(
        "POST", "/tasks", "operate", "Queue a held study for a station.", send,
        record({"tasks": many(whole("Their numbers.")), "queued": whole("How many instances."),
                "failed": many(record({}, open_ended=True))}),
        body=Body("What is sent where.", schema=_SEND), acts=True, within=True,
    ),
    Endpoint(
        "GET", "/tasks/{id}", "read", "One task, its deliveries, its log.", show_task,
        record({"task": TASK, "deliveries": many(record({}, open_ended=True)),
                "references": many(record({}, open_ended=True)),
                "events": many(record({}, open_ended=True))}), within=True,
    ),
    Endpoint("POST", "/tasks/{id}/retry", "operate", "Queue what failed again.", retry, _DONE,
             acts=True, within=True),
    Endpoint("POST", "/tasks/{id}/cancel", "operate", "Cancel what still waits.", cancel, _DONE,
             acts=True, within=True),
    Endpoint("POST", "/tasks/{id}/hold", "operate", "Send nothing more until resumed.", hold,
             _DONE, acts=True, within=True),
    Endpoint("POST", "/tasks/{id}/resume", "operate", "Let a held task go on.", resume, _DONE,
             acts=True, within=True),
    Endpoint("POST", "/tasks/{id}/priority", "operate", "Another priority for what waits.",
             prioritise, _DONE, body=Body("Which.", schema=_PRIORITY), acts=True,
             within=True),
)  # fmt: skip
