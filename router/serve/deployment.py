"""How the deployment is: what is in use, how far the branch is, what was refused; as JSON.

One document for `deploy status`, `status`, API, pages and metrics. Only files are read: no git, no
network.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from router.clock import iso_time
from router.config.git import NotDeployed
from router.config.releases import Releases, State
from router.model.plan import Plan
from router.serve.following import Following
from router.serve.looking import Branch

Sync = Literal[
    "not_followed", "unknown", "deploying", "in_sync", "behind", "rolled_back", "refused",
    "unreachable",
]  # fmt: skip
UNWELL: Final = frozenset({"refused", "unreachable"})


def deployment(releases: Releases, plan: Plan | None) -> dict[str, Any] | None:
    """All of it; None where the folder is no release and follows nothing."""
    branch, current = Branch.of(releases, plan), releases.current()
    if branch is None and not current:
        return None
    problem = ""
    try:
        state = releases.state()
    except NotDeployed as error:
        state, problem = State(), str(error)
    known = branch.book.read() if branch else Following()
    return {
        "current": current or None,
        "repository": branch.settings.repository if branch else state.repository or None,
        "branch": branch.settings.branch if branch else None,
        "path": branch.settings.path if branch else state.path,
        "signed": bool(state.signers or (branch and branch.settings.allowed_signers)),
        "sync": _sync_of(known, current, is_followed=branch is not None),
        "tip": known.tip or None,
        "behind": known.behind,
        "ahead": known.ahead,
        "changed_files": known.changed,
        "last_look": _time(known.looked_at),
        "last_fetch": _time(known.fetched_at),
        "next_look": _time(known.next_at),
        "last_error": known.error or problem,
        "failures": known.failures,
        "refused": _refused(known),
        "history": [
            {"commit": one.commit, "at": iso_time(one.at), "by": one.by,
             "author": one.author, "subject": one.subject}
            for one in state.history
        ],
    }  # fmt: skip


def _sync_of(known: Following, current: str, *, is_followed: bool) -> Sync:
    if not is_followed:
        return "not_followed"
    if known.error:
        return "unreachable"
    if not known.tip:
        return "unknown"
    if known.decision == "deploying":
        return "deploying"
    if known.tip == current:
        return "in_sync"
    if known.decided == known.tip and known.decision in {"refused", "taken"}:
        return "refused" if known.decision == "refused" else "rolled_back"
    return "behind"


def _refused(known: Following) -> dict[str, Any] | None:
    """The last commit of the branch that was refused, until another was decided on."""
    if known.decision != "refused":
        return None
    return {
        "commit": known.decided,
        "at": _time(known.decided_at),
        "why": known.why,
        "message": known.message,
        "problems": known.problems,
    }


def _time(seconds: float) -> str | None:
    return iso_time(seconds) if seconds else None
