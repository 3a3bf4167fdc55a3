"""The cache as people see it, in the ledger's file: what to let go of, what to fetch, what to mend.

Beside the ledger, which is what the router itself works with. Every writing call is one durable
transaction. Safe for threads; opened after a fork. Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from router.clock import Clock
from router.errors import Refused
from router.model.instance import RecordRef
from router.store import choosing, evicted, keeping, prefetches, tasks, verifications
from router.store.choosing import Amount, Choice, StudyRow
from router.store.database import Database
from router.store.evicted import Evicted
from router.store.eviction import delete_dropped
from router.store.files import locked_folder
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.prefetches import Brought, ItemState, Prefetch, Wanted
from router.store.shredding import shred
from router.store.verifications import Damage, Verification
from router.store.verifying import Verified

_BATCH: Final = 500
_TRUNCATE_TRIES: Final = 20
_TRUNCATE_SECONDS: Final = 0.25


class CacheBook:
    """See the module."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self._clock = clock

    @classmethod
    def open(cls, ledger: Path, clock: Clock, *, read_only: bool = False) -> CacheBook:
        """The book in the ledger's file."""
        return cls(Database(ledger, read_only=read_only), clock)

    def amounts(self, choice: Choice) -> tuple[Amount, Amount]:
        """What of the choice can be let go of, and what must stay because something needs it."""
        with self.database.read() as connection:
            return choosing.amounts(connection, choice)

    def in_segments(self, numbers: Sequence[int]) -> Amount:
        """What would go with these segments; studies that lie in several are counted in each."""
        with self.database.read() as connection:
            found = [choosing.in_segment(connection, number) for number in numbers]
        return Amount(
            sum(one.instances for one in found),
            sum(one.record_bytes for one in found),
            sum(one.studies for one in found),
        )

    def forget(self, choice: Choice) -> int:
        """Let go of the choice, but for what something needs; how many instances."""
        done = 0
        after: int | None = 0
        while after is not None:
            with self.database.write() as connection:
                number, after = choosing.forget_next(connection, choice, after, _BATCH)
            done += number
        return done

    def live_records(self, segment: int) -> tuple[tuple[int, RecordRef], ...]:
        """(instance id, record) of everything the ledger knows in a segment."""
        with self.database.read() as connection:
            return choosing.live_records(connection, segment)

    def study(self, study_instance_uid: str) -> tuple[tuple[StudyRow, ...], tuple[int, ...]]:
        """Every instance that was ever accepted of a study, and the tasks that still send some."""
        with self.database.read() as connection:
            return (
                choosing.study_rows(connection, study_instance_uid),
                choosing.tasks_in_the_way(connection, study_instance_uid),
            )

    def shred(
        self, journal: Journal, ledger: Ledger, study_instance_uid: str, by: str
    ) -> tuple[int, bool]:
        """Make everything of a study unreadable for good; how many records.

        Also whether nothing of their rows is left in the write-ahead log; it is not while somebody
        reads in it all the time. Raises Refused, and nothing is done, while something of it is still to be sent.
        """
        with locked_folder(journal.folder):
            delete_dropped(journal, ledger)
            rows, in_the_way = self.study(study_instance_uid)
            if in_the_way:
                raise Refused(still_sent(study_instance_uid, in_the_way))
            places = [(one.record.segment, one.record.offset, one.record_id)
                      for one in rows if one.record is not None]  # fmt: skip
            gone = {one.record_id for one in rows if one.record is None}
            done = shred(journal, places, gone)
            ids = [one.instance_id for one in rows]
            with self.database.write() as connection:
                choosing.forget(connection, ids)
                evicted.remember_shredded(connection, study_instance_uid, self._clock.now())
                tasks.give_up(connection, ids, by, self._clock.now())
        return done, self._is_log_emptied()

    def _is_log_emptied(self) -> bool:
        for _ in range(_TRUNCATE_TRIES):
            if self.database.truncate_log():
                return True
            time.sleep(_TRUNCATE_SECONDS)
        return False

    def evicted(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> tuple[Evicted, ...]:
        """What of a study, a series or an instance was held and was let go of."""
        with self.database.read() as connection:
            return evicted.evicted(connection, study, series, instance)

    def heal(self, instance_id: int, content_digest: bytes) -> bool:
        """Give an instance whose record is damaged the bytes of the one that came for it since.

        False while none is there.
        """
        with self.database.write() as connection:
            return keeping.heal(connection, instance_id, content_digest)

    def prefetch(self, requester: str, wanted: Sequence[Wanted], batch: int, cap: int) -> Prefetch:
        """Note what is wanted here; a running router fetches it, in this order."""
        with self.database.write() as connection:
            number = prefetches.add(connection, requester, wanted, batch, cap, self._clock.now())
            return _found(connection, number)

    def prefetches(self, limit: int = 50) -> tuple[Prefetch, ...]:
        """The last ones, the latest first."""
        with self.database.read() as connection:
            return prefetches.listed(connection, limit)

    def find_prefetch(self, prefetch_id: int) -> Prefetch | None:
        """One of them."""
        with self.database.read() as connection:
            return prefetches.find(connection, prefetch_id)

    def begin_prefetch(self) -> Prefetch | None:
        """The one to work on now, noted as begun."""
        with self.database.read() as connection:
            found = prefetches.next_open(connection)
        if found is not None and found.started_at is None:
            with self.database.write() as connection:
                prefetches.begin(connection, found.prefetch_id, self._clock.now())
        return found

    def settle_item(self, prefetch_id: int, number: int, state: ItemState, came: Brought) -> None:
        """Note what came of an item; one that was cancelled meanwhile stays so."""
        with self.database.write() as connection:
            prefetches.settle(connection, prefetch_id, number, state, came)

    def end_prefetch(self, prefetch_id: int) -> None:
        """Note that it is over, if nothing of it waits."""
        with self.database.write() as connection:
            prefetches.end(connection, prefetch_id, self._clock.now())

    def cancel_prefetch(self, prefetch_id: int, by: str) -> bool:
        """Fetch nothing more of it; false when it is over."""
        with self.database.write() as connection:
            return prefetches.cancel(connection, prefetch_id, by, self._clock.now())

    def is_cancelled(self, prefetch_id: int) -> bool:
        """Whether somebody cancelled it."""
        with self.database.read() as connection:
            return prefetches.is_cancelled(connection, prefetch_id)

    def want_verification(self, requester: str, study: str | None = None) -> Verification:
        """Note that all that is held, or a study, is to be read to its end; a running router does."""
        with self.database.write() as connection:
            number = verifications.add(connection, requester, study, self._clock.now())
            found = verifications.find(connection, number)
        assert found is not None
        return found

    def verifications(self, limit: int = 50) -> tuple[Verification, ...]:
        """The last ones, the latest first."""
        with self.database.read() as connection:
            return verifications.listed(connection, limit)

    def find_verification(self, number: int) -> tuple[Verification, tuple[Damage, ...]] | None:
        """One of them, and what did not open."""
        with self.database.read() as connection:
            found = verifications.find(connection, number)
            return None if found is None else (found, verifications.damages(connection, number))

    def begin_verification(self) -> Verification | None:
        """The one to work on now, noted as begun."""
        with self.database.read() as connection:
            found = verifications.next_open(connection)
        if found is not None and found.started_at is None:
            with self.database.write() as connection:
                study, at = found.study_instance_uid, self._clock.now()
                verifications.begin(connection, found.verification_id, study, at)
        return found

    def note_verification(self, number: int, done: Verified, news: Sequence[Damage]) -> bool:
        """Note how far it is, and what was found since; false when somebody ended it."""
        with self.database.write() as connection:
            return verifications.note(connection, number, done, news)

    def end_verification(self, number: int, message: str = "") -> bool:
        """Note that it is over; false when it was before."""
        with self.database.write() as connection:
            return verifications.end(connection, number, self._clock.now(), message)

    def close(self) -> None:
        """Close it; harmless when closed."""
        self.database.close()


def still_sent(study: str, task_ids: Sequence[int]) -> str:
    """Why a study cannot be shredded now, and what to do."""
    shown = " ".join(map(str, task_ids[:10]))
    return (
        f"study {study} is still to be sent: cancel first, dicom-router tasks cancel {shown}"
        f"{' …' if len(task_ids) > 10 else ''}; nothing was shredded"
    )


def _found(connection: sqlite3.Connection, prefetch_id: int) -> Prefetch:
    found = prefetches.find(connection, prefetch_id)
    assert found is not None
    return found
