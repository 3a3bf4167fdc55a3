"""Opening what is durable: the ledger, the journal with its keys and room, for one process.

Every role looks at the ring's file once a second (`follow_ring`), so that a rotation takes effect
without a restart and nobody holds the old key after that.
"""

from __future__ import annotations

from router.clock import Clock
from router.errors import StoreDown
from router.model.plan import Plan
from router.serve.places import Places
from router.serve.process import Role
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


def follow_ring(role: Role, keys: KeyRing) -> None:
    """Have the role take in what others change in the ring."""
    told = ""

    def look() -> None:
        nonlocal told
        before, told = told, ""
        try:
            keys.refresh()
        except StoreDown as error:
            # What it has goes on working; who starts anew would not.
            told = str(error)
            if told != before:
                role.log.error("the key ring cannot be read", reason=told)  # noqa: TRY400 - the reason is all there is

    role.refresh.append(look)


def open_journal(places: Places, plan: Plan, clock: Clock) -> Journal:
    """The journal. Raises StoreDown when it cannot be opened."""
    return Journal(
        places.data_dir, KeyRing.open(places.keys), plan.store, Room(places.data_dir, clock)
    )
