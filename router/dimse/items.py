"""The item structure of A-ASSOCIATE-RQ and -AC (PS3.8 9.3.2, 9.3.3), checked before decoding.

Hostile input: counts and lengths are bounded here, and items of unknown type are left out, as the
standard asks (PS3.8 9.3.1), so that the decoder behind sees only what it knows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from router.errors import ProtocolError

MAX_ASSOCIATE_BYTES = 256 * 1024
MAX_CONTEXTS = 128
MAX_TRANSFER_SYNTAXES = 64
MAX_USER_INFORMATION_BYTES = 64 * 1024
FIXED_BYTES = 68

_APPLICATION_CONTEXT = 0x10
_PROPOSED_CONTEXT = 0x20
_ANSWERED_CONTEXT = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_USER_ITEMS = frozenset(range(0x51, 0x5A))
_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS_UID = 0x52
_IMPLEMENTATION_VERSION_NAME = 0x55
_MAX_VERSION_NAME_BYTES = 16
_INVALID_PARAMETER = 6
_HEADER = struct.Struct(">BxH")
_NOT_IN_NAMES = re.compile(rb"[^ -\[\]-~]")
_UID = re.compile(rb"(?=.{0,64}\Z)([0-9]+(\.[0-9]+)*)?\Z", re.DOTALL)


def cleaned(body: bytes) -> bytes:
    """The body of an A-ASSOCIATE-RQ or -AC with its known items only.

    `body` is everything after the six bytes of PDU header. Raises ProtocolError when it does not
    parse to its end or is over a limit.
    """
    if len(body) < FIXED_BYTES:
        raise _invalid("an A-ASSOCIATE PDU shorter than its fixed fields")
    contexts = user_information = 0
    seen: set[int] = set()
    kept = [body[:FIXED_BYTES]]
    for kind, value in _items(body[FIXED_BYTES:]):
        if kind == _APPLICATION_CONTEXT:
            value = _uid(value)
        elif kind in (_PROPOSED_CONTEXT, _ANSWERED_CONTEXT):
            contexts += 1
            if contexts > MAX_CONTEXTS:
                raise _invalid("more than 128 presentation contexts")
            value = _cleaned_context(value, seen)
        elif kind == _USER_INFORMATION:
            user_information += len(value)
            if user_information > MAX_USER_INFORMATION_BYTES:
                raise _invalid("more than 64 KiB of user information")
            value = _cleaned_user_information(value)
        else:
            continue
        kept.append(_item(kind, value))
    return b"".join(kept)


def _cleaned_context(value: bytes, seen: set[int]) -> bytes:
    """One presentation context item; identifiers are odd and unique (PS3.8 9.3.2.2)."""
    if len(value) < 4:
        raise _invalid("a presentation context item without its fixed fields")
    identifier = value[0]
    if identifier % 2 == 0 or identifier in seen:
        raise _invalid("a presentation context identifier that is even or used twice")
    seen.add(identifier)
    kept = [value[:4]]
    transfer_syntaxes = 0
    for kind, uid in _items(value[4:]):
        if kind not in (_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX):
            continue
        transfer_syntaxes += kind == _TRANSFER_SYNTAX
        if transfer_syntaxes > MAX_TRANSFER_SYNTAXES:
            raise _invalid("more than 64 transfer syntaxes in one presentation context")
        # In the answer to a rejected context the syntax has no meaning and may be empty.
        if uid := _uid(uid):
            kept.append(_item(kind, uid))
    return b"".join(kept)


def _cleaned_user_information(value: bytes) -> bytes:
    kept = []
    for kind, item in _items(value):
        if kind == _MAXIMUM_LENGTH and len(item) != 4:
            raise _invalid("a maximum length item that is not four bytes")
        # What the peer says of its implementation is for the log: no reason to turn it away.
        if kind == _IMPLEMENTATION_CLASS_UID and not _UID.match(item.rstrip(b"\0 ")):
            continue
        if kind == _IMPLEMENTATION_VERSION_NAME:
            item = _NOT_IN_NAMES.sub(b"?", item.strip(b"\0 "))[:_MAX_VERSION_NAME_BYTES]
        if kind in _USER_ITEMS:
            kept.append(_item(kind, item))
    return b"".join(kept)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of a stretch of items."""
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            raise _invalid("an A-ASSOCIATE PDU ends inside an item header")
        kind, length = _HEADER.unpack_from(data, offset)
        offset += 4
        if length > len(data) - offset:
            raise _invalid("an A-ASSOCIATE PDU ends inside an item")
        yield kind, data[offset : offset + length]
        offset += length


def _item(kind: int, value: bytes) -> bytes:
    return _HEADER.pack(kind, len(value)) + value


def _uid(value: bytes) -> bytes:
    """A UID without the padding some peers add; '' when there is nothing else."""
    uid = value.rstrip(b"\0 ")
    if not _UID.match(uid):
        raise _invalid("a UID in an A-ASSOCIATE PDU that is none")
    return uid


def _invalid(message: str) -> ProtocolError:
    return ProtocolError(message, _INVALID_PARAMETER)
