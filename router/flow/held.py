"""Held: what was pinned to an instance when it was accepted, for whoever sends it later."""

from __future__ import annotations

from router.model.recipe import Recipe
from router.store.envelope import decode
from router.store.journal import Journal
from router.store.ledger import Stored
from router.store.records import RecordDamaged


def received_by(journal: Journal, stored: Stored) -> Recipe:
    """What its station's hook did to the instance when it came.

    Raises RecordDamaged where that cannot be read, or the bytes are gone: then nothing of the
    instance may leave.
    """
    if stored.record is None:
        raise RecordDamaged("the bytes of the instance are not here any more")
    record = journal.open(stored.record)
    try:
        return decode(record.envelope()).decision.receive
    finally:
        record.close()
