"""Crypto-shredding: the wrapped keys of records are overwritten, and nothing opens them any more.

The head of a record is the only place its data key is in. Both slots are written over with zeros and
synced before the ledger is told; so what is done once more after a crash is done whole. Copies that
eviction left behind in segments, and records it has forgotten, are found by their record ids. What
copies of the disk, snapshots and flash memory keep is out of reach: for those rotate the key ring
and destroy its old key.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from router.store import layout
from router.store.heads import head_at, heads, opened_segment
from router.store.journal import Journal
from router.store.segment import segment_numbers

_NO_KEYS: Final = layout.NO_SLOT + layout.NO_SLOT


def shred(
    journal: Journal, places: Collection[tuple[int, int, bytes]], elsewhere: Collection[bytes]
) -> int:
    """Overwrite the keys at (segment, offset, record id), and of records `elsewhere`, by their ids.

    With the journal's folder locked. How many records were shredded, durable on return. A place
    where another record lies is left alone. Raises StoreDown.
    """
    done = 0
    segments = {segment for segment, _, _ in places}
    for number in segment_numbers(journal.folder) if elsewhere else sorted(segments):
        with opened_segment(journal.folder, number) as descriptor:
            if descriptor is None:
                continue
            found = {offset: record_id for at, offset, record_id in places if at == number}
            if elsewhere:
                end = os.fstat(descriptor).st_size
                for offset, head in heads(descriptor, 0, end):
                    if head.record_id in elsewhere and not head.is_shredded:
                        found[offset] = head.record_id
            done += _overwrite(descriptor, found)
    return done


def _overwrite(descriptor: int, found: dict[int, bytes]) -> int:
    done = 0
    for offset, record_id in found.items():
        head = head_at(descriptor, offset)
        # Of a head that cannot be read nothing says whose it is: the ledger does.
        if head is None or head.record_id == record_id:
            os.pwrite(descriptor, _NO_KEYS, offset + layout.FIXED_BYTES)
            done += 1
    os.fdatasync(descriptor)
    return done
