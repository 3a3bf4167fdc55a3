"""The thread that works on verifications somebody asked for."""

from __future__ import annotations

from collections.abc import Callable

from router.flow.verification import Verifier
from router.serve.process import DRAIN_SECONDS, Role
from router.store.cache_book import CacheBook
from router.store.journal import Journal


def start_verifying(role: Role, journal: Journal) -> Callable[[], None]:
    """Begin it; what is given back waits for its end, once the role stops."""
    book = CacheBook.open(role.places.ledger, role.clock)

    verifier = Verifier(journal, book, role.clock, role.log, role.threads.stop, role.has_successor)
    thread = role.threads.start("verify", verifier.run)

    def end() -> None:
        thread.join(DRAIN_SECONDS)
        book.close()

    return end
