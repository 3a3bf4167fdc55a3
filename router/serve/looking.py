"""One look at the branch that is followed: fetch, judge, and put into use what may be.

The fetch and the deployment each run in a process of their own with bounds; here is only decided.
What a remote does, away, slow or hostile, ends in a sentence and the next look.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from router.clock import Clock
from router.config.git import NotDeployed, apart, commit_of, contains, files_of
from router.config.releases import Releases
from router.config.remote import Access, fetch
from router.errors import RouterError
from router.model.deployment import DeploySettings, SshKey
from router.model.plan import Plan
from router.model.station import Basic
from router.serve.bounded import MAX_FILE_BYTES, Bounded, Bounds
from router.serve.deploying import Outcome, Wish, outcome_of, put_into_use, within_bounds
from router.serve.following import Following, FollowingBook, pause_seconds, source_of
from router.serve.secrets import read_secret

PATIENCE_SECONDS: Final = 30.0
_MOST_CHANGED: Final = 20
_MOST_MIRROR_BYTES: Final = 2 * MAX_FILE_BYTES
_JITTER: Final = 0.1

Wait = Callable[[Bounded], Any]


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch a running plan follows, and the releases it becomes."""

    releases: Releases
    plan: Plan
    settings: DeploySettings

    @classmethod
    def of(cls, releases: Releases, plan: Plan | None) -> Branch | None:
        """None where no branch is followed."""
        if plan is None or plan.deploy is None:
            return None
        return cls(releases, plan, plan.deploy)

    @property
    def repository(self) -> Path:
        """Where its commits are read: what was fetched, or the repository itself on this machine."""
        local = self.settings.is_local
        return Path(self.settings.repository) if local else self.releases.mirror

    @property
    def book(self) -> FollowingBook:
        """What is known of it."""
        return FollowingBook(self.releases, source_of(self.settings))

    def wish(self, revision: str, by: str) -> Wish:
        """A revision of it, to be put into use. Signatures that were asked for once still are."""
        signers = self.settings.allowed_signers or self.releases.state().signers
        path = self.settings.path
        return Wish(revision, self.repository, path, str(signers or ""), by)

    def fetching(self) -> Bounded:
        """Begin to fetch and compare it, in a process of its own."""
        base = self.book.read().base or self.releases.current()
        bounds = Bounds(
            self.settings.timeout_seconds, max(10, round(self.settings.timeout_seconds))
        )
        return Bounded(partial(_fetched, self, base), bounds)


def refresh(branch: Branch, clock: Clock, wait: Wait) -> tuple[Following, bool]:
    """Fetch and compare only: what is known then, and whether it goes on from where it was.

    `error` is '' where it could be fetched. Raises OSError.
    """
    settings, book = branch.settings, branch.book
    branch.releases.folder.mkdir(parents=True, exist_ok=True)
    found = wait(branch.fetching())
    error = _error_of(found, settings)
    if error:
        return _failed(branch, clock, error), False
    now = clock.now()
    known = book.update(
        looked_at=now, fetched_at=now, error="", failures=0, next_at=_next(settings, 0, clock),
        tip=found["tip"], behind=found["behind"], ahead=found["ahead"], changed=found["changed"],
    )  # fmt: skip
    return known, bool(found["goes_on"])


def look(branch: Branch, clock: Clock, wait: Wait) -> Outcome:
    """Look once. A commit that was decided on before keeps what was decided. Raises OSError."""
    settings, book = branch.settings, branch.book
    known, goes_on = refresh(branch, clock, wait)
    if known.error:
        return Outcome("failed", known.error)
    now = clock.now()
    tip = known.tip
    if tip == branch.releases.current():
        if known.decided != tip or known.decision != "taken":
            book.update(base=tip, **_decided(tip, now, Outcome("unchanged", "in use", tip)))
        return Outcome("unchanged", "the branch is in use", tip)
    if tip == known.decided and known.decision != "deploying":
        return _as_before(known)
    if not goes_on:
        base = known.base or branch.releases.current()
        message = (
            f"branch {settings.branch} was rewound: {tip[:12]} does not contain {base[:12]}; "
            f"put it into use with: dicom-router deploy {tip[:12]}"
        )
        outcome = Outcome("refused", message, tip, "rewound")
        book.update(**_decided(tip, now, outcome))
        return outcome
    book.update(base=tip, decided=tip, decision="deploying")
    wish = replace(
        branch.wish(tip, f"branch {settings.branch}"),
        following=branch.plan,
        patience_seconds=PATIENCE_SECONDS,
    )
    outcome = outcome_of(wait(within_bounds(partial(put_into_use, branch.releases, wish))))
    if outcome.state == "failed":
        _failed(branch, clock, outcome.message)
        return outcome
    in_use = {"behind": 0, "ahead": 0, "changed": []} if outcome.ok else {}
    book.update(**_decided(tip, clock.now(), outcome), **in_use)
    return replace(outcome, commit=tip)


def note_by_hand(branch: Branch) -> None:
    """Something else is in use now: the branch is compared with that. Raises OSError."""
    current, known = branch.releases.current(), branch.book.read()
    if not known.tip or not branch.repository.is_dir():
        return
    counts = apart(branch.repository, current, known.tip) or (None, None)
    branch.book.update(behind=counts[0], ahead=counts[1], changed=[])


def _decided(tip: str, now: float, outcome: Outcome) -> dict[str, Any]:
    return {
        "decided": tip,
        "decision": "taken" if outcome.ok else "refused",
        "decided_at": now,
        "why": outcome.why,
        "message": outcome.message,
        "problems": outcome.problems,
    }


def _as_before(known: Following) -> Outcome:
    if known.decision == "refused":
        message = f"refused before: {known.message}"
        return replace(_REFUSED, commit=known.tip, message=message, problems=known.problems)
    message = "rolled back from; it stays so until the branch moves on, or deploy says so"
    return Outcome("unchanged", message, known.tip)


_REFUSED: Final = Outcome("refused", "")


def _failed(branch: Branch, clock: Clock, error: str) -> Following:
    failures = branch.book.read().failures + 1
    return branch.book.update(
        looked_at=clock.now(), error=error, failures=failures,
        next_at=_next(branch.settings, failures, clock),
    )  # fmt: skip


def _next(settings: DeploySettings, failures: int, clock: Clock) -> float:
    pause = pause_seconds(settings, failures)
    return clock.now() + clock.jitter(pause * (1.0 - _JITTER), pause * (1.0 + _JITTER))


def _error_of(found: Any, settings: DeploySettings) -> str:
    if found is None:
        return (
            f"the branch could not be fetched within {settings.timeout_seconds:g} s and "
            f"{MAX_FILE_BYTES >> 20} MiB"
        )
    return str(found.get("error", ""))


def _fetched(branch: Branch, base: str) -> dict[str, Any]:
    """In its process: fetch, and compare with what is in use."""
    try:
        if not branch.settings.is_local:
            _fetch(branch)
        repository = branch.repository
        tip = commit_of(repository, f"refs/heads/{branch.settings.branch}")
    except (RouterError, OSError) as error:
        return {"error": str(error)}
    current = branch.releases.current()
    counts = apart(repository, current, tip) if current else None
    return {
        "tip": tip,
        "goes_on": not base or contains(repository, tip, base),
        "behind": counts[0] if counts else None,
        "ahead": counts[1] if counts else None,
        "changed": changed_files(branch.releases, repository),
    }


def _fetch(branch: Branch) -> None:
    mirror, settings = branch.releases.mirror, branch.settings
    with open(branch.releases.folder / ".fetch.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # this process is ended when it takes too long
        if _size_of(mirror) > _MOST_MIRROR_BYTES:
            shutil.rmtree(
                mirror
            )  # what rewound branches left: fetched anew, what counts comes back
        auth, secret = settings.auth, ""
        if auth is not None and not isinstance(auth, SshKey):
            held = auth.password if isinstance(auth, Basic) else auth.token
            secret = read_secret(held, branch.plan.folder)
        tls = branch.plan.tls[settings.tls] if settings.tls else None
        fetch(mirror, settings, Access(secret, tls))


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def changed_files(releases: Releases, repository: Path) -> list[str] | None:
    """Files of the release in use that are not as committed; None where that cannot be told."""
    history = releases.state().history
    if not history:
        return None
    folder = releases.folder / history[0].commit
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    changed: list[str] = []
    try:
        for name, content in files_of(repository, history[0].path, history[0].commit):
            left.discard(str(name))
            file = folder / name
            if not file.is_file() or file.read_bytes() != content:
                changed.append(str(name))
    except NotDeployed:
        return None
    return sorted([*changed, *left])[:_MOST_CHANGED]
