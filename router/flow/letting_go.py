"""Letting go of what is held because a person says so: foretold, done, and told to the audit trail.

The router's own eviction (`store.eviction`) goes by age and size. Here a study, a station's objects or
what is old is chosen, or the journal made smaller; what something still needs stays. Shredding makes
a study unreadable for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.clock import Clock
from router.errors import Refused
from router.flow.auditing import ourselves
from router.model.audit import SUCCESS, AuditedStudy, AuditEvent, Participant
from router.model.plan import Plan, StoreSettings
from router.store.audit_due import Whose
from router.store.cache_book import CacheBook, still_sent
from router.store.choosing import Amount, Choice
from router.store.eviction import beyond, compact, evict
from router.store.journal import Journal
from router.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Wish:
    """What to let go of: a choice, or the oldest until the journal has `most_bytes`."""

    choice: Choice
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LetGo:
    """What goes or went, and what something needs.

    `freed_bytes` were given back to the disk at once; of the rest when its segments go. `shredded`
    are records that nothing opens any more; `log_emptied` is false where the ledger's log may hold
    sealed rows of them for a while.
    """

    instances: int
    record_bytes: int
    studies: int
    needed: int
    freed_bytes: int = 0
    shredded: int = 0
    log_emptied: bool = True


class LettingGo:
    """Works on one journal and ledger. Shared by threads."""

    def __init__(self, book: CacheBook, journal: Journal, ledger: Ledger, clock: Clock) -> None:
        self._book = book
        self._journal = journal
        self._ledger = ledger
        self._clock = clock

    def foretold(self, wish: Wish) -> LetGo:
        """What would go; nothing is changed."""
        if wish.most_bytes is not None:
            gone = self._book.in_segments(beyond(self._journal, wish.most_bytes))
            return _told(gone, Amount())
        return _told(*self._book.amounts(wish.choice))

    def done(self, wish: Wish) -> LetGo:
        """Let go of it; what went."""
        if wish.most_bytes is not None:
            gone = self._book.in_segments(beyond(self._journal, wish.most_bytes))
            settings = StoreSettings(max_bytes=wish.most_bytes)
            freed = evict(self._journal, self._ledger, settings, self._clock.now())
            return _told(gone, Amount(), freed.freed_bytes)
        free, needed = self._book.amounts(wish.choice)
        self._book.forget(wish.choice)
        freed = compact(self._journal, self._ledger, self._book.live_records)
        return _told(free, needed, freed.freed_bytes)

    def shred_foretold(self, study: str) -> LetGo:
        """What would be shredded. Raises Refused while something of it is still to be sent."""
        rows, in_the_way = self._book.study(study)
        if in_the_way:
            raise Refused(still_sent(study, in_the_way))
        held = [one.record for one in rows if one.record is not None]
        octets = sum(record.length for record in held)
        return LetGo(len(held), octets, 1 if rows else 0, 0, shredded=len(held))

    def shredded(self, study: str, by: str) -> LetGo:
        """Shred a study; what was. Raises Refused while something of it is still to be sent."""
        told = self.shred_foretold(study)
        number, is_emptied = self._book.shred(self._journal, self._ledger, study, by)
        freed = compact(self._journal, self._ledger, self._book.live_records)
        return LetGo(
            told.instances,
            told.record_bytes,
            told.studies,
            0,
            freed.freed_bytes,
            number,
            is_emptied,
        )


def _told(gone: Amount, needed: Amount, freed_bytes: int = 0) -> LetGo:
    return LetGo(gone.instances, gone.record_bytes, gone.studies, needed.instances, freed_bytes)


def shredded_event(
    plan: Plan, at: float, person: Participant, study: str, whose: Whose, records: int
) -> AuditEvent:
    """What the audit trail is told: DICOM Study Deleted (PS3.15 A.5.3.5)."""
    return AuditEvent(
        "deleted",
        at,
        person.user_id,
        study,
        SUCCESS,
        f"shredded: {records} records open nowhere any more",
        (person, ourselves(plan)),
        (AuditedStudy(study, {}, whose.accession_number),),
        whose.patient,
    )
