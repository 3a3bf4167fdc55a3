"""`run`: the router, in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from router.cli.common import EXIT_FAILED, EXIT_PENDING, config_folder, config_option, fail_text
from router.cli.plan import last_plan, load_folder, read_ledger
from router.config import last_good
from router.config.load import Loaded
from router.model.plan import Plan
from router.serve.generations import Followed
from router.serve.manager import tell_manager
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
    plan = loaded.plan
    if plan is None:
        click.echo(loaded.render(), err=True)
        plan = None if strict else _last_good(folder, loaded, log)
        if plan is None:
            fail_text(f"{len(loaded.errors)} problems in {folder}; not started")
            return EXIT_FAILED
    else:
        for problem in loaded.problems:
            place = f"{problem.place.file}:{problem.place.line}:{problem.place.column}"
            log.warning("configuration", place=place, code=problem.code, problem=problem.message)

    def on_ready() -> None:
        if loaded.plan is not None:
            # Only now: a plan that could not take its data directory or its ports never ran.
            _remember(loaded, loaded.plan, log)
        print("ready", flush=True)
        tell_manager("READY=1")

    followed = Followed(folder, {source.relative: source.text for source in loaded.sources})
    code = run_router(plan, log.bind(router=plan.router.name), on_ready, followed)
    waiting = sum(read_ledger(plan).waiting_stations().values())
    log.info("stopped", deliveries_waiting=waiting)
    return code or (EXIT_PENDING if waiting else 0)


def _remember(loaded: Loaded, plan: Plan, log: Log) -> None:
    try:
        last_good.save(plan.router.data_dir, loaded)
    except OSError as error:
        log.warning("the plan could not be kept for a later start", reason=error.strerror)


def _last_good(folder: Path, loaded: Loaded, log: Log) -> Plan | None:
    plan = last_plan(folder, loaded)
    if plan is not None:
        log.error(
            "the configuration is broken; the last plan that ran is started instead",
            folder=str(folder),
            errors=len(loaded.errors),
            plan=plan.digest[:12],
        )
    return plan
