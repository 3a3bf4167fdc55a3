"""Every PDU at every position gets the reaction of PS3.8 table 9-10; a cut anywhere leaves nothing."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tests.support.dimse_provider import (
    RawPeer,
    associate_rq,
    echo_rq,
    echo_seconds,
    p_data,
    pdv,
    running,
    store_rq,
)

PDUS = {
    "A-ASSOCIATE-RQ": associate_rq(),
    "A-ASSOCIATE-AC": struct.pack(">BxI", 2, 68) + bytes(68),
    "A-ASSOCIATE-RJ": bytes.fromhex("03000000000400010101"),
    "P-DATA-TF": p_data(pdv(1, echo_rq(), command=True)),
    "A-RELEASE-RQ": bytes.fromhex("05000000000400000000"),
    "A-RELEASE-RP": bytes.fromhex("06000000000400000000"),
    "A-ABORT": bytes.fromhex("07000000000400000000"),
    "unknown": bytes.fromhex("2a000000000400000000"),
}
# Position → what was said before, and what each PDU must bring: a PDU type and, for A-ABORT (7),
# its source and reason; "close" without a word; nothing at all ("ignored").
ABORT_BY_USER, UNEXPECTED, UNKNOWN = (7, 0, 0), (7, 2, 2), (7, 2, 1)
TABLE = {
    "Sta2 awaiting A-ASSOCIATE-RQ": dict.fromkeys(PDUS, ABORT_BY_USER)
    | {"A-ASSOCIATE-RQ": 2, "A-ABORT": "close"},
    "Sta6 open": dict.fromkeys(PDUS, UNEXPECTED)
    | {"P-DATA-TF": 4, "A-RELEASE-RQ": 6, "A-ABORT": "close", "unknown": UNKNOWN},
    # Awaiting the rest of a message only its fragments have a place; a release would cut it off.
    "Sta6 in a data set": dict.fromkeys(PDUS, UNEXPECTED)
    | {"P-DATA-TF": ABORT_BY_USER, "A-ABORT": "close", "unknown": UNKNOWN},
    "Sta6 in a command set": dict.fromkeys(PDUS, UNEXPECTED)
    | {"P-DATA-TF": ABORT_BY_USER, "A-ABORT": "close", "unknown": UNKNOWN},
    "Sta13 awaiting the close": dict.fromkeys(PDUS, "close"),
}


def brought_to(position: str, port: int) -> RawPeer:
    peer = RawPeer(port, associate=not position.startswith("Sta2"))
    if position == "Sta6 in a data set":
        peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"x", last=False)))
    if position == "Sta6 in a command set":
        peer.send(p_data(pdv(3, store_rq()[:20], command=True, last=False)))
    if position.startswith("Sta13"):
        peer.send(PDUS["A-RELEASE-RQ"])
        assert peer.pdu()[0] == 6
    return peer


@pytest.mark.parametrize("position", TABLE)
def test_every_pdu_at_every_position(position):
    with running() as run:
        peers = [(name, brought_to(position, run.port)) for name in PDUS]
        for name, peer in peers:
            peer.send(PDUS[name])
        for name, peer in peers:
            expected = TABLE[position][name]
            with peer:
                if expected == "close":
                    peer.expect_close(3.0)
                    continue
                kind, body = peer.pdu()
                got = (kind, body[2], body[3]) if kind == 7 else kind
                assert got == expected, name
        run.wait_for_no_connection()


def cut_points() -> list[tuple[str, int]]:
    """(boundary class, offset) over the bytes of a whole association with one C-STORE."""
    request = associate_rq()
    command = p_data(pdv(3, store_rq(), command=True))
    data = [p_data(pdv(3, bytes(500), last=last)) for last in (False, False, True)]
    points = [("in the header of the request", 3), ("in the request", 100)]
    offset = len(request)
    points += [("after the association", offset), ("in the command's header", offset + 4)]
    points += [("in the command's fragment header", offset + 9), ("in the command", offset + 50)]
    offset += len(command)
    points.append(("between command and data", offset))
    points += [("in a data header", offset + 5), ("in a fragment", offset + 200)]
    offset += len(data[0]) + len(data[1])
    points += [("before the last fragment", offset), ("in the last", offset + len(data[2]) - 1)]
    offset += len(data[2])
    points += [("after the last byte", offset), ("in the release", offset + 5)]
    points.append(("after the release", offset + 10))
    return points


WHOLE = (
    associate_rq()
    + p_data(pdv(3, store_rq(), command=True))
    + b"".join(p_data(pdv(3, bytes(500), last=last)) for last in (False, False, True))
    + PDUS["A-RELEASE-RQ"]
)


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
def test_F12_a_peer_lost_at_any_byte_frees_its_slot_and_leaves_no_instance(how):
    points = cut_points()
    with running(first_pdu_seconds=0.6, pdu_seconds=0.6, idle_seconds=0.6) as run:
        stalled = []
        for number, (_, offset) in enumerate(points, 1):
            peer = RawPeer(run.port, associate=False)
            peer.send(WHOLE[:offset])
            if how == "stall":
                stalled.append(peer)
                continue
            if how == "reset":
                time.sleep(0.05)
                peer.reset()
            else:
                # Half a close, so that our answers do not reset what is still on its way to us.
                peer.sock.shutdown(socket.SHUT_WR)
                while peer.sock.recv(65536):
                    pass
                peer.close()
            run.wait(lambda: run.server.counts().connections == number)
            run.wait_for_no_connection(seconds=3.0)
        run.wait(lambda: run.server.counts().connections == len(points))
        run.wait_for_no_connection(seconds=4.0)
        # Whole data sets only; the three last cuts come after the last byte.
        assert run.sink.data_sets == [bytes(1500)] * 3
        in_data_set = (
            sum(
                "data" in place or "fragment" in place or "in the last" in place
                for place, _ in points
            )
            - 1
        )
        assert len(run.sink.broken) == in_data_set
        assert run.threads.alive() == ("accept test",)
        assert echo_seconds(run.port) < 1.0
        for peer in stalled:
            peer.close()


def test_F12_every_single_byte_of_a_short_association():
    with running() as run:
        for number, offset in enumerate(range(0, len(WHOLE), 7), 1):
            peer = RawPeer(run.port, associate=False)
            peer.send(WHOLE[:offset])
            peer.close()
            run.wait(lambda: run.server.counts().connections == number)
        run.wait_for_no_connection()
        assert all(data == bytes(1500) for data in run.sink.data_sets)


def test_a_request_byte_by_byte_is_a_request():
    with running() as run, RawPeer(run.port, associate=False) as peer:
        for byte in WHOLE[:1200]:
            peer.send(bytes((byte,)))
        peer.send(WHOLE[1200:])
        assert [peer.pdu()[0] for _ in range(3)] == [2, 4, 6]
        assert run.sink.data_sets == [bytes(1500)]
