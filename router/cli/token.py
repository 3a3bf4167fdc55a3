"""`token new|list|revoke`: who may use pages and API. There is no default password, nor any other."""

from __future__ import annotations

import time
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
    iso_time,
    table,
)
from router.cli.plan import plan_in_use
from router.clock import Clock
from router.config.suggest import did_you_mean
from router.config.units import seconds
from router.model.plan import Plan
from router.serve.auditing import note_command
from router.serve.places import Places
from router.store.access import ONCE_SECONDS, SCOPES, AccessBook, Token

_ONCE: Final = "60m"
_LIFE: Final = "365d"


token = group_of_verbs("token", "Tokens for pages and API: make, list, revoke.")


@token.command(name="new")
@config_option
@format_option
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([*SCOPES, "all"]),
    help="What it may: read (also when left out), operate, configure, phi; repeatable.",
)
@click.option(
    "--organization",
    "organizations",
    multiple=True,
    metavar="NAME",
    help="Only for this organization and those below it; repeatable. Not with configure.",
)
@click.option("--expires", default=None, metavar="DURATION", help=f"{_LIFE}; with --once {_ONCE}.")
@click.option("--once", is_flag=True, help="For one log-in in a browser, and nothing else.")
def new(
    config: Path | None,
    form: str,
    name: str,
    scopes: tuple[str, ...],
    organizations: tuple[str, ...],
    expires: str | None,
    *,
    once: bool,
) -> int:
    """Make a token for NAME, a person or a program, and print it: it is never shown again."""
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise click.UsageError("NAME: 1 to 64 printable characters")
    try:
        lifetime = seconds(expires or (_ONCE if once else _LIFE))
    except ValueError as error:
        raise click.UsageError(f"--expires: {error}") from error
    if once and lifetime > ONCE_SECONDS:
        raise click.UsageError(f"--expires: with --once at most {_ONCE}")
    wanted = set(SCOPES) if "all" in scopes else {"read", *scopes}
    plan = plan_in_use(config_folder(config))
    _check_limits(plan, wanted, organizations)
    book = _book(plan)
    made, text = book.issue(name.strip(), wanted, lifetime, once=once, organizations=organizations)
    book.close()
    limits = f" of {', '.join(made.organizations)}" if made.organizations else ""
    note_command(plan, "access_changed", f"token {made.token_id} made for {made.name}{limits}")
    if form == "json":
        emit_json({**_told(made), "token": text})
        return 0
    click.echo(text)
    kind = "one log-in" if once else "pages and API"
    whose = f"; only {', '.join(made.organizations)}" if made.organizations else ""
    scopes_told = ", ".join(_sorted(made))
    click.echo(f"for {kind}, until {iso_time(made.expires_at)}: {scopes_told}{whose}", err=True)
    for url in _pages(plan):
        click.echo(f"log in with it at {url}", err=True)
    return 0


def _check_limits(plan: Plan, scopes: set[str], organizations: tuple[str, ...]) -> None:
    """Organizations there are; and there is one configuration for all of them."""
    for one in organizations:
        if one not in plan.organizations:
            hint = did_you_mean(one, plan.organizations)
            raise click.UsageError(f"--organization: there is no {one!r}; {hint}".rstrip("; "))
    if organizations and "configure" in scopes:
        raise click.UsageError(
            "--organization: the configuration is one for every organization; leave out "
            "--scope configure (all has it): name read, operate, phi"
        )


def _pages(plan: Plan) -> list[str]:
    return [
        f"{one.kind}://{one.host if one.host != '0.0.0.0' else 'localhost'}:{one.port}/"  # noqa: S104 - compared
        for one in plan.listeners.values()
        if "ui" in one.serve
    ]


@token.command(name="list")
@config_option
@format_option
def list_tokens(config: Path | None, form: str) -> int:
    """Every token: its scopes, its end, when it was used last; never its secret."""
    book = _book(plan_in_use(config_folder(config)))
    found = book.tokens()
    book.close()
    if form == "json":
        emit_json({"tokens": [_told(one) for one in found]})
        return 0
    rows = [["ID", "NAME", "STATE", "SCOPES", "ORGANIZATIONS", "CREATED", "EXPIRES", "LAST USED"]]
    rows += [
        [
            str(one.token_id),
            one.name,
            _state(one),
            " ".join(_sorted(one)),
            ", ".join(one.organizations) or "all",
            iso_time(one.created_at) or "",
            iso_time(one.expires_at) or "",
            iso_time(one.last_used_at) or "-",
        ]
        for one in found
    ]
    click.echo(table(rows))
    return 0


@token.command(name="revoke")
@config_option
@format_option
@click.argument("token_ids", type=int, nargs=-1, required=True, metavar="ID...")
def revoke(config: Path | None, form: str, token_ids: tuple[int, ...]) -> int:
    """End tokens by their numbers, and the sessions that were begun with them, at once."""
    plan = plan_in_use(config_folder(config))
    book = _book(plan)
    ended = [token_id for token_id in token_ids if book.revoke(token_id)]
    book.close()
    for token_id in ended:
        note_command(plan, "access_changed", f"token {token_id} revoked")
    if form == "json":
        emit_json({"revoked": ended})
    else:
        click.echo(f"revoked: {', '.join(map(str, ended)) or 'none'}")
    return 0 if len(ended) == len(token_ids) else EXIT_FAILED


def _book(plan: Plan) -> AccessBook:
    places = Places(plan.router.data_dir)
    places.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return AccessBook.open(places.ledger, Clock())


def _state(one: Token) -> str:
    if one.revoked_at is not None:
        return "revoked"
    if one.is_valid(time.time()):
        return "one log-in" if one.is_once else "valid"
    return "used" if one.is_once and one.last_used_at is not None else "expired"


def _sorted(one: Token) -> list[str]:
    return [scope for scope in SCOPES if scope in one.scopes]


def _told(one: Token) -> dict[str, Any]:
    return {
        "id": one.token_id,
        "name": one.name,
        "state": _state(one),
        "scopes": _sorted(one),
        "organizations": list(one.organizations),
        "once": one.is_once,
        "created": iso_time(one.created_at),
        "expires": iso_time(one.expires_at),
        "last_used": iso_time(one.last_used_at),
    }
