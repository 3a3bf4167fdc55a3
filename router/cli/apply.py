"""`apply`: the running router takes the folder as it is now, or says why it does not."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    fail_text,
    format_option,
)
from router.cli.plan import load_folder
from router.serve.places import Places, is_running
from router.serve.reload_state import answer_of


@click.command()
@config_option
@format_option
@click.option("--timeout", "timeout_seconds", type=float, default=60.0, help="Seconds to wait.")
def apply(config: Path | None, form: str, timeout_seconds: float) -> int:
    """Have the running router take the configuration as it is now.

    Exit 0 when it runs (or ran before), 1 when it is refused: then the one before goes on.
    """
    loaded = load_folder(config_folder(config))
    plan = loaded.plan
    if plan is None:
        click.echo(loaded.render(), err=True)
        fail_text("refused; the plan that runs goes on")
        return EXIT_FAILED
    places = Places(plan.router.data_dir)
    if not is_running(places):
        fail_text(f"no router runs on {plan.router.data_dir}")
        return EXIT_FAILED
    told = answer_of(places, timeout_seconds)
    if told is None:
        fail_text(f"no answer within {timeout_seconds:g} s; `status` tells what runs")
        return EXIT_FAILED
    if form == "json":
        emit_json(
            {"state": told.state, "plan": told.digest, "at": told.at, "problems": told.problems}
        )
    elif told.problems:
        click.echo(told.problems, err=True)
        fail_text(f"refused; plan {told.digest[:12]} goes on")
    else:
        click.echo(f"{told.state}: plan {told.digest[:12]}")
    return EXIT_FAILED if told.state == "refused" else 0
