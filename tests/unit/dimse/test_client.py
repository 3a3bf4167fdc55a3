"""The requestor: PS3.8 table 9-10 in its states, and a peer lost at any byte of what it says."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from router.dimse import client
from router.errors import Busy, DeliveryError, Rejected, Undeliverable, Unreachable
from tests.support import wire
from tests.support.dimse_provider import CT, EXPLICIT, IMPLICIT, MR, VERIFICATION, ScriptedPeer

CONTEXTS = [(VERIFICATION, IMPLICIT), (CT, EXPLICIT), (CT, IMPLICIT)]
ALL = {1: (0, IMPLICIT), 3: (0, EXPLICIT), 5: (0, IMPLICIT)}
RELEASE_RQ, RELEASE_RP = wire.pdu(5, bytes(4)), wire.pdu(6, bytes(4))
# One of each PDU as somebody might send it who lost his place.
PDUS = {
    "A-ASSOCIATE-RQ": wire.associate_rq("US", "DEST", [(CT, [EXPLICIT])]),
    "A-ASSOCIATE-AC": wire.associate_ac(wire.Associate("DEST", "US", {}), ALL),
    "A-ASSOCIATE-RJ": wire.pdu(3, bytes((0, 1, 1, 3))),
    "P-DATA-TF": wire.pdv(3, wire.encode_command({0x0100: 0x8001}), command=True, last=True),
    "A-RELEASE-RQ": RELEASE_RQ,
    "A-RELEASE-RP": RELEASE_RP,
    "A-ABORT": wire.pdu(7, bytes((0, 0, 2, 6))),
    "unknown": bytes.fromhex("2a000000000400000000"),
    "too long for its kind": struct.pack(">BBL", 3, 0, 100) + bytes(100),
}


def accept(sock: socket.socket, accepted=None, max_pdu_bytes: int = 16384) -> wire.Associate:
    kind, body = wire.read_pdu(sock)
    assert kind == wire.ASSOCIATE_RQ
    request = wire.parse_associate(body)
    sock.sendall(wire.associate_ac(request, accepted or ALL, max_pdu_bytes))
    return request


def response(message: wire.Message, status: int = 0, **more: int | str) -> bytes:
    asked = message.command
    elements = {0x0002: asked[0x0002], 0x0100: int(asked[0x0100]) | 0x8000, 0x0120: asked[0x0110]}
    elements |= {0x0800: wire.NO_DATA_SET, 0x0900: status}
    elements |= {int(name, 16): value for name, value in more.items()}
    data = wire.encode_command(elements)
    return wire.pdv(message.context_id, data, command=True, last=True)


def opened(port: int, seconds: float = 1.0) -> client.ClientAssociation:
    return client.connect(
        "127.0.0.1", port, "US", "DEST", CONTEXTS, timeout_seconds=seconds, max_pdu_bytes=16384
    )


def stored(association: client.ClientAssociation) -> client.StoreResponse:
    return association.store(CT, "1.2.3", EXPLICIT, [b"data set "], 0)


def heard(sock: socket.socket) -> tuple[int, ...]:
    """What the client says next: PDU type, and for A-ABORT source and reason; () when it closes."""
    sock.settimeout(3.0)
    try:
        kind, body = wire.read_pdu(sock)
    except (wire.Closed, OSError):
        return ()
    return (kind, body[2], body[3]) if kind == wire.ABORT else (kind,)


BY_USER, UNEXPECTED, UNKNOWN, INVALID = (7, 0, 0), (7, 2, 2), (7, 2, 1), (7, 2, 6)
# Each PDU in Sta5 (awaiting A-ASSOCIATE-AC or -RJ): the error, a word of it, what the peer hears.
AWAITING_ACCEPT = {
    "A-ASSOCIATE-RQ": (DeliveryError, "another PDU", UNEXPECTED),
    "A-ASSOCIATE-AC": (None, "", (5,)),
    "A-ASSOCIATE-RJ": (Rejected, "calling AE title not recognised", ()),
    "P-DATA-TF": (DeliveryError, "another PDU", UNEXPECTED),
    "A-RELEASE-RQ": (DeliveryError, "another PDU", UNEXPECTED),
    "A-RELEASE-RP": (DeliveryError, "another PDU", UNEXPECTED),
    "A-ABORT": (Unreachable, "its provider, reason 6", ()),
    "unknown": (DeliveryError, "unknown type", UNKNOWN),
    "too long for its kind": (DeliveryError, "longer than its type", INVALID),
}


@pytest.mark.parametrize("name", AWAITING_ACCEPT)
def test_F16_each_pdu_while_an_association_is_awaited(name):
    kind, words, next_heard = AWAITING_ACCEPT[name]
    said = []

    def script(sock):
        wire.read_pdu(sock)
        sock.sendall(PDUS[name])
        said.append(heard(sock))
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer:
        if kind is None:
            opened(peer.port).release()
        else:
            with pytest.raises(DeliveryError, match=words) as caught:
                opened(peer.port)
            assert type(caught.value) is kind
    assert said == [next_heard]


# Each PDU in Sta6 while the answer to a C-STORE is awaited.
AWAITING_ANSWER = {
    "A-ASSOCIATE-RQ": (DeliveryError, "no answer", UNEXPECTED),
    "A-ASSOCIATE-AC": (DeliveryError, "no answer", UNEXPECTED),
    "A-ASSOCIATE-RJ": (DeliveryError, "no answer", UNEXPECTED),
    # A C-STORE-RSP without anything but its field: whose answer is it?
    "P-DATA-TF": (DeliveryError, "to another message", BY_USER),
    "A-RELEASE-RQ": (Unreachable, "released the association instead", ()),
    "A-RELEASE-RP": (DeliveryError, "no answer", UNEXPECTED),
    "A-ABORT": (Unreachable, "its provider, reason 6", ()),
    "unknown": (DeliveryError, "unknown type", UNKNOWN),
    "too long for its kind": (DeliveryError, "no answer", UNEXPECTED),
}


@pytest.mark.parametrize("name", AWAITING_ANSWER)
def test_F16_each_pdu_while_an_answer_is_awaited(name):
    kind, words, next_heard = AWAITING_ANSWER[name]
    said = []

    def script(sock):
        accept(sock)
        assert isinstance(wire.read_message(sock), wire.Message)
        sock.sendall(PDUS[name])
        said.append(heard(sock))

    with ScriptedPeer(script) as peer:
        association = opened(peer.port)
        with pytest.raises(DeliveryError, match=words) as caught:
            stored(association)
        assert type(caught.value) is kind
        assert association.is_closed
    assert said == [next_heard]


@pytest.mark.parametrize("name", [*PDUS, "silence", "close"])
def test_each_pdu_while_the_release_is_awaited_ends_and_raises_nothing(name):
    # All that matters was answered before; nothing a peer does now may fail a delivery.
    def script(sock):
        accept(sock)
        assert wire.read_pdu(sock)[0] == wire.RELEASE_RQ
        if name == "close":
            return
        sock.sendall(PDUS.get(name, b""))
        heard(sock)

    with ScriptedPeer(script) as peer:
        association = opened(peer.port, seconds=0.2)
        began = time.monotonic()
        association.release()
        assert time.monotonic() - began < 5
        assert association.is_closed
        association.release()
        association.abort()


def lose(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "stall":
        heard(sock)
    sock.close()


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
@pytest.mark.parametrize("cut", [0, 1, 5, 6, 40, 74, 100, -1])
def test_F12_a_peer_lost_at_any_byte_of_its_acceptance_is_unreachable(how, cut):
    # Before a byte, in the PDU header, behind it, in the titles, between items, before the last.
    def script(sock):
        kind, body = wire.read_pdu(sock)
        whole = wire.associate_ac(wire.parse_associate(body), ALL)
        sock.sendall(whole[:cut])
        lose(sock, how)

    with ScriptedPeer(script) as peer, pytest.raises(Unreachable) as caught:
        opened(peer.port, seconds=0.15)
    words = {"close": "closed", "reset": "reset|closed", "stall": "no association within 0.15 s"}
    assert caught.match(f"DEST at 127.0.0.1:[0-9]+: .*({words[how]})")


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
@pytest.mark.parametrize("cut", [0, 3, 6, 9, 12, 30, 80, -1])
def test_F12_a_peer_lost_at_any_byte_of_its_answer_confirms_nothing(how, cut):
    # Before a byte, in and behind both headers, in the command set, before its last byte.
    def script(sock):
        accept(sock)
        message = wire.read_message(sock)
        sock.sendall(response(message)[:cut])
        lose(sock, how)

    with ScriptedPeer(script) as peer:
        association = opened(peer.port)
        association._timeout = 0.15
        with pytest.raises(Unreachable) as caught:
            stored(association)
        assert association.is_closed
    words = {"close": "closed", "reset": "reset|closed", "stall": "no answer to C-STORE within"}
    assert caught.match(words[how])


@pytest.mark.parametrize("pdus", [1, 2, 5, 20])
def test_F16_an_abort_at_each_pdu_of_an_object_is_told_in_the_peers_words(pdus):
    def script(sock):
        accept(sock, max_pdu_bytes=1000)
        for _ in range(pdus):
            assert wire.read_pdu(sock)[0] == wire.P_DATA
        sock.sendall(PDUS["A-ABORT"])
        heard(sock)

    with ScriptedPeer(script) as peer:
        association = opened(peer.port)
        with pytest.raises(Unreachable, match="aborted the association|reset|closed"):
            association.store(CT, "1.2.3", EXPLICIT, [bytes(994)] * 19, 0)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ({1: (0, IMPLICIT), 3: (0, EXPLICIT), 5: (3, IMPLICIT)}, (EXPLICIT,)),
        ({1: (0, IMPLICIT), 3: (4, EXPLICIT), 5: (0, IMPLICIT)}, (IMPLICIT,)),
        # User rejection, no reason, and codes nobody defined are rejections too.
        ({3: (1, EXPLICIT), 5: (2, IMPLICIT)}, ()),
        ({3: (9, EXPLICIT)}, ()),
        # Accepted in a syntax that was not proposed for it.
        ({3: (0, IMPLICIT), 5: (0, EXPLICIT)}, ()),
        # Contexts nobody proposed.
        ({7: (0, EXPLICIT), 255: (0, EXPLICIT)}, ()),
        # Not answered at all.
        ({1: (0, IMPLICIT)}, ()),
    ],
)
def test_only_what_was_proposed_and_accepted_as_proposed_counts(accepted, expected):
    with ScriptedPeer(lambda sock: (accept(sock, accepted), heard(sock))) as peer:
        association = opened(peer.port)
        assert association.accepted(CT) == expected
        assert association.accepted(MR) == ()
        if EXPLICIT not in expected:
            # Nothing is sent, so the association is still good for others.
            with pytest.raises(Undeliverable, match=f"{CT}.*{EXPLICIT}"):
                stored(association)
            assert not association.is_closed
        if 1 not in accepted:
            with pytest.raises(Undeliverable, match="Verification service is not accepted"):
                association.echo()
        association.abort()


def test_what_is_proposed_and_said_first():
    seen = []

    def script(sock):
        seen.append(accept(sock))
        seen.append(wire.read_message(sock))
        sock.sendall(response(seen[-1], 0x0122))
        seen.append(wire.read_message(sock))
        sock.sendall(response(seen[-1], 0xB007, **{"902": "kept, but odd", "1000": "1.2.3"}))
        heard(sock)
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer, opened(peer.port) as association:
        assert association.peer_version_name == "TEST"
        assert association.echo() == 0x0122
        assert stored(association) == client.StoreResponse(0xB007, "kept, but odd")
    request, echo, store = seen
    assert (request.called_ae_title, request.calling_ae_title) == ("DEST", "US")
    assert request.max_pdu_bytes == 16384
    assert {key: value[:2] for key, value in request.contexts.items()} == {
        1: (VERIFICATION, (IMPLICIT,)),
        3: (CT, (EXPLICIT,)),
        5: (CT, (IMPLICIT,)),
    }
    assert echo.command == {2: VERIFICATION, 0x100: 0x30, 0x110: 1, 0x800: 0x0101}
    assert store.command == {
        2: CT,
        0x100: 1,
        0x110: 2,
        0x700: 0,
        0x800: 1,
        0x1000: "1.2.3",
    }
    assert (store.context_id, store.data_set) == (3, b"data set ")


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("", ""),
        ("out of space  ", "out of space"),
        ("x" * 200, "x" * 64),
        ("tab\there\x1b[31m", "tab?here?[31m"),
        ("gr\xfcn", "gr?n"),
    ],
)
def test_the_peers_comment_is_bounded_and_printable(comment, words):
    def script(sock):
        accept(sock)
        sock.sendall(response(wire.read_message(sock), 0xA700, **{"902": comment}))
        heard(sock)

    with ScriptedPeer(script) as peer:
        association = opened(peer.port)
        assert stored(association) == client.StoreResponse(0xA700, words)
        association.abort()


@pytest.mark.parametrize(
    "fields", [(2, 3, 1), (2, 3, 2), (2, 1, 1), (1, 1, 7), (1, 2, 1), (3, 1, 1)]
)
def test_F16_a_rejection_closes_without_an_abort(fields):
    # PS3.8 9.2.2: after A-ASSOCIATE-RJ there is no association left to abort.
    said = []

    def script(sock):
        wire.read_pdu(sock)
        sock.sendall(wire.pdu(wire.ASSOCIATE_RJ, bytes((0, *fields))))
        said.append(heard(sock))

    with ScriptedPeer(script) as peer, pytest.raises(Busy if fields[0] == 2 else Rejected):
        opened(peer.port)
    assert said == [()]


@pytest.mark.parametrize("error", [None, KeyError("ours")])
def test_a_with_statement_releases_what_went_well_and_aborts_the_rest(error):
    said = []

    def script(sock):
        accept(sock)
        said.append(heard(sock))
        sock.sendall(RELEASE_RP)

    with ScriptedPeer(script) as peer:
        try:
            with opened(peer.port):
                if error is not None:
                    raise error
        except KeyError:
            assert error is not None
    assert said == [BY_USER if error else (5,)]
