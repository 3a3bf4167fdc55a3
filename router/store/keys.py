"""The key ring: keys that wrap the data keys of records and messages.

`keys/keyring.json`, mode 0600, replaced atomically; who changes it holds a lock on the folder. The
primary key wraps what is new; old keys stay to open what they wrapped, until nothing needs them.
Losing the file is losing every record. Whoever wraps holds a shared lock on a file named after the
primary key for as long as what it wrapped may be on its way to the disk: a key in use is never
dropped. StoreDown: the ring cannot be read, is damaged, or a key that is asked for is not in it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.errors import StoreDown
from router.store.files import locked_folder, make_folder, store_error, sync_folder
from router.store.records import RecordDamaged

KEY_ID_BYTES: Final = 16
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
WRAPPED_BYTES: Final = 48
RING_NAME: Final = "keyring.json"
_IN_USE: Final = ".use"


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key. `made_at` is 0 where nobody noted it, `exported_at` None while no escrow has it."""

    key_id: bytes
    secret: bytes
    made_at: float = 0.0
    exported_at: float | None = None

    @property
    def name(self) -> str:
        """How people are told of it: the first 8 digits of its id."""
        return self.key_id.hex()[:8]


@dataclass(frozen=True, slots=True)
class Ring:
    """What the file holds: keys by id, and which one wraps."""

    primary: bytes
    keys: Mapping[bytes, RingKey]


class PrimaryKey:
    """The key that wraps, and its lock: in use for as long as somebody holds this object."""

    __slots__ = ("_cipher", "_lock", "key_id")

    def __init__(self, key_id: bytes, cipher: AESGCM, lock: int) -> None:
        self.key_id = key_id
        self._cipher = cipher
        self._lock = lock

    def wrap(self, data_key: bytes, nonce: bytes, bound_to: bytes) -> bytes:
        """The data key sealed under this key: 48 bytes."""
        return self._cipher.encrypt(nonce, data_key, bound_to)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """A small text sealed by itself: key id, nonce, ciphertext. For what is in no record."""
        nonce = os.urandom(NONCE_BYTES)
        return self.key_id + nonce + self._cipher.encrypt(nonce, plain, bound_to)

    def __del__(self) -> None:
        os.close(self._lock)


class KeyRing:
    """Wraps and unwraps 256-bit data keys. Safe for threads; opened after a fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: PrimaryKey | None = None
        self._read()

    @classmethod
    def open(cls, folder: Path, now: float = 0.0) -> KeyRing:
        """The ring in the folder, made with one fresh key when there is none."""
        make_folder(folder)
        if not (folder / RING_NAME).exists():
            primary = _fresh(now)
            write_ring(folder, Ring(primary.key_id, {primary.key_id: primary}), replace=False)
        return cls(folder)

    @property
    def primary(self) -> PrimaryKey:
        """The key that wraps; hold it until what it wrapped is where it is looked for."""
        held = self._held
        return self._hold() if held is None else held

    @property
    def ring(self) -> Ring:
        """What the ring holds, as it was read last."""
        return self._ring

    def old(self) -> tuple[RingKey, ...]:
        """The keys that wrap nothing new, the oldest first."""
        found = (key for key in self._ring.keys.values() if key.key_id != self._ring.primary)
        return tuple(sorted(found, key=lambda key: (key.made_at, key.key_id)))

    def refresh(self) -> None:
        """Take in what another process changed; one look at the file where nothing did."""
        if _signature(self._folder) != self._seen:
            with self._lock:
                self._read()

    def release(self) -> None:
        """Hold no key until something is wrapped again."""
        with self._lock:
            self._held = None

    def unwrap(self, key_id: bytes, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The data key. Raises RecordDamaged when altered, StoreDown when the ring lacks the key."""
        cipher = self._ciphers.get(key_id) or self._reread(key_id)
        try:
            return cipher.decrypt(nonce, wrapped, bound_to)
        except (InvalidTag, ValueError):  # or cut so short that there is no nonce
            raise RecordDamaged("what the key ring sealed does not open") from None

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """The text `PrimaryKey.seal` sealed. Raises RecordDamaged when altered or misplaced.

        Raises StoreDown without its key.
        """
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        return self.unwrap(key_id, rest[:NONCE_BYTES], rest[NONCE_BYTES:], bound_to)

    def rotate(self, now: float = 0.0) -> RingKey:
        """Make a fresh key the primary one, keeping the others."""
        made = _fresh(now)
        self._change(lambda ring: Ring(made.key_id, {**ring.keys, made.key_id: made}))
        return made

    def note_export(self, key_ids: frozenset[bytes], now: float) -> None:
        """Note that an escrow copy holds these keys."""

        def exported(ring: Ring) -> Ring:
            keys = {
                key_id: replace(key, exported_at=now) if key_id in key_ids else key
                for key_id, key in ring.keys.items()
            }
            return Ring(ring.primary, keys)

        self._change(exported)

    def take_in(self, other: Ring) -> int:
        """Add the keys of a ring that this one lacks; how many. The primary key stays."""
        lacking = {
            key_id: key for key_id, key in other.keys.items() if key_id not in self._ring.keys
        }
        self._change(lambda ring: Ring(ring.primary, {**lacking, **ring.keys}))
        return len(lacking)

    @contextmanager
    def retiring(self, key_id: bytes) -> Iterator[Callable[[], None] | None]:
        """While nobody may begin to wrap with an old key: what drops it; None when it is in use."""
        assert key_id != self._ring.primary
        path = _use_path(self._folder, key_id)
        descriptor = _open_use(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return

            def drop() -> None:
                self._change(lambda ring: _without(ring, key_id))
                path.unlink(missing_ok=True)

            yield drop
        finally:
            os.close(descriptor)

    def _change(self, change: Callable[[Ring], Ring]) -> None:
        with self._lock:
            with locked_folder(self._folder):
                write_ring(self._folder, change(read_ring(self._folder)), replace=True)
            self._read()

    def _hold(self) -> PrimaryKey:
        with self._lock:
            while self._held is None:
                primary = self._ring.primary
                descriptor = _open_use(_use_path(self._folder, primary))
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                held = PrimaryKey(primary, self._ciphers[primary], descriptor)
                # Between reading and locking it may have become an old one, and been dropped.
                self._read()
                if self._ring.primary == primary:
                    self._held = held
            return self._held

    def _reread(self, key_id: bytes) -> AESGCM:
        with self._lock:
            self._read()
            if key_id not in self._ciphers:
                raise StoreDown(f"the key ring lacks key {key_id.hex()}: records cannot be opened")
            return self._ciphers[key_id]

    def _read(self) -> None:
        # Looked at before it is read: a change in between is noticed at the next look.
        self._seen = _signature(self._folder)
        self._ring = ring = read_ring(self._folder)
        self._ciphers = {key_id: AESGCM(key.secret) for key_id, key in ring.keys.items()}
        if self._held is not None and self._held.key_id != ring.primary:
            self._held = None


def sealed_alone(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """A text sealed under a key of 32 bytes: nonce, ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def opened_alone(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """The text `sealed_alone` sealed. Raises RecordDamaged."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise RecordDamaged("what was sealed does not open") from None


def _fresh(now: float) -> RingKey:
    return RingKey(os.urandom(KEY_ID_BYTES), os.urandom(KEY_BYTES), now)


def _without(ring: Ring, key_id: bytes) -> Ring:
    return Ring(ring.primary, {one: key for one, key in ring.keys.items() if one != key_id})


def _use_path(folder: Path, key_id: bytes) -> Path:
    return folder / f"{key_id.hex()}{_IN_USE}"


def _open_use(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise store_error(error, "opening the lock of a key") from error


def _signature(folder: Path) -> tuple[int, int]:
    try:
        found = (folder / RING_NAME).stat()
    except OSError as error:
        raise store_error(error, "reading the key ring") from error
    return found.st_ino, found.st_mtime_ns


def read_ring(folder: Path) -> Ring:
    """The ring in the folder. Raises StoreDown when it is unreadable or damaged."""
    try:
        text = (folder / RING_NAME).read_text(encoding="ascii")
    except OSError as error:
        raise store_error(error, "reading the key ring") from error
    except ValueError:
        text = ""
    try:
        return ring_of(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreDown(
            "the key ring is damaged; restore it from its escrow copy: dicom-router keys import"
        ) from None


def ring_of(value: dict[str, dict[str, str]]) -> Ring:
    """The ring in its JSON. Raises ValueError, KeyError, TypeError or AttributeError."""
    made, exported = value.get("made", {}), value.get("exported", {})
    keys = {
        bytes.fromhex(name): RingKey(
            bytes.fromhex(name),
            base64.b64decode(secret, validate=True),
            float(made.get(name, 0.0)),
            float(exported[name]) if name in exported else None,
        )
        for name, secret in value["keys"].items()
    }
    primary = bytes.fromhex(str(value["primary"]))
    if primary not in keys or any(len(key.secret) != KEY_BYTES for key in keys.values()):
        raise ValueError("no key ring")
    return Ring(primary, keys)


def ring_json(ring: Ring) -> dict[str, object]:
    """The JSON of a ring, secrets included."""
    keys = {key_id.hex(): key for key_id, key in ring.keys.items()}
    return {
        "version": 1,
        "primary": ring.primary.hex(),
        "keys": {name: base64.b64encode(key.secret).decode() for name, key in keys.items()},
        "made": {name: key.made_at for name, key in keys.items()},
        "exported": {
            name: key.exported_at for name, key in keys.items() if key.exported_at is not None
        },
    }


def write_ring(folder: Path, ring: Ring, *, replace: bool) -> None:
    """Write the ring in one step; without `replace` one that is there already stays."""
    draft = folder / f".keyring.{os.urandom(8).hex()}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(ring_json(ring), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                draft.replace(folder / RING_NAME)
            else:
                # A link fails when another process was first: its ring is then the one to use.
                with contextlib.suppress(FileExistsError):
                    os.link(draft, folder / RING_NAME)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise store_error(error, "writing the key ring") from error
