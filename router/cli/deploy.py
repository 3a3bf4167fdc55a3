"""`deploy REV|status|rollback`: a commit of git becomes the configuration, or nothing does."""

from __future__ import annotations

import getpass
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from router.analysis.trial import Trial
from router.cli.common import (
    EXIT_FAILED,
    config_folder,
    config_option,
    emit_json,
    format_option,
    iso_time,
)
from router.cli.plan import load_folder
from router.config.cases import read_cases
from router.config.problems import render_all
from router.config.releases import (
    Release,
    Releases,
    State,
    check_signature,
    commit_of,
    written_by,
)
from router.config.report import Report
from router.model.plan import Plan
from router.plugs import all_plugs
from router.serve.places import Places, is_running
from router.serve.reload_state import answer_of, read_state

APPLY_SECONDS: Final = 60.0


@click.command()
@config_option
@format_option
@click.argument("what", metavar="REVISION|status|rollback")
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
    tests run; and the running router takes it. Where any of that fails, what runs goes on.
    """
    releases = Releases(config if config is not None else config_folder(config))
    if what == "status":
        return _status(releases, form)
    with releases.locked():
        if what == "rollback":
            return _rollback(releases, form)
        asked = str(signers.absolute()) if signers is not None else None
        return _deploy(releases, form, what, repo, path, "" if unsigned else asked)


def _deploy(
    releases: Releases,
    form: str,
    revision: str,
    repo: Path | None,
    path: str | None,
    signers: str | None,
) -> int:
    state = releases.state()
    repository = repo or (Path(state.repository) if state.repository else None)
    if repository is None:
        raise click.UsageError("give --repo the first time")
    inside = state.path if path is None else path
    commit = commit_of(repository, revision)
    signers = state.signers if signers is None else signers
    if signers:
        check_signature(repository, commit, Path(signers))
    was_there = (releases.folder / commit).is_dir()
    plan, problems = _proven(releases.export(repository, inside, commit))
    if plan is None:
        if not was_there:
            releases.remove(commit)
        click.echo(problems, err=True)
        return _told(form, commit, "refused by its own checks; nothing was changed", ok=False)
    release = Release(
        commit, inside, time.time(), getpass.getuser(), *written_by(repository, commit)
    )
    # What is in use already is no further step: the way back stays what it was.
    history = state.history
    if not history or history[0].commit != commit:
        history = (release, *history)
    after = State(str(repository.resolve()), inside, history, signers)
    return _taken(releases, plan, state, after, form)


def _rollback(releases: Releases, form: str) -> int:
    state = releases.state()
    if len(state.history) < 2:
        raise click.ClickException("there is no release before this one")
    before = state.history[1]
    plan, problems = _proven(releases.folder / before.commit)
    if plan is None:
        click.echo(problems, err=True)
        words = "it does not pass its own checks any more; nothing was changed"
        return _told(form, before.commit, words, ok=False)
    return _taken(releases, plan, state, replace(state, history=state.history[1:]), form)


def _status(releases: Releases, form: str) -> int:
    state, current = releases.state(), releases.current()
    plan = load_folder(releases.link).plan if current else None
    running = read_state(Places(plan.router.data_dir)) if plan is not None else None
    runs = plan is not None and is_running(Places(plan.router.data_dir))
    if form == "json":
        emit_json(
            {
                "current": current or None,
                "repository": state.repository or None,
                "path": state.path,
                "running": runs,
                "last_change": running.state if running else None,
                "history": [
                    {"commit": one.commit, "at": iso_time(one.at), "by": one.by,
                     "author": one.author, "subject": one.subject}
                    for one in state.history
                ],
            }
        )  # fmt: skip
        return 0 if current else EXIT_FAILED
    if not current:
        click.echo(f"{releases.link} is no release", err=True)
        return EXIT_FAILED
    click.echo(f"{current[:12]} of {state.repository}, {'running' if runs else 'nothing runs'}")
    for one in state.history:
        mark = "*" if one.commit == current else " "
        click.echo(f"{mark} {one.commit[:12]}  {iso_time(one.at)}  by {one.by}  {one.subject}")
    return 0


def _proven(folder: Path) -> tuple[Plan | None, str]:
    """The plan of a release whose tests pass; else None, and why."""
    loaded = load_folder(folder)
    if loaded.plan is None:
        return None, loaded.render()
    plugs, report = all_plugs(), Report()
    found = read_cases(folder, loaded.plan, plugs, report)
    if report.has_errors:
        return None, render_all(report.problems(), found.texts)
    trial = Trial({plug.name: plug for plug in plugs.morphs})
    failed = [
        f"{result.case.place}: test failed: {result.case.name}\n  " + "\n  ".join(result.failures)
        for result in (trial.run(loaded.plan, case) for case in found.cases)
        if result.failures
    ]
    return (None, "\n".join(failed)) if failed else (loaded.plan, "")


def _taken(releases: Releases, plan: Plan, before: State, after: State, form: str) -> int:
    """Flip the link; back again where the running router refuses."""
    commit, old = after.history[0].commit, releases.current()
    releases.advance(before, after)
    places = Places(plan.router.data_dir)
    words = "in use from the next start on: no router runs"
    if is_running(places):
        told = answer_of(places, APPLY_SECONDS)
        if told is None or told.state == "refused":
            releases.advance(after, before)
            if told is not None:
                click.echo(told.problems, err=True)
            why = "the running router did not answer" if told is None else "the router refused it"
            return _told(form, commit, f"{why}; {old[:12] or 'what ran'} goes on", ok=False)
        words = f"{told.state}: plan {told.digest[:12]}"
    releases.prune(after)
    return _told(form, commit, words, ok=True)


def _told(form: str, commit: str, words: str, *, ok: bool) -> int:
    document: dict[str, Any] = {"commit": commit, "ok": ok, "message": words}
    if form == "json":
        emit_json(document)
    else:
        click.echo(f"{commit[:12]} {words}", err=not ok)
    return 0 if ok else EXIT_FAILED
