"""Reading one record back.

A small record is read whole by one call; of a large one the head, envelope and trailer when it is
opened, and each chunk when it is asked for. Nothing leaves before its seal was checked; a damaged,
torn, swapped or altered record raises RecordDamaged.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from router.errors import StoreDown
from router.model.instance import RecordRef
from router.store import layout
from router.store.direct import blocks_around, open_direct
from router.store.files import store_error
from router.store.keys import KeyRing
from router.store.records import RecordDamaged
from router.store.sealed import CHUNK_BYTES, ENVELOPE, LAST, MORE, TAG_BYTES, ChunkSeal

WHOLE_BYTES: Final = 2 * 1024 * 1024
_SEALED_CHUNK: Final = CHUNK_BYTES + TAG_BYTES
# A batch of a DICOMweb station has many small records open at once; buffers that held a large one
# keep its pages, so fewer of those are kept.
_MAX_SPARE, _MAX_SPARE_LARGE, _SMALL_BYTES = 128, 32, 256 * 1024


class ReadBuffers:
    """The two buffers of one open record; pages that are never touched cost nothing."""

    __slots__ = ("plain", "sealed")

    def __init__(self) -> None:
        self.plain = memoryview(mmap.mmap(-1, CHUNK_BYTES))
        self.sealed = memoryview(mmap.mmap(-1, WHOLE_BYTES))


def open_structure(
    descriptor: int, offset: int, length: int, buffer: memoryview | None = None
) -> tuple[layout.Head, layout.Trailer, bytes, memoryview | None]:
    """Head, trailer, sealed envelope and, when small, all bytes of the record at that place.

    The latter are in the buffer of WHOLE_BYTES when one is given. No key is needed. Raises
    RecordDamaged when it is not whole, StoreDown when it is unreadable.
    """
    smallest = layout.HEAD_BYTES + 2 * TAG_BYTES + layout.TRAILER_BYTES
    if length < smallest:
        raise RecordDamaged("the record is too short to be one")
    whole: memoryview | None = None
    if length <= WHOLE_BYTES:
        whole = memoryview(bytearray(length)) if buffer is None else buffer[:length]
        read_into(descriptor, whole, offset)

    def stretch(start: int, size: int) -> bytes:
        if whole is not None:
            return bytes(whole[start : start + size])
        return read_exactly(descriptor, size, offset + start)

    head_bytes = stretch(0, layout.HEAD_BYTES)
    head = layout.unpack_head(head_bytes)
    if head.record_length != length:
        raise RecordDamaged("the record is not of the length it should be")
    end = length - layout.TRAILER_BYTES
    trailer_bytes = stretch(end, layout.TRAILER_BYTES)
    trailer = layout.unpack_trailer(head, trailer_bytes)
    if trailer.envelope_length > layout.MAX_ENVELOPE_BYTES:
        raise RecordDamaged("the envelope of the record is too long to be one")
    envelope = stretch(end - trailer.envelope_length, trailer.envelope_length)
    layout.check(head_bytes, envelope, trailer_bytes)
    return head, trailer, envelope, whole


def unwrapped(head: layout.Head, keys: KeyRing) -> bytes:
    """The data key of the record. Raises RecordDamaged, StoreDown when the ring lacks its keys."""
    trouble: RecordDamaged | StoreDown = RecordDamaged("the record was shredded")
    for slot in head.slots:
        if slot is not None:
            try:
                return keys.unwrap(slot.key_id, slot.nonce, slot.wrapped, head.bound_to)
            except (RecordDamaged, StoreDown) as error:
                trouble = error
    raise trouble


def read_exactly(descriptor: int, length: int, offset: int) -> bytes:
    """So many bytes at that place. Raises RecordDamaged when the file ends before."""
    try:
        octets = os.pread(descriptor, length, offset)
    except OSError as error:
        raise store_error(error, "reading the journal") from error
    if len(octets) != length:
        raise RecordDamaged("the journal ends within the record")
    return octets


def read_into(descriptor: int, view: memoryview, offset: int, needed: int | None = None) -> None:
    """As `read_exactly`, as many bytes as the view has or are `needed` of it, into it."""
    try:
        size = os.preadv(descriptor, (view,), offset)
    except OSError as error:
        raise store_error(error, "reading the journal") from error
    if size < (len(view) if needed is None else needed):
        raise RecordDamaged("the journal ends within the record")


class StoredRecord:
    """One record, open for reading by one thread; `records.Record` says what it promises."""

    def __init__(
        self,
        descriptor: int,
        ref: RecordRef,
        keys: KeyRing,
        path: Path,
        spare: list[ReadBuffers],
        on_close: Callable[[], None],
    ) -> None:
        self._on_close: Callable[[], None] | None = on_close
        self._descriptor = descriptor
        self._path = path
        self._direct: int | None = None
        self._spare = spare
        self._buffers = buffers = spare.pop() if spare else ReadBuffers()
        head, trailer, self._envelope, self._whole = open_structure(
            descriptor, ref.offset, ref.length, buffers.sealed
        )
        if ref.record_id and ref.record_id != head.record_id:
            raise RecordDamaged("another record lies at that place")
        self._seal = ChunkSeal(unwrapped(head, keys), head.nonce_prefix, head.record_id)
        self._start = ref.offset + layout.HEAD_BYTES
        self._chunk_count = trailer.chunk_count
        self._sealed_end = trailer.data_set_length + trailer.chunk_count * TAG_BYTES
        # The chunk whose plaintext is in the buffer, for header readers that ask for stretch
        # after stretch.
        self._held = -1
        self.record_id = head.record_id
        self.length = trailer.data_set_length

    def envelope(self) -> bytes:
        """The envelope as it was committed."""
        return self._seal.open(self._chunk_count, ENVELOPE, self._envelope)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the data set; fewer at its end."""
        end = min(offset + length, self.length)
        if offset < 0 or offset >= end:
            return b""
        first, last = offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        if first == last:
            start = first * CHUNK_BYTES
            return bytes(self._chunk(first)[offset - start : end - start])
        return b"".join(map(bytes, self.chunks(offset, end)))

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The data set from start to end; each view is valid until the next is asked for."""
        end = self.length if end is None else min(end, self.length)
        if start < 0 or start >= end:
            return
        first, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        for index in range(first, last + 1):
            base = index * CHUNK_BYTES
            yield self._chunk(index)[max(0, start - base) : end - base]

    def verify(self) -> None:
        """Open every chunk and the envelope. Raises RecordDamaged."""
        for _ in self.chunks():
            pass
        if self.length == 0:
            self._chunk(0)
        self.envelope()

    def close(self) -> None:
        """Let go of the record; harmless when closed."""
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
            if self._direct is not None and self._direct >= 0:
                os.close(self._direct)
            most = _MAX_SPARE if self.length <= _SMALL_BYTES else _MAX_SPARE_LARGE
            if len(self._spare) < most:
                self._spare.append(self._buffers)

    def _chunk(self, index: int) -> memoryview:
        """The plaintext of a chunk, valid until another is asked for."""
        if self._on_close is None:
            raise StoreDown("the record is closed")
        size = min(_SEALED_CHUNK, self._sealed_end - index * _SEALED_CHUNK) - TAG_BYTES
        plain = self._buffers.plain[:size]
        if self._held != index:
            self._held = -1
            self._seal.open_into(index, self._flag(index), self._sealed(index), plain)
            self._held = index
        return plain

    def _flag(self, index: int) -> int:
        return LAST if index == self._chunk_count - 1 else MORE

    def _sealed(self, index: int) -> memoryview:
        start = index * _SEALED_CHUNK
        length = min(_SEALED_CHUNK, self._sealed_end - start)
        if self._whole is not None:
            start += layout.HEAD_BYTES
            return self._whole[start : start + length]
        start += self._start
        first, last = blocks_around(start, start + length)
        blocks = self._buffers.sealed[: last - first]
        if self._direct is None:
            self._direct = self._opened_direct()
        if self._direct >= 0:
            read_into(self._direct, blocks, first, start + length - first)
            return blocks[start - first : start - first + length]
        read_into(self._descriptor, blocks[:length], start)
        return blocks[:length]

    def _opened_direct(self) -> int:
        try:
            return open_direct(self._path, os.O_RDONLY)
        except OSError as error:
            raise store_error(error, "opening a segment") from error
