"""`service install|remove`: the router as a service of systemd."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from router.cli.common import (
    EXIT_FAILED,
    EXIT_PENDING,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
    group_of_verbs,
)
from router.cli.plan import plan_in_use, plan_or_exit, read_ledger
from router.errors import RouterError
from router.flow.told import account_json
from router.model.plan import Plan
from router.serve.findings import findings_json, findings_text, has_problems
from router.serve.places import Places
from router.serve.service import Layout, NotInstalled, preflight
from router.serve.service import install as install_service
from router.serve.service import remove as remove_service
from router.serve.unit import NAME, Service, unit_text

# What is still owed, or waits for a person: gone for whoever deletes the data directory next.
_UNDELIVERED = ("queued", "sending", "sent", "held", "dead", "quarantined", "unmatched")
_ROOT = click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"),
    help="Another root, to prepare a machine from outside; nothing of this one is touched.",
)  # fmt: skip
_NAME = click.option("--name", default="dicom-router", show_default=True, help="Of the service.")


service = group_of_verbs("service", "The router as a service of systemd: install it, remove it.")


@service.command(name="install")
@config_option
@format_option
@_ROOT
@_NAME
@click.option("--user", default=None, help="The user it runs as; the service's name when left out.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit; write nothing.")
@click.option("--start", is_flag=True, help="Start it too; take all back when it does not come up.")
@click.option("--replace", is_flag=True, help="Write the unit of a service anew that is there.")
def install(
    config: Path | None,
    form: str,
    root: Path,
    name: str,
    user: str | None,
    *,
    only_print: bool,
    start: bool,
    replace: bool,
) -> int:
    """Write a systemd unit for this configuration, its user, and start it with the machine.

    First it looks: at privileges, the configuration, ports, the data directory, keys. Exit 1, and
    nothing is written, while something stands against it.
    """
    folder = Path(os.path.abspath(config_folder(config)))  # not resolved: a link leads to releases
    user = user or name
    for given in (name, user):
        if not NAME.fullmatch(given):
            raise click.UsageError(f"{given!r}: use lower-case letters, digits, - and _")
    wanted = Service(name, user, plan_or_exit(folder), folder, _program())
    try:
        text = unit_text(wanted)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if only_print:
        if form == "json":
            emit_json({"name": name, "user": user, "unit": text})
        else:
            click.echo(text, nl=False)
        return 0
    return _install(wanted, Layout(root.absolute(), name), form, start=start, replace=replace)


def _install(wanted: Service, layout: Layout, form: str, *, start: bool, replace: bool) -> int:
    findings = tuple(preflight(wanted, layout, replace=replace))
    is_refused = has_problems(findings)
    done: list[str] = []
    failure = ""
    if not is_refused:
        try:
            done.extend(install_service(wanted, layout, start=start))
        except NotInstalled as error:
            done.clear()
            failure = str(error)
    if form == "json":
        emit_json({**findings_json(findings), "done": done, "failure": failure or None})
    else:
        click.echo(findings_text(findings))
        click.echo("\n".join(done) if done else "nothing was written")
        if done and not start:
            click.echo(f"next: systemctl start {layout.name}")
    if failure:
        fail_text(failure)
    return EXIT_FAILED if failure or is_refused else 0


def _program() -> tuple[str, ...]:
    """The command beside this interpreter, or the interpreter with the package."""
    beside = shutil.which("dicom-router", path=str(Path(sys.executable).parent))
    return (beside,) if beside else (sys.executable, "-m", "router")


@service.command(name="remove")
@config_option
@format_option
@_ROOT
@_NAME
@click.option("--force", is_flag=True, help="Also while something is not delivered.")
def remove(config: Path | None, form: str, root: Path, name: str, *, force: bool) -> int:
    """Stop the service and take its unit away; the data directory stays, whatever is in it.

    Exit 2, and nothing is done, while instances are not delivered, or wait for a person; with --force
    it is done, and exit 2 says that there are such.
    """
    layout = Layout(root.absolute(), name)
    if not layout.unit.exists():
        raise click.ClickException(f"{layout.unit} is not there: no service of that name")
    if layout.is_here and os.geteuid() != 0:
        raise click.ClickException("this needs root: run it with sudo")
    plan = plan_in_use(config_folder(config))
    waiting = _undelivered(plan, force=force)
    done: list[str] = []
    words = "not removed; `dicom-router account` says where they are, --force removes all the same"
    if force or not waiting:
        try:
            done.extend(remove_service(layout))
        except NotInstalled as error:
            fail_text(str(error))
            return EXIT_FAILED
        waiting = _undelivered(plan, force=True)  # something may have come until it stopped
        words = f"the data stays in {plan.router.data_dir}: delete it when nothing of it is wanted"
    if form == "json":
        emit_json(
            {
                "removed": bool(done),
                "undelivered": waiting,
                "done": done,
                "data_dir": str(plan.router.data_dir),
                "message": words,
            }
        )
    else:
        counts = ", ".join(f"{count} {state}" for state, count in waiting.items())
        click.echo("\n".join([*done, *([f"not delivered: {counts}"] if counts else []), words]))
    return EXIT_PENDING if waiting else 0


def _undelivered(plan: Plan, *, force: bool) -> dict[str, int]:
    """How many of what state; none where no router ever ran. Raises RouterError, unless forced."""
    if not Places(plan.router.data_dir).ledger.exists():
        return {}
    try:
        counts = account_json(read_ledger(plan).account())
    except RouterError:
        if not force:
            raise
        return {}
    return {state: counts[state] for state in _UNDELIVERED if counts[state]}
