"""The mapping key: what UIDs, dates and tokens are mapped under.

The secret that `router.mapping_key` names, so that several nodes map alike; else a key of this
installation, made once in the folder of keys with mode 0600. Whoever loses it maps differently from
then on; whoever has it can tell which token stands for which value.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from router.errors import Rejected, RouterError
from router.model.plan import Plan
from router.serve.places import Places
from router.serve.secrets import read_secret
from router.store.files import make_folder, store_error, sync_folder
from router.telemetry.log import Log

KEY_BYTES: Final = 32
_NAME: Final = "mapping.key"


def mapping_key(plan: Plan, *, make: bool) -> bytes:
    """The key of 32 bytes; b'' when there is none yet and none is to be made.

    Raises Rejected when the named secret cannot be read, StoreDown or StoreFull when the key
    cannot be kept.
    """
    secret = plan.router.mapping_key
    if secret is not None:
        return hashlib.sha256(b"mapping\0" + read_secret(secret, plan.folder).encode()).digest()
    path = Places(plan.router.data_dir).keys / _NAME
    try:
        if not path.exists():
            if not make:
                return b""
            make_folder(path.parent)
            _write(path, os.urandom(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise store_error(error, "reading the mapping key") from error
    if len(key) != KEY_BYTES:
        raise Rejected("the mapping key in the folder of keys is damaged; restore its copy")
    return key


def own_key(places: Places) -> bytes:
    """The key in the folder of keys; b'' where there is none."""
    try:
        return (places.keys / _NAME).read_bytes()
    except FileNotFoundError:
        return b""


def restore_key(places: Places, key: bytes) -> bool:
    """Put a key where there is none; whether it was put."""
    if len(key) != KEY_BYTES or own_key(places):
        return False
    make_folder(places.keys)
    _write(places.keys / _NAME, key)
    return True


def key_or_nothing(plan: Plan, log: Log) -> bytes:
    """The mapping key; without it the steps that need it fail, and what needs none of them goes."""
    try:
        return mapping_key(plan, make=True)
    except RouterError as error:
        log.warning("no mapping key: what is mapped is quarantined", reason=str(error))
        return b""


def _write(path: Path, key: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        try:
            # Another process may have been first: its key is then the one.
            os.link(draft, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        draft.unlink()
