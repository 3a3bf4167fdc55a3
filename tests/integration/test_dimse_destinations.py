"""Destinations that refuse, abort, stall, lie or allow almost nothing: always one error in words."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from router.dimse import client
from router.errors import Busy, DeliveryError, Rejected, Unreachable
from tests.support.dimse_provider import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    ScriptedPeer,
    command_set,
    free_port,
    p_data,
    pdv,
    running,
)

CONTEXTS = [(VERIFICATION, IMPLICIT), (CT, EXPLICIT)]
RELEASE_RP = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000201")


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", exactly(sock, 6))
    return kind, exactly(sock, length)


def accept(sock: socket.socket, max_pdu_bytes: int = 16384, accepted: bool = True) -> None:
    """Read the request, answer that all contexts are accepted, or none."""
    kind, body = read_pdu(sock)
    assert kind == 1
    contexts = b""
    for context_id, syntax in ((1, IMPLICIT), (3, EXPLICIT)):
        item = struct.pack(">BxH", 0x40, len(syntax)) + syntax.encode()
        result = 0 if accepted else 3
        contexts += struct.pack(">BxHBxBx", 0x21, len(item) + 4, context_id, result) + item
    name = b"1.2.840.10008.3.1.1.1"
    user = struct.pack(">BxHI", 0x51, 4, max_pdu_bytes)
    user += struct.pack(">BxH", 0x52, 5) + b"1.2.3"
    variable = struct.pack(">BxH", 0x10, len(name)) + name + contexts
    variable += struct.pack(">BxH", 0x50, len(user)) + user
    sock.sendall(struct.pack(">BxI", 2, 68 + len(variable)) + body[:68] + variable)


def read_message(sock: socket.socket, largest: list[int] | None = None) -> tuple[bytes, bytes]:
    """Command set and data set of one C-STORE, with every rule of fragments checked."""
    parts: dict[bool, bytes] = {True: b"", False: b""}
    while True:
        kind, body = read_pdu(sock)
        assert kind == 4
        if largest is not None:
            largest.append(len(body))
        length, context_id, control = struct.unpack(">IBB", body[:6])
        assert length == len(body) - 4
        assert context_id == 3
        parts[bool(control & 1)] += body[6:]
        if control == 2:
            return parts[True], parts[False]


def answer(status: object = 0, message_id: int = 1, **changes: object) -> bytes:
    values = {
        "sop_class": CT,
        "field": 0x8001,
        "responded_to": message_id,
        "data_set": 0x0101,
        "status": status,
        "instance": "1.2.3",
    } | changes
    values = {name: value for name, value in values.items() if value is not None}
    return p_data(pdv(3, command_set(**values), command=True))


def open_to(port: int, seconds: float = 2.0) -> client.ClientAssociation:
    return client.connect(
        "127.0.0.1", port, "US", "DEST", CONTEXTS, timeout_seconds=seconds, max_pdu_bytes=16384
    )


def store(association, size: int = 1000, **more):
    data = memoryview(bytes(range(256)) * (size // 256 + 1))[:size]
    return association.store(CT, "1.2.3", EXPLICIT, [data[:300], data[300:]], 0, **more)


@pytest.mark.parametrize("max_pdu_bytes", [0, 7, 8, 100, 4096, 16384, 1 << 30])
def test_F16_every_maximum_pdu_is_obeyed(max_pdu_bytes):
    seen: list[int] = []
    got: list[bytes] = []

    def script(sock):
        accept(sock, max_pdu_bytes)
        for number in (1, 2):
            got.append(read_message(sock, seen)[1])
            sock.sendall(answer(message_id=number))
        assert read_pdu(sock)[0] == 5
        sock.sendall(RELEASE_RP)

    size = 3000 if max_pdu_bytes and max_pdu_bytes < 4096 else 3_000_000
    with ScriptedPeer(script) as peer, open_to(peer.port) as association:
        assert store(association, size).status == 0
        assert store(association, size, length=size).status == 0
    expected = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert got == [expected, expected]
    assert max(seen) <= (max_pdu_bytes or 1 << 20)
    if max_pdu_bytes >= 8 or not max_pdu_bytes:
        assert all(length % 2 == 0 for length in seen)


@pytest.mark.parametrize("max_pdu_bytes", [1, 6])
def test_F16_a_maximum_pdu_with_no_room_is_said(max_pdu_bytes):
    with ScriptedPeer(lambda sock: accept(sock, max_pdu_bytes)) as peer:
        with pytest.raises(Rejected, match="leaves no room"):
            open_to(peer.port)


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ((1, 1, 1), Rejected, "no reason given"),
        ((1, 1, 2), Rejected, "application context name not supported"),
        ((1, 1, 3), Rejected, "calling AE title not recognised"),
        ((1, 1, 7), Rejected, "called AE title not recognised"),
        ((1, 2, 1), Rejected, "ACSE.*no reason given"),
        ((1, 2, 2), Rejected, "protocol version not supported"),
        ((2, 3, 1), Busy, "for now.*temporary congestion"),
        ((2, 3, 2), Busy, "local limit exceeded"),
        ((2, 1, 1), Busy, "no reason given"),
        ((9, 8, 77), Rejected, "source 8.*reason 77"),
    ],
)
def test_F16_every_rejection_is_told_in_words(fields, kind, words):
    def script(sock):
        read_pdu(sock)
        sock.sendall(struct.pack(">BxIxBBB", 3, 4, *fields))

    with ScriptedPeer(script) as peer, pytest.raises(kind, match=f"DEST at 127.0.0.1.*{words}"):
        open_to(peer.port)


def test_F16_no_context_accepted_is_an_association_that_accepts_nothing():
    def script(sock):
        accept(sock, accepted=False)
        read_pdu(sock)
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer, open_to(peer.port) as association:
        assert association.accepted(CT) == ()


@pytest.mark.parametrize("pdus_before", [0, 1, 3])
def test_F16_an_abort_in_the_data_set_is_unreachable_in_the_peers_words(pdus_before):
    def script(sock):
        accept(sock)
        for _ in range(pdus_before):
            read_pdu(sock)
        sock.sendall(ABORT)
        time.sleep(0.1)

    with ScriptedPeer(script) as peer, pytest.raises(Unreachable, match="aborted|reset|closed"):
        store(open_to(peer.port), 30_000_000)


GARBAGE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "RJ": bytes.fromhex("03000000000400010101"),
    "unknown PDU": bytes.fromhex("99000000000400000000"),
    "4 GiB": struct.pack(">BxI", 4, 0xFFFFFFFF),
    "empty P-DATA": p_data(),
    "data instead of a command": p_data(pdv(3, b"data")),
    "not a command set": p_data(pdv(3, b"\1\2\3", command=True)),
    "other message id": answer(message_id=2),
    "no status": answer(status=None),
    "no message id": answer(responded_to=None),
    "no command field": answer(field=None),
    "a request": answer(field=1),
    "an echo response": answer(field=0x8030),
    "a data set": answer(data_set=1),
    "other context": p_data(pdv(1, answer()[12:], command=True)),
    "status of four bytes": answer().replace(
        struct.pack("<HHIH", 0, 0x900, 2, 0), struct.pack("<HHII", 0, 0x900, 4, 0)
    ),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_F15_nonsense_for_an_answer_aborts_and_is_no_success(case):
    aborted = []

    def script(sock):
        accept(sock)
        read_message(sock)
        sock.sendall(GARBAGE[case])
        aborted.append(read_pdu(sock)[0])

    with ScriptedPeer(script) as peer:
        association = open_to(peer.port)
        with pytest.raises(DeliveryError, match="DEST at 127.0.0.1") as caught:
            store(association)
        assert type(caught.value) is DeliveryError
        assert association.is_closed
        with pytest.raises(Unreachable, match="closed"):
            store(association)
    assert aborted == [7]


def test_F15_every_status_comes_back_as_it_was_sent():
    statuses = [0, 0x0110, 0xA700, 0xB000, 0xB007, 0xC000, 0xFE00, 0xFFFF]

    def script(sock):
        accept(sock)
        for number, status in enumerate(statuses, 1):
            read_message(sock)
            sock.sendall(answer(status, message_id=number))
        read_pdu(sock)
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer, open_to(peer.port) as association:
        assert [store(association).status for _ in statuses] == statuses


def test_F15_a_response_before_the_end_of_the_data_set_counts():
    def script(sock):
        accept(sock)
        read_pdu(sock)
        sock.sendall(answer(0xA700))
        while read_pdu(sock)[1][5] != 2:
            pass
        read_pdu(sock)

    with ScriptedPeer(script) as peer:
        with open_to(peer.port) as association:
            assert store(association, 3_000_000).status == 0xA700


def test_a_peer_that_closes_after_its_answer_is_normal():
    def script(sock):
        accept(sock)
        read_message(sock)
        sock.sendall(answer())

    with ScriptedPeer(script) as peer:
        association = open_to(peer.port)
        assert store(association).status == 0
        time.sleep(0.1)
        assert not association.is_open()
        association.release()


def test_a_release_on_both_sides_ends():
    def script(sock):
        accept(sock)
        assert read_pdu(sock)[0] == 5
        sock.sendall(bytes.fromhex("05000000000400000000"))
        assert read_pdu(sock)[0] == 6
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer:
        began = time.monotonic()
        open_to(peer.port).release()
        assert time.monotonic() - began < 3


def test_F17_a_destination_that_stops_reading_is_cut_at_the_deadline():
    def script(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accept(sock)
        time.sleep(3.0)

    with ScriptedPeer(script) as peer:
        association = open_to(peer.port, seconds=1.0)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="stopped reading for 1 s"):
            store(association, 50_000_000)
        assert time.monotonic() - began < 3.5


def test_F17_a_destination_that_reads_a_trickle_is_cut_too():
    def script(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accept(sock)
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            sock.recv(1024)
            time.sleep(0.1)

    with ScriptedPeer(script) as peer:
        association = open_to(peer.port, seconds=1.0)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="stopped reading"):
            store(association, 50_000_000)
        assert time.monotonic() - began < 4.5


@pytest.mark.parametrize("silent_at", ["association", "answer"])
def test_silence_ends_at_the_deadline(silent_at):
    def script(sock):
        if silent_at == "answer":
            accept(sock)
        time.sleep(2.0)

    with ScriptedPeer(script) as peer:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="within 0.5 s"):
            store(open_to(peer.port, seconds=0.5))
        assert time.monotonic() - began < 3


def test_an_answer_that_drips_ends_at_the_deadline():
    def script(sock):
        accept(sock)
        read_message(sock)
        for byte in answer():
            sock.sendall(bytes((byte,)))
            time.sleep(0.1)

    with ScriptedPeer(script) as peer:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="within 0.5 s"):
            store(open_to(peer.port, seconds=0.5))
        assert time.monotonic() - began < 4


def test_who_is_not_there_is_named():
    with pytest.raises(Unreachable, match="DEST at 127.0.0.1:[0-9]+: connection refused"):
        open_to(free_port())
    with pytest.raises(Unreachable, match="host name is not known"):
        client.connect(
            "no-such-host.invalid", 104, "US", "DEST", CONTEXTS, timeout_seconds=1, max_pdu_bytes=0
        )


def test_contexts_are_one_to_128():
    many = [(f"1.2.{number}", EXPLICIT) for number in range(128)]
    with running() as provider:
        arguments = ("127.0.0.1", provider.port, "US", "DEST")
        options = {"timeout_seconds": 5.0, "max_pdu_bytes": 16384}
        with client.connect(*arguments, many * 2, **options) as association:
            assert all(association.accepted(uid) == (EXPLICIT,) for uid, _ in many)
        for contexts in ([], [*many, (CT, EXPLICIT)]):
            with pytest.raises(ValueError, match="1 to 128"):
                client.connect(*arguments, contexts, **options)


def test_a_fault_of_our_own_source_of_bytes_aborts_and_passes_through():
    def broken():
        yield bytes(1_000_000)
        raise KeyError("damaged")

    with running() as provider:
        association = open_to(provider.port)
        with pytest.raises(KeyError, match="damaged"):
            association.store(CT, "1.2.3", EXPLICIT, broken(), 0)
        assert association.is_closed
        provider.wait_for_no_connection()
        association = open_to(provider.port)
        with pytest.raises(ValueError, match="not as long"):
            association.store(CT, "1.2.3", EXPLICIT, [b"short"], 0, length=10)
        provider.wait_for_no_connection()
        assert provider.sink.data_sets == []
        assert len(provider.sink.broken) == 1


def test_message_ids_never_repeat_next_to_each_other_and_never_are_zero():
    with running() as provider, open_to(provider.port) as association:
        association._message_id = 0xFFFE
        for expected in (0xFFFF, 1, 2):
            assert store(association).status == 0
            assert association._message_id == expected
