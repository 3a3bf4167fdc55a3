"""The fixed bytes of a record: its head and its trailer.

    head     magic 4 · version 1 · 0 · header length 2 · record id 16 · record length 8
             header: key id 16 · chunk size 4 · nonce prefix 7 · 0 · wrap nonce 12 · wrapped key 48
    chunks   sealed data set, every chunk 16 bytes longer than its plaintext
    envelope sealed
    trailer  data set length 8 · envelope length 4 · chunks 4 · record length 8 · checksum 4 · end 4

Big endian, lengths in bytes. The record length in the head is 0 until the record is complete. The
checksum (CRC-32) is over head, sealed envelope and trailer: it tells a whole record from a torn one
without a key; the data set is guarded by its seals. Raises RecordDamaged.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from router.store.records import Octets, RecordDamaged
from router.store.sealed import CHUNK_BYTES, TAG_BYTES

_HEAD: Final = struct.Struct(">8s16sQ16sI7sx12s48s")
_TRAILER: Final = struct.Struct(">QIIQ")
_SEAL: Final = struct.Struct(">I4s")
_LENGTH: Final = struct.Struct(">Q")
HEAD_BYTES: Final = _HEAD.size
TRAILER_BYTES: Final = _TRAILER.size + _SEAL.size
LENGTH_OFFSET: Final = 24
MAGIC: Final = b"DRJR" + struct.pack(">BxH", 1, HEAD_BYTES - 32)
_END: Final = b"DRJE"
MAX_ENVELOPE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a record; `record_length` is 0 while it is not complete."""

    record_id: bytes
    record_length: int
    key_id: bytes
    chunk_bytes: int
    nonce_prefix: bytes
    wrap_nonce: bytes
    wrapped_key: bytes


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


def pack_head(
    record_id: bytes, key_id: bytes, nonce_prefix: bytes, wrap_nonce: bytes, wrapped_key: bytes
) -> bytes:
    """A head whose record length is still 0."""
    return _HEAD.pack(
        MAGIC, record_id, 0, key_id, CHUNK_BYTES, nonce_prefix, wrap_nonce, wrapped_key
    )


def pack_length(record_length: int) -> bytes:
    """The record length as it stands at LENGTH_OFFSET of the head."""
    return _LENGTH.pack(record_length)


def unpack_head(octets: Octets) -> Head:
    """The head at the beginning of these bytes."""
    if len(octets) < HEAD_BYTES:
        raise RecordDamaged("the head of the record is cut short")
    magic, record_id, length, *rest = _HEAD.unpack_from(octets)
    head = Head(record_id, length, *rest)
    if magic != MAGIC or head.chunk_bytes != CHUNK_BYTES:
        raise RecordDamaged("there is no record of this version at that place")
    return head


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
    return zlib.crc32(fixed, zlib.crc32(envelope, zlib.crc32(head)))
