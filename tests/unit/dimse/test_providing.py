"""Requests of many answers, seen from the wire: order, cancel, limits, and peers that misbehave."""

from __future__ import annotations

import struct
import time

import pytest

from router.dicom.outgoing import OutgoingDataSet
from router.dimse.handlers import OperationAnswer, SubOperations
from router.dimse.negotiate import Offered
from router.dimse.negotiate import answer as negotiated
from router.dimse.pdu import ProposedContext
from router.errors import BadDataset, Refused, StoreDown
from tests.support.dimse_provider import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    Sink,
    associate_rq,
    command_set,
    p_data,
    pdv,
    running,
    store_rq,
)

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
CONTEXTS = tuple(
    (1 + 2 * place, uid, (EXPLICIT,)) for place, uid in enumerate((FIND, MOVE, GET, CT))
)
FIELDS = {FIND: 0x20, MOVE: 0x21, GET: 0x10}
IDENTIFIER = bytes.fromhex("08005200") + b"CS\6\0STUDY "
PENDING = OperationAnswer(0xFF00, identifier=IDENTIFIER)
OBJECT = OutgoingDataSet(EXPLICIT, CT, "1.2.3", "1.2", 4, lambda: iter([b"data"]))


def peer_of(provider, *, is_provider: bool = False) -> RawPeer:
    """A peer with all contexts, on request as provider of CT storage (PS3.7 D.3.3.4)."""
    asked = associate_rq(CONTEXTS)
    if is_provider:
        role = struct.pack(">BxHH", 0x54, len(CT) + 4, len(CT)) + CT.encode() + b"\0\1"
        at = asked.rindex(b"\x50\0")
        size = int.from_bytes(asked[at + 2 : at + 4], "big") + len(role)
        asked = asked[:at] + struct.pack(">BxH", 0x50, size) + asked[at + 4 :] + role
        asked = asked[:2] + struct.pack(">I", len(asked) - 6) + asked[6:]
    peer = RawPeer(provider.port, associate=False)
    peer.send(asked)
    kind, peer.accept = peer.pdu()
    assert kind == 2
    peer.sock.settimeout(5)
    return peer


def request(sop_class=FIND, field=None, data=IDENTIFIER, data_set=1, message_id=7) -> bytes:
    context_id = 1 + 2 * (FIND, MOVE, GET).index(sop_class)
    asked = command_set(
        sop_class=sop_class,
        field=field or FIELDS[sop_class],
        message_id=message_id,
        priority=0,
        data_set=data_set,
    )
    sent = [p_data(pdv(context_id, asked, command=True))]
    pieces = [data[at : at + 60_000] for at in range(0, len(data), 60_000)] or [b""]
    if data_set != 0x0101:
        sent += [
            p_data(pdv(context_id, piece, last=number == len(pieces)))
            for number, piece in enumerate(pieces, 1)
        ]
    return b"".join(sent)


def cancel(message_id=7) -> bytes:
    return p_data(
        pdv(1, command_set(field=0xFFF, responded_to=message_id, data_set=0x101), command=True)
    )


def answer(peer) -> tuple[int, dict[int, bytes], bytes]:
    """Status, command elements and identifier of the next answer."""
    values = peer.response()
    data = b""
    if values[0x0800] != b"\1\1":
        kind, body = peer.pdu()
        assert (kind, body[5]) == (4, 2)
        data = body[6:]
    return int.from_bytes(values[0x0900], "little"), values, data


def test_answers_go_out_in_order_with_identifiers_and_counts():
    asked = []

    def operate(request, exchange):
        asked.append(request)
        assert not exchange.is_cancelled()
        yield PENDING
        yield OperationAnswer(0xFF00, counts=SubOperations(3, 2, 1))
        yield OperationAnswer(0xB000, "some failed", counts=SubOperations(None, 70_000, 1, 4))

    with running(Sink(operate=operate)) as provider, peer_of(provider) as peer:
        peer.send(request(MOVE))
        assert answer(peer)[::2] == (0xFF00, IDENTIFIER)
        _, values, _ = answer(peer)
        assert [values[0x1020 + n][0] for n in range(4)] == [3, 2, 1, 0]
        status, values, _ = answer(peer)
        assert (status, values[0x0902]) == (0xB000, b"some failed ")
        assert 0x1020 not in values
        assert (values[0x1021], values[0x1023]) == (b"\xff\xff", b"\4\0")
        (one,) = asked
        assert (one.identifier, one.message_id, one.field) == (IDENTIFIER, 7, 0x21)
        assert (one.sop_class_uid, one.transfer_syntax_uid) == (MOVE, EXPLICIT)
        # A cancel of what is over is no error, and the association goes on.
        peer.send(cancel(), request(MOVE))
        assert answer(peer)[0] == 0xFF00
        answer(peer), answer(peer)
        peer.release()


@pytest.mark.parametrize(
    ("error", "status", "comment"),
    [
        (BadDataset("no key", 0xA900, (0x00080052,)), 0xA900, b"no key"),
        (Refused("not you"), 0x0124, b"not you "),
        (StoreDown("disk sdb is gone"), 0xA700, b"out of resources"),
        (ZeroDivisionError("PATIENT^NAME"), 0x0110, b"processing failure"),
    ],
)
def test_what_a_handler_raises_is_the_last_answer(error, status, comment):
    def operate(request, exchange):
        yield PENDING
        raise error

    with running(Sink(operate=operate)) as provider, peer_of(provider) as peer:
        peer.send(request())
        assert answer(peer)[0] == 0xFF00
        found, values, _ = answer(peer)
        assert (found, values[0x0902]) == (status, comment)
        assert (0x0901 in values) == (status == 0xA900)
        peer.release()


def test_f55_a_cancel_is_seen_between_answers_within_a_moment():
    def operate(request, exchange):
        while not exchange.is_cancelled():
            yield PENDING
            exchange.rest(0.05)
        yield OperationAnswer(0xFE00)

    with running(Sink(operate=operate)) as provider, peer_of(provider) as peer:
        peer.send(request())
        answer(peer)
        began = time.monotonic()
        peer.send(cancel(message_id=6), cancel())
        while answer(peer)[0] == 0xFF00:
            pass
        assert time.monotonic() - began < 1.0
        peer.release()


def test_bad_requests_are_answered_and_leave_the_association_whole():
    def operate(request, exchange):
        yield OperationAnswer(0)

    with running(Sink(operate=operate)) as provider, peer_of(provider) as peer:
        for sent, status in (
            (request(data_set=0x0101), 0x0212),
            (request(data=IDENTIFIER * 80_000), 0xA900),
            (request(FIND, field=0x21), 0x0211),
            (request(FIND, field=0x10), 0x0211),
            (request(), 0x0000),
        ):
            peer.send(sent)
            assert answer(peer)[0] == status
        peer.release()


def test_without_a_query_service_its_classes_are_rejected_by_name():
    with running(Sink()) as provider, peer_of(provider) as peer:
        results = [peer.accept[at + 6] for at in range(len(peer.accept)) if peer.accept[at] == 0x21]
        assert results[:4].count(3) == 3


def test_a_peer_that_goes_away_ends_the_handler():
    ended = []

    def operate(request, exchange):
        try:
            while True:
                yield PENDING
                exchange.is_cancelled()
                exchange.rest(0.02)
        finally:
            ended.append(True)

    for leave in (
        lambda peer: peer.close(),
        lambda peer: peer.reset(),
        lambda peer: peer.send(bytes.fromhex("07000000000400000000")),
        lambda peer: peer.send(request()),
        lambda peer: peer.send(b"GET / HTTP/1.1\r\n\r\n"),
    ):
        with running(Sink(operate=operate)) as provider:
            with peer_of(provider) as peer:
                peer.send(request())
                answer(peer)
                leave(peer)
                provider.wait(lambda: ended, 3)
            provider.wait_for_no_connection()
        ended.clear()


def store_response(status: int, message_id: int = 1) -> bytes:
    answered = command_set(field=0x8001, responded_to=message_id, data_set=0x101, status=status)
    return p_data(pdv(7, answered, command=True))


def getting(request, exchange):
    assert exchange.accepted(CT) == (EXPLICIT,)
    made_ready = []
    statuses = [exchange.store(OBJECT, 1, lambda: made_ready.append(True)) for _ in range(2)]
    assert made_ready == [True, True]
    yield OperationAnswer(statuses[1], counts=SubOperations(None, 1, 0))


def test_c_get_sends_where_the_peer_is_provider_and_hears_cancel_meanwhile():
    def operate(request, exchange):
        yield from getting(request, exchange)
        assert exchange.is_cancelled()

    def read_store() -> bytes:
        values = peer.response()
        assert (values[0x0100], values[0x0700]) == (b"\1\0", b"\1\0")
        kind, body = peer.pdu()
        return body[6:]

    with running(Sink(operate=operate)) as provider, peer_of(provider, is_provider=True) as peer:
        peer.send(request(GET))
        assert read_store() == b"data"
        peer.send(cancel(), store_response(0))
        assert read_store() == b"data"
        peer.send(store_response(0xB007, message_id=2))
        assert answer(peer)[0] == 0xB007
        peer.release()


def test_without_the_role_nothing_is_sent_to_the_peer():
    def operate(request, exchange):
        assert exchange.accepted(CT) == ()
        yield OperationAnswer(0xA702)

    with running(Sink(operate=operate)) as provider, peer_of(provider) as peer:
        peer.send(request(GET))
        assert answer(peer)[0] == 0xA702
        peer.release()


@pytest.mark.parametrize(
    "said",
    [
        store_response(0, message_id=9),
        p_data(pdv(7, command_set(field=0x8001, responded_to=1, data_set=0x101), command=True)),
        p_data(pdv(7, store_rq(), command=True)),
        b"\xff" * 40,
        b"",
    ],
    ids=["another message", "no status", "a request", "garbage", "nothing"],
)
def test_answers_to_sub_operations_that_make_no_sense_end_the_association(said):
    with running(Sink(operate=getting), idle_seconds=1.0) as provider:
        with peer_of(provider, is_provider=True) as peer:
            peer.send(request(GET))
            peer.response(), peer.pdu()
            began = time.monotonic()
            if said:
                peer.send(said)
            peer.expect_abort()
            assert time.monotonic() - began < 3
        provider.wait_for_no_connection()


def test_an_object_that_cannot_be_read_to_its_end_ends_the_association():
    def chunks():
        yield b"da"
        raise StoreDown("the segment is gone")

    def operate(request, exchange):
        exchange.store(OutgoingDataSet(EXPLICIT, CT, "1.2.3", "1.2", 4, chunks), 0, lambda: None)
        yield OperationAnswer(0)

    with running(Sink(operate=operate)) as provider:
        with peer_of(provider, is_provider=True) as peer:
            peer.send(request(GET))
            kinds = [peer.pdu()[0]]
            while kinds[-1] == 4:
                kinds.append(peer.pdu()[0])
            assert kinds[-1] == 7
        provider.wait_for_no_connection()


def test_identifiers_are_never_taken_compressed():
    for offered, result in (
        (("1.2.840.10008.1.2.4.50",), 4),
        ((IMPLICIT, "1.2.840.10008.1.2.4.50"), 0),
    ):
        assert negotiated(ProposedContext(1, FIND, offered), Offered(queries=True)).result == result
    assert negotiated(ProposedContext(1, FIND, (IMPLICIT,))).result == 3
