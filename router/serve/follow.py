"""Role `watch`: follows the configuration folder, and keeps what changed for the supervisor to try.

It looks when the file system says so, when somebody asks (`apply`, SIGHUP), and every ten seconds
all the same. What changed by itself is taken when the folder has been still for a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.config.watch import FolderWatch, fingerprint
from router.serve.candidate import keep, named_files, read_texts
from router.serve.process import Role, accepting_mark
from router.serve.reload_state import ReloadState, State, take_request, tell

LOOK_SECONDS: Final = 10.0
STILL_SECONDS: Final = 0.3
_STEP_SECONDS: Final = 0.05
_SWAP_SECONDS: Final = 5.0
_UNREADABLE: Final = "\0unreadable"


@dataclass(frozen=True, slots=True)
class Applied:
    """The change these roles came with: who asked ('' nobody), and whether they accept anything."""

    request: str
    accepts: bool


def texts_fingerprint(texts: Mapping[str, str], unreadable: str, named: Iterable[Path]) -> str:
    """What tells one state of the folder from another."""
    return fingerprint({**texts, _UNREADABLE: unreadable}, named)


def follow(role: Role, folder: Path, known: str, kept: int, applied: Applied | None = None) -> None:
    """Watch until told to stop. `known` is the fingerprint that runs; `kept` an eventfd to ring."""
    follower = _Follower(role, folder, known, kept)
    if applied is not None:
        follower.announce(applied)
    follower.run()


class _Follower:
    def __init__(self, role: Role, folder: Path, known: str, kept: int) -> None:
        self._role = role
        self._folder = folder
        self._running = known
        self._tried = known
        self._kept = kept
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
        self._watch.happened.set()  # what changed before the watch began made no event
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
        texts, unreadable, found = self._still(0.0 if request is not None else STILL_SECONDS)
        if found == self._running:
            if request is not None or self._tried != found:
                # Who refused a change that was taken back says so no longer.
                self._say("unchanged", request or "")
            self._tried = found
            return
        if found == self._tried and request is None:
            return
        self._tried = found
        if unreadable:
            self._say("refused", request or "", unreadable)
            return
        keep(self._role.places, self._folder, texts, request or "")
        os.eventfd_write(self._kept, 1)

    def _still(self, seconds: float) -> tuple[Mapping[str, str], str, str]:
        """The texts once they were still for so long, what of them cannot be read, the fingerprint."""
        before = ""
        while True:
            texts, unreadable = read_texts(self._folder)
            now = texts_fingerprint(texts, unreadable, self._named)
            if not seconds or now in {before, self._running, self._tried}:
                return texts, unreadable, now
            before = now
            if not self._role.keeps_running(seconds):
                return texts, unreadable, self._running

    def _say(self, state: State, request: str, problems: str = "") -> None:
        role = self._role
        told = ReloadState(state, request, role.clock.now(), role.plan.digest, problems)
        tell(role.places, role.log, told)
