"""The items of A-ASSOCIATE PDUs before decoding: each bound at it and over it, padding, order."""

from __future__ import annotations

import struct

import pytest

from router.dimse import items, pdu
from router.errors import ProtocolError

FIXED = struct.pack(">H2x16s16s32x", 1, b"ROUTER".ljust(16), b"CT1".ljust(16))
CT, EXPLICIT = b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.2.1"
APPLICATION = 0x10


def item(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack(">BxH", kind, len(body) if length is None else length) + body


def context(identifier: int, syntaxes: int = 1, kind: int = 0x20) -> bytes:
    body = bytes((identifier, 0, 0, 0)) + item(0x30, CT) + item(0x40, EXPLICIT) * syntaxes
    return item(kind, body)


def refused(variable: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        items.cleaned(FIXED + variable)
    assert caught.value.abort_reason == 6


@pytest.mark.parametrize("size", [0, 1, 67])
def test_a_body_without_its_fixed_fields(size):
    with pytest.raises(ProtocolError, match="shorter than its fixed fields"):
        items.cleaned(bytes(size))


def test_the_fixed_fields_alone_are_a_body():
    assert items.cleaned(FIXED) == FIXED


@pytest.mark.parametrize("kind", [0x20, 0x21])
def test_128_contexts_are_the_most(kind):
    # 128 odd identifiers exist, so the 129th repeats one and the count must speak first.
    every = b"".join(context(2 * number + 1, kind=kind) for number in range(128))
    assert items.cleaned(FIXED + every) == FIXED + every
    refused(every + context(1, kind=kind), "more than 128")


def test_64_transfer_syntaxes_of_one_context_are_the_most():
    assert items.cleaned(FIXED + context(1, 64)).count(EXPLICIT) == 64
    assert items.cleaned(FIXED + context(1, 64) + context(3, 64)).count(EXPLICIT) == 128
    refused(context(1, 65), "more than 64 transfer syntaxes")


def test_64_kib_of_user_information_are_the_most_in_all():
    # One item holds 65,535 bytes at most; the bound is of all of them together.
    half = item(0x50, item(0x58, bytes(32764)))
    assert len(half) - 4 == items.MAX_USER_INFORMATION_BYTES // 2
    assert items.cleaned(FIXED + half * 2) == FIXED + half * 2
    one_too_many = half + item(0x50, item(0x58, bytes(32761))) + item(0x50, item(0x58))
    refused(one_too_many, "more than 64 KiB")


@pytest.mark.parametrize("identifier", [0, 2, 254])
def test_identifiers_are_odd(identifier):
    refused(context(identifier), "even or used twice")


def test_identifiers_are_unique_among_both_kinds():
    refused(context(5) + context(5), "even or used twice")
    refused(context(5) + context(7) + context(5, kind=0x21), "even or used twice")


@pytest.mark.parametrize("body", [b"", b"\1", b"\1\0\0"])
def test_a_context_without_its_fixed_fields(body):
    refused(item(0x20, body), "without its fixed fields")


@pytest.mark.parametrize(
    "variable",
    [
        b"\x10",
        b"\x10\0\0",
        item(0x10, b"1.2", 4),
        item(0x20, bytes((1, 0, 0, 0)) + b"\x30"),
        item(0x20, bytes((1, 0, 0, 0)) + item(0x30, b"1.2", 9)),
        item(0x50, item(0x51, bytes(4), 5)),
        # Unknown items are passed over, not trusted.
        item(0x99, b"", 0xFFFF),
    ],
)
def test_lengths_that_lie_at_every_level(variable):
    refused(variable, "ends inside an item")


@pytest.mark.parametrize("kind", [0x00, 0x11, 0x22, 0x51, 0x60, 0xFF])
@pytest.mark.parametrize("at", ["front", "between", "end"])
def test_unknown_items_are_left_out_wherever_they_are(kind, at):
    strange, known = item(kind, b"whatever"), [item(APPLICATION, b"1.2.3"), context(1)]
    known.insert({"front": 0, "between": 1, "end": 2}[at], strange)
    assert items.cleaned(FIXED + b"".join(known)) == FIXED + item(0x10, b"1.2.3") + context(1)


@pytest.mark.parametrize("kind", [0x00, 0x31, 0x50, 0x99])
def test_unknown_items_inside_a_context_are_left_out(kind):
    body = bytes((1, 0, 0, 0)) + item(0x30, CT) + item(kind, b"?") + item(0x40, EXPLICIT)
    assert items.cleaned(FIXED + item(0x20, body)) == FIXED + context(1)


@pytest.mark.parametrize("kind", [0x00, 0x50, 0x5A, 0xFF])
def test_unknown_user_information_is_left_out(kind):
    length = item(0x51, bytes(4))
    made = items.cleaned(FIXED + item(0x50, item(kind, b"?") + length))
    assert made == FIXED + item(0x50, length)


@pytest.mark.parametrize("size", [0, 2, 3, 5, 8])
def test_a_maximum_length_of_other_than_four_bytes(size):
    refused(item(0x50, item(0x51, bytes(size))), "not four bytes")


@pytest.mark.parametrize("padding", [b"", b"\0", b" ", b"\0\0", b" \0"])
def test_uids_lose_the_padding_some_peers_add(padding):
    body = bytes((1, 0, 0, 0)) + item(0x30, CT + padding) + item(0x40, EXPLICIT + padding)
    assert items.cleaned(FIXED + item(0x20, body)) == FIXED + context(1)
    assert items.cleaned(FIXED + item(0x10, b"1.2" + padding)) == FIXED + item(0x10, b"1.2")


@pytest.mark.parametrize(
    "uid", [b".", b"1.", b".1", b"1..2", b"1.a", b"1 2", b" 1.2", b"1.2\n", b"\xff", b"1" * 65]
)
@pytest.mark.parametrize("place", ["application", "abstract", "transfer"])
def test_what_is_no_uid_is_refused_at_each_place(uid, place):
    if place == "application":
        refused(item(0x10, uid), "that is none")
        return
    abstract, transfer = (uid, EXPLICIT) if place == "abstract" else (CT, uid)
    body = bytes((1, 0, 0, 0)) + item(0x30, abstract) + item(0x40, transfer)
    refused(item(0x20, body), "that is none")


@pytest.mark.parametrize("uid", [b"1", b"1.02", b"1" * 64, b"0.0.0"])
def test_uids_with_small_faults_are_still_names(uid):
    # A leading zero is no UID by PS3.5 9.1, but peers send them and nothing depends on it.
    assert uid in items.cleaned(FIXED + item(0x10, uid))


def test_empty_uids_are_left_out_so_that_the_context_can_be_answered():
    body = bytes((1, 0, 0, 0)) + item(0x30, b"") + item(0x40, b"\0\0") + item(0x40, EXPLICIT)
    (found,) = pdu.decode_request(FIXED + item(0x10, b"1.2") + item(0x20, body)).contexts
    assert (found.abstract_syntax, found.transfer_syntaxes) == ("", (EXPLICIT.decode(),))
