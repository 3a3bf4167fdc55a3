"""Role `deploy`: follows the branch of section `deploy`, and deploys what pages and API ask for.

Its process has no threads: whatever takes time is done by a bounded process of its own, while this
one goes on publishing. A deployment that makes the next generation is seen to its end by the role
of this one; the next one's waits for it by the lock of the releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from router.config.git import NotDeployed
from router.config.releases import SHOWN_CHARACTERS, Releases
from router.serve.auditing import note_configuration
from router.serve.bounded import Bounded
from router.serve.deploying import Outcome, go_back, outcome_of, put_into_use, remembered
from router.serve.deploying import within_bounds as bounded
from router.serve.following import LONGEST_PAUSE_SECONDS, Following
from router.serve.looking import PATIENCE_SECONDS, Branch, look, note_by_hand, refresh
from router.serve.mailbox import Mailbox
from router.serve.places import Places
from router.serve.process import Role
from router.serve.webhooks import note_event

_STEP_SECONDS: Final = 0.1


def mailbox(places: Places) -> Mailbox:
    """Where the role is asked: `what` is fetch, deploy (a `revision`) or rollback; `by` whom."""
    return Mailbox(places, "deploy")


def follow_branch(role: Role, folder: Path) -> None:
    """Follow until told to stop or to retire. `folder` is the link to the release in use."""
    _Deployer(role, Releases(folder)).run()


class _Stopped(Exception):
    """The role is to stop: what was under way is ended, and begun anew at the next start."""


class _Deployer:
    def __init__(self, role: Role, releases: Releases) -> None:
        self._role = role
        self._releases = releases
        self._branch = Branch.of(releases, role.plan)
        self._mail = mailbox(role.places)
        self._look_at = self._due()

    def run(self) -> None:
        role = self._role
        while role.keeps_running(_STEP_SECONDS):
            try:
                request = self._mail.take()
                if request is not None:
                    self._mail.answer(request[0], asdict(self._asked(request[1])))
                    self._look_at = self._due()
                elif role.clock.monotonic() >= self._look_at:
                    self._look()
                    self._look_at = self._due()
            except _Stopped:
                return
            except OSError as error:
                reason = f"{error.filename or self._releases.folder}: {error.strerror}"
                role.log.error("the deployment cannot be written down", reason=reason)  # noqa: TRY400 - the reason is all there is
                self._look_at = role.clock.monotonic() + LONGEST_PAUSE_SECONDS

    def _due(self) -> float:
        """When to look next, by the monotonic clock; what was written down may be of another time."""
        if self._branch is None:
            return float("inf")
        clock, known = self._role.clock, self._branch.book.read()
        if known.decision == "deploying" and not known.error and not self._role.generation:
            return clock.monotonic()  # a stop came between
        pause = known.next_at - clock.now()
        longest = max(self._branch.settings.every_seconds, LONGEST_PAUSE_SECONDS) * 1.1
        return clock.monotonic() + max(0.0, min(pause, longest))

    def _wait(self, work: Bounded) -> Any:
        self._role.finish(work.has_ended)
        if self._role.threads.stop.is_set():
            work.end()
            raise _Stopped
        return work.came_to()

    def _look(self) -> Outcome:
        assert self._branch is not None
        before = self._branch.book.read()
        outcome = look(self._branch, self._role.clock, self._wait)
        self._tell(before, self._branch.book.read(), outcome)
        return outcome

    def _asked(self, wish: Mapping[str, Any]) -> Outcome:
        """What somebody wants done, by whoever it is."""
        branch = self._branch
        if wish["what"] == "fetch":
            if branch is None:
                return Outcome(
                    "failed", "no branch is followed: the configuration has no section deploy"
                )
            return self._look()
        if wish["what"] == "rollback":
            return self._by_hand(bounded(partial(go_back, self._releases, PATIENCE_SECONDS)))
        try:
            if branch is None:
                asked = remembered(self._releases, str(wish["revision"]), str(wish["by"]))
            else:
                known, _ = refresh(branch, self._role.clock, self._wait)
                asked = branch.wish(str(wish["revision"]), str(wish["by"]))
                asked = replace(asked, within=known.tip)
        except NotDeployed as error:
            return Outcome("failed", str(error))
        asked = replace(asked, patience_seconds=PATIENCE_SECONDS)
        return self._by_hand(bounded(partial(put_into_use, self._releases, asked)))

    def _by_hand(self, work: Bounded) -> Outcome:
        outcome = outcome_of(self._wait(work))
        if outcome.ok and self._branch is not None:
            note_by_hand(self._branch)
        return outcome

    def _tell(self, before: Following, after: Following, outcome: Outcome) -> None:
        role, branch = self._role, self._branch
        assert branch is not None
        name, commit = branch.settings.branch, outcome.commit[:SHOWN_CHARACTERS]
        if after.failures and not before.failures:
            role.log.error("the branch cannot be followed", branch=name, reason=after.error)
            note_event(role.plan, "deployment.unreachable", {"branch": name}, role.log)
        elif before.failures and not after.failures:
            role.log.info("the branch is followed again", branch=name)
        if after.decided_at == before.decided_at or after.decision == "deploying":
            return
        if after.decision == "taken":
            role.log.info("the branch is in use", branch=name, commit=commit)
            return
        role.log.error(
            "a commit is refused", branch=name, commit=commit, why=after.why,
            reason=after.message, problems=after.problems[:4000],
        )  # fmt: skip
        facts = {"branch": name, "commit": commit, "why": after.why}
        note_event(role.plan, "deployment.refused", facts, role.log)
        problems = f"{after.message}\n{after.problems}"
        note_configuration(role.plan, role.log, problems, f"commit {commit} of branch {name}")
