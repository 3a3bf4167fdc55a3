"""Retrieving from a DICOMweb station on command: its objects into the journal beside a running router.

They are routed by the rules of the plan as if the station had sent them; a running router sends them
on within a second, without one they wait for its start.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.clock import Clock
from router.errors import Refused
from router.flow.fetching import Fetched, Fetcher
from router.flow.indexer import Indexer
from router.flow.intake import Intake
from router.flow.querying import asked, retrieve_hook
from router.flow.received import ReceiveHooks
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
from router.plugs import morphs_by_name
from router.serve.mapping import mapping_key
from router.serve.places import Places
from router.serve.stores import open_journal, open_ledger
from router.store.ledger import Ledger
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from router.threads import Threads

TELL_SECONDS: Final = 1.0


def retrieved_from(
    plan: Plan,
    station: Station,
    peer: Peer,
    wanted: Retrieval,
    wish_to_cancel: Callable[[], bool],
) -> Iterator[MoveProgress]:
    """Have it here, by C-MOVE or WADO-RS: how far it is. Raises Refused where neither is possible."""
    if isinstance(peer, Retrievable):
        return peer.retrieve(wanted, wish_to_cancel)
    if isinstance(peer, Fetchable):
        return fetched_from(plan, station, peer, wanted, wish_to_cancel)
    raise Refused(f"station {station.name} is a {station.kind}: nothing can be retrieved from it")


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
    clock, places = Clock(), Places(plan.router.data_dir)
    log = open_log(sys.stderr, "text", {})
    threads = Threads(lambda name, error: log.bug(f"thread {name} crashed", error))
    ledger = open_ledger(places, clock, secrets.token_hex(8))
    journal = open_journal(places, plan, clock)
    try:
        indexer = Indexer(ledger, lambda: None, threads.stop, clock)
        hooks = ReceiveHooks(morphs_by_name(), key)
        intake = Intake(lambda: plan, journal, indexer, hooks, clock, log, Metrics())
        indexing = threads.start("index", indexer.run)
        try:
            yield Fetcher(lambda: plan, intake, clock), ledger
        finally:
            indexer.close()
            indexing.join()
    finally:
        journal.close()
        ledger.close()


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
