"""Sealing of chunks: the STREAM construction over AES-256-GCM.

Nonce = 7-byte prefix ‖ 4-byte chunk index ‖ 1-byte flag; associated data = record id ‖ index ‖ flag.
The flag tells the last chunk and the envelope from the others, so truncation, reordering and
swapping are detected; any chunk opens alone. The key is of one record only, so no nonce is ever
used twice. A chunk whose tag does not hold raises RecordDamaged and gives no plaintext.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.store.records import Octets, RecordDamaged

CHUNK_BYTES: Final = 256 * 1024
TAG_BYTES: Final = 16
PREFIX_BYTES: Final = 7
MORE: Final = 0
LAST: Final = 1
ENVELOPE: Final = 2
MAX_CHUNKS: Final = 0xFFFFFFFF

_INDEX_FLAG: Final = struct.Struct(">IB")
_INTO: Final = hasattr(AESGCM, "encrypt_into") and hasattr(AESGCM, "decrypt_into")


class ChunkSeal:
    """Seals and opens the chunks of one record; for one thread at a time."""

    __slots__ = ("_bound_to", "_cipher", "_nonce")

    def __init__(self, data_key: bytes, prefix: bytes, record_id: bytes) -> None:
        self._cipher = AESGCM(data_key)
        self._nonce = bytearray(prefix + bytes(5))
        self._bound_to = bytearray(record_id + bytes(5))

    def seal(self, index: int, flag: int, plain: Octets) -> bytes:
        """The sealed chunk: 16 bytes longer."""
        self._aim(index, flag)
        return self._cipher.encrypt(self._nonce, plain, self._bound_to)

    def seal_into(self, index: int, flag: int, plain: Octets, sealed: memoryview) -> None:
        """As `seal`, into a buffer of exactly 16 bytes more."""
        self._aim(index, flag)
        if _INTO:
            self._cipher.encrypt_into(self._nonce, plain, self._bound_to, sealed)
        else:
            sealed[:] = self._cipher.encrypt(self._nonce, plain, self._bound_to)

    def open(self, index: int, flag: int, sealed: Octets) -> bytes:
        """The plaintext of a chunk. Raises RecordDamaged."""
        self._aim(index, flag)
        try:
            return self._cipher.decrypt(self._nonce, sealed, self._bound_to)
        except InvalidTag:
            raise RecordDamaged(f"chunk {index} of the record is damaged") from None

    def open_into(self, index: int, flag: int, sealed: Octets, plain: memoryview) -> None:
        """As `open`, into a buffer of exactly 16 bytes less. Raises RecordDamaged."""
        if not _INTO:
            plain[:] = self.open(index, flag, sealed)
            return
        self._aim(index, flag)
        try:
            self._cipher.decrypt_into(self._nonce, sealed, self._bound_to, plain)
        except InvalidTag:
            raise RecordDamaged(f"chunk {index} of the record is damaged") from None

    def _aim(self, index: int, flag: int) -> None:
        _INDEX_FLAG.pack_into(self._nonce, PREFIX_BYTES, index, flag)
        _INDEX_FLAG.pack_into(self._bound_to, 16, index, flag)
