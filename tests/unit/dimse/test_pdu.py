"""The small PDUs against bytes written by hand from PS3.8 9.3 and PS3.7 annex D."""

from __future__ import annotations

import struct

import pytest

from router.dimse import pdu
from router.errors import ProtocolError

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"


def item(kind: int, body: bytes) -> bytes:
    """Type, reserved byte, length of two bytes, value (PS3.8 9.3.2)."""
    return struct.pack(">BxH", kind, len(body)) + body


def fixed(called: bytes = b"ROUTER", calling: bytes = b"CT1", version: int = 1) -> bytes:
    return struct.pack(">H2x16s16s32x", version, called.ljust(16), calling.ljust(16))


APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
IMPLEMENTATION = item(0x52, b"2.25.190146791043182537444806132342625375407")
VERSION = item(0x55, b"DICOMROUTER_0.1")


def proposed(context_id: int, abstract: str, *syntaxes: str) -> bytes:
    names = b"".join(item(0x40, uid.encode()) for uid in syntaxes)
    return item(0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract.encode()) + names)


def answered(context_id: int, result: int, syntax: str) -> bytes:
    return item(0x21, bytes((context_id, 0, result, 0)) + item(0x40, syntax.encode()))


def user(*items: bytes, max_pdu_bytes: int = 16384) -> bytes:
    length = item(0x51, struct.pack(">I", max_pdu_bytes))
    return item(0x50, length + IMPLEMENTATION + VERSION + b"".join(items))


def whole(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def request(*contexts: pdu.ProposedContext, **changes) -> pdu.AssociateRequest:
    made = {
        "protocol_version": 1,
        "application_context_name": pdu.APPLICATION_CONTEXT_NAME,
        "called_ae_title": "ROUTER",
        "calling_ae_title": "CT1",
        "contexts": contexts,
        "max_pdu_bytes": 16384,
        "ae_title_fields": b"ROUTER".ljust(16) + b"CT1".ljust(16),
    }
    return pdu.AssociateRequest(**(made | changes))


def test_golden_request():
    contexts = (
        pdu.ProposedContext(1, VERIFICATION, (IMPLICIT,)),
        pdu.ProposedContext(3, CT, (EXPLICIT, IMPLICIT)),
    )
    body = fixed() + APPLICATION + proposed(1, VERIFICATION, IMPLICIT)
    body += proposed(3, CT, EXPLICIT, IMPLICIT) + user()
    assert pdu.encode_request(request(*contexts)) == whole(1, body)


def test_golden_accept():
    # Title fields are those of the request, blank for blank (PS3.8 table 9-17).
    fields = b" odd  TITLE     " + b"\0" * 16
    asked = request(pdu.ProposedContext(1, CT, (EXPLICIT,)), ae_title_fields=fields)
    answers = (pdu.AnsweredContext(1, 0, EXPLICIT, CT), pdu.AnsweredContext(3, 4, IMPLICIT, MR))
    body = struct.pack(">H2x", 1) + fields + bytes(32) + APPLICATION
    body += answered(1, 0, EXPLICIT) + answered(3, 4, IMPLICIT) + user(max_pdu_bytes=262144)
    assert pdu.encode_accept(asked, answers, 262144) == whole(2, body)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        # One operation at a time (PS3.7 D.3.3.3).
        ({"wants_asynchronous_window": True}, item(0x53, struct.pack(">HH", 1, 1))),
        # Level 2, storage: nothing is changed or coerced (PS3.4 B.3.1, PS3.7 D.3.3.5).
        (
            {"extended_sop_classes": (CT, CT)},
            item(0x56, struct.pack(">H", len(CT)) + CT.encode() + b"\2\0\0\0\0\0"),
        ),
        # Of a class that was not accepted there is nothing to say.
        ({"extended_sop_classes": (MR,)}, b""),
        # A positive response without a ticket (PS3.7 D.3.3.7).
        ({"wants_identity_response": True}, item(0x59, struct.pack(">H", 0))),
    ],
)
def test_golden_answers_to_user_information(asked, given):
    answers = (pdu.AnsweredContext(1, 0, EXPLICIT, CT), pdu.AnsweredContext(3, 3, IMPLICIT, MR))
    made = pdu.encode_accept(request(**asked), answers, 16384)
    assert made.endswith(user(given))


@pytest.mark.parametrize("fields", [(1, 1, 1), (1, 1, 7), (1, 2, 2), (2, 3, 1), (2, 3, 2)])
def test_golden_rejection(fields):
    assert pdu.reject(*fields) == bytes((3, 0, 0, 0, 0, 4, 0, *fields))


@pytest.mark.parametrize("source", [0, 2])
@pytest.mark.parametrize("reason", [0, 1, 2, 6])
def test_golden_abort_and_release(source, reason):
    assert pdu.abort(source, reason) == bytes((7, 0, 0, 0, 0, 4, 0, 0, source, reason))
    assert bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)) == pdu.RELEASE_RQ_PDU
    assert bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0)) == pdu.RELEASE_RP_PDU


def test_a_request_by_hand_is_read():
    identity = item(0x58, b"\2\1\0\4user\0\4pass")
    window = item(0x53, struct.pack(">HH", 0, 0))
    extended = item(0x56, struct.pack(">H", len(CT)) + CT.encode() + b"\2\0\0\0\0\0")
    body = fixed(b" ROUTER", b"CT1\0\0") + APPLICATION + proposed(255, CT, EXPLICIT, IMPLICIT)
    found = pdu.decode_request(body + user(identity, window, extended, max_pdu_bytes=0))
    assert found.contexts == (pdu.ProposedContext(255, CT, (EXPLICIT, IMPLICIT)),)
    assert (found.called_ae_title, found.calling_ae_title) == ("ROUTER", "CT1")
    assert (found.max_pdu_bytes, found.protocol_version) == (0, 1)
    assert found.ae_title_fields == body[4:36]
    assert found.wants_asynchronous_window
    assert found.wants_identity_response
    assert found.extended_sop_classes == (CT,)
    assert found.implementation_version_name == "DICOMROUTER_0.1"


@pytest.mark.parametrize(
    ("information", "limit", "name"),
    [
        (b"", 0, ""),
        (item(0x50, b""), 0, ""),
        (item(0x50, item(0x51, struct.pack(">I", 0xFFFFFFFF))), 0xFFFFFFFF, ""),
        (item(0x50, item(0x51, bytes(4)) + item(0x52, b"1.2") + item(0x55, b"A\tB")), 0, "A?B"),
    ],
)
def test_user_information_may_be_thin_or_odd(information, limit, name):
    found = pdu.decode_request(fixed() + APPLICATION + proposed(1, CT, EXPLICIT) + information)
    assert (found.max_pdu_bytes, found.implementation_version_name) == (limit, name)
    assert not found.wants_asynchronous_window
    assert not found.wants_identity_response


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"ORTHANC_1\0", "ORTHANC_1"),
        (b"  VENDOR  ", "VENDOR"),
        (b"\0\0", ""),
        (b"", ""),
        (b"SEVENTEEN_LETTERS", "SEVENTEEN_LETTER"),
        (b"V\xe9ndor\\1", "V?ndor?1"),
    ],
)
@pytest.mark.parametrize("class_uid", [b"1.2.3\0", b"1..2", b"", b"\xff", b"1" * 65])
def test_an_odd_name_of_an_implementation_turns_nobody_away(raw, name, class_uid):
    # Peers pad the name with NUL, as if it were a UID, or let it run over its 16 bytes.
    information = item(0x50, item(0x51, bytes(4)) + item(0x52, class_uid) + item(0x55, raw))
    asked = pdu.decode_request(fixed() + APPLICATION + proposed(1, CT, EXPLICIT) + information)
    given = pdu.decode_accept(fixed() + APPLICATION + answered(1, 0, EXPLICIT) + information)
    assert asked.implementation_version_name == given.implementation_version_name == name


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"PACS            ", "PACS"),
        (b"            PACS", "PACS"),
        (b"SIXTEEN_LETTERS_", "SIXTEEN_LETTERS_"),
        (b"IN SIDE" + b"\0" * 9, "IN SIDE"),
        (b" " * 16, ""),
        (b"\0" * 16, ""),
        (b"M\xfcnchen".ljust(16), "M\ufffdnchen"),
        (b"back\\slash\n".ljust(16), "back\\slash\n"),
    ],
)
def test_titles_are_read_as_they_are_so_that_they_can_be_refused_by_name(field, title):
    found = pdu.decode_request(fixed(field, field) + APPLICATION + proposed(1, CT, EXPLICIT))
    assert (found.called_ae_title, found.calling_ae_title) == (title, title)


@pytest.mark.parametrize("version", [0, 1, 2, 3, 0xFFFF])
def test_the_protocol_version_is_a_field_of_bits(version):
    body = fixed(version=version) + APPLICATION + proposed(1, CT, EXPLICIT)
    assert pdu.decode_request(body).protocol_version == version


def test_an_accept_by_hand_is_read():
    body = fixed() + APPLICATION + answered(1, 0, EXPLICIT) + answered(3, 3, IMPLICIT)
    # A peer may leave the syntax of a rejected context empty, or the whole item.
    body += item(0x21, bytes((5, 0, 4, 0)) + item(0x40, b"")) + item(0x21, bytes((7, 0, 1, 0)))
    found = pdu.decode_accept(body + user(max_pdu_bytes=32768))
    assert [(one.context_id, one.result) for one in found.contexts] == [
        (1, 0),
        (3, 3),
        (5, 4),
        (7, 1),
    ]
    assert found.contexts[0].transfer_syntax == EXPLICIT
    assert found.contexts[2].transfer_syntax == found.contexts[3].transfer_syntax == ""
    assert (found.max_pdu_bytes, found.implementation_version_name) == (32768, "DICOMROUTER_0.1")


@pytest.mark.parametrize("decode", [pdu.decode_request, pdu.decode_accept])
def test_a_cut_anywhere_is_invalid_or_has_less_in_it(decode):
    context = (
        proposed(1, CT, EXPLICIT) if decode is pdu.decode_request else answered(1, 0, EXPLICIT)
    )
    body = fixed() + APPLICATION + context + user()
    ends = {68, 68 + len(APPLICATION), 68 + len(APPLICATION + context)}
    for cut in range(len(body)):
        if cut in ends:
            continue
        with pytest.raises(ProtocolError) as caught:
            decode(body[:cut])
        assert caught.value.abort_reason == 6, cut


@pytest.mark.parametrize(
    "damage",
    [
        item(0x50, item(0x53, b"\0\1")),
        item(0x50, item(0x56, b"\0\x09") + item(0x52, b"1.2")),
        item(0x50, item(0x58, b"\2\1\xff\xff")),
        item(0x50, item(0x54, b"\0\x041.2.")),
    ],
    ids=["window", "extended", "identity", "role"],
)
def test_damage_inside_user_items_is_a_protocol_error_or_nothing(damage):
    # The decoder behind the door raises what it stumbles over; nothing of that may leave.
    try:
        pdu.decode_request(fixed() + APPLICATION + proposed(1, CT, EXPLICIT) + damage)
    except ProtocolError as error:
        assert error.abort_reason == 6
        assert "cannot be decoded" in str(error)


@pytest.mark.parametrize("title", ["", "SEVENTEEN_LETTERS", "back\\slash", "é"])
def test_titles_that_cannot_be_written_are_value_errors(title):
    with pytest.raises(ValueError):
        pdu.encode_request(request(pdu.ProposedContext(1, CT, (EXPLICIT,)), calling_ae_title=title))
