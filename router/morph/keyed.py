"""Keyed mappings: the same value gives the same result wherever the same key is, and tells nothing.

HMAC-SHA256 under the mapping key of the installation. Nothing is remembered, so the mapping holds
across objects, studies, restarts and nodes that share the key; without the key it cannot be
reversed or guessed from a list. Raises MorphFailed when there is no key.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Final

from router.errors import MorphFailed
from router.morph.context import MorphContext

_WELL_KNOWN: Final = "1.2.840.10008."
# What names a kind of thing and not a thing; a vendor may use a UID of its own here.
CLASS_TAGS: Final = frozenset(
    {
        *(0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x0008010D),
        *(0x00080117, 0x00080118, 0x00081150, 0x0008115A, 0x00083002, 0x04000010),
        *(0x00020002, 0x00020010),
    }
)


def _digest(context: MorphContext, purpose: str, value: str) -> bytes:
    if not context.mapping_key:
        raise MorphFailed("the router has no mapping key")
    message = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(context.mapping_key, message, hashlib.sha256).digest()


def mapped_uid(context: MorphContext, uid: str) -> str:
    """The UID that stands for this one: a UUID under 2.25 (PS3.5 B.2).

    UIDs of the standard itself (classes, transfer syntaxes, coding schemes) stand for themselves.
    """
    if not uid or uid.startswith(_WELL_KNOWN):
        return uid
    number = uuid.UUID(bytes=_digest(context, "uid", uid)[:16], version=5).int
    return f"2.25.{number}"


def mapped_value(context: MorphContext, raw: bytes) -> bytes | None:
    """The bytes of a UI value with each UID mapped; None where nothing changes."""
    before = raw.decode("latin-1").rstrip("\0 ")
    after = "\\".join(mapped_uid(context, one.strip(" ")) for one in before.split("\\"))
    return None if after == before else after.encode("ascii") + b"\0" * (len(after) % 2)


def mapped_days(context: MorphContext, patient: str, up_to_days: int) -> int:
    """The days by which this patient's dates are moved: 1 to `up_to_days` into the past."""
    number = int.from_bytes(_digest(context, "days", patient)[:8], "big")
    return -(1 + number % up_to_days)


def mapped_token(context: MorphContext, value: str, length: int) -> str:
    """A text of capital letters and digits that stands for a value; at most 64 characters."""
    return _digest(context, "token", value).hex().upper()[:length]
