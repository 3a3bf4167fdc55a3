"""Writing one record: gather, seal, append, sync.

Up to 1 MiB of sealed bytes stays in memory. A record that fits is appended as one write when it is
committed, so an abandoned one never touches the disk; a larger one borrows a segment and streams
into it, and is cut off again when it is abandoned: one buffer is filled while the one before it is
being written, so neither network nor disk waits for the other. A chunk is sealed only when the next byte or
the commit shows whether it is the last.
"""

from __future__ import annotations

import mmap
import os
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final

from blake3 import blake3

from router.errors import StoreDown, StoreFull
from router.model.instance import RecordRef
from router.store import layout
from router.store.direct import BLOCK_BYTES, whole_blocks
from router.store.keys import KeyRing
from router.store.pool import SegmentPool
from router.store.records import Octets
from router.store.room import Claim
from router.store.sealed import CHUNK_BYTES, ENVELOPE, LAST, MORE, TAG_BYTES, ChunkSeal
from router.store.segment import Segment

SEALED_BYTES: Final = layout.HEAD_BYTES + 4 * (CHUNK_BYTES + TAG_BYTES) + BLOCK_BYTES
_PREFIX: Final = 7
_MAX_SPARE: Final = 64
_CLAIM_STEP: Final = 16 * 1024 * 1024


class Buffers:
    """The buffers of one writer; pages that are never touched cost nothing."""

    __slots__ = ("plain", "sealed", "written")

    def __init__(self) -> None:
        self.plain = memoryview(mmap.mmap(-1, CHUNK_BYTES))
        self.sealed = memoryview(mmap.mmap(-1, SEALED_BYTES))
        self.written = memoryview(mmap.mmap(-1, SEALED_BYTES))


class RecordWriter:
    """One record being written. For one thread; `records.Writer` says what it promises."""

    __slots__ = (
        "_base",
        "_buffers",
        "_chunks",
        "_claim",
        "_fill",
        "_hasher",
        "_head",
        "_key",
        "_pool",
        "_record_id",
        "_seal",
        "_segment",
        "_spare",
        "_used",
        "_writing",
        "data_set_length",
    )

    def __init__(
        self, pool: SegmentPool, keys: KeyRing, claim: Claim, spare: list[Buffers]
    ) -> None:
        random = os.urandom(16 + 32 + _PREFIX + 12)
        record_id, prefix = random[:16], random[48:55]
        # Held until the record is durable: a key in use is not dropped from the ring.
        self._key = key = keys.primary
        nonce = random[55:]
        wrapped = key.wrap(random[16:48], nonce, layout.bound_to(record_id, prefix))
        slot = layout.pack_slot(key.key_id, nonce, wrapped)
        self._head = bytearray(layout.pack_head(record_id, prefix, slot))
        self._pool = pool
        self._claim = claim
        self._spare = spare
        self._buffers: Buffers | None = spare.pop() if spare else Buffers()
        self._buffers.sealed[: layout.HEAD_BYTES] = self._head
        self._record_id = record_id
        self._seal = ChunkSeal(random[16:48], prefix, record_id)
        self._hasher = blake3()
        self._segment: Segment | None = None
        self._writing: Future[None] | None = None
        self._base = 0
        self._used = layout.HEAD_BYTES
        self._chunks = 0
        self._fill = 0
        self.data_set_length = 0

    def append(self, view: Octets) -> None:
        """Append a stretch of the data set. Raises StoreFull, StoreDown."""
        buffers = self._live()
        size = len(view)
        self._hasher.update(view)
        self.data_set_length += size
        if self.data_set_length > self._claim.claimed_bytes:
            self._claim.grow(max(_CLAIM_STEP, size))
        fill = self._fill + size
        if fill <= CHUNK_BYTES:
            buffers.plain[self._fill : fill] = view
            self._fill = fill
        else:
            self._append_over(buffers, memoryview(view))

    def _append_over(self, buffers: Buffers, view: memoryview) -> None:
        while view:
            if self._fill == CHUNK_BYTES:
                self._seal_chunk(buffers.plain, MORE)
                self._fill = 0
            if self._fill == 0 and len(view) > CHUNK_BYTES:
                self._seal_chunk(view[:CHUNK_BYTES], MORE)
                view = view[CHUNK_BYTES:]
                continue
            taken = min(CHUNK_BYTES - self._fill, len(view))
            buffers.plain[self._fill : self._fill + taken] = view[:taken]
            self._fill += taken
            view = view[taken:]

    def digest(self) -> bytes:
        """BLAKE3 of the data set so far, 32 bytes."""
        return self._hasher.digest()

    def commit(self, envelope: bytes) -> RecordRef:
        """Complete the record and wait for stable storage. Raises StoreFull, StoreDown."""
        buffers = self._live()
        try:
            self._seal_chunk(buffers.plain[: self._fill], LAST)
            tail, length = self._tail(buffers, envelope)
            parts: tuple[Octets, Octets] = (buffers.sealed[: self._used], tail)
            segment = self._segment
            if segment is None:
                segment = self._segment = self._pool.share()
                self._base = -1
                offset = segment.commit(parts)
            else:
                offset = self._base
                self._await_written()
                segment.append(parts)
                start = layout.LENGTH_OFFSET
                segment.patch(offset + start, bytes(self._head[start : start + 8]))
                segment.sync(offset + length)
        except BaseException:
            self.abandon()
            raise
        self._end()
        return RecordRef(segment.number, offset, length, self._record_id)

    def _tail(self, buffers: Buffers, envelope: bytes) -> tuple[bytes, int]:
        """The sealed envelope with the trailer, and the length of the whole record."""
        sealed = self._seal.seal(self._chunks, ENVELOPE, envelope)
        length = (
            layout.HEAD_BYTES
            + self.data_set_length
            + self._chunks * TAG_BYTES
            + len(sealed)
            + layout.TRAILER_BYTES
        )
        start = layout.LENGTH_OFFSET
        self._head[start : start + 8] = layout.pack_length(length)
        if self._segment is None:
            buffers.sealed[: layout.HEAD_BYTES] = self._head
        trailer = layout.Trailer(self.data_set_length, len(sealed), self._chunks, length)
        return sealed + layout.pack_trailer(self._head, sealed, trailer), length

    def abandon(self) -> None:
        """Forget the record; harmless after the end."""
        if self._buffers is None:
            return
        if self._segment is not None and self._base >= 0:
            with suppress(StoreDown, StoreFull):
                self._await_written()
            self._segment.cut(self._base)
        self._end()

    def _seal_chunk(self, plain: memoryview, flag: int) -> None:
        buffers = self._live()
        end = self._used + len(plain) + TAG_BYTES
        if end > SEALED_BYTES:
            self._flush(buffers)
            end = self._used + len(plain) + TAG_BYTES
        self._seal.seal_into(self._chunks, flag, plain, buffers.sealed[self._used : end])
        self._chunks += 1
        self._used = end

    def _flush(self, buffers: Buffers) -> None:
        """Hand what is sealed to be written, and go on in the other buffer."""
        segment = self._segment
        if segment is None:
            segment = self._segment = self._pool.borrow()
            self._base = segment.end
        self._await_written()
        used = segment.append_unaligned(buffers.sealed, self._used)
        whole = whole_blocks(used)
        buffers.written[: used - whole] = buffers.sealed[whole:used]
        if whole:
            write = partial(segment.append_direct, buffers.sealed[:whole])
            self._writing = self._pool.write_beside(write)
        buffers.sealed, buffers.written = buffers.written, buffers.sealed
        self._used = used - whole

    def _await_written(self) -> None:
        """Until the blocks handed over are in the file. Raises StoreFull, StoreDown."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _live(self) -> Buffers:
        if self._buffers is None:
            raise StoreDown("the record has ended")
        return self._buffers

    def _end(self) -> None:
        assert self._buffers is not None
        if len(self._spare) < _MAX_SPARE:
            self._spare.append(self._buffers)
        self._buffers = None
        self._claim.release(self.data_set_length)
        if self._segment is not None:
            self._pool.release(self._segment)
