"""Command sets, fragments, items and the choice of contexts, apart from any socket."""

from __future__ import annotations

import io
import struct

import pytest
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dsutils import decode

from router.dimse import command as commands
from router.dimse import fragments, items, negotiate, pdu
from router.dimse.admission import Admission, Connection
from router.errors import ProtocolError
from router.model.listener import AssociationLimits

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG, RLE, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
PRIVATE = "1.2.840.113619.5.2"


def test_a_response_reads_back_with_another_library():
    data = commands.response(
        commands.C_STORE_RSP,
        65535,
        0xA900,
        "1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.345",
        comment="odd",
        offending_tags=(0x00080018, 0x0020000D),
    )
    read = decode(io.BytesIO(data), True, True)
    assert read.CommandGroupLength == len(data) - 12
    assert read.AffectedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert read.AffectedSOPInstanceUID == "1.2.345"
    assert (read.CommandField, read.MessageIDBeingRespondedTo) == (0x8001, 65535)
    assert (read.Status, read.CommandDataSetType) == (0xA900, 0x0101)
    assert list(read.OffendingElement) == [0x00080018, 0x0020000D]
    assert read.ErrorComment == "odd"
    assert [element.tag.element for element in read] == sorted(e.tag.element for e in read)
    assert C_STORE_RSP().command_set is not None


def test_a_request_reads_back_with_another_library():
    data = commands.encode(((2, commands.uid_value("1.2.3")), (0x0100, commands.us_value(1))))
    read = decode(io.BytesIO(data), True, True)
    assert (read.AffectedSOPClassUID, read.CommandField) == ("1.2.3", 1)
    assert read.CommandGroupLength == len(data) - 12


def test_comments_are_cut_and_cleaned():
    assert commands.text_value("ä\\b\n") == b"??b?"
    assert commands.text_value("x" * 65) == b"x" * 64
    assert commands.text_value("abc") == b"abc "


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        struct.pack("<HHI", 8, 0x18, 0),
        struct.pack("<HHI", 0, 2, 5) + b"1234",
        struct.pack("<HHI", 0, 2, 0xFFFFFFFF),
        struct.pack("<HHI", 0, 2, 0) * 2,
        bytes(65537),
    ],
)
def test_a_command_set_that_is_none_is_a_protocol_error(data):
    with pytest.raises(ProtocolError):
        commands.parse(data)


def test_values_of_wrong_size_are_absent():
    parsed = commands.parse(
        struct.pack("<HHII", 0, 0x0110, 4, 1) + struct.pack("<HHI", 0, 2, 4) + b"\xff1.2"
    )
    assert parsed.number(0x0110) is None
    assert parsed.uid(2) == ""
    with pytest.raises(ProtocolError):
        _ = parsed.message_id


@pytest.mark.parametrize("uid", ["1", "1.2.840", "1.2.03", "a-b_c", "1" * 128])
def test_instance_uids_that_harm_nobody_pass(uid):
    assert commands.is_safe_instance_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", ".", "..", ".1", "1..2", "a/b", "a\\b", "~", "1 2", "1\n", "é", "\x7f", "1" * 129]
)
def test_instance_uids_that_could_be_paths_do_not(uid):
    assert not commands.is_safe_instance_uid(uid)


@pytest.mark.parametrize(
    ("maximum", "payload"),
    [(0, (1 << 20) - 6), (1 << 30, (1 << 20) - 6), (7, 1), (8, 2), (9, 2), (16384, 16378)],
)
def test_the_payload_is_even_and_fits(maximum, payload):
    assert fragments.payload_bytes(maximum) == payload


def assembled(pdus: bytes, payload: int) -> tuple[bytes, bytes]:
    """Command and data of the PDUs, their form checked."""
    command, data, ended = b"", b"", False
    while pdus:
        kind, length, pdv_length, context_id, control = struct.unpack(">BxIIBB", pdus[:12])
        assert (kind, context_id, pdv_length) == (4, 5, length - 4)
        assert length - 6 <= payload
        assert not ended
        body, pdus = pdus[12 : 6 + length], pdus[6 + length :]
        if control & 1:
            command += body
        else:
            assert body or not data  # some peers stumble over an empty last fragment
            data += body
            ended = bool(control & 2)
    assert ended
    return command, data


@pytest.mark.parametrize("payload", [1, 2, 10, 1000])
@pytest.mark.parametrize("sizes", [(), (0,), (1,), (10,), (9, 1), (3, 0, 30), (10, 10), (999, 2)])
@pytest.mark.parametrize("known", [True, False])
def test_batches_carry_every_byte_also_when_chunks_share_memory(payload, sizes, known):
    memory = bytearray(1000)
    expected = b""

    def chunks():
        nonlocal expected
        for number, size in enumerate(sizes):
            memory[:] = bytes([number + 65]) * 1000
            expected += bytes(memory[:size])
            yield memoryview(memory)[:size]

    length = sum(sizes) if known else None
    first = fragments.command_pdus(5, b"COMMAND!", payload)
    sent = b"".join(
        b"".join(batch) for batch in fragments.data_batches(first, chunks(), 5, payload, length)
    )
    assert assembled(sent, payload) == (b"COMMAND!", expected)


def test_batches_stay_below_what_one_system_call_takes():
    parts = fragments.data_batches(b"", [bytes(100_000)], 5, 2)
    assert all(len(batch) <= 1024 for batch in parts)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((DEFLATED, BIG, IMPLICIT), IMPLICIT),
        ((IMPLICIT, JPEG, RLE), JPEG),
        ((RLE, IMPLICIT, J2K), RLE),
        ((DEFLATED, BIG), BIG),
        ((DEFLATED,), DEFLATED),
        ((PRIVATE, IMPLICIT), IMPLICIT),
        ((PRIVATE,), PRIVATE),
        ((), None),
    ],
)
def test_the_transfer_syntax_we_take(offered, chosen):
    assert negotiate.choose_transfer_syntax(offered) == chosen


@pytest.mark.parametrize(
    ("sop_class_uid", "result"),
    [
        ("1.2.840.10008.1.1", 0),
        ("1.2.840.10008.5.1.4.1.1.2", 0),
        ("1.2.840.10008.5.1.4.1.1.999.1", 0),
        ("1.2.840.10008.5.1.4.38.1", 0),
        ("1.3.12.2.1107.5.9.1", 0),
        ("1.2.840.10008.5.1.4.1.2.2.1", 3),
        ("1.2.840.10008.5.1.4.31", 3),
        ("1.2.840.10008.3.1.2.3.3", 3),
        ("1.2.840.10008.5.1.1.9", 3),
        ("1.2.840.10008.1.20.1", 3),
        ("1.2.840.10008.1.3.10", 3),
        ("1.2.840.10008.9.9.9", 3),
        ("", 3),
    ],
)
def test_the_classes_we_take(sop_class_uid, result):
    assert negotiate.answer(pdu.ProposedContext(1, sop_class_uid, (EXPLICIT,))).result == result


def test_a_context_without_a_transfer_syntax_is_rejected_for_it():
    assert negotiate.answer(pdu.ProposedContext(1, "1.2.840.10008.5.1.4.1.1.2", ())).result == 4


def test_requests_read_back():
    request = pdu.AssociateRequest(
        1,
        pdu.APPLICATION_CONTEXT_NAME,
        "CALLED",
        "CALLING",
        (
            pdu.ProposedContext(1, "1.2.3", (EXPLICIT, JPEG)),
            pdu.ProposedContext(255, "1.2", ("1.3",)),
        ),
        4096,
    )
    read = pdu.decode_request(pdu.encode_request(request)[6:])
    assert read.contexts == request.contexts
    assert (read.called_ae_title, read.calling_ae_title) == ("CALLED", "CALLING")
    assert (read.max_pdu_bytes, read.implementation_version_name) == (4096, "DICOMROUTER_0.1")


def test_padding_and_unknown_items_are_dropped_and_false_uids_refused():
    fixed = bytes(68)
    unknown = struct.pack(">BxH", 0x99, 2) + b"ab"
    padded = struct.pack(">BxH", 0x10, 6) + b"1.2.3\0"
    assert (
        items.cleaned(fixed + unknown + padded) == fixed + struct.pack(">BxH", 0x10, 5) + b"1.2.3"
    )
    for uid in (b"1..2", b"1.a", b"\xff", b"1" * 65):
        with pytest.raises(ProtocolError):
            items.cleaned(fixed + struct.pack(">BxH", 0x10, len(uid)) + uid)


class Silent:
    """Stands where a wire is; the books of admission never touch it otherwise."""

    interrupted = False

    def interrupt(self):
        self.interrupted = True


def test_the_books_balance_whatever_comes_and_goes():
    admission = Admission(AssociationLimits(pending_connections=3, associations_per_address=2))
    loud = [Connection(Silent(), "10.0.0.1", 0.0) for _ in range(3)]
    for connection in loud:
        admission.enter(connection)
    guest = Connection(Silent(), "10.0.0.2", 0.0)
    admission.enter(guest)
    assert [connection.wire.interrupted for connection in loud] == [True, False, False]
    assert admission.admit(guest, "GUEST") is None
    assert admission.admit(loud[0], "LOUD") is None
    assert admission.admit(loud[1], "LOUD") is None
    assert admission.admit(loud[2], "LOUD") == "limit_address"
    assert (admission.counts().open, admission.counts().pending) == (3, 1)
    for connection in (*loud, guest):
        admission.leave(connection)
    assert (admission.counts().open, admission.counts().pending) == (0, 0)
    assert admission.counts().refused == {"evicted": 1}
    assert admission.connections() == ()
