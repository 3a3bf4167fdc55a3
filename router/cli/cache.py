"""`cache`: the name viewers look for, what is held, and what is done with it.

`verify`, `evict`, `rekey` are in `cache_keep`, `prefetch` and `prefetches` in `cache_prefetch`,
`verifications` in `cache_verifications`.
"""

from __future__ import annotations

from pathlib import Path

import click

from router.cli.cache_keep import evict, rekey, verify
from router.cli.cache_prefetch import prefetch, prefetches
from router.cli.cache_verifications import verifications
from router.cli.common import (
    config_folder,
    config_option,
    emit_json,
    format_option,
    group_of_verbs,
)
from router.cli.plan import plan_in_use, read_ledger
from router.serve.device import DOMAIN, host_name

cache = group_of_verbs(
    "cache",
    "What is held here: its state, verify it, let go of it, fetch into it before it is asked for.",
)


@cache.command(name="host")
@config_option
@format_option
@click.option("--domain", default=DOMAIN, show_default=True)
@click.option("--address", default="127.0.0.1", show_default=True, help="For the hosts-file line.")
def host(config: Path | None, form: str, domain: str, address: str) -> int:
    """Print the host name of this cache, and the line for a hosts file that points to it."""
    settings = plan_in_use(config_folder(config)).router
    if settings.id is None or not settings.organization:
        raise click.ClickException(
            "set router.id and router.organization: the name is made of both"
        )
    try:
        name = host_name(settings.id, settings.organization, domain)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if form == "json":
        emit_json({"host": name, "hosts_line": f"{address} {name}"})
    else:
        click.echo(name)
        click.echo(f"{address} {name}")
    return 0


@cache.command(name="stat")
@config_option
@format_option
def stat(config: Path | None, form: str) -> int:
    """How many instances are held, and how many bytes the cache may have."""
    plan = plan_in_use(config_folder(config))
    counts = read_ledger(plan).account().instances
    held = {
        "received": counts["received"],
        "routed": counts["routed"],
        "unmatched": counts["unmatched"],
        "max_bytes": plan.store.max_bytes,
        "keep_seconds": plan.store.keep_seconds,
    }
    if form == "json":
        emit_json(held)
    else:
        for name, value in held.items():
            click.echo(f"{name}: {'no bound' if value is None else value}")
    return 0


for command in (verify, verifications, evict, rekey, prefetch, prefetches):
    cache.add_command(command)
