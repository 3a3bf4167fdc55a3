"""`tasks list|show|retry`: what was asked for, how far it is, and trying again."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    count_for_verbs,
    emit_json,
    format_option,
    iso_time,
    table,
)
from router.cli.plan import plan_or_exit, read_ledger, write_ledger
from router.flow.told import task_detail_json, task_json
from router.model.task import TaskStatus

STATUSES: tuple[TaskStatus, ...] = (
    "Ready",
    "In Progress",
    "On Hold",
    "Completed",
    "Failed",
    "Cancelled",
)


@click.group(name="tasks")
@config_option
@format_option
@click.pass_context
def tasks(ctx: click.Context, config: Path | None, form: str) -> None:
    """What is being sent: list, show, retry."""
    count_for_verbs(ctx, config, form)


@tasks.command(name="list")
@config_option
@format_option
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), default=None)
@click.option("--station", default=None, help="Only tasks for this station.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100)
def list_tasks(
    config: Path | None, form: str, status: TaskStatus | None, station: str | None, limit: int
) -> int:
    """The tasks, newest first."""
    ledger = read_ledger(plan_or_exit(config_folder(config)))
    found = ledger.tasks(status=status, station=station, limit=limit)
    if form == "json":
        emit_json({"tasks": [task_json(task) for task in found]})
        return 0
    rows = [["ID", "STATUS", "PRI", "STATION", "OBJECTS", "PROGRESS", "CREATED", "REASON"]]
    rows += [
        [
            str(task.task_id),
            task.status,
            task.priority,
            task.station,
            str(task.objects),
            f"{task.delivered}/{task.objects}",
            iso_time(task.created_at) or "",
            task.status_reason,
        ]
        for task in found
    ]
    click.echo(table(rows))
    return 0


@tasks.command(name="show")
@config_option
@format_option
@click.argument("task_id", type=int)
def show_task(config: Path | None, form: str, task_id: int) -> int:
    """One task: its deliveries, and what every attempt was answered."""
    ledger = read_ledger(plan_or_exit(config_folder(config)))
    task = ledger.task(task_id)
    if task is None:
        raise click.ClickException(f"there is no task {task_id}")
    deliveries = ledger.deliveries_of(task_id)
    events = ledger.events_of(task_id)
    if form == "json":
        emit_json(task_detail_json(task, deliveries, events))
        return 0
    for name, value in task_json(task).items():
        click.echo(f"{name:24} {value if value is not None else '-'}")
    rows = [["SOP INSTANCE UID", "STATE", "ATTEMPTS", "STATUS", "LAST ANSWER"]]
    for one in deliveries:
        answered = "" if one.last_status is None else f"0x{one.last_status:04X}"
        rows.append(
            [one.sop_instance_uid, one.state.value, str(one.attempts), answered, one.last_error]
        )
    click.echo("\n" + table(rows))
    click.echo("")
    for event in events:
        click.echo(f"{iso_time(event.at)}  {event.kind:10}  {event.message}")
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
    """Queue what is dead or quarantined again."""
    if bool(task_ids) == every:
        raise click.UsageError("give task ids, or --all")
    ledger = write_ledger(plan_or_exit(config_folder(config)))
    count = ledger.retry(task_ids or None, station, by=getpass.getuser())
    ledger.close()
    if form == "json":
        emit_json({"queued": count})
    else:
        click.echo(f"{count} deliveries queued again")
    return 0 if count else EXIT_FAILED
