"""Retrieving: what a station holds is brought here, and a task says how far that is.

One way for command, API, pages and priors, by C-MOVE or WADO-RS. The task is told of at least every
ten seconds, so that everybody sees when whoever follows it has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.errors import Refused, RouterError
from router.model.query import MoveProgress, Retrieval
from router.model.station import Station
from router.model.status import describe
from router.peers.peer import Peer
from router.peers.search import Fetchable, Retrievable
from router.store.ledger import Ledger
from router.store.retrievals import Asked, Counts

RETRIEVE_SECONDS: Final = 3600.0
TELL_SECONDS: Final = 1.0
STILL_SECONDS: Final = 10.0
Retrieve = Callable[[Station, Peer, Retrieval, Callable[[], bool]], Iterator[MoveProgress]]
"""Has it here, by what such a station offers, and says how far it is; a wish ends it early."""


@dataclass(frozen=True, slots=True)
class Retriever:
    """Begins retrievals. Safe for threads."""

    ledger: Ledger
    clock: Clock
    make_peer: Callable[[Station], Peer]
    retrieve: Retrieve

    def begin(
        self, station: Station, wanted: Retrieval, requester: str, note: str = ""
    ) -> Followed:
        """Open its task; nothing is asked of the station yet.

        Raises Refused where nothing can be retrieved from such a station, StoreDown, StoreFull.
        """
        peer = self.make_peer(station)
        if not isinstance(peer, Retrievable | Fetchable):
            peer.close()
            raise Refused(
                f"station {station.name} is a {station.kind}: nothing can be retrieved from it"
            )
        try:
            series = wanted.series_instance_uid
            asked = Asked(station.name, wanted.study_instance_uid, requester, series, note)
            return Followed(self, station, peer, wanted, asked)
        except BaseException:
            peer.close()
            raise


class Followed:
    """One retrieval and its task; `progress` is taken to its end, by one thread."""

    def __init__(
        self, retriever: Retriever, station: Station, peer: Peer, wanted: Retrieval, asked: Asked
    ) -> None:
        self._retriever = retriever
        self._station = station
        self._peer = peer
        self._wanted = wanted
        self._told_at = retriever.clock.monotonic()
        self._counts = Counts()
        self._words = ""
        self.task_id = retriever.ledger.retrievals.begin(asked)
        self.is_done = False
        self.message = ""

    def progress(self, wish_to_cancel: Callable[[], bool]) -> Iterator[MoveProgress]:
        """What the station answers, as it comes. Afterwards `is_done` and `message` say how it ended.

        A station that fails ends it, with its own words. Raises StoreDown, StoreFull.
        """
        last: MoveProgress | None = None
        failure = "it was broken off"

        def wish() -> bool:
            self._tell(STILL_SECONDS)
            return wish_to_cancel()

        retrieve = self._retriever.retrieve
        try:
            for last in retrieve(self._station, self._peer, self._wanted, wish):
                self._counts, self._words = _counted(last), counts(last)
                self._tell(TELL_SECONDS)
                yield last
            failure = ""
        except RouterError as error:
            failure = str(error)
        finally:
            self._peer.close()
            self.is_done, self.message = verdict(last, failure)
            book = self._retriever.ledger.retrievals
            book.end(self.task_id, self._counts, self.message, ok=self.is_done)

    def _tell(self, seconds: float) -> None:
        now = self._retriever.clock.monotonic()
        if now - self._told_at >= seconds:
            self._told_at = now
            self._retriever.ledger.retrievals.tell(self.task_id, self._counts, self._words)


def _counted(told: MoveProgress) -> Counts:
    return Counts(told.remaining or 0, told.completed or 0, told.failed or 0, told.warnings or 0)


def verdict(last: MoveProgress | None, failure: str) -> tuple[bool, str]:
    """Whether everything came, and why not; `last` is the station's last answer."""
    if failure:
        return False, failure
    if last is None or last.status == 0xFF00:
        return False, "cancelled; the station did not stop, we hung up"
    said = "0xB000 not all could be sent" if last.status == 0xB000 else describe(last.status)
    message = f"{said}; {counts(last)}"
    if last.comment:
        message = f"{message}; {last.comment}"
    if last.status != 0 or last.failed:
        return False, message
    if last.completed == 0 and not last.warnings:
        return False, f"{message}: it holds no such study"
    return True, message


def moved(
    peer: Retrievable, wanted: Retrieval, wish_to_cancel: Callable[[], bool]
) -> tuple[MoveProgress | None, str]:
    """C-MOVE to its end: the station's last answer, and why not everything came; '' when it did."""
    answers = deque(peer.retrieve(wanted, wish_to_cancel), maxlen=1)
    last = answers[0] if answers else None
    is_whole, words = verdict(last, "")
    return last, "" if is_whole else words


def counts(progress: MoveProgress) -> str:
    """The counts the station gave, in words."""
    named = (
        ("sent", progress.completed),
        ("sent with warnings", progress.warnings),
        ("failed", progress.failed),
        ("to come", progress.remaining),
    )
    words = [f"{count} {name}" for name, count in named if count is not None]
    return ", ".join(words) or "the station gives no counts"
