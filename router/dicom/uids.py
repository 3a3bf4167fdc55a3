"""UIDs we make: our identity in files and associations, fresh ones, and keyed ones.

All are derived from a UUID under the root 2.25 (PS3.5 B.2), so they need no registration and have
at most 44 characters.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.190146791043182537444806132342625375407"
IMPLEMENTATION_VERSION_NAME: Final = "DICOMROUTER_0.1"


def new_uid() -> str:
    """A UID nobody else has (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def keyed_uid(key: bytes, uid: str) -> str:
    """The replacement of a UID under a secret key of at most 64 bytes.

    The same key and UID always give the same result; without the key it leads nowhere back.
    """
    digest = hashlib.blake2b(uid.encode(), key=key, digest_size=16).digest()
    return f"2.25.{uuid.UUID(bytes=digest, version=4).int}"
