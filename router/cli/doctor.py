"""`doctor`: whether this machine is fit for the router, and what to do where it is not."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.common import EXIT_FAILED, config_folder, config_option, emit_json, format_option
from router.cli.plan import plan_in_use
from router.serve.device import DOMAIN
from router.serve.doctor import examine
from router.serve.findings import findings_json, findings_text, has_problems


@click.command()
@config_option
@format_option
@click.option("--domain", default=DOMAIN, show_default=True, help="Of the cache's host name.")
def doctor(config: Path | None, form: str, domain: str) -> int:
    """Look at the machine, its network and its secrets; say what to do about each finding.

    Changes nothing. Run it as the router's user. Exit 1 when there are problems; warnings are none.
    """
    findings = examine(plan_in_use(config_folder(config)), domain)
    if form == "json":
        emit_json(findings_json(findings))
    else:
        click.echo(findings_text(findings))
    return EXIT_FAILED if has_problems(findings) else 0
