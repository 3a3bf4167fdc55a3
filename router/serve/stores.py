"""Opening what is durable: the ledger, the journal with its keys and room, for one process."""

from __future__ import annotations

from router.clock import Clock
from router.model.plan import Plan
from router.serve.places import Places
from router.store.journal import Journal
from router.store.keys import KeyRing
from router.store.room import Room
from router.store.sqlite_ledger import SqliteLedger


def open_ledger(
    places: Places,
    clock: Clock,
    boot_id: str,
    *,
    read_only: bool = False,
    quick_check: bool = False,
    rows_in_journal: bool = False,
) -> SqliteLedger:
    """The ledger; see `SqliteLedger.open`. Raises StoreDown when it cannot be opened."""
    return SqliteLedger.open(
        places.ledger,
        clock,
        boot_id,
        read_only=read_only,
        quick_check=quick_check,
        rows_in_journal=rows_in_journal,
    )


def open_journal(places: Places, plan: Plan, clock: Clock) -> Journal:
    """The journal. Raises StoreDown when it cannot be opened."""
    return Journal(
        places.data_dir, KeyRing.open(places.keys), plan.store, Room(places.data_dir, clock)
    )
