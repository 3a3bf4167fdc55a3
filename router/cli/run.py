"""`run`: the router, in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from router.cli.common import EXIT_FAILED, EXIT_PENDING, config_folder, config_option, fail_text
from router.cli.plan import load_folder, read_ledger
from router.config.last_good import load_last_good, save_last_good
from router.config.load import Loaded
from router.config.problems import render_all
from router.model.plan import Plan
from router.plugs import morphs, operators, station_kinds
from router.serve.run import run as run_router
from router.telemetry.log import Log, open_log


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Do not start from the last good plan.")
@click.option("--log", "log_form", type=click.Choice(["json", "text"]), default=None)
def run(config: Path | None, log_form: Literal["json", "text"] | None, *, strict: bool) -> int:
    """Run the router until it is told to stop.

    Prints `ready` on standard output once every listener is bound; the log goes to standard error.
    A broken configuration is refused, unless a plan ran here before: then that one runs, loudly.
    Exit 0 when nothing waits at the end, 2 when deliveries wait for the next start, 1 on failure.
    """
    folder = config_folder(config)
    form = log_form or ("text" if sys.stderr.isatty() else "json")
    log = open_log(sys.stderr, form, {})
    loaded = load_folder(folder)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if loaded.plan is None:
        click.echo(render_all(loaded.problems, loaded.sources), err=True)
        plan = None if strict else _last_good(folder, log, len(errors))
        if plan is None:
            fail_text(f"{len(errors)} problems in {folder}; not started")
            return EXIT_FAILED
    else:
        plan = loaded.plan
        _remember(plan, loaded)
        for problem in loaded.problems:
            place = f"{problem.place.file}:{problem.place.line}:{problem.place.column}"
            log.warning("configuration", place=place, code=problem.code, problem=problem.message)

    def on_ready() -> None:
        print("ready", flush=True)

    code = run_router(plan, log.bind(router=plan.router.name), on_ready)
    waiting = sum(read_ledger(plan).waiting_stations().values())
    log.info("stopped", deliveries_waiting=waiting)
    return code or (EXIT_PENDING if waiting else 0)


def _remember(plan: Plan, loaded: Loaded) -> None:
    plan.router.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_last_good(plan.router.data_dir, loaded)


def _last_good(folder: Path, log: Log, errors: int) -> Plan | None:
    found = load_last_good(
        folder, operators=operators(), morphs=morphs(), station_kinds=station_kinds()
    )
    if found is None or found.plan is None:
        return None
    log.error(
        "the configuration is broken; the last plan that ran is started instead",
        folder=str(folder),
        errors=errors,
        plan=found.plan.digest[:12],
    )
    return found.plan
