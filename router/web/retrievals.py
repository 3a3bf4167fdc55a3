"""Retrievals that were begun over HTTP: a thread follows each, a task of the ledger tells of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from router.errors import RouterError, StoreDown, StoreFull
from router.flow.retrieving import RETRIEVE_SECONDS, Followed, Retriever
from router.model.query import Retrieval
from router.model.station import Station

AT_ONCE: Final = 4
STOP_SECONDS: Final = 10.0

Start = Callable[[str, Callable[[], None]], object]


class TooMany(RouterError):
    """As many retrievals as may run at once are running."""

    http_status = 429


class Retrievals:
    """Begins them, and has them end. Safe for threads."""

    def __init__(self, retriever: Retriever, start: Start) -> None:
        """`start` runs a function in a named thread."""
        self._retriever = retriever
        self._start = start
        self._changed = threading.Condition()
        self._open = 0
        self._stopping = threading.Event()

    def begin(self, station: Station, study: str, requester: str) -> int:
        """Have a study of the station here; returns at once, with the number of the task.

        Raises TooMany, and Refused where nothing can be retrieved from such a station.
        """
        with self._changed:
            if self._open >= AT_ONCE:
                raise TooMany(f"{AT_ONCE} retrievals run already: wait for one to end")
            self._open += 1
        try:
            wanted = Retrieval(study, "", RETRIEVE_SECONDS)
            followed = self._retriever.begin(station, wanted, requester)
            self._start(f"retrieve {station.name}", lambda: self._follow(followed))
        except BaseException:
            self._ended()
            raise
        return followed.task_id

    def is_busy(self) -> bool:
        """Whether one runs in this process."""
        return self._open > 0

    def stop(self) -> None:
        """Have those that run cancelled (C-CANCEL), and give them a moment to say so."""
        self._stopping.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, STOP_SECONDS)

    def _follow(self, followed: Followed) -> None:
        try:
            # Without a ledger nothing can be told: the task shows as given up in a while.
            with suppress(StoreDown, StoreFull):
                for _ in followed.progress(self._stopping.is_set):
                    pass
        finally:
            self._ended()

    def _ended(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
