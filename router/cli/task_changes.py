"""`tasks cancel|hold|resume|priority|follow`: what people do to tasks, and watching one to its end."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    interrupt,
)
from router.cli.plan import plan_in_use, read_ledger, write_ledger
from router.flow.told import task_json, unchangeable
from router.model.delivery import Priority
from router.model.task import Direction, Task
from router.store.ledger import Ledger

LOOK_SECONDS: Final = 0.5
EXIT_INTERRUPTED: Final = 130
Change = Callable[[Ledger, str], int]


def changed_things(ledger: Ledger, task_ids: Sequence[int], *directions: Direction) -> str:
    """What these tasks are made of, in a word. Raises ClickException where one cannot be changed.

    Tasks that send can, and those of these directions. Where one is unknown, nothing is changed.
    """
    found = []
    for one in task_ids:
        task = ledger.task(one)
        if task is None:
            raise click.ClickException(f"there is no task {one}; see: dicom-router tasks list")
        found.append(task)
    for task in found:
        if task.direction not in ("send", *directions):
            raise click.ClickException(unchangeable(task))
    commits = {task.direction == "commit" for task in found}
    both = "deliveries and commitments"
    return both if len(commits) == 2 else "commitments" if commits == {True} else "deliveries"


def _changed(
    config: Path | None,
    form: str,
    task_ids: Sequence[int],
    change: Change,
    done: str,
    *directions: Direction,
) -> int:
    ledger = write_ledger(plan_in_use(config_folder(config)))
    try:
        done = done.format(changed_things(ledger, task_ids, *directions))
        count = change(ledger, getpass.getuser())
    finally:
        ledger.close()
    if form == "json":
        emit_json({done: count})
    else:
        click.echo(f"{count} {done}")
    return 0 if count else EXIT_FAILED


_task_ids = click.argument("task_ids", type=int, nargs=-1, required=True, metavar="ID...")


@click.command(name="cancel")
@config_option
@format_option
@_task_ids
def cancel(config: Path | None, form: str, task_ids: tuple[int, ...]) -> int:
    """Send nothing more of these tasks, tell nothing of a commitment; what is under way leaves."""
    return _changed(
        config,
        form,
        task_ids,
        lambda ledger, by: ledger.cancel(task_ids, by),
        "{} cancelled",
        "commit",
    )


@click.command(name="hold")
@config_option
@format_option
@_task_ids
def hold(config: Path | None, form: str, task_ids: tuple[int, ...]) -> int:
    """Send nothing more of these tasks until they are resumed; what comes later waits too."""
    return _changed(
        config, form, task_ids, lambda ledger, by: ledger.hold(task_ids, by), "tasks held"
    )


@click.command(name="resume")
@config_option
@format_option
@_task_ids
def resume(config: Path | None, form: str, task_ids: tuple[int, ...]) -> int:
    """Let held tasks go on, and those that wait for silence."""
    return _changed(
        config, form, task_ids, lambda ledger, by: ledger.resume(task_ids, by), "tasks resumed"
    )


@click.command(name="priority")
@config_option
@format_option
@click.argument("word", metavar="high|medium|low")
@_task_ids
def priority(config: Path | None, form: str, word: str, task_ids: tuple[int, ...]) -> int:
    """Give what waits of these tasks another priority; what comes later has it too."""
    try:
        wanted = Priority.of(word)
    except KeyError:
        raise click.UsageError(f"{word!r}: high, medium or low") from None
    return _changed(
        config,
        form,
        task_ids,
        lambda ledger, by: ledger.prioritise(task_ids, wanted, by),
        f"tasks now {wanted.word}",
    )


@click.command(name="follow")
@config_option
@format_option
@click.argument("task_id", type=int)
def follow(config: Path | None, form: str, task_id: int) -> int:
    """Watch a task until it is over: 0 when all of it was delivered."""
    ledger = read_ledger(plan_in_use(config_folder(config)))
    before: tuple[object, ...] = ()
    with interrupt() as interrupted:
        while True:
            task = ledger.task(task_id)
            if task is None:
                raise click.ClickException(f"there is no task {task_id}")
            told = (task.status, task.status_reason, task.delivered, task.objects, task.failures)
            if told != before:
                before = told
                _tell(task, form)
            if task.status in {"Completed", "Failed", "Cancelled"}:
                return 0 if task.status == "Completed" else EXIT_FAILED
            if interrupted.wait(LOOK_SECONDS):
                return EXIT_INTERRUPTED


def _tell(task: Task, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(task_json(task), ensure_ascii=False))  # one line for each change
        return
    share = 100 * task.delivered // task.objects if task.objects else 0
    reason = f"  {task.status_reason}" if task.status_reason else ""
    click.echo(f"{task.status}  {task.delivered}/{task.objects}  {share} %{reason}")
