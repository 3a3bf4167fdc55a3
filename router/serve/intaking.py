"""The intake of a role that receives: journal, ledger, indexer and hooks, opened and recovered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.flow.indexer import Indexer
from router.flow.intake import Intake
from router.flow.received import ReceiveHooks
from router.plugs import morphs_by_name
from router.serve.mapping import key_or_nothing
from router.serve.process import DRAIN_SECONDS, Role
from router.serve.stores import follow_ring, open_journal, open_ledger
from router.store.journal import Journal
from router.store.recovery import recover


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
