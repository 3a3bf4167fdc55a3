"""Rekeying: what old keys of the ring wrapped is wrapped anew, and then they are dropped.

Of a record only a slot in its head is written: the one that is not needed, then a sync, so that a
kill at any moment leaves a record that opens (`layout`). Data sets are not read. What is indexed is
wrapped anew; what is not may still be cut off, and is left to the next run. An old key is
dropped when nobody holds it any more, and no head and no row opens with it alone: looked at again,
with everybody who moves records kept out. It can be stopped, killed and run beside a router, or
twice at once. Raises StoreDown and StoreFull.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from router.errors import StoreDown
from router.store import layout, resealing
from router.store.database import Database
from router.store.files import locked_folder
from router.store.heads import heads, opened_segment
from router.store.journal import Journal
from router.store.keys import NONCE_BYTES, KeyRing, PrimaryKey, RingKey
from router.store.records import RecordDamaged
from router.store.segment import segment_numbers

_MARKS: Final = "SELECT number, indexed_to FROM segment WHERE dropped = 0"
_DROPPED: Final = "SELECT number FROM segment WHERE dropped = 1"
_SLOTS: Final = (layout.FIXED_BYTES, layout.FIXED_BYTES + layout.SLOT_BYTES)


@dataclass(slots=True)
class Rekeyed:
    """How far it is. `kept` says by name of key what still needs it; `damaged` opens with no key."""

    segments: int = 0
    segments_done: int = 0
    records: int = 0
    rows: int = 0
    damaged: int = 0
    retired: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


class Rekeying:
    """Remembers what it has looked at, so that another run looks only at what is new.

    For one thread.
    """

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database
        self._keys = journal.keys
        self._key: PrimaryKey | None = None
        self._clean: dict[int, int] = {}

    def is_wanted(self) -> bool:
        """Whether the ring has old keys."""
        self._keys.refresh()
        return bool(self._keys.old())

    def run(
        self,
        goes_on: Callable[[], bool] = lambda: True,
        tell: Callable[[Rekeyed], None] = lambda _: None,
    ) -> Rekeyed:
        """Wrap anew what is not, drop what nothing needs; how far it came when `goes_on` said no."""
        done = Rekeyed()
        if not self.is_wanted():
            return done
        # Whoever makes yet another key meanwhile: this run is about these, and we hold ours.
        key = self._keys.primary
        old = [one for one in self._keys.old() if one.key_id != key.key_id]
        if key is not self._key:
            self._key = key
            self._clean = {}
        numbers = segment_numbers(self._journal.folder)
        done.segments = len(numbers)
        for number in numbers:
            if not goes_on():
                return done
            with locked_folder(self._journal.folder):
                self._segment(number, key, done)
            done.segments_done += 1
            tell(done)
        for one in old:
            if not self._rows(one, key, done, goes_on):
                return done
            why = self._retire(one, key)
            if why:
                done.kept[one.name] = why
            else:
                done.retired.append(one.name)
            tell(done)
        return done

    def _marks(self) -> Mapping[int, int]:
        with self._database.read() as connection:
            return dict(connection.execute(_MARKS))

    def _known_segments(self) -> list[int]:
        """Those that are not forgotten: of the others nobody needs anything any more."""
        with self._database.read() as connection:
            dropped = {number for (number,) in connection.execute(_DROPPED)}
        return [one for one in segment_numbers(self._journal.folder) if one not in dropped]

    def _segment(self, number: int, key: PrimaryKey, done: Rekeyed) -> None:
        with opened_segment(self._journal.folder, number) as descriptor:
            if descriptor is None:
                return
            end = self._marks().get(number, 0)
            changed = 0
            for offset, head in heads(descriptor, self._clean.get(number, 0), end):
                try:
                    changed += _rewrap(descriptor, offset, head, self._keys, key)
                except (RecordDamaged, StoreDown):
                    done.damaged += 1
            if changed:
                os.fdatasync(descriptor)
            done.records += changed
            self._clean[number] = max(end, self._clean.get(number, 0))

    def _rows(
        self, old: RingKey, key: PrimaryKey, done: Rekeyed, goes_on: Callable[[], bool]
    ) -> bool:
        for table in resealing.TABLES:
            after: int | None = -1
            while after is not None:
                if not goes_on():
                    return False
                with self._database.write() as connection:
                    after, changed = resealing.reseal(
                        connection, self._keys, (old.key_id, key), table, after
                    )
                done.rows += changed
        return True

    def _retire(self, old: RingKey, key: PrimaryKey) -> str:
        """Drop the old key; '' or why not."""
        with self._keys.retiring(old.key_id) as drop:
            if drop is None:
                return "a process still writes what it wrapped with it"
            with locked_folder(self._journal.folder):
                for number in self._known_segments():
                    if self._needs(number, old.key_id, key.key_id):
                        return "records that came meanwhile"
                with self._database.write() as connection:
                    why = resealing.needed_by(connection, self._keys, old.key_id)
                    if not why:
                        drop()
                    return why

    def _needs(self, number: int, old_id: bytes, key_id: bytes) -> bool:
        with opened_segment(self._journal.folder, number) as descriptor:
            if descriptor is None:
                return False
            end = os.fstat(descriptor).st_size
            return any(
                old_id in _key_ids(head) and key_id not in _key_ids(head)
                for _, head in heads(descriptor, self._clean.get(number, 0), end)
            )


def _key_ids(head: layout.Head) -> tuple[bytes, ...]:
    return tuple(slot.key_id for slot in head.slots if slot is not None)


def _rewrap(
    descriptor: int, offset: int, head: layout.Head, keys: KeyRing, key: PrimaryKey
) -> bool:
    """Wrap the record's data key under the primary key, beside what opens it now.

    Raises RecordDamaged or StoreDown when nothing opens it.
    """
    if head.is_shredded or key.key_id in _key_ids(head):
        return False
    trouble: RecordDamaged | StoreDown | None = None
    for slot, other in zip(head.slots, reversed(_SLOTS), strict=True):
        if slot is None:
            continue
        try:
            data_key = keys.unwrap(slot.key_id, slot.nonce, slot.wrapped, head.bound_to)
        except (RecordDamaged, StoreDown) as error:
            trouble = error
            continue
        nonce = os.urandom(NONCE_BYTES)
        wrapped = key.wrap(data_key, nonce, head.bound_to)
        os.pwrite(descriptor, layout.pack_slot(key.key_id, nonce, wrapped), offset + other)
        return True
    raise trouble or RecordDamaged("the record has no wrapped key")
