"""What `explain --instance` and `explain --task` say: decided then, done since, decided now.

Values of attributes are shown as they are: whoever can read the key ring can read the images.
"""

from __future__ import annotations

import os
from typing import Any

import click

from router.cli.common import iso_time, table
from router.cli.explain_commitment import commitment_json, commitment_line, commitments_of
from router.cli.explain_shown import change_lines, explanation_text
from router.cli.plan import read_ledger, shown_mapping_key
from router.clock import Clock
from router.flow.kept import DeliveryTold, InstanceTold, Kept
from router.flow.told import explanation_json, task_json
from router.model.plan import Plan
from router.model.rejection import NOTE, title
from router.plugs import morphs_by_name
from router.serve.places import Places
from router.serve.stores import open_journal
from router.store.ledger import Ledger, Stored


def explain_instance(plan: Plan, name: str) -> tuple[dict[str, Any], str]:
    """A held instance, by its SOP Instance UID or its instance id: as JSON, as text.

    Raises click.ClickException when there is none, or several of that UID.
    """
    ledger = read_ledger(plan)
    told = _kept(plan, ledger).tell(_found(ledger, name))
    asked = commitments_of(plan, told.stored.instance.sop_instance_uid)
    value = {**_instance_json(told), "commitments": [commitment_json(one) for one in asked]}
    return value, "\n".join([_instance_text(told), *map(commitment_line, asked)])


def explain_task(plan: Plan, task_id: int, limit: int) -> tuple[dict[str, Any], str]:
    """A task with its first deliveries, of each the instance: as JSON, as text."""
    ledger = read_ledger(plan)
    task = ledger.task(task_id)
    if task is None:
        raise click.ClickException(f"there is no task {task_id}")
    kept = _kept(plan, ledger)
    told: list[InstanceTold] = []
    for delivery in ledger.deliveries_of(task_id, limit):
        stored = ledger.instance(delivery.instance_id)
        assert stored is not None
        told.append(kept.tell(stored, task_id))
    events = [one for one in ledger.events_of(task_id) if one.delivery_id is None]
    beyond = task.objects - len(told)
    value = {
        "task": task_json(task),
        "events": [
            {"at": iso_time(one.at), "kind": one.kind, "message": one.message} for one in events
        ],
        "instances": [_instance_json(one) for one in told],
        "beyond_limit": beyond,
    }
    lines = [
        f"task {task_id}: {task.status}  {task.status_reason}".rstrip(),
        f"study {task.study_instance_uid} to {task.station}, asked for by {task.requester}",
        f"{task.delivered} of {task.objects} delivered",
    ]
    lines += [f"  {iso_time(one.at)}  {one.kind}  {one.message}" for one in events]
    for one in told:
        lines += ["", _instance_text(one)]
    if beyond > 0:
        lines += ["", f"and {beyond} more instances: see --limit"]
    return value, "\n".join(lines)


def _kept(plan: Plan, ledger: Ledger) -> Kept:
    clock = Clock()
    journal = open_journal(Places(plan.router.data_dir), plan, clock)
    return Kept(plan, journal, ledger, morphs_by_name(), shown_mapping_key(plan), clock)


def _found(ledger: Ledger, name: str) -> Stored:
    numbered = ledger.instance(int(name)) if name.isdecimal() and len(name) < 19 else None
    if numbered is not None:
        return numbered
    versions = ledger.find_instances(name)
    if not versions and name.isdecimal():
        raise click.ClickException(f"there is no instance {name}")
    if not versions:
        raise click.ClickException(f"no instance with SOP Instance UID {name} was accepted here")
    if len(versions) == 1:
        return versions[0]
    rows = [["ID", "RECEIVED", "FROM", "DISPOSITION", "BYTES", "CONTENT"]]
    for one in versions:
        facts = one.instance
        rows.append(
            [
                str(one.instance_id),
                iso_time(facts.received_at) or "",
                facts.source.station or facts.source.calling_ae_title,
                one.disposition.value + (f" of {one.duplicate_of}" if one.duplicate_of else ""),
                str(facts.data_set_length) + ("" if one.record else " (evicted)"),
                facts.content_digest.hex()[:12],
            ]
        )
    raise click.ClickException(
        f"{name} was accepted {len(versions)} times; say which by its id, --instance ID:{os.linesep}"
        + table(rows)
    )


def _instance_json(told: InstanceTold) -> dict[str, Any]:
    stored, facts = told.stored, told.stored.instance
    return {
        "instance_id": stored.instance_id,
        "sop_instance_uid": facts.sop_instance_uid,
        "study_instance_uid": facts.study_instance_uid,
        "facts": {
            "from": facts.source.station,
            "listener": facts.source.listener,
            "calling_ae_title": facts.source.calling_ae_title,
            "called_ae_title": facts.source.called_ae_title,
            "address": facts.source.address,
            "received_at": iso_time(facts.received_at),
            "sop_class": facts.sop_class_uid,
            "transfer_syntax": facts.transfer_syntax_uid,
            "bytes": facts.data_set_length,
        },
        "decided": {
            "outcome": stored.disposition.value,
            "duplicate_of": stored.duplicate_of,
            "withheld": stored.withheld,
            "rules": list(stored.rules),
            "plan": stored.plan_digest,
        },
        "deliveries": [_delivery_json(one) for one in told.deliveries],
        "now": None if told.now is None else explanation_json(told.now),
        "not_told": told.not_told or None,
        "differences": list(told.differences),
    }


def _delivery_json(told: DeliveryTold) -> dict[str, Any]:
    one = told.delivery
    return {
        "delivery_id": one.delivery_id,
        "task_id": one.task_id,
        "station": one.station,
        "rule": told.requester,
        "priority": one.priority.word,
        "recipe": one.recipe_digest,
        "state": one.state.value,
        "attempts": one.attempts,
        "status": one.last_status,
        "answer": one.last_error,
        "next": told.next,
        "tries": [
            {
                "at": iso_time(event.at),
                "outcome": event.kind,
                "status": event.status,
                "answer": event.message,
            }
            for event in told.attempts
        ],
        "failure": told.failure or None,
        "changes": [
            {
                "tag": change.tag,
                "keyword": change.keyword,
                "before": change.before,
                "after": change.after,
            }
            for change in told.changes
        ],
    }


def _instance_text(told: InstanceTold) -> str:
    stored, facts = told.stored, told.stored.instance
    source = facts.source
    twin = f" of instance {stored.duplicate_of}" if stored.duplicate_of else ""
    rules = ", ".join(stored.rules) or "no rule matched"
    titles = f"{source.calling_ae_title} at {source.address} to {source.called_ae_title}"
    caller = f"{source.station or '(no station)'}: {titles}"
    lines = [
        f"instance {stored.instance_id}  {facts.sop_instance_uid}",
        f"received {iso_time(facts.received_at)} on {source.listener} from {caller}",
        f"decided by plan {stored.plan_digest[:12]}: {stored.disposition.value}{twin}; {rules}",
    ]
    if stored.withheld == NOTE:
        lines.append(
            "withheld: a rejection note goes to the stations that want it, not to who asks"
        )
    elif stored.withheld is not None:
        lines.append(f"withheld: {title(stored.withheld)}")
    for one in told.deliveries:
        lines += _delivery_lines(one)
    if told.now is None:
        lines.append(f"now: {told.not_told}")
        return "\n".join(lines)
    same = "the configuration decides the same now"
    lines.append("; ".join(told.differences) if told.differences else same)
    return "\n".join([*lines, explanation_text(told.now)])


def _delivery_lines(told: DeliveryTold) -> list[str]:
    one = told.delivery
    answer = _answer(one.last_status, one.last_error)
    pinned = f"task {one.task_id}   recipe {one.recipe_digest[:12]}"
    how = f"{one.state.value}   priority {one.priority.word}   {told.requester}"
    lines = [
        f"→ {one.station}   {how}   {pinned}",
        *(
            f"    {iso_time(event.at)}  {event.kind}  {_answer(event.status, event.message)}"
            for event in told.attempts
        ),
    ]
    if answer and not told.attempts:
        lines.append(f"    {iso_time(one.changed_at)}  {one.state.value}  {answer}")
    lines.append(f"    next: {told.next}")
    if told.failure:
        lines.append(f"    its recipe fails: {told.failure}")
    return [*lines, *change_lines(told.changes)]


def _answer(status: int | None, words: str) -> str:
    """The peer's own number, DIMSE ones in hexadecimal and HTTP ones as they are, and words."""
    if status is None:
        return words
    number = str(status) if 100 <= status < 600 else f"0x{status:04X}"
    return f"{number} {words}".rstrip()
