"""Eviction: drop whole old segments, oldest first, and never anything that is still owed.

A segment goes when the journal is larger than it may be, when everything in it is older than it is
to be kept, or when room is wanted. The few owed records of such a segment are copied forward, sealed
as they are; the ledger takes their new places and forgets the segment in one transaction, and then
the file is deleted. A segment that is mostly owed stays: copying it would free nothing. What a
crash leaves in between is finished by the next run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from router.model.instance import RecordRef
from router.model.plan import StoreSettings
from router.store.files import locked_folder, store_error
from router.store.journal import Journal
from router.store.ledger import Ledger
from router.store.records import RecordDamaged
from router.store.recovery import delete_segment
from router.store.segment import Segment, lock_file, segment_numbers, segment_path

Records = Sequence[tuple[int, RecordRef]]
_COPY_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Evicted:
    """What was freed, and how many records had to be copied for it."""

    segments: int = 0
    freed_bytes: int = 0
    moved_records: int = 0


def evict(
    journal: Journal,
    ledger: Ledger,
    settings: StoreSettings,
    now: float,
    wanted_bytes: int = 0,
) -> Evicted:
    """Drop what is beyond the settings, and more until `wanted_bytes` are free. StoreFull/Down."""
    with locked_folder(journal.folder):
        return _evict(journal, ledger, settings, now, wanted_bytes)


def _evict(
    journal: Journal, ledger: Ledger, settings: StoreSettings, now: float, wanted_bytes: int
) -> Evicted:
    done = Evicted()
    delete_dropped(journal, ledger)
    marks = ledger.marks()
    sizes = {number: _size(journal, number) for number in segment_numbers(journal.folder)}
    total = sum(sizes.values())
    # The highest number stays, so that no number is ever given twice.
    for number in sorted(sizes)[:-1]:
        too_large = settings.max_bytes is not None and total > settings.max_bytes
        if not too_large and done.freed_bytes >= wanted_bytes:
            newest = ledger.newest_in(number)
            keep = settings.keep_seconds
            if newest is not None and (keep is None or newest >= now - keep):
                break
        size = sizes[number]
        if marks.get(number, 0) < size or _in_use(journal, number):
            continue
        freed = _drop(journal, ledger, number, size, done, ledger.owed_records(number))
        total -= freed
        done.freed_bytes += freed
    return done


def delete_dropped(journal: Journal, ledger: Ledger) -> None:
    """Delete the files that a crash left of forgotten segments; with the folder locked."""
    highest = max(segment_numbers(journal.folder), default=0)
    for number in ledger.dropped_segments():
        # The highest number stays, so that no number is ever given twice.
        if number < highest:
            delete_segment(journal, number)


def beyond(journal: Journal, most_bytes: int) -> list[int]:
    """The segments that would go if the journal were to be no larger; the highest never does."""
    sizes = {number: _size(journal, number) for number in segment_numbers(journal.folder)}
    total, found = sum(sizes.values()), []
    for number in sorted(sizes)[:-1]:
        if total <= most_bytes:
            break
        if not _in_use(journal, number):
            found.append(number)
            total -= sizes[number]
    return found


def compact(
    journal: Journal,
    ledger: Ledger,
    live_records: Callable[[int], Records],
) -> Evicted:
    """Drop segments of which the ledger knows less than half, and copy that forward."""
    done = Evicted()
    with locked_folder(journal.folder):
        marks = ledger.marks()
        for number in segment_numbers(journal.folder)[:-1]:
            size = _size(journal, number)
            if marks.get(number, 0) < size or _in_use(journal, number):
                continue
            done.freed_bytes += _drop(journal, ledger, number, size, done, live_records(number))
    return done


def _drop(
    journal: Journal, ledger: Ledger, number: int, size: int, done: Evicted, stays: Records
) -> int:
    """Bytes that became free; 0 when the segment has to stay. What `stays` is copied forward."""
    stays_bytes = sum(ref.length for _, ref in stays)
    if stays_bytes * 2 > size or ledger.leased_in(number):
        return 0
    try:
        moved = _copy_forward(journal, number, [ref for _, ref in stays])
    except RecordDamaged:
        # What is left of it must stay for whoever repairs it.
        return 0
    places = {instance_id: ref for (instance_id, _), ref in zip(stays, moved, strict=True)}
    if not ledger.drop_segment(number, places) or not delete_segment(journal, number):
        return 0
    done.segments += 1
    done.moved_records += len(moved)
    return size - stays_bytes


def _copy_forward(journal: Journal, number: int, refs: Sequence[RecordRef]) -> list[RecordRef]:
    """The same sealed bytes at new places, on stable storage."""
    if not refs:
        return []
    source = os.open(segment_path(journal.folder, number), os.O_RDONLY | os.O_CLOEXEC)
    target = journal.pool.borrow()
    before = target.end
    try:
        moved = [_copy(source, target, ref) for ref in refs]
        target.sync(target.end)
    except BaseException:
        target.cut(before)
        raise
    finally:
        os.close(source)
        journal.pool.release(target)
    return moved


def _copy(source: int, target: Segment, ref: RecordRef) -> RecordRef:
    place = target.end
    left, offset = ref.length, ref.offset
    while left:
        try:
            block = os.pread(source, min(left, _COPY_BYTES), offset)
        except OSError as error:
            raise store_error(error, "copying a record") from error
        if not block:
            raise RecordDamaged("the journal ends within the record")
        target.append((block,))
        offset += len(block)
        left -= len(block)
    return RecordRef(target.number, place, ref.length, ref.record_id)


def _size(journal: Journal, number: int) -> int:
    try:
        return os.stat(segment_path(journal.folder, number)).st_size
    except FileNotFoundError:
        return 0


def _in_use(journal: Journal, number: int) -> bool:
    """Whether a process writes the segment."""
    try:
        path = segment_path(journal.folder, number)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return not lock_file(descriptor)
    finally:
        os.close(descriptor)
