"""Recovery: bring the ledger up to the journal after any stop, and close what a crash left torn.

Each segment nobody writes is read from its indexed mark to its end. Whole records whose seals hold
are booked; a torn tail is cut off; a damaged stretch with whole records behind it is passed over
and counted, because those behind may have been acknowledged. Running it again changes nothing, and
it may run beside processes that write: their segments carry a lock. Bounded by what is not indexed.
StoreDown: the ledger or the key ring is not usable; nothing was cut off for want of a key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.model.instance import RecordRef
from router.store import envelope, layout
from router.store.files import store_error, sync_folder
from router.store.heads import next_magic
from router.store.journal import Journal
from router.store.ledger import Indexed, Ledger
from router.store.records import RecordDamaged
from router.store.segment import lock_file, segment_numbers, segment_path
from router.store.stored import open_structure

_BATCH: Final = 200


@dataclass(slots=True)
class Recovered:
    """What recovery found. `damaged` counts records whose seals do not hold, and lost stretches."""

    records: int = 0
    damaged: int = 0
    torn_bytes: int = 0
    segments: int = 0
    segments_in_use: int = 0


def recover(journal: Journal, ledger: Ledger) -> Recovered:
    """Book what is whole and not booked, cut what is torn. Raises StoreFull, StoreDown."""
    found = Recovered()
    marks = ledger.marks()
    dropped = set(ledger.dropped_segments())
    numbers = segment_numbers(journal.folder)
    for number in numbers:
        if number in dropped:
            # Not the highest, whose number would be given again and taken for the forgotten one.
            if number != numbers[-1]:
                delete_segment(journal, number)
            continue
        with_lock = _Locked(journal, number)
        try:
            if not with_lock.held:
                found.segments_in_use += 1
                continue
            mark, size = marks.get(number, 0), with_lock.size
            if mark < size:
                found.segments += 1
                _recover_segment(journal, ledger, with_lock, mark, found)
            elif size == 0 and number != numbers[-1]:
                # The highest number stays, so that no number is ever given twice.
                os.unlink(segment_path(journal.folder, number))
        except OSError as error:
            raise store_error(error, "recovering a segment") from error
        finally:
            with_lock.close()
    return found


def delete_segment(journal: Journal, number: int) -> bool:
    """Delete the file of a forgotten segment; false when it is gone or in use."""
    with_lock = _Locked(journal, number)
    try:
        if with_lock.held:
            os.unlink(segment_path(journal.folder, number))
            sync_folder(journal.folder)
    except OSError as error:
        raise store_error(error, "deleting a segment") from error
    finally:
        with_lock.close()
    return with_lock.held


class _Locked:
    """A segment nobody writes, locked meanwhile; `held` is false when someone does, or it is gone."""

    def __init__(self, journal: Journal, number: int) -> None:
        self.number = number
        self.held = False
        self.size = 0
        self.descriptor = -1
        try:
            path = segment_path(journal.folder, number)
            self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self.held = lock_file(self.descriptor)
            self.size = os.fstat(self.descriptor).st_size
        except FileNotFoundError:
            pass
        except OSError as error:
            self.close()
            raise store_error(error, "opening a segment") from error

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _recover_segment(
    journal: Journal, ledger: Ledger, segment: _Locked, mark: int, found: Recovered
) -> None:
    batch: list[Indexed] = []
    end = mark
    for offset, length in whole_records(segment.descriptor, mark, segment.size):
        found.damaged += offset > end
        end = offset + length
        entry = _entry(journal, RecordRef(segment.number, offset, length))
        if entry is None:
            found.damaged += 1
        else:
            batch.append(entry)
            found.records += 1
        if len(batch) >= _BATCH:
            ledger.index(batch, {segment.number: end})
            batch.clear()
    if end < segment.size:
        found.torn_bytes += segment.size - end
        os.ftruncate(segment.descriptor, end)
        os.fsync(segment.descriptor)
    ledger.index(batch, {segment.number: end})


def _entry(journal: Journal, ref: RecordRef) -> Indexed | None:
    """The record as the ledger wants it; None when a seal does not hold."""
    try:
        record = journal.open(ref)
    except RecordDamaged:
        return None
    try:
        record.verify()
        facts = envelope.decode(record.envelope())
    except RecordDamaged:
        return None
    finally:
        record.close()
    place = RecordRef(ref.segment, ref.offset, ref.length, record.record_id)
    return Indexed(place, facts.instance, facts.decision, facts.plan_digest)


def whole_records(descriptor: int, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of every record between start and size that is whole by its checksum."""
    offset = start
    while offset < size:
        length = _length_at(descriptor, offset, size)
        if length:
            yield offset, length
            offset += length
        else:
            offset = next_magic(descriptor, offset + 1, size)


def _length_at(descriptor: int, offset: int, size: int) -> int:
    """The length of the whole record at that place; 0 when there is none."""
    try:
        head = layout.unpack_head(os.pread(descriptor, layout.HEAD_BYTES, offset))
        if head.record_length > size - offset:
            return 0
        open_structure(descriptor, offset, head.record_length)
    except RecordDamaged:
        return 0
    return head.record_length
