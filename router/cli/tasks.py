"""`tasks list|show|retry`: what was asked for, how far it is, and trying again; the other verbs."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    group_of_verbs,
)
from router.cli.plan import plan_in_use, read_ledger, write_ledger
from router.cli.task_changes import cancel, changed_things, follow, hold, priority, resume
from router.cli.tasks_shown import as_csv, as_json, as_table, objects_table, patients_of
from router.config.units import seconds
from router.flow.told import task_detail_json, task_json
from router.model.delivery import Priority
from router.model.task import Direction, Task, TaskFilter, TaskStatus
from router.serve.places import Places

STATUSES: tuple[TaskStatus, ...] = (
    "Ready",
    "In Progress",
    "On Hold",
    "Completed",
    "Failed",
    "Cancelled",
)
SORTS: Final[dict[str, Callable[[Task], Any]]] = {
    "created": lambda task: task.created_at,
    "modified": lambda task: task.last_modified_at,
    "status": lambda task: STATUSES.index(task.status),
    "priority": lambda task: int(Priority.of(task.priority)),
    "station": lambda task: task.station,
    "requester": lambda task: task.requester,
    "objects": lambda task: task.objects,
    "failures": lambda task: task.failures,
    "progress": lambda task: task.delivered / task.objects if task.objects else 0.0,
}


tasks = group_of_verbs(
    "tasks", "What comes in and is sent: list, show, follow; retry, cancel, hold, resume, priority."
)


for _verb in (cancel, follow, hold, priority, resume):
    tasks.add_command(_verb)


@tasks.command(name="list")
@config_option
@format_option
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), default=None)
@click.option("--station", default=None, help="Only tasks for this station.")
@click.option("--study", default=None, help="Only tasks of this study: its UID.")
@click.option("--requester", default=None, help="Only what this rule, person or station asked for.")
@click.option("--priority", "word", type=click.Choice(("high", "medium", "low")), default=None)
@click.option("--direction", type=click.Choice(("send", "receive", "commit")), default=None)
@click.option("--since", default=None, metavar="DURATION", help="Only those created since, as 2h.")
@click.option("--sort", type=click.Choice(sorted(SORTS)), default=None, help="By this column.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--phi", is_flag=True, help="With patient and study; asks for the key ring.")
@click.option("--csv", is_flag=True, help="Every column, as CSV (RFC 4180).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100)
def list_tasks(
    config: Path | None,
    form: str,
    status: TaskStatus | None,
    station: str | None,
    study: str | None,
    requester: str | None,
    word: str | None,
    direction: Direction | None,
    since: str | None,
    sort: str | None,
    limit: int,
    *,
    reverse: bool,
    phi: bool,
    csv: bool,
) -> int:
    """The tasks, newest first; the limit is of those, whatever the order they are shown in."""
    try:
        created_since = time.time() - seconds(since) if since else None
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from error
    priority = Priority.of(word) if word else None
    wanted = TaskFilter(status, station, study, requester, priority, created_since, direction)
    plan = plan_in_use(config_folder(config))
    ledger = read_ledger(plan)
    found = list(ledger.tasks(wanted=wanted, limit=limit))
    if sort is not None:
        found.sort(key=lambda task: (SORTS[sort](task), task.task_id))
    if reverse:
        found.reverse()
    patients = patients_of(found, ledger, Places(plan.router.data_dir).keys) if phi else None
    if form == "json":
        emit_json({"tasks": as_json(found, patients)})
    elif csv:
        click.echo(as_csv(found, patients), nl=False)
    else:
        click.echo(as_table(found, patients))
    return 0


@tasks.command(name="show")
@config_option
@format_option
@click.argument("task_id", type=int)
def show_task(config: Path | None, form: str, task_id: int) -> int:
    """One task: its deliveries, and what every attempt was answered."""
    ledger = read_ledger(plan_in_use(config_folder(config)))
    task = ledger.task(task_id)
    if task is None:
        raise click.ClickException(f"there is no task {task_id}")
    told = task_detail_json(ledger, task)
    if form == "json":
        emit_json(told)
        return 0
    for name, value in task_json(task).items():
        click.echo(f"{name:24} {value if value is not None else '-'}")
    if task.direction == "receive":
        return 0
    click.echo("\n" + objects_table(told))
    click.echo("")
    for event in told["events"]:
        click.echo(f"{event['at']}  {event['kind']:10}  {event['message']}")
    return 0


@tasks.command(name="retry")
@config_option
@format_option
@click.argument("task_ids", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every task with dead deliveries.")
@click.option("--station", default=None, help="With --all: only those of this station.")
def retry_tasks(
    config: Path | None, form: str, task_ids: tuple[int, ...], station: str | None, *, every: bool
) -> int:
    """Queue what is dead or quarantined again; verify and report a commitment again."""
    if bool(task_ids) == every:
        raise click.UsageError("give task ids, or --all")
    ledger = write_ledger(plan_in_use(config_folder(config)))
    try:
        things = changed_things(ledger, task_ids, "commit")
        count = ledger.retry(task_ids or None, station, by=getpass.getuser())
    finally:
        ledger.close()
    if form == "json":
        emit_json({"queued": count})
    else:
        done = "verified and reported" if things == "commitments" else "queued"
        click.echo(f"{count} {things} {done} again")
    return 0 if count else EXIT_FAILED
