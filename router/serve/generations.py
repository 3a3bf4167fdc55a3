"""Generations of roles: what runs now, and what runs next when the configuration has changed.

One path for every change: the texts that were kept are tried in a bounded process and compiled, what
needs a restart is named, new addresses are bound and certificates tried, and only then do the next
roles begin. Whatever fails before that leaves everything as it is, and says why. Sockets are kept by
address.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from router.config import last_good
from router.config.load import Loaded
from router.config.releases import Releases
from router.errors import RouterError
from router.model.plan import Plan
from router.serve.auditing import note_configuration
from router.serve.candidate import Candidate, Trial, named_files
from router.serve.deliver import deliver
from router.serve.deployer import follow_branch
from router.serve.follow import Applied, follow, texts_fingerprint
from router.serve.listening import Sockets, bind
from router.serve.places import Places
from router.serve.process import Role, run_role
from router.serve.receive import receive
from router.serve.reload_state import ReloadState, ask, tell
from router.serve.supervisor import Bodies, HasFileno
from router.serve.web import web
from router.serve.webhooks import note_event
from router.telemetry.log import Log
from router.telemetry.metrics import absorb


@dataclass(frozen=True, slots=True)
class Followed:
    """A configuration folder to follow, and the texts in it that were read at the start."""

    folder: Path
    texts: Mapping[str, str]


class Generations:
    """Makes the bodies of roles. Used by the supervisor only, which has no threads."""

    def __init__(
        self, plan: Plan, sockets: Sockets, boot_id: str, log: Log, followed: Followed | None
    ) -> None:
        self._plan = plan
        self._sockets = sockets
        self._boot_id = boot_id
        self._log = log
        self._followed = followed
        self._places = Places(plan.router.data_dir)
        self._number = 0
        self._bell = os.eventfd(0)
        self._kept = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._trial: Trial | None = None
        self._texts = followed.texts if followed else {}
        self._request: str | None = None

    def bodies(self) -> Bodies:
        """The roles of the plan that runs now."""
        plan, bell = self._plan, self._bell
        kinds = {name: plan.listeners[name].kind for name in self._sockets}
        dimse = {name: sock for name, sock in self._sockets.items() if kinds[name] == "dimse"}
        http = {name: sock for name, sock in self._sockets.items() if kinds[name] != "dimse"}
        work: dict[str, Callable[[Role], None]] = {"deliver": lambda role: deliver(role, bell)}
        if dimse:
            work["receive"] = lambda role: receive(role, dimse, bell)
        expected = frozenset(work)
        if http:
            given = self._followed.folder if self._followed else plan.folder
            work["web"] = lambda role: web(role, http, expected, given, bell)
        if self._followed is not None:
            folder, kept = self._followed.folder, self._kept
            known = texts_fingerprint(self._texts, "", named_files(plan))
            request, self._request = self._request, None
            accepts = bool(dimse)
            if plan.deploy is not None or Releases(folder).current():
                work["deploy"] = lambda role: follow_branch(role, folder)
            work["watch"] = lambda role: follow(
                role,
                folder,
                known,
                kept,
                Applied(request, accepts) if request is not None else None,
            )
        served = {"receive": dimse, "web": http}
        return {name: self._body(name, body, served.get(name, {})) for name, body in work.items()}

    def _body(self, name: str, body: Callable[[Role], None], served: Sockets) -> Callable[[], int]:
        plan, number = self._plan, self._number
        others = [sock for key, sock in self._sockets.items() if key not in served]

        def run() -> int:
            # A forgotten copy would go on listening, and take what nobody accepts.
            for sock in others:
                sock.close()
            return run_role(name, plan, self._boot_id, self._log, body, number)

        return run

    def news(self) -> tuple[HasFileno, ...]:
        """What becomes readable when `next` has something to do."""
        return (self._kept,) if self._trial is None else (self._trial,)

    def next(self, asked: bool) -> Bodies | None:  # noqa: FBT001 - the supervisor's one question
        """The roles of a changed configuration that was tried; None while there is none."""
        self._tidy()
        if asked:
            with suppress(OSError):
                ask(self._places)
        if self._trial is None:
            self._begin()
            return None
        verdict = self._trial.verdict()
        if verdict is None:
            return None
        candidate, self._trial = self._trial.candidate, None
        if not verdict.digest:
            self._refuse(candidate.request, verdict.problems)
            return None
        loaded = candidate.compiled()
        if loaded.plan is None:
            self._refuse(candidate.request, loaded.render())
            return None
        return self._prepared(loaded, loaded.plan, candidate.request)

    def _begin(self) -> None:
        """Try what was kept, where something was."""
        try:
            os.eventfd_read(self._kept)
        except BlockingIOError:
            return
        try:
            self._trial = Trial(Candidate.kept(self._places))
        except (OSError, ValueError, KeyError):
            self._refuse("", "the changed configuration could not be tried")

    def _prepared(self, loaded: Loaded, plan: Plan, request: str) -> Bodies | None:
        if plan.router.data_dir != self._plan.router.data_dir:
            self._refuse(request, "router.data_dir cannot change while the router runs: restart it")
            return None
        try:
            sockets = bind(plan, self._by_address())
        except RouterError as error:
            self._refuse(request, str(error))
            return None
        kept = {id(sock) for sock in sockets.values()}
        for sock in self._sockets.values():
            if id(sock) not in kept:
                sock.close()
        old = self._plan.digest
        self._plan, self._sockets = plan, sockets
        self._number += 1
        self._texts = {source.relative: source.text for source in loaded.sources}
        with suppress(OSError):
            last_good.save(plan.router.data_dir, loaded)
        self._log.info("configuration applied", plan=plan.digest[:12], before=old[:12])
        self._request = request
        note_configuration(plan, self._log)
        note_event(plan, "configuration.applied", _named(plan), self._log)
        return self.bodies()

    def _by_address(self) -> dict[tuple[str, int], socket.socket]:
        listeners = self._plan.listeners
        return {
            (listeners[name].host, listeners[name].port): sock
            for name, sock in self._sockets.items()
        }

    def _refuse(self, request: str, problems: str) -> None:
        told = ReloadState("refused", request, time.time(), self._plan.digest, problems)
        tell(self._places, self._log, told)
        note_configuration(self._plan, self._log, problems)
        note_event(self._plan, "configuration.refused", _named(self._plan), self._log)

    def _tidy(self) -> None:
        """What processes of earlier generations counted is added up once they have gone silent."""
        for path in self._places.run.glob("*@*.prom"):
            number = path.stem.partition("@")[2]
            if not number.isdigit() or int(number) >= self._number:
                continue
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _SILENT_SECONDS:
                    absorb(self._places.run, path.stem)


def _named(plan: Plan) -> dict[str, str]:
    """The plan that runs, for whoever is told."""
    return {"plan": plan.digest[:12], "revision": plan.revision}


_SILENT_SECONDS = 5.0
