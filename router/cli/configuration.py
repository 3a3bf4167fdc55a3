"""`check`, `schema`, `init`: the configuration, before anything runs."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from router.analysis.advise import advisor
from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
)
from router.config.load import load
from router.config.problems import as_json
from router.config.schema import schema_text
from router.installed import example_files
from router.plugs import all_plugs


@click.command()
@config_option
@format_option
@click.option("--deny-warnings", is_flag=True, help="Warnings count as problems.")
@click.option("--online", is_flag=True, help="Ask every station whether it is there, too.")
def check(config: Path | None, form: str, *, deny_warnings: bool, online: bool) -> int:
    """Name every problem of a configuration folder, with its place and what to write instead.

    With --online a station that does not answer is a warning, with its exact answer. Exit 1 when there
    are errors (or, with --deny-warnings, warnings).
    """
    folder = config_folder(config)
    plugs = all_plugs()
    loaded = load(folder, plugs, advise=advisor(plugs))
    # Loaded when it is asked for: who speaks with stations needs every protocol.
    asked: Any = import_module("router.cli.online").ask_stations(loaded) if online else None
    loaded = asked.loaded if asked else loaded
    errors = sum(problem.severity == "error" for problem in loaded.problems)
    warnings = len(loaded.problems) - errors
    if form == "json":
        emit_json(
            {
                "errors": errors,
                "warnings": warnings,
                "digest": loaded.plan.digest if loaded.plan else None,
                "analysis": asdict(loaded.analysis) if loaded.analysis else None,
                "problems": [as_json(problem) for problem in loaded.problems],
                **({"online": asked.as_json()} if asked else {}),
            }
        )
    else:
        if loaded.problems:
            click.echo(loaded.render() + "\n")
        if loaded.plan is not None:
            plan = loaded.plan
            found = {"listener": plan.listeners, "station": plan.stations, "rule": plan.rules}
            counts = ", ".join(_many(len(those), name) for name, those in found.items())
            click.echo(f"{folder}: {counts}, plan {plan.digest[:12]}")
        undecided = loaded.analysis.undecided if loaded.analysis else 0
        unknown = f", {_many(undecided, 'pair')} of rules undecided" if undecided else ""
        click.echo(f"{_many(errors, 'error')}, {_many(warnings, 'warning')}{unknown}")
        if asked is not None and loaded.plan is not None:
            answered = sum(probe.ok for probe in asked.probes.values())
            click.echo(
                f"{answered} of {_many(len(asked.probes), 'station')} that can be asked answered"
            )
    return EXIT_FAILED if errors or (deny_warnings and warnings) else 0


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@click.command()
def schema() -> int:
    """Print the JSON Schema (draft-07) of the configuration, for editors."""
    click.echo(schema_text(all_plugs()), nl=False)
    return 0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> int:
    """Write a small, working configuration, with its schema for editors, into FOLDER.

    Nothing is overwritten: the folder must be new or empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in example_files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"wrote {target}")
    click.echo(f"next: dicom-router check --config {folder}")
    return 0
