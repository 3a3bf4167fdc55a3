"""Role `watch`: follows the configuration folder, and tries what changed before anybody acts on it.

It looks when the file system says so, when somebody asks (`apply`, SIGHUP), and every ten seconds
all the same. A change is taken when the folder has been still for a moment. What compiles is told
to the supervisor; what does not is told to people, and the running plan stays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.config.watch import FolderWatch, fingerprint
from router.serve.candidate import keep, named_files, read_texts, verify
from router.serve.process import Role, accepting_mark
from router.serve.reload_state import ReloadState, State, take_request, write_state

LOOK_SECONDS: Final = 10.0
STILL_SECONDS: Final = 0.3
_STEP_SECONDS: Final = 0.2
_SWAP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Applied:
    """The change these roles came with: who asked ('' nobody), and whether they accept anything."""

    request: str
    accepts: bool


def follow(
    role: Role, folder: Path, known: str, verified: int, applied: Applied | None = None
) -> None:
    """Watch until told to stop. `known` is the fingerprint that runs; `verified` an eventfd."""
    follower = _Follower(role, folder, known, verified)
    if applied is not None:
        follower.announce(applied)
    follower.run()


class _Follower:
    def __init__(self, role: Role, folder: Path, known: str, verified: int) -> None:
        self._role = role
        self._folder = folder
        self._running = known
        self._tried = known
        self._verified = verified
        self._named = named_files(role.plan)
        self._watch = FolderWatch(folder)

    def announce(self, applied: Applied) -> None:
        """Say that the change has taken effect: from now on everything new meets this plan."""
        role = self._role
        until = role.clock.monotonic() + _SWAP_SECONDS
        while not self._has_swapped(applied) and role.clock.monotonic() < until:
            if not role.keeps_running(0.02):
                return
        self._say("applied", applied.request)

    def _has_swapped(self, applied: Applied) -> bool:
        own = accepting_mark(self._role)
        marks = set(self._role.places.run.glob(f"{own.name.partition('@')[0]}@*"))
        return marks == ({own} if applied.accepts else set())

    def run(self) -> None:
        if not self._watch.start():
            self._role.log.warning("no file events to be had, the folder is looked at instead")
        look_at = self._role.clock.monotonic() + LOOK_SECONDS
        try:
            while self._role.keeps_running(_STEP_SECONDS):
                request = take_request(self._role.places)
                now = self._role.clock.monotonic()
                if request is None and not self._watch.happened.is_set() and now < look_at:
                    continue
                self._watch.happened.clear()
                try:
                    self._look(request)
                except Exception as error:  # noqa: BLE001 - loop boundary: following must not end the images
                    self._role.log.bug("the configuration could not be looked at", error)
                    self._tried = ""
                look_at = self._role.clock.monotonic() + LOOK_SECONDS
        finally:
            self._watch.stop()

    def _look(self, request: str | None) -> None:
        texts, found = self._still()
        if found == self._running:
            self._tried = found
            if request is not None:
                self._say("unchanged", request)
            return
        if found == self._tried and request is None:
            return
        self._tried = found
        again, unreadable = read_texts(self._folder)
        if fingerprint(again, self._named) != found:
            self._watch.happened.set()  # it goes on changing: look again
            return
        if unreadable:
            self._refuse(request, unreadable)
            return
        verdict = verify(keep(self._role.places, self._folder, texts, request or ""))
        if not verdict.digest:
            self._refuse(request, verdict.problems)
        else:
            os.eventfd_write(self._verified, 1)

    def _still(self) -> tuple[Mapping[str, str], str]:
        """The texts once they have not changed for a moment, and their fingerprint."""
        before = ""
        while True:
            texts, _ = read_texts(self._folder)
            now = fingerprint(texts, self._named)
            if now in {before, self._running, self._tried}:
                return texts, now
            before = now
            if not self._role.keeps_running(STILL_SECONDS):
                return texts, self._running

    def _refuse(self, request: str | None, problems: str) -> None:
        self._role.log.error("the changed configuration is refused", problems=problems[:4000])
        self._say("refused", request or "", problems)

    def _say(self, state: State, request: str, problems: str = "") -> None:
        role = self._role
        told = ReloadState(state, request, role.clock.now(), role.plan.digest, problems)
        try:
            write_state(role.places, told)
        except OSError as error:
            role.log.warning("the outcome of a reload could not be written", reason=error.strerror)
