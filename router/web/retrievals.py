"""Retrievals that were begun here: a station sends a study to us (C-MOVE), a thread follows it.

The objects arrive like any others and the rules route them; this only says how far the station is.
Each is a small file in the run folder, so that it is told also after the configuration changed. It
holds UIDs and counts, no patient.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from router.clock import Clock
from router.errors import RouterError
from router.flow.retrieving import verdict
from router.model.query import MoveProgress, Retrieval
from router.peers.search import Retrievable

AT_ONCE: Final = 4
KEPT: Final = 50
DEADLINE_SECONDS: Final = 3600.0

Start = Callable[[str, Callable[[], None]], object]
State = Literal["In Progress", "Completed", "Failed"]


class TooMany(RouterError):
    """As many retrievals as may run at once are running."""

    http_status = 429


@dataclass(frozen=True, slots=True)
class RetrievalTold:
    """One retrieval: what was asked for by whom, and the counts of the station's last answer."""

    number: int
    station: str
    study_instance_uid: str
    requester: str
    state: State
    message: str
    remaining: int | None
    completed: int | None
    failed: int | None
    warnings: int | None
    started_at: float
    ended_at: float | None


class Retrievals:
    """Begins and tells. Safe for threads."""

    def __init__(self, folder: Path, clock: Clock, start: Start) -> None:
        """`start` runs a function in a named thread."""
        self._folder = folder
        self._clock = clock
        self._start = start
        self._lock = threading.Lock()
        self._open = 0
        self._stopping = threading.Event()

    def begin(self, peer: Retrievable, station: str, study: str, requester: str) -> RetrievalTold:
        """Have the station send the study; returns at once. Raises TooMany."""
        with self._lock:
            if self._open >= AT_ONCE:
                raise TooMany(f"{AT_ONCE} retrievals run already: wait for one to end")
            self._open += 1
            number = max((one.number for one in self.told()), default=0) + 1
            told = RetrievalTold(
                number, station, study, requester, "In Progress", "", None, None, None, None,
                self._clock.now(), None,
            )  # fmt: skip
            self._write(told)
        self._start(f"retrieve {station}", lambda: self._follow(peer, told))
        return told

    def told(self) -> list[RetrievalTold]:
        """All that are known, the latest first."""
        found: list[RetrievalTold] = []
        for path in self._folder.glob("retrieval-*.json"):
            with suppress(OSError, ValueError, TypeError):
                found.append(RetrievalTold(**json.loads(path.read_text(encoding="utf-8"))))
        return sorted(found, key=lambda one: -one.number)

    def is_busy(self) -> bool:
        """Whether one runs in this process."""
        return self._open > 0

    def stop(self) -> None:
        """Have those that run cancelled (C-CANCEL)."""
        self._stopping.set()

    def _follow(self, peer: Retrievable, told: RetrievalTold) -> None:
        failure = ""
        last: MoveProgress | None = None
        wanted = Retrieval(told.study_instance_uid, "", DEADLINE_SECONDS)
        try:
            for last in peer.retrieve(wanted, self._stopping.is_set):
                told = _counted(told, last)
                self._write(told)
        except RouterError as error:
            failure = str(error)
        finally:
            peer.close()
            with self._lock:
                self._open -= 1
        ok, message = verdict(last, failure)
        state: State = "Completed" if ok else "Failed"
        self._write(replace(told, state=state, message=message, ended_at=self._clock.now()))
        for old in self.told()[KEPT:]:
            (self._folder / f"retrieval-{old.number}.json").unlink(missing_ok=True)

    def _write(self, told: RetrievalTold) -> None:
        path = self._folder / f"retrieval-{told.number}.json"
        fresh = path.with_suffix(".new")
        with suppress(OSError):
            fresh.write_text(json.dumps(asdict(told)), encoding="utf-8")
            fresh.replace(path)


def _counted(told: RetrievalTold, last: MoveProgress) -> RetrievalTold:
    return replace(
        told,
        remaining=last.remaining,
        completed=last.completed,
        failed=last.failed,
        warnings=last.warnings,
    )
