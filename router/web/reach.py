"""What of the router a token limited to organizations reaches: stations, tasks, studies.

A station is theirs that belongs to one of their organizations, or to one below it. A task is, whose
station is. A study is, of which every instance came from, or is or was owed to, a station of theirs:
part of a study would tell of the rest. Nothing of this is asked where a token has no limit, which is
None here. An organization that the configuration no longer knows has no stations.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from router.model.plan import Plan
from router.model.task import Task
from router.store.ledger import Ledger
from router.web.access import Identity

Stations = frozenset[str] | None


def reach_of(plan: Plan, identity: Identity) -> Stations:
    """The stations they may see, None for all."""
    return plan.stations_of(identity.organizations) if identity.is_limited else None


def reaches(stations: Stations, name: str | None) -> bool:
    """Whether the station of that name is among them."""
    return stations is None or name in stations


def studies_in_reach(
    ledger: Ledger, stations: Stations, study_instance_uids: Collection[str]
) -> frozenset[str]:
    """Those of these studies that are wholly within reach."""
    if stations is None:
        return frozenset(study_instance_uids)
    return ledger.studies_within(study_instance_uids, stations)


def sees_study(ledger: Ledger, stations: Stations, study_instance_uid: str) -> bool:
    """Whether all of a study is within reach."""
    return stations is None or bool(ledger.studies_within([study_instance_uid], stations))


def task_within(plan: Plan, stations: Stations, task: Task) -> Task:
    """A task of theirs without what it tells of others: who asked, for which study, who failed first."""
    if stations is None:
        return task
    is_other = task.requester in plan.stations and task.requester not in stations
    return replace(
        task,
        requester="" if is_other else task.requester,
        note="",
        status_reason="" if task.moved else task.status_reason,
    )


def details_within(stations: Stations, details: dict[str, Any]) -> dict[str, Any]:
    """Deliveries and log of a task of theirs, without the stations that they moved to or from."""
    if stations is None:
        return details
    deliveries = [
        {**one, "last_error": "" if one["state"] == "moved" else one["last_error"]}
        for one in details["deliveries"]
    ]
    events = [
        {**one, "message": "" if one["kind"] == "created" else one["message"]}
        for one in details["events"]
        if one["kind"] != "moved"
    ]
    return {**details, "deliveries": deliveries, "events": events}
