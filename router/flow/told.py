"""What is told of stations, tasks, the balance and rules, as commands and API print it in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from router.clock import iso_time
from router.flow.explain import Explanation, OwedTold
from router.model.commitment import COMMITTED, Referenced, reason_words
from router.model.plan import Plan
from router.model.rejection import TITLES, Rejection
from router.model.rule import Decision, FetchPriors
from router.model.station import Station
from router.model.task import Task
from router.morph.apply import Change
from router.peers.peer import Probe
from router.store.balance import Account
from router.store.ledger import Ledger, Prior


def station_states(ledger: Ledger | None, names: Iterable[str]) -> list[dict[str, Any]]:
    """One object a station, by name; those that are gone too, while something waits for them."""
    statuses = ledger.station_statuses() if ledger else {}
    waiting = ledger.waiting_stations() if ledger else {}
    found: list[dict[str, Any]] = []
    for name in sorted({*names, *waiting}):
        known = statuses.get(name)
        found.append(
            {
                "name": name,
                "status": known.state if known else "unknown",
                "since": iso_time(known.since) if known else None,
                "reason": (known.reason or known.closed) if known else "",
                "queued": waiting.get(name, 0),
                "checked": iso_time(known.checked_at) if known else None,
                "seconds": known.seconds if known else None,
                "answer": known.answer if known else "",
            }
        )
    return found


def described_stations(plan: Plan, ledger: Ledger | None) -> list[dict[str, Any]]:
    """Each station as it is configured and as it is; what is gone from the plan has no kind."""
    found: list[dict[str, Any]] = []
    for state in station_states(ledger, plan.stations):
        station = plan.stations.get(state["name"])
        found.append({"name": state["name"], **_configured(station), **state})
    return found


def _configured(station: Station | None) -> dict[str, Any]:
    if station is None:
        return dict.fromkeys(("kind", "organization", "ae_title", "address", "active", "send"))
    port = f":{station.port}" if station.port else ""
    folder = str(station.path) if station.path else ""
    place = station.place
    return {
        "kind": station.kind,
        "organization": station.organization,
        "ae_title": station.ae_title,
        "address": station.url or folder or f"{station.host}{port}",
        "active": station.active,
        "send": station.send,
        "heartbeat": station.heartbeat.enabled,
        "heartbeat_seconds": station.heartbeat.every_seconds,
        "written_in": f"{place.file}:{place.line}" if place else None,
    }


def effective_settings(station: Station) -> list[dict[str, str]]:
    """What was written of a station, its own and what it inherits, with where each value is from."""
    return [
        {
            "key": one.key,
            "value": one.value if isinstance(one.value, str) else json.dumps(one.value),
            "from": one.origin or "station",
            "written_in": f"{one.place.file}:{one.place.line}",
        }
        for one in station.settings
    ]


def probe_json(name: str, probe: Probe) -> dict[str, Any]:
    """A station's answer to the question whether it is there."""
    return {
        "station": name,
        "ok": probe.ok,
        "seconds": round(probe.seconds, 4),
        "message": probe.message,
    }


def account_json(balance: Account) -> dict[str, Any]:
    """The balance as `account --format json` prints it."""
    return {
        "received": balance.instances["received"],
        "delivered": balance.deliveries["delivered"],
        "queued": balance.deliveries["queued"],
        "sending": balance.deliveries["sending"],
        "sent": balance.deliveries["sent"],
        "held": balance.deliveries["held"],
        "dead": balance.deliveries["dead"],
        "unmatched": balance.instances["unmatched"],
        "discarded": balance.instances["discarded"],
        "quarantined": balance.instances["quarantined"] + balance.deliveries["quarantined"],
        "balanced": balance.balanced,
        "differences": list(balance.differences),
        "instances": dict(balance.instances),
        "deliveries": dict(balance.deliveries),
        "stations": {name: dict(states) for name, states in balance.stations.items()},
    }


def task_json(task: Task) -> dict[str, Any]:
    """A task as `tasks --format json` prints it."""
    rule = task.requester if task.kind == "route" else None
    data = {**asdict(task), "direction": task.direction, "rule": rule}
    for name in ("created_at", "started_at", "ended_at", "last_modified_at"):
        data[name] = iso_time(data[name])
    return data


def unchangeable(task: Task) -> str:
    """Why somebody cannot change the task so."""
    if task.direction == "receive":
        return f"task {task.task_id} receives from {task.station}: only what is sent can be changed"
    return (
        f"task {task.task_id} is a commitment that {task.station} asks for: "
        "it can be retried or cancelled, no more"
    )


def task_detail_json(ledger: Ledger, task: Task) -> dict[str, Any]:
    """A task with its deliveries, or the instances that are to be committed, and its log."""
    deliveries, events = ledger.deliveries_of(task.task_id), ledger.events_of(task.task_id)
    references = ledger.references_of(task.task_id) if task.kind == "commit" else ()
    return {
        "task": task_json(task),
        "references": [_reference(one) for one in references],
        "deliveries": [
            {**asdict(one), "priority": one.priority.word, "state": one.state.value}
            for one in deliveries
        ],
        "events": [{**asdict(event), "at": iso_time(event.at)} for event in events],
    }


def _reference(one: Referenced) -> dict[str, Any]:
    is_decided = one.failure_reason is not None
    return {
        "sop_instance_uid": one.sop_instance_uid,
        "committed": one.failure_reason == COMMITTED if is_decided else None,
        "reason": reason_words(one.failure_reason) if one.failure_reason else "",
    }


def outcome(decision: Decision) -> str:
    """The decision in one word: routed, unmatched, discarded, quarantined or refused."""
    return "refused" if decision.refusal else decision.disposition.value


def explanation_json(told: Explanation) -> dict[str, Any]:
    """Rules with each predicate and the value it saw, deliveries with each change."""
    return {
        "outcome": outcome(told.decision),
        "failure": told.failure or None,
        "rejects": rejection_json(told.decision.rejection),
        "received": [_change(change) for change in told.received],
        "rules": [
            {
                "name": rule.name,
                "matched": rule.matched,
                "predicates": [
                    {"asked": asked, "seen": seen, "held": held}
                    for asked, seen, held in rule.predicates
                ],
                "fetches": asdict(rule.fetches) if rule.fetches else None,
            }
            for rule in told.rules
        ],
        "deliveries": [
            {
                **_owed_json(one),
                "rule": one.owed.rule,
                "priority": one.owed.priority.word,
                "waits_for_silence": asdict(one.owed.silence) if one.owed.silence else None,
                "instead": [_owed_json(other) for other in one.instead],
            }
            for one in told.owed
        ],
    }


def _owed_json(told: OwedTold) -> dict[str, Any]:
    return {
        "station": told.owed.station,
        "recipe": told.owed.recipe.digest,
        "transfer_syntax": told.owed.recipe.transfer_syntax_uid or None,
        "failure": told.failure or None,
        "changes": [_change(change) for change in told.changes],
    }


def rejection_json(rejection: Rejection | None) -> dict[str, Any] | None:
    """What a rejection note says, in numbers, and who is told where it has or may have the objects."""
    if rejection is None:
        return None
    return {
        "code": rejection.code,
        "title": TITLES[rejection.code],
        "objects": len(rejection.references),
        "stations": list(rejection.stations),
    }


def prior_json(prior: Prior) -> dict[str, Any]:
    """A study whose patient's earlier studies are fetched, as `priors list --format json` prints it."""
    data = asdict(prior)
    for name in ("due_at", "created_at"):
        data[name] = iso_time(data[name] or None)
    return data


def fetches_of(plan: Plan) -> dict[str, FetchPriors]:
    """What rules fetch, by name of the rule."""
    return {
        rule.name: rule.fetch_priors
        for rule in plan.rules
        if rule.enabled and rule.fetch_priors is not None
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "tag": change.tag,
        "keyword": change.keyword,
        "before": change.before,
        "after": change.after,
    }
