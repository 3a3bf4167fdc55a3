"""Retrieving from stations: C-MOVE, or a DICOMweb station's objects into the journal beside the router.

They are routed by the rules of the plan as if the station had sent them; a running router sends them
on within a second, without one they wait for its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.clock import Clock
from router.flow.fetching import Fetched, Fetcher
from router.flow.querying import asked, retrieve_hook
from router.model.plan import Plan
from router.model.query import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Level,
    MoveProgress,
    Query,
    Retrieval,
)
from router.model.station import Station
from router.model.status import PENDING, SUB_OPERATIONS_FAILED, SUCCESS, UNABLE_TO_PERFORM
from router.peers.peer import Peer
from router.peers.search import Fetchable, Retrievable
from router.serve.intaking import intake_beside
from router.serve.mapping import mapping_key
from router.store.ledger import Ledger

TELL_SECONDS: Final = 1.0


def retrieved_from(
    plan: Plan,
    station: Station,
    peer: Peer,
    wanted: Retrieval,
    wish_to_cancel: Callable[[], bool],
) -> Iterator[MoveProgress]:
    """Have it here, by C-MOVE or WADO-RS: how far it is; see `flow.retrieving.Retrieve`."""
    if isinstance(peer, Retrievable):
        return peer.retrieve(wanted, wish_to_cancel)
    assert isinstance(peer, Fetchable), "a retriever begins with those only"
    return fetched_from(plan, station, peer, wanted, wish_to_cancel)


def fetched_from(
    plan: Plan,
    station: Station,
    peer: Fetchable,
    wanted: Retrieval,
    wish_to_cancel: Callable[[], bool],
) -> Iterator[MoveProgress]:
    """How far it is, in the words of C-MOVE, the end last. Raises a RouterError without a list."""
    clock, key = Clock(), mapping_key(plan, make=False)
    change = retrieve_hook(plan, station, key, clock.now())
    names = peer.listed(asked(query_of(wanted), change), wish_to_cancel)
    told = Fetched(0)
    told_at = clock.monotonic()
    with taking(plan, key) as (fetcher, _):
        for told in fetcher.fetch(
            station,
            peer,
            names,
            lambda: not wish_to_cancel(),
            is_routed=True,
            deadline_seconds=wanted.deadline_seconds,
        ):
            if clock.monotonic() - told_at >= TELL_SECONDS:
                told_at = clock.monotonic()
                yield _progress(PENDING, told)
    yield _progress(_status(told), told)


@contextmanager
def taking(plan: Plan, key: bytes) -> Iterator[tuple[Fetcher, Ledger]]:
    """What takes objects into the journal beside what the roles take; all is indexed at the end."""
    with intake_beside(plan, key, Clock()) as (intake, _, ledger):
        yield Fetcher(lambda: plan, intake, Clock()), ledger


def query_of(wanted: Retrieval) -> Query:
    """What is asked for as a query of the lowest level that is named."""
    level: Level = "STUDY"
    keys = {STUDY_INSTANCE_UID: DataElement("UI", (wanted.study_instance_uid,))}
    if wanted.series_instance_uid:
        keys[SERIES_INSTANCE_UID] = DataElement("UI", (wanted.series_instance_uid,))
        level = "SERIES"
    if wanted.sop_instance_uid:
        keys[SOP_INSTANCE_UID] = DataElement("UI", (wanted.sop_instance_uid,))
        level = "IMAGE"
    return Query(level, keys, 0, wanted.deadline_seconds)


def _status(told: Fetched) -> int:
    if not told.failed:
        return SUCCESS
    return SUB_OPERATIONS_FAILED if told.completed else UNABLE_TO_PERFORM


def _progress(status: int, told: Fetched) -> MoveProgress:
    failed = tuple(told.failed)
    return MoveProgress(
        status, told.reason, told.remaining, told.completed, len(failed), None, failed
    )
