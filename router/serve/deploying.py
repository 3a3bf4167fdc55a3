"""Putting a commit into use as the configuration, or going back one: all of it, or nothing.

Exported, checked, its tests run, one link flipped, taken by the running router; where it refuses,
the link goes back. One way for the command, the pages and the branch that is followed. Blocking; to
be run within bounds, since a commit may hold anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from router.analysis.trial import Trial
from router.config.cases import read_cases
from router.config.git import NotDeployed, check_signature, commit_of, contains, written_by
from router.config.load import load
from router.config.problems import render_all
from router.config.releases import Release, Releases, State
from router.config.report import Report
from router.model.plan import Plan
from router.plugs import all_plugs
from router.serve.bounded import Bounded, Bounds
from router.serve.places import Places, is_running
from router.serve.reload_state import answer_of

APPLY_SECONDS: Final = 60.0
BOUNDS: Final = Bounds(seconds=300.0, processor_seconds=120)
_MOST_PROBLEMS: Final = 8_000

Kind = Literal["applied", "unchanged", "stopped", "refused", "failed"]
Why = Literal[
    "", "revision", "signature", "files", "check", "tests", "followed", "router", "rewound"
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `stopped`: in use, but no router runs; `failed`: it is not the commit's fault.

    `why` is the step that refused; `problems` are those of the files, as people read them.
    """

    state: Kind
    message: str
    commit: str = ""
    why: Why = ""
    problems: str = ""

    @property
    def ok(self) -> bool:
        """Whether what was asked for is in use."""
        return self.state not in {"refused", "failed"}


@dataclass(frozen=True, slots=True)
class Wish:
    """A revision of a repository to be put into use, by whom; `signers` is '' for anyone.

    `within`: only what this commit holds, or what was in use before. `following`: the plan whose
    section `deploy` must not be changed by it.
    """

    revision: str
    repository: Path
    path: str
    signers: str
    by: str
    within: str = ""
    following: Plan | None = None
    patience_seconds: float = 0.0


def remembered(releases: Releases, revision: str, by: str) -> Wish:
    """A revision of the repository that was deployed from last. Raises NotDeployed."""
    state = releases.state()
    if not state.repository:
        raise NotDeployed("no repository was deployed from yet: give --repo the first time")
    return Wish(revision, Path(state.repository), state.path, state.signers, by)


class _Refused(Exception):
    """The commit is refused: at which step, and with which problems."""

    def __init__(self, why: Why, message: str, problems: str = "") -> None:
        super().__init__(message)
        self.why = why
        self.problems = problems


def within_bounds(work: Callable[[], Outcome]) -> Bounded:
    """Begin it in a process of its own; `outcome_of` what that comes to."""
    return Bounded(lambda: asdict(work()), BOUNDS)


def outcome_of(came_to: Any) -> Outcome:
    """What such a process came to."""
    if came_to is None:
        return Outcome("refused", f"it could not be checked within {BOUNDS}", why="check")
    return Outcome(**came_to)


def put_into_use(releases: Releases, wish: Wish) -> Outcome:
    """Put a revision into use."""
    commit = ""
    try:
        with releases.locked(wish.patience_seconds):
            commit = _named(releases, wish)
            return _put_into_use(releases, wish, commit)
    except _Refused as refused:
        return _outcome(refused, commit, wish.path)
    except NotDeployed as error:
        return Outcome("failed", str(error), commit)
    except OSError as error:
        return Outcome("failed", f"{error.filename or releases.folder}: {error.strerror}", commit)


def _named(releases: Releases, wish: Wish) -> str:
    try:
        commit = commit_of(wish.repository, wish.revision)
    except NotDeployed as error:
        raise _Refused("revision", str(error)) from None
    known = {one.commit for one in releases.state().history}
    if wish.within and commit not in known and not contains(wish.repository, wish.within, commit):
        raise _Refused("revision", f"{commit[:12]} is not on the branch that is followed")
    return commit


def _put_into_use(releases: Releases, wish: Wish, commit: str) -> Outcome:
    state = releases.state()
    if wish.signers:
        try:
            check_signature(wish.repository, commit, Path(wish.signers))
        except NotDeployed as error:
            raise _Refused("signature", str(error)) from None
    was_there = (releases.folder / commit).is_dir()
    try:
        folder = releases.export(wish.repository, wish.path, commit)
    except NotDeployed as error:
        raise _Refused("files", str(error)) from None
    try:
        plan = proven(folder)
        if wish.following is not None:
            _check_followed(wish.following, plan, commit)
    except _Refused:
        if not was_there:
            releases.remove(commit)
        raise
    author, subject = written_by(wish.repository, commit)
    release = Release(commit, wish.path, time.time(), wish.by, author, subject)
    # What is in use already is no further step: the way back stays what it was.
    history = state.history
    if not history or history[0].commit != commit:
        history = (release, *history)
    after = State(str(wish.repository.resolve()), wish.path, history, wish.signers)
    return _taken(releases, plan, state, after)


def go_back(releases: Releases, patience_seconds: float = 0.0) -> Outcome:
    """Put the release before this one into use again."""
    try:
        with releases.locked(patience_seconds):
            state = releases.state()
            if len(state.history) < 2:
                return Outcome("refused", "there is no release before this one", why="revision")
            before = state.history[1]
            try:
                plan = proven(releases.folder / before.commit)
                return _taken(releases, plan, state, replace(state, history=state.history[1:]))
            except _Refused as refused:
                return _outcome(refused, before.commit, before.path)
    except NotDeployed as error:
        return Outcome("failed", str(error))
    except OSError as error:
        return Outcome("failed", f"{error.filename or releases.folder}: {error.strerror}")


def proven(folder: Path) -> Plan:
    """The plan of a release that checks and whose tests pass."""
    plugs = all_plugs()
    loaded = load(folder, plugs)
    if loaded.plan is None:
        raise _Refused("check", "it does not pass its own checks", loaded.render())
    report = Report()
    found = read_cases(folder, loaded.plan, plugs, report)
    if report.has_errors:
        problems = render_all(report.problems(), found.texts)
        raise _Refused("check", "its tests cannot be read", problems)
    trial = Trial({plug.name: plug for plug in plugs.morphs})
    failed = [
        f"{result.case.place}: test failed: {result.case.name}\n  " + "\n  ".join(result.failures)
        for result in (trial.run(loaded.plan, case) for case in found.cases)
        if result.failures
    ]
    if failed:
        raise _Refused("tests", f"{len(failed)} of its tests fail", "\n".join(failed))
    return loaded.plan


def _check_followed(now: Plan, then: Plan, commit: str) -> None:
    """Whose commits are taken, from where, is changed by a person, not by a commit."""
    before, after = _trust(now), _trust(then)
    changed = [key for key in before if before[key] != after.get(key)]
    if not changed:
        return
    what = "removes section deploy" if not after else f"changes deploy.{', deploy.'.join(changed)}"
    raise _Refused(
        "followed",
        f"it {what}: who decides what runs is changed by a person only; "
        f"put it into use with: dicom-router deploy {commit[:12]}",
    )


def _trust(plan: Plan) -> dict[str, str]:
    """What decides whose commits are taken, as texts; files of the folder by their place in it."""
    if plan.deploy is None:
        return {}
    names = ("repository", "branch", "path", "allowed_signers", "auth")
    values = {name: getattr(plan.deploy, name) for name in names}
    values["tls"] = plan.tls.get(plan.deploy.tls or "")
    return {name: repr(value).replace(f"{plan.folder}/", "") for name, value in values.items()}


def _taken(releases: Releases, plan: Plan, before: State, after: State) -> Outcome:
    """Flip the link; back again where the running router refuses."""
    commit, old = after.history[0].commit, releases.current()
    releases.advance(before, after)
    places = Places(plan.router.data_dir)
    outcome = Outcome("stopped", "in use from the next start on: no router runs", commit)
    if is_running(places):
        told = answer_of(places, APPLY_SECONDS)
        if told is None or told.state == "refused":
            releases.advance(after, before)
            why = "the running router did not answer" if told is None else "the router refused it"
            message = f"{why}; {old[:12] or 'what ran'} goes on"
            problems = "" if told is None else told.problems
            return Outcome("refused", message, commit, "router", problems[:_MOST_PROBLEMS])
        outcome = Outcome(told.state, f"{told.state}: plan {told.digest[:12]}", commit)
    releases.prune(after)
    return outcome


def _outcome(refused: _Refused, commit: str, path: str) -> Outcome:
    # A place is told as people know it: in the repository, not in the folder of the release.
    inside = f"{path}/" if path else ""
    problems = refused.problems.replace(f"{commit}/", inside) if commit else refused.problems
    message = f"{refused}; nothing was changed"
    return Outcome("refused", message, commit, refused.why, problems[:_MOST_PROBLEMS])
