"""`deploy REV|status|rollback|fetch`: a commit of git becomes the configuration, or nothing does."""

from __future__ import annotations

import getpass
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
)
from router.cli.plan import load_folder
from router.clock import Clock
from router.config.releases import SHOWN_CHARACTERS, Releases
from router.errors import StoreDown, StoreFull
from router.model.audit import AuditKind
from router.model.plan import Plan
from router.serve.auditing import note_command
from router.serve.bounded import Bounded
from router.serve.deployer import mailbox
from router.serve.deploying import (
    BOUNDS,
    Outcome,
    Wish,
    go_back,
    outcome_of,
    put_into_use,
    remembered,
    within_bounds,
)
from router.serve.deployment import UNWELL, deployment
from router.serve.looking import Branch, look, note_by_hand, refresh
from router.serve.places import Places, is_running
from router.serve.reload_state import read_state


@click.command()
@config_option
@format_option
@click.argument("what", metavar="REVISION|status|rollback|fetch")
@click.option("--repo", type=click.Path(path_type=Path), help="The repository; remembered.")
@click.option("--path", default=None, help="The folder in it; remembered.")
@click.option(
    "--signers", type=click.Path(path_type=Path), help="Only what one of these signed; remembered."
)
@click.option("--unsigned", is_flag=True, help="From now on a signature is not asked for.")
def deploy(
    config: Path | None,
    form: str,
    what: str,
    repo: Path | None,
    path: str | None,
    signers: Path | None,
    *,
    unsigned: bool,
) -> int:
    """Put a git revision into use as the configuration, tell which is, or go back one.

    REVISION is exported beside the folder given by --config, which becomes a link to it; checked; its
    tests run; and the running router takes it. Where any of that fails, what runs goes on. Where the
    configuration follows a branch (section deploy), `fetch` looks at it now, and REVISION is one of it.
    """
    releases = Releases(config if config is not None else config_folder(config))
    plan = load_folder(releases.link).plan if releases.link.is_dir() else None
    branch = Branch.of(releases, plan)
    if what == "status":
        return _status(releases, plan, form)
    if what == "fetch":
        return _told(form, _fetch(branch))
    if what == "rollback":
        outcome = outcome_of(within_bounds(partial(go_back, releases)).wait())
    else:
        asked = _wish(releases, branch, what, repo, path)
        if signers is not None or unsigned:
            asked = replace(asked, signers="" if unsigned else str(Path(str(signers)).absolute()))
        outcome = outcome_of(within_bounds(partial(put_into_use, releases, asked)).wait())
    if outcome.ok and branch is not None:
        note_by_hand(branch)
    if plan is not None:
        _audit(plan, what, outcome)
    return _told(form, outcome)


def _wish(
    releases: Releases, branch: Branch | None, revision: str, repo: Path | None, path: str | None
) -> Wish:
    """What is asked for: of the branch that is followed, or of the repository that is named."""
    user = getpass.getuser()
    if branch is not None and repo is None and path is None:
        known, _ = refresh(branch, Clock(), Bounded.wait)
        if known.error:
            click.echo(f"{known.error}; what was fetched before is looked at", err=True)
        return branch.wish(revision, user)
    state = releases.state()
    if repo is None and not state.repository:
        raise click.UsageError("give --repo the first time")
    if repo is None:
        found = remembered(releases, revision, user)
    else:
        found = Wish(revision, repo, state.path, state.signers, user)
    return found if path is None else replace(found, path=path)


def _fetch(branch: Branch | None) -> Outcome:
    """Have the running router look at its branch now; without one, look here."""
    if branch is None:
        return Outcome("failed", "no branch is followed: the configuration has no section deploy")
    places = Places(branch.plan.router.data_dir)
    if not is_running(places):
        return look(branch, Clock(), Bounded.wait)
    mail = mailbox(places)
    seconds = branch.settings.timeout_seconds + BOUNDS.seconds
    told = mail.answer_to(mail.ask({"what": "fetch", "by": getpass.getuser()}), seconds)
    if told is None:
        return Outcome("failed", f"the running router did not answer within {seconds:g} s")
    return Outcome(**told)


def _status(releases: Releases, plan: Plan | None, form: str) -> int:
    """Exit 1 where there is no release, a commit was refused, or the branch is out of reach."""
    told = deployment(releases, plan)
    places = Places(plan.router.data_dir) if plan is not None else None
    runs = places is not None and is_running(places)
    reload = read_state(places) if places is not None else None
    unwell = told is None or not told["current"] or told["sync"] in UNWELL
    if form == "json":
        last = {"running": runs, "last_change": reload.state if reload else None}
        emit_json({**(told or {"current": None, "history": []}), **last})
    elif told is None or not told["current"]:
        click.echo(f"{releases.link} is no release", err=True)
    else:
        click.echo("\n".join(status_lines(told, runs=runs)))
    return EXIT_FAILED if unwell else 0


_SYNC: Final = {
    "unknown": "not looked at yet",
    "deploying": "being put into use",
    "in_sync": "in sync",
    "behind": "behind",
    "rolled_back": "rolled back: stays so until the branch moves on, or deploy says so",
    "refused": "refused: what ran goes on until the branch moves on, or deploy says so",
    "unreachable": "out of reach",
}


def status_lines(told: dict[str, Any], *, runs: bool) -> list[str]:
    """The deployment for a terminal."""
    current = told["current"] or ""
    where = f"{current[:SHOWN_CHARACTERS]} of {told['repository']}"
    lines = [f"{where}, {'running' if runs else 'nothing runs'}"]
    if told["branch"] is not None:
        behind = f", {told['behind']} commits behind" if told["behind"] else ""
        ahead = f", {told['ahead']} ahead" if told["ahead"] else ""
        at = f" at {told['tip'][:SHOWN_CHARACTERS]}" if told["tip"] else ""
        lines += [
            f"branch {told['branch']}{at}: {_SYNC[told['sync']]}{behind}{ahead}",
            f"fetched {told['last_fetch'] or 'never'}, next look {told['next_look'] or 'at start'}",
        ]
    if told["last_error"]:
        lines.append(f"error, {told['failures']} in a row: {told['last_error']}")
    if told["refused"] is not None:
        refused = told["refused"]
        lines.append(f"refused {refused['commit'][:SHOWN_CHARACTERS]}: {refused['message']}")
        lines += [refused["problems"]] if refused["problems"] else []
    if told["changed_files"]:
        lines.append(f"not as committed: {', '.join(told['changed_files'])}")
    for one in told["history"]:
        mark = "*" if one["commit"] == current else " "
        shown = one["commit"][:SHOWN_CHARACTERS]
        lines.append(f"{mark} {shown}  {one['at']}  by {one['by']}  {one['subject']}")
    return lines


def _told(form: str, outcome: Outcome) -> int:
    if form == "json":
        emit_json({**asdict(outcome), "ok": outcome.ok})
    else:
        if outcome.problems:
            click.echo(outcome.problems, err=True)
        shown = f"{outcome.commit[:SHOWN_CHARACTERS]} " if outcome.commit else ""
        click.echo(f"{shown}{outcome.message}", err=not outcome.ok)
    return 0 if outcome.ok else EXIT_FAILED


def _audit(plan: Plan, what: str, outcome: Outcome) -> None:
    """Who deployed by hand; the router itself tells what it took."""
    if not Places(plan.router.data_dir).ledger.exists():
        return
    kind: AuditKind = "configuration_changed" if outcome.ok else "configuration_refused"
    try:
        note_command(plan, kind, f"deploy {what}", outcome.message)
    except (StoreDown, StoreFull) as error:
        click.echo(f"the audit trail cannot be written: {error}", err=True)
