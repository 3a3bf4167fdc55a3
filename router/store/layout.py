"""The fixed bytes of a record: its head and its trailer.

    head     magic 4 · version 1 · 0 · header length 2 · record id 16 · record length 8
             chunk size 4 · nonce prefix 7 · 0 · two slots for the data key, wrapped
    slot     key id 16 · wrap nonce 12 · wrapped key 48 · checksum 4
    chunks   sealed data set, every chunk 16 bytes longer than its plaintext
    envelope sealed
    trailer  data set length 8 · envelope length 4 · chunks 4 · record length 8 · checksum 4 · end 4

Big endian, lengths in bytes. The record length in the head is 0 until the record is complete. The
checksum (CRC-32) is over head, sealed envelope and trailer: it tells a whole record from a torn one
without a key; the data set is guarded by its seals. The slots are left out of it and have checksums
of their own: a key is wrapped anew in the slot that is not needed, so that at any moment, and after
any kill, one of them opens. Two slots of zeros are a record that was shredded. Raises RecordDamaged.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from router.errors import StoreDown
from router.store.records import Octets, RecordDamaged
from router.store.sealed import CHUNK_BYTES, TAG_BYTES

_FIXED: Final = struct.Struct(">8s16sQI7sx")
_SLOT: Final = struct.Struct(">16s12s48sI")
_TRAILER: Final = struct.Struct(">QIIQ")
_SEAL: Final = struct.Struct(">I4s")
_LENGTH: Final = struct.Struct(">Q")
FIXED_BYTES: Final = _FIXED.size
SLOT_BYTES: Final = _SLOT.size
HEAD_BYTES: Final = FIXED_BYTES + 2 * SLOT_BYTES
TRAILER_BYTES: Final = _TRAILER.size + _SEAL.size
LENGTH_OFFSET: Final = 24
MAGIC: Final = b"DRJR" + struct.pack(">BxH", 2, HEAD_BYTES - 32)
_FORMER_MAGIC: Final = b"DRJR" + struct.pack(">BxH", 1, 88)
NO_SLOT: Final = bytes(SLOT_BYTES)
_CHECKED_OF_SLOT: Final = SLOT_BYTES - 4
_END: Final = b"DRJE"
MAX_ENVELOPE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The data key of a record, wrapped under a key of the ring."""

    key_id: bytes
    nonce: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a record; `record_length` is 0 while it is not complete.

    `slots` are None where nothing is, or where what is there is torn.
    """

    record_id: bytes
    record_length: int
    chunk_bytes: int
    nonce_prefix: bytes
    slots: tuple[WrappedKey | None, WrappedKey | None]
    is_shredded: bool

    @property
    def bound_to(self) -> bytes:
        """What its wrapped keys are bound to."""
        return bound_to(self.record_id, self.nonce_prefix)


@dataclass(frozen=True, slots=True)
class Trailer:
    """The trailer of a record."""

    data_set_length: int
    envelope_length: int
    chunk_count: int
    record_length: int


def bound_to(record_id: bytes, nonce_prefix: bytes) -> bytes:
    """What the wrapped key is bound to: everything of the head that gives it meaning."""
    return MAGIC + record_id + CHUNK_BYTES.to_bytes(4, "big") + nonce_prefix


def pack_head(record_id: bytes, nonce_prefix: bytes, slot: bytes) -> bytes:
    """A head whose record length is still 0, with one of its slots filled."""
    return _FIXED.pack(MAGIC, record_id, 0, CHUNK_BYTES, nonce_prefix) + slot + NO_SLOT


def pack_slot(key_id: bytes, nonce: bytes, wrapped: bytes) -> bytes:
    """A slot with this wrapped key."""
    return _SLOT.pack(key_id, nonce, wrapped, zlib.crc32(key_id + nonce + wrapped))


def pack_length(record_length: int) -> bytes:
    """The record length as it stands at LENGTH_OFFSET of the head."""
    return _LENGTH.pack(record_length)


def unpack_head(octets: Octets) -> Head:
    """The head at the beginning of these bytes. Raises StoreDown for one of another version."""
    if len(octets) < HEAD_BYTES:
        raise RecordDamaged("the head of the record is cut short")
    magic, record_id, length, chunk_bytes, prefix = _FIXED.unpack_from(octets)
    if magic != MAGIC or chunk_bytes != CHUNK_BYTES:
        if magic == _FORMER_MAGIC:
            # Not damaged: recovery must not cut it off.
            raise StoreDown(
                "the journal holds records of format 1, this version reads format 2: have the "
                "version that wrote them deliver them, then begin with an empty journal"
            )
        raise RecordDamaged("there is no record of this version at that place")
    first, second = FIXED_BYTES, FIXED_BYTES + SLOT_BYTES
    slots = _slot(octets, first), _slot(octets, second)
    is_shredded = octets[first:HEAD_BYTES] == NO_SLOT + NO_SLOT
    if slots == (None, None) and not is_shredded:
        raise RecordDamaged("the wrapped keys of the record are damaged")
    return Head(record_id, length, chunk_bytes, prefix, slots, is_shredded)


def _slot(octets: Octets, start: int) -> WrappedKey | None:
    key_id, nonce, wrapped, checksum = _SLOT.unpack_from(octets, start)
    if zlib.crc32(octets[start : start + _CHECKED_OF_SLOT]) != checksum:
        return None
    return WrappedKey(key_id, nonce, wrapped)


def pack_trailer(head: Octets, envelope: bytes, trailer: Trailer) -> bytes:
    """The trailer of a record with this complete head and this sealed envelope."""
    fixed = _TRAILER.pack(
        trailer.data_set_length,
        trailer.envelope_length,
        trailer.chunk_count,
        trailer.record_length,
    )
    return fixed + _SEAL.pack(_checksum(head, envelope, fixed), _END)


def unpack_trailer(head: Head, octets: Octets) -> Trailer:
    """The trailer in these 32 bytes, agreeing with the head and with itself."""
    if len(octets) != TRAILER_BYTES:
        raise RecordDamaged("the trailer of the record is cut short")
    trailer = Trailer(*_TRAILER.unpack_from(octets))
    chunks = max(1, -(-trailer.data_set_length // CHUNK_BYTES))
    length = (
        HEAD_BYTES
        + trailer.data_set_length
        + chunks * TAG_BYTES
        + trailer.envelope_length
        + TRAILER_BYTES
    )
    if (
        octets[-4:] != _END
        or trailer.record_length != head.record_length
        or trailer.chunk_count != chunks
        or length != trailer.record_length
        or trailer.envelope_length < TAG_BYTES
    ):
        raise RecordDamaged("the trailer of the record does not fit it")
    return trailer


def check(head: Octets, envelope: Octets, trailer: Octets) -> None:
    """Compare the checksum: these bytes belong together and are whole."""
    expected = _SEAL.unpack_from(trailer, _TRAILER.size)[0]
    if _checksum(head, envelope, trailer[: _TRAILER.size]) != expected:
        raise RecordDamaged("the checksum of the record does not hold")


def _checksum(head: Octets, envelope: Octets, fixed: Octets) -> int:
    return zlib.crc32(fixed, zlib.crc32(envelope, zlib.crc32(head[:FIXED_BYTES])))
