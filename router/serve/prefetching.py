"""What brings one item of a prefetch here, by WADO-RS or C-MOVE.

What a DICOMweb station gives is kept and asks no rule, like what is read through; what a DICOM station
sends by C-MOVE arrives like anything of it, and the rules route it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from router.clock import Clock
from router.errors import Refused
from router.flow.fetching import Fetcher
from router.flow.prefetching import Bring, Prefetching
from router.flow.querying import asked, retrieve_hook
from router.flow.retrieving import moved
from router.model.plan import Plan
from router.model.query import ObjectName, Retrieval
from router.model.station import Station
from router.peers.peer import Peer
from router.peers.search import Fetchable, Retrievable
from router.serve.process import DRAIN_SECONDS, Role
from router.serve.retrieving import query_of, taking
from router.store.cache_book import CacheBook
from router.store.ledger import Ledger
from router.store.prefetches import Brought, Wanted

ITEM_SECONDS: Final = 3600.0
MakePeer = Callable[[Station], Peer]


def start_prefetching(role: Role, make_peer: MakePeer, key: bytes) -> Callable[[], None]:
    """The thread that works on prefetches; what is given back ends it and waits for that."""
    book = CacheBook.open(role.places.ledger, role.clock)

    def opened() -> AbstractContextManager[Bring]:
        return bringing(role.plan, make_peer, key)

    work = Prefetching(
        role.plan, book, opened, role.clock, role.log, role.metrics, role.threads.stop,
        role.has_successor,
    )  # fmt: skip
    thread = role.threads.start("prefetch", work.run)

    def end() -> None:
        thread.join(DRAIN_SECONDS)
        book.close()

    return end


@contextmanager
def bringing(plan: Plan, make_peer: MakePeer, key: bytes) -> Iterator[Bring]:
    """What brings one item here; may be asked from several threads."""
    with taking(plan, key) as (fetcher, ledger):

        def bring(station: Station, wanted: Wanted, goes_on: Callable[[], bool]) -> Brought:
            retrieval = Retrieval(
                wanted.study_instance_uid,
                wanted.series_instance_uid,
                ITEM_SECONDS,
                wanted.sop_instance_uid,
            )
            peer = make_peer(station)
            try:
                if isinstance(peer, Fetchable):
                    change = retrieve_hook(plan, station, key, Clock().now())
                    query = asked(query_of(retrieval), change)
                    names = peer.listed(query, lambda: not goes_on())
                    return _fetched(station, peer, names, goes_on, fetcher, ledger)
                if isinstance(peer, Retrievable):
                    return _moved(peer, retrieval, goes_on)
            finally:
                peer.close()
            raise Refused(f"station {station.name} is a {station.kind}: it gives nothing")

        yield bring


def _fetched(
    station: Station,
    peer: Fetchable,
    names: Sequence[ObjectName],
    goes_on: Callable[[], bool],
    fetcher: Fetcher,
    ledger: Ledger,
) -> Brought:
    if not names:
        return Brought(trouble="the station holds nothing of that")
    here = {
        one.sop_instance_uid
        for study in {name.study_instance_uid for name in names}
        for one in ledger.held_versions(study)
        if one.source_station == station.name
    }
    absent = [one for one in names if one.sop_instance_uid not in here]
    held = len(names) - len(absent)
    if not absent:
        return Brought(0, held)
    (told,) = deque(fetcher.fetch(station, peer, absent, goes_on, is_routed=False), maxlen=1)
    return Brought(told.completed, held, len(told.failed), told.reason if told.failed else "")


def _moved(peer: Retrievable, retrieval: Retrieval, goes_on: Callable[[], bool]) -> Brought:
    last, trouble = moved(peer, retrieval, lambda: not goes_on())
    if last is None:
        return Brought(trouble=trouble)
    return Brought((last.completed or 0) + (last.warnings or 0), 0, last.failed or 0, trouble)
