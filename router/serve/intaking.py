"""The intake of a role that receives, opened and recovered; and one beside it, for what a person asks."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from router.clock import Clock
from router.flow.held import HeldHeaders
from router.flow.indexer import Indexer
from router.flow.intake import Intake
from router.flow.received import ReceiveHooks
from router.flow.reject import Rejected, Wanted, chosen, reject
from router.model.plan import Plan
from router.plugs import morphs_by_name
from router.serve.mapping import key_or_nothing
from router.serve.places import Places
from router.serve.process import DRAIN_SECONDS, Role
from router.serve.stores import follow_ring, open_journal, open_ledger
from router.store.journal import Journal
from router.store.recovery import recover
from router.store.sqlite_ledger import SqliteLedger
from router.telemetry.log import open_log
from router.telemetry.metrics import Metrics
from router.threads import Threads


@dataclass(frozen=True)
class Receiving:
    """What takes instances in this process; `close` indexes what was accepted."""

    journal: Journal
    indexer: Indexer
    hooks: ReceiveHooks
    mapping_key: bytes
    intake: Intake
    close: Callable[[], None]


def open_receiving(role: Role, ring: Callable[[], None]) -> Receiving | None:
    """Open it; None when the role was told to stop while it waited for room."""
    ledger = open_ledger(role.places, role.clock, role.boot_id, rows_in_journal=True)
    journal = open_journal(role.places, role.plan, role.clock)
    follow_ring(role, journal.keys)
    # A predecessor that crashed may have left records that are durable and not indexed.
    if not role.when_there_is_room(lambda: recover(journal, ledger)):
        return None
    indexer = Indexer(ledger, ring, role.threads.stop, role.clock)
    key = key_or_nothing(role.plan, role.log)
    hooks = ReceiveHooks(morphs_by_name(), key)
    intake = Intake(lambda: role.plan, journal, indexer, hooks, role.clock, role.log, role.metrics)
    writer = role.threads.start("index", indexer.run)

    def close() -> None:
        indexer.close()
        writer.join(DRAIN_SECONDS)
        journal.close()
        ledger.close()

    return Receiving(journal, indexer, hooks, key, intake, close)


@contextmanager
def intake_beside(
    plan: Plan, key: bytes, clock: Clock
) -> Iterator[tuple[Intake, Journal, SqliteLedger]]:
    """An intake beside a running router, or without one; what it took is indexed when it ends.

    Raises StoreDown when the store cannot be opened.
    """
    places = Places(plan.router.data_dir)
    log = open_log(sys.stderr, "text", {})
    threads = Threads(lambda name, error: log.bug(f"thread {name} crashed", error))
    ledger = open_ledger(places, clock, secrets.token_hex(8))
    try:
        journal = open_journal(places, plan, clock)
        try:
            indexer = Indexer(ledger, lambda: None, threads.stop, clock)
            hooks = ReceiveHooks(morphs_by_name(), key)
            intake = Intake(lambda: plan, journal, indexer, hooks, clock, log, Metrics())
            indexing = threads.start("index", indexer.run)
            try:
                yield intake, journal, ledger
            finally:
                indexer.close()
                indexing.join()
        finally:
            journal.close()
    finally:
        ledger.close()


def reject_beside(plan: Plan, wanted: Wanted, requester: str, key: bytes) -> Rejected:
    """Reject what is held here; see `flow.reject`, whose errors it raises."""
    clock = Clock()
    with intake_beside(plan, key, clock) as (intake, journal, ledger):
        headers = HeldHeaders(lambda: plan, journal, ReceiveHooks(morphs_by_name(), key))
        objects = chosen(ledger, wanted)
        notes = reject(objects, wanted.code, requester, plan, headers, intake, clock)
    return Rejected(len(objects), notes)
