"""Passing on: a C-FIND for a DICOMweb station, answered by its QIDO-RS (protocols 5.2).

The station's hooks act on keys and answers; the search itself (superset, pages, matching here) is the
peer's. It runs in a thread of its own, so that a slow server never keeps a C-CANCEL waiting: who
goes away is not waited for, and the thread ends with the request it is in. What the server says is
not repeated to the requester: it may hold what was asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Final

from router.dicom.matching import is_universal
from router.dicomweb.search import NothingToSearchBy
from router.errors import (
    BadDataset,
    Busy,
    DeliveryError,
    Refused,
    Rejected,
    RouterError,
    Unreachable,
)
from router.flow.querying import Change, asked
from router.model.query import Ending, Identifier, Query
from router.model.station import Station
from router.model.status import CANNOT_UNDERSTAND, DATA_SET_MISMATCH, OUT_OF_RESOURCES
from router.peers.search import Searchable

MAX_SEARCHES: Final = 8
SLICE_SECONDS: Final = 0.1
AHEAD: Final = 64
_BAD_QUERIES: Final = frozenset({400, 414})
_OF_OUR_CREDENTIALS: Final = frozenset({401, 403})


class PassingOn:
    """Searches stations for others. `hooks` are the changes of a station to keys and answers."""

    def __init__(
        self,
        make_peer: Callable[[Station], Searchable],
        hooks: Callable[[Station], tuple[Change, Change]],
    ) -> None:
        self._make_peer = make_peer
        self._hooks = hooks
        self._slots = threading.BoundedSemaphore(MAX_SEARCHES)
        self._threads = ThreadPoolExecutor(MAX_SEARCHES, thread_name_prefix="search")

    def find(
        self, station: Station, query: Query, goes_on: Callable[[], bool]
    ) -> Generator[Identifier, None, Ending]:
        """The answers of the station; an answer lacks the keys the station says nothing of.

        Raises BadDataset with 0xA900 where the search would read everything or cannot be made,
        Refused with 0xA700 or 0xC000 where the station is not searched now, or at all.
        """
        if all(is_universal(key) for key in query.keys.values()):
            raise BadDataset("this archive is not listed whole: add a key", DATA_SET_MISMATCH)
        if not self._slots.acquire(blocking=False):
            raise Refused("too many searches of this kind at once", OUT_OF_RESOURCES)
        found: Queue[Identifier | None] = Queue(AHEAD)
        gone = threading.Event()
        search = self._threads.submit(self._search, station, query, found, gone)
        search.add_done_callback(lambda _: self._over(found))
        try:
            while goes_on():
                was_over = search.done()
                try:
                    one = found.get(timeout=0 if was_over else SLICE_SECONDS)
                except Empty:
                    if was_over:
                        return search.result()
                else:
                    if one is not None:
                        yield one
        except DeliveryError as error:
            raise told_to_requester(error) from error
        finally:
            gone.set()
        return Ending(True, "stopped, more may exist")

    def _over(self, found: Queue[Identifier | None]) -> None:
        """The search has ended: whoever waits for an answer hears it at once."""
        self._slots.release()
        with suppress(Full):  # then they do not wait
            found.put_nowait(None)

    def _search(
        self, station: Station, query: Query, found: Queue[Identifier | None], gone: threading.Event
    ) -> Ending:
        """The thread: answers into the queue as they come, then how they ended."""
        given = 0
        ask, tell = self._hooks(station)
        for is_last in (False, True):
            peer = self._make_peer(station)
            try:
                search = peer.find(asked(query, ask), gone.is_set)
                for one in search:
                    given += 1
                    _put(found, gone, _of_query(query, tell(one)))
            except (Busy, Unreachable):
                # Once more at once, where nothing was told yet (protocols 5.2).
                if is_last or given or gone.is_set():
                    raise
            else:
                return search.ending
            finally:
                peer.close()
        raise AssertionError("the last try ends it")


def _put(found: Queue[Identifier | None], gone: threading.Event, one: Identifier) -> None:
    while not gone.is_set():
        try:
            found.put(one, timeout=SLICE_SECONDS)
        except Full:
            continue
        return


def _of_query(query: Query, found: Identifier) -> Identifier:
    """Only what was asked for: servers answer with defaults and addresses of their own."""
    return {tag: found[tag] for tag in query.keys if tag in found}


def told_to_requester(error: DeliveryError) -> RouterError:
    """What the requester hears (protocols 6.4); the station's own words stay here."""
    if isinstance(error, NothingToSearchBy) or error.status in _BAD_QUERIES:
        return BadDataset("the archive cannot search by these keys", DATA_SET_MISMATCH)
    passes = isinstance(error, Busy | Unreachable) or error.status in _OF_OUR_CREDENTIALS
    if passes or (isinstance(error, Rejected) and error.status is None):
        return Refused("the archive does not answer now", OUT_OF_RESOURCES)
    return Refused("the archive cannot be searched", CANNOT_UNDERSTAND)
