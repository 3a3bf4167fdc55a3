"""The key ring: keys that wrap the data keys of records.

`keys/keyring.json`, mode 0600, replaced atomically. The primary key wraps new records; old keys
stay to open what they wrapped. Losing the file is losing every record. StoreDown: it cannot be
read, is damaged, or a key that is asked for is not in it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.errors import StoreDown
from router.store.files import make_folder, store_error, sync_folder
from router.store.records import RecordDamaged

KEY_ID_BYTES: Final = 16
NONCE_BYTES: Final = 12
WRAPPED_BYTES: Final = 48
_NAME: Final = "keyring.json"


class KeyRing:
    """Wraps and unwraps 256-bit data keys. Safe for threads; a ring rotated elsewhere is re-read."""

    def __init__(self, folder: Path, primary: bytes, keys: Mapping[bytes, bytes]) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._set(primary, keys)

    @classmethod
    def open(cls, folder: Path) -> KeyRing:
        """The ring in the folder, made with one fresh key when there is none."""
        make_folder(folder)
        if not (folder / _NAME).exists():
            primary = os.urandom(KEY_ID_BYTES)
            _write(folder, primary, {primary: os.urandom(32)}, replace=False)
        return cls(folder, *_read(folder))

    @property
    def primary(self) -> bytes:
        """The id of the key that wraps new records, 16 bytes."""
        return self._primary

    def wrap(self, data_key: bytes, nonce: bytes, bound_to: bytes) -> bytes:
        """The data key sealed under the primary key: 48 bytes."""
        return self._cipher.encrypt(nonce, data_key, bound_to)

    def unwrap(self, key_id: bytes, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The data key. Raises RecordDamaged when altered, StoreDown when the ring lacks the key."""
        cipher = self._ciphers.get(key_id) or self._reread(key_id)
        try:
            return cipher.decrypt(nonce, wrapped, bound_to)
        except (InvalidTag, ValueError):  # or cut so short that there is no nonce
            raise RecordDamaged("what the key ring sealed does not open") from None

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """A small text sealed by itself: key id, nonce, ciphertext. For what is in no record."""
        nonce, primary = os.urandom(NONCE_BYTES), self._primary
        return primary + nonce + self._ciphers[primary].encrypt(nonce, plain, bound_to)

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """The text. Raises RecordDamaged when altered or misplaced, StoreDown without its key."""
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        return self.unwrap(key_id, rest[:NONCE_BYTES], rest[NONCE_BYTES:], bound_to)

    def rotate(self) -> bytes:
        """Make a fresh key the primary one, keeping the others; its id."""
        with self._lock:
            _, keys = _read(self._folder)
            primary = os.urandom(KEY_ID_BYTES)
            keys[primary] = os.urandom(32)
            _write(self._folder, primary, keys, replace=True)
            self._set(primary, keys)
        return primary

    def _reread(self, key_id: bytes) -> AESGCM:
        with self._lock:
            self._set(*_read(self._folder))
            if key_id not in self._ciphers:
                raise StoreDown(f"the key ring lacks key {key_id.hex()}: records cannot be opened")
            return self._ciphers[key_id]

    def _set(self, primary: bytes, keys: Mapping[bytes, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._cipher = self._ciphers[primary]
        self._primary = primary


def _read(folder: Path) -> tuple[bytes, dict[bytes, bytes]]:
    try:
        value = json.loads((folder / _NAME).read_text(encoding="ascii"))
        keys = {
            bytes.fromhex(key_id): base64.b64decode(key, validate=True)
            for key_id, key in value["keys"].items()
        }
        primary = bytes.fromhex(value["primary"])
    except OSError as error:
        raise store_error(error, "reading the key ring") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreDown("the key ring is damaged; restore it from its escrow copy") from None
    if primary not in keys or any(len(key) != 32 for key in keys.values()):
        raise StoreDown("the key ring is damaged; restore it from its escrow copy")
    return primary, keys


def _write(folder: Path, primary: bytes, keys: Mapping[bytes, bytes], *, replace: bool) -> None:
    value = {
        "version": 1,
        "primary": primary.hex(),
        "keys": {key_id.hex(): base64.b64encode(key).decode() for key_id, key in keys.items()},
    }
    draft = folder / f".keyring.{os.urandom(8).hex()}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(value, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                draft.replace(folder / _NAME)
            else:
                # A link fails when another process was first: its ring is then the one to use.
                with contextlib.suppress(FileExistsError):
                    os.link(draft, folder / _NAME)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise store_error(error, "writing the key ring") from error
