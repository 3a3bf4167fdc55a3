"""Keyed mappings: the same value gives the same result wherever the same key is, and tells nothing.

HMAC-SHA256 under the mapping key of the installation. Nothing is remembered, so the mapping holds
across objects, studies, restarts and nodes that share the key; without the key it cannot be
reversed or guessed from a list. Raises MorphFailed when there is no key.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid

from router.errors import MorphFailed
from router.morph.context import MorphContext

_WELL_KNOWN = "1.2.840.10008."


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


def mapped_days(context: MorphContext, patient: str, up_to_days: int) -> int:
    """The days by which this patient's dates are moved: 1 to `up_to_days` into the past."""
    number = int.from_bytes(_digest(context, "days", patient)[:8], "big")
    return -(1 + number % up_to_days)


def mapped_token(context: MorphContext, value: str, length: int) -> str:
    """A text of capital letters and digits that stands for a value; at most 64 characters."""
    return _digest(context, "token", value).hex().upper()[:length]
