"""Every way measured to hurt a DIMSE listener of others (M7 to M16b) leaves ours standing."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import psutil
import pytest

from router.dimse.handlers import Rejection, StoreAnswer
from router.errors import BadDataset, ProtocolError, Refused, StoreFull
from tests.support.dimse_provider import (
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    VERIFICATION,
    RawPeer,
    Sink,
    associate_rq,
    command_set,
    echo_rq,
    echo_seconds,
    p_data,
    pdv,
    running,
    store_rq,
)

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connection(port: int, first: bytes = b"") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.sendall(first)
    return sock


def test_m8_silent_connections_neither_delay_an_echo_nor_burn_time():
    with running(first_pdu_seconds=2.0) as run:
        silent = [connection(run.port) for _ in range(60)]
        run.wait(lambda: run.server.counts().pending == 60)
        before = time.process_time()
        assert max(echo_seconds(run.port) for _ in range(20)) < 1.0
        time.sleep(0.5)
        assert time.process_time() - before < 1.0
        run.wait_for_no_connection(seconds=6.0)
        for sock in silent:
            sock.close()


def test_m9_half_a_request_holds_no_slot_and_ends_at_the_deadline():
    with running(first_pdu_seconds=1.0, associations=2) as run:
        halves = [connection(run.port, associate_rq()[:16]) for _ in range(40)]
        run.wait(lambda: run.server.counts().pending == 40)
        assert echo_seconds(run.port) < 1.0
        began = time.monotonic()
        run.wait_for_no_connection(seconds=6.0)
        assert time.monotonic() - began < 4.0
        for sock in halves:
            sock.close()


def test_F13_legitimate_echoes_pass_between_silent_half_aborting_and_garbage_peers():
    with running(first_pdu_seconds=2.0) as run:
        held = [connection(run.port) for _ in range(60)]
        held += [connection(run.port, associate_rq()[:100]) for _ in range(40)]
        slowest = 0.0
        for number in range(60):
            peer = RawPeer(run.port)
            peer.send(bytes.fromhex("07000000000400000000"))
            peer.close()
            held.append(connection(run.port, HTTP if number % 2 else os.urandom(64)))
            if number % 6 == 0:
                slowest = max(slowest, echo_seconds(run.port))
        assert slowest < 1.0
        for sock in held:
            sock.close()
        run.wait_for_no_connection()


def test_pending_connections_are_bounded_by_ending_the_oldest():
    with running(pending_connections=10) as run:
        silent = [connection(run.port) for _ in range(30)]
        run.wait(lambda: run.server.counts().refused.get("evicted", 0) >= 20)
        assert echo_seconds(run.port) < 1.0
        assert run.server.counts().pending <= 10
        for sock in silent:
            sock.close()


def test_m10_a_claim_of_four_gigabytes_takes_no_memory():
    with running() as run:
        before = psutil.Process().memory_info().rss
        sock = connection(run.port, struct.pack(">BxI", 1, 0xFFFFFFFF))
        sock.settimeout(5)
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe
            while True:
                sock.sendall(bytes(65536))
        assert psutil.Process().memory_info().rss - before < 20 << 20
        sock.close()


@pytest.mark.parametrize(
    "first", [HTTP, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)]
)
def test_other_protocols_hear_an_abort_and_are_closed(first):
    with running() as run, RawPeer(run.port, associate=False) as peer:
        peer.send(first)
        assert peer.expect_abort() == (0, 0)
        peer.expect_close()
        assert run.server.counts().refused == {"protocol": 1}


def test_a_client_that_goes_away_is_noticed_at_once():
    with running() as run:
        peer = RawPeer(run.port)
        run.wait(lambda: run.server.counts().open == 1)
        peer.reset()
        run.wait_for_no_connection(seconds=1.0)
        assert run.server.counts().aborted == 1


def test_association_limits_refuse_with_local_limit_exceeded():
    limits = {"associations": 5, "associations_per_address": 4, "associations_per_ae_title": 2}
    with running(**limits) as run:
        open_ones = [RawPeer(run.port, calling="A"), RawPeer(run.port, calling="A")]
        with RawPeer(run.port, associate=False) as third:
            third.send(associate_rq(calling="A"))
            assert third.pdu() == (3, bytes((0, 2, 3, 2)))
            third.expect_close(2.0)
        open_ones += [RawPeer(run.port, calling="B"), RawPeer(run.port, calling="C")]
        with RawPeer(run.port, associate=False) as fifth:
            fifth.send(associate_rq(calling="D"))
            assert fifth.pdu() == (3, bytes((0, 2, 3, 2)))
        assert run.server.counts().refused == {"limit_ae_title": 1, "limit_address": 1}
        open_ones.pop().release()
        run.wait(lambda: run.server.counts().open == 3)
        RawPeer(run.port, calling="D").release()
        for peer in open_ones:
            peer.release()


@pytest.mark.parametrize("fields", [(1, 1, 3), (1, 1, 7), (1, 2, 1)])
def test_who_is_not_authorised_hears_why(fields):
    sink = Sink(rejection=lambda calling: Rejection(*fields))
    with running(sink) as run, RawPeer(run.port, associate=False) as peer:
        peer.send(associate_rq(calling="STRANGER", called="ELSE"))
        assert peer.pdu() == (3, bytes((0, *fields)))
        assert [(c.calling_ae_title, c.called_ae_title) for c in sink.calls] == [
            ("STRANGER", "ELSE")
        ]
        assert run.server.counts().associations == 0


def test_a_peer_that_does_not_close_after_a_rejection_is_closed():
    sink = Sink(rejection=lambda calling: Rejection(1, 1, 3))
    with running(sink) as run, RawPeer(run.port, associate=False) as peer:
        peer.send(associate_rq())
        assert peer.pdu()[0] == 3
        peer.expect_close(2.0)


def test_draining_refuses_for_now_ends_idle_ones_and_waits_for_the_busy():
    with running() as run:
        idle = RawPeer(run.port)
        busy = RawPeer(run.port)
        busy.send(p_data(pdv(3, store_rq(), command=True)))
        result = []
        drain = threading.Thread(target=lambda: result.append(run.server.drain(10.0)))
        drain.start()
        with RawPeer(run.port, associate=False) as late:
            late.send(associate_rq())
            assert late.pdu() == (3, bytes((0, 2, 3, 1)))
        assert idle.expect_abort() == (0, 0)
        assert drain.is_alive()
        busy.send(p_data(pdv(3, b"data")))
        assert busy.status() == 0
        busy.release()
        drain.join(5)
        assert result == [True]
        idle.close()


def test_closing_aborts_what_does_not_end_by_itself():
    with running() as run:
        peer = RawPeer(run.port)
        peer.send(p_data(pdv(3, store_rq(), command=True)))
        run.wait(lambda: run.server.counts().open == 1)
        assert not run.server.drain(0.1)
        began = time.monotonic()
        run.server.close()
        assert time.monotonic() - began < 2.0
        assert peer.expect_abort() == (0, 0)
        assert len(run.sink.broken) == 1
        peer.close()


def test_an_idle_association_ends_and_so_does_an_old_one():
    with running(idle_seconds=0.4) as run, RawPeer(run.port) as peer:
        assert peer.expect_abort() == (0, 0)
        peer.expect_close()
    with running(life_seconds=0.6) as run, RawPeer(run.port) as peer:
        with pytest.raises((AssertionError, OSError)):
            while True:
                peer.send(p_data(pdv(1, echo_rq(), command=True)))
                assert peer.status() == 0
        run.wait_for_no_connection()


def test_a_pdu_must_arrive_whole_in_time_and_a_message_at_a_minimum_rate():
    with running(pdu_seconds=0.5) as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, bytes(100)))[:50])
        assert peer.expect_abort() == (0, 0)
        assert len(run.sink.broken) == 1
    with running(pdu_seconds=0.5, minimum_bytes_per_second=4096) as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(), command=True)))
        began = time.monotonic()
        with pytest.raises((OSError, EOFError)):
            for _ in range(100):
                peer.send(p_data(pdv(3, b"drip", last=False)))
                time.sleep(0.05)
                assert time.monotonic() - began < 4.0
        run.wait_for_no_connection()


def test_a_slow_handler_is_not_taken_for_a_slow_peer():
    def slow(request, chunks):
        for _ in chunks:
            time.sleep(0.15)
        return StoreAnswer(0)

    with running(Sink(fault=slow), pdu_seconds=0.3) as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(), command=True)))
        peer.send(*(p_data(pdv(3, b"part", last=number == 5)) for number in range(6)))
        assert peer.status() == 0


def test_m15_an_abort_in_the_data_set_reaches_the_handler_and_leaves_nothing():
    with running() as run:
        for _ in range(5):
            peer = RawPeer(run.port)
            peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"part", last=False)))
            peer.send(bytes.fromhex("07000000000400000200"))
            peer.close()
        run.wait_for_no_connection()
        assert [str(error) for error in run.sink.broken] == [
            "the peer aborted the association (its provider, reason 0)"
        ] * 5
        assert run.sink.data_sets == []
        assert run.server.counts().aborted == 5


MIXED = {
    "data set on another context": (
        (p_data(pdv(3, store_rq(), command=True)), p_data(pdv(5, b"data"))),
        (0, 0),
    ),
    "data set on a context nobody accepted": (
        (p_data(pdv(3, store_rq(), command=True)), p_data(pdv(9, b"data"))),
        (0, 0),
    ),
    "command on a context nobody accepted": ((p_data(pdv(9, store_rq(), command=True)),), (2, 6)),
    "command split over two contexts": (
        (
            p_data(pdv(3, store_rq()[:20], command=True, last=False)),
            p_data(pdv(5, store_rq()[20:], command=True)),
        ),
        (0, 0),
    ),
    "second command before the end of the data set": (
        (
            p_data(pdv(3, store_rq(), command=True)),
            p_data(pdv(3, b"data", last=False)),
            p_data(pdv(3, store_rq(), command=True)),
        ),
        (0, 0),
    ),
    "second command instead of the data set": (
        (p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, store_rq(), command=True))),
        (0, 0),
    ),
    "data set without a command": ((p_data(pdv(3, b"data")),), (0, 0)),
    "data inside a command": (
        (p_data(pdv(3, store_rq()[:20], command=True, last=False)), p_data(pdv(3, b"data"))),
        (0, 0),
    ),
    "PDU nine times the announced maximum": (
        (struct.pack(">BxI", 4, 9 * 262144) + pdv(3, bytes(1000)),),
        (2, 6),
    ),
    "PDU seven bytes over the announced maximum": ((struct.pack(">BxI", 4, 262144 + 7),), (2, 6)),
    "empty P-DATA": ((p_data(),), (2, 6)),
    "fragment of one byte": ((p_data(struct.pack(">IBB", 1, 3, 3)),), (2, 6)),
    "fragment beyond its PDU": ((p_data(struct.pack(">IBB", 100, 3, 3), b"x"),), (2, 6)),
    "PDU that ends inside a fragment header": (
        (p_data(pdv(1, echo_rq(), command=True, last=False), b"\0\0\0"),),
        (2, 6),
    ),
    "command of more than 64 KiB": ((p_data(pdv(3, bytes(65537), command=True)),), (0, 0)),
    "command of many fragments and more than 64 KiB": (
        tuple(p_data(pdv(3, bytes(9000), command=True, last=False)) for _ in range(8)),
        (0, 0),
    ),
    "command that is no list of elements": ((p_data(pdv(3, b"\0" * 9, command=True)),), (0, 0)),
    "command without a command field": (
        (p_data(pdv(3, command_set(sop_class=CT, message_id=1), command=True)),),
        (0, 0),
    ),
    "unknown command field": (
        (p_data(pdv(3, command_set(field=0x42, message_id=1, data_set=0x101), command=True)),),
        (0, 0),
    ),
    "response to nothing": (
        (p_data(pdv(3, command_set(field=0x8001, responded_to=1, data_set=0x101), command=True)),),
        (0, 0),
    ),
    "A-ABORT that is too long": ((struct.pack(">BxI", 7, 5000),), (2, 6)),
    "A-RELEASE-RQ that is too long": ((struct.pack(">BxI", 5, 5),), (2, 6)),
}


@pytest.mark.parametrize("case", MIXED)
def test_m16b_messages_that_contradict_themselves_end_the_association(case):
    sent, expected = MIXED[case]
    if case == "A-ABORT that is too long":
        expected = (2, 6)
    with running() as run:
        with RawPeer(run.port) as peer:
            peer.send(*sent)
            assert peer.expect_abort() == expected
        run.wait_for_no_connection()
        assert run.sink.data_sets == []
        assert run.server.counts().aborted == 1
        assert echo_seconds(run.port) < 1.0


ANSWERED = {
    "SOP class of another context": (3, store_rq(sop_class=MR), 0x0122),
    "no SOP class": (
        3,
        command_set(field=1, message_id=7, data_set=1, instance="1.2"),
        0x0122,
    ),
    "instance UID that is a path": (3, store_rq("../../../etc/passwd"), 0xA900),
    "instance UID with a backslash": (3, store_rq("1.2\\3"), 0xA900),
    "instance UID of two dots": (3, store_rq(".."), 0xA900),
    "instance UID with a control character": (3, store_rq("1.2\n3"), 0xA900),
    "instance UID of 129 characters": (3, store_rq("1" * 129), 0xA900),
    "no instance UID": (3, command_set(sop_class=CT, field=1, message_id=7, data_set=1), 0xA900),
    "instance UID for intake to judge": (3, store_rq("1.2.03.abc"), 0x0000),
    "C-FIND on a storage context": (
        3,
        command_set(sop_class=CT, field=0x20, message_id=7, data_set=1),
        0x0211,
    ),
    "N-CREATE on a storage context": (
        3,
        command_set(sop_class=CT, field=0x140, message_id=7, data_set=1),
        0x0211,
    ),
    "C-STORE on the Verification context": (1, store_rq(sop_class=VERIFICATION), 0x0211),
    "C-ECHO with a data set": (
        1,
        command_set(sop_class=VERIFICATION, field=0x30, message_id=7, data_set=1),
        0x0212,
    ),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_m16b_requests_that_cannot_be_served_are_answered_and_the_association_lives(case):
    context_id, request, status = ANSWERED[case]
    with running() as run, RawPeer(run.port) as peer:
        peer.send(
            p_data(pdv(context_id, request, command=True)),
            p_data(pdv(context_id, b"some", last=False), pdv(context_id, b"data")),
        )
        answer = peer.response()
        assert int.from_bytes(answer[0x0900], "little") == status
        assert int.from_bytes(answer[0x0120], "little") == 7
        assert len(answer.get(0x0902, b"")) <= 64
        peer.send(p_data(pdv(1, echo_rq(), command=True)))
        assert peer.status() == 0
        assert run.sink.data_sets == ([b"somedata"] if status == 0 else [])


def test_a_store_without_a_data_set_is_a_mistyped_argument():
    with running() as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(data_set=0x0101), command=True)))
        assert peer.status() == 0x0212
        peer.send(p_data(pdv(3, store_rq(), command=True), pdv(3, b"data")))
        assert peer.status() == 0
        assert run.sink.data_sets == [b"data"]


def test_an_echo_on_a_storage_context_is_refused_by_class():
    with running() as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, echo_rq(), command=True)))
        assert peer.status() == 0x0122


def test_a_cancel_that_comes_too_late_is_no_error():
    cancel = command_set(field=0xFFF, responded_to=1, data_set=0x101)
    with running() as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, cancel, command=True)), p_data(pdv(1, echo_rq(), command=True)))
        assert peer.status() == 0


def failing(error: Exception, after: int = 0):
    def store(request, chunks):
        for _ in range(after):
            next(chunks)
        raise error

    return store


@pytest.mark.parametrize(
    ("error", "status", "comment"),
    [
        (StoreFull("no room on /secret/path"), 0xA700, b"out of resources"),
        (
            BadDataset("the data set ends early", 0xC000, (0x00080018,)),
            0xC000,
            b"the data set ends early ",
        ),
        (Refused("not you", 0x0124), 0x0124, b"not you "),
        (ProtocolError("of the handler's own making"), 0x0110, b"processing failure"),
        (ValueError("Doe^John"), 0x0110, b"processing failure"),
        (MemoryError(), 0xA700, b"out of resources"),
        (BadDataset("x" * 100), 0xC000, b"x" * 64),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_what_a_handler_raises_becomes_a_status_and_the_next_instance_passes(
    error, status, comment, after
):
    sink = Sink(fault=failing(error, after))
    with running(sink) as run, RawPeer(run.port) as peer:
        request = p_data(pdv(3, store_rq(), command=True))
        data = [p_data(pdv(3, bytes(1000), last=number == 9)) for number in range(10)]
        peer.send(request, *data)
        answer = peer.response()
        assert int.from_bytes(answer[0x0900], "little") == status
        assert answer[0x0902] == comment
        assert answer.get(0x0901) == (
            b"\x08\0\x18\0" if isinstance(error, BadDataset) and error.offending_tags else None
        )
        sink.fault = None
        peer.send(request, *data)
        assert peer.status() == 0
        assert sink.data_sets == [bytes(10000)]
        assert "Doe" not in str(sink.events)
        assert run.server.counts().failed == 1
        faults = sink.of("store_fault")
        assert [fault["error"] for fault in faults] == (
            [type(error).__name__] if isinstance(error, ValueError | MemoryError) else []
        )


def test_a_handler_may_answer_before_the_data_set_ends():
    sink = Sink(fault=lambda request, chunks: StoreAnswer(0xC001, "refused by rule"))
    with running(sink) as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(), command=True)))
        peer.send(*(p_data(pdv(3, bytes(60000), last=number == 20)) for number in range(21)))
        answer = peer.response()
        assert answer[0x0902] == b"refused by rule "
        assert run.server.counts().bytes == 21 * 60000


def test_a_handler_that_swallows_the_peers_fault_changes_nothing():
    def store(request, chunks):
        try:
            for _ in chunks:
                pass
        except ProtocolError:
            return StoreAnswer(0)
        raise AssertionError

    with running(Sink(fault=store)) as run, RawPeer(run.port) as peer:
        peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(5, b"data")))
        assert peer.expect_abort() == (0, 0)


def test_m27_mutated_requests_leave_no_thread_behind():
    original = associate_rq()
    with running(first_pdu_seconds=1.0) as run:
        import random

        random.seed(27)
        for number in range(200):
            mutated = bytearray(original)
            for _ in range(1 + number % 8):
                mutated[random.randrange(len(mutated))] = random.randrange(256)
            with connection(run.port, bytes(mutated)) as sock:
                sock.settimeout(0.02)
                try:
                    sock.recv(100)
                except OSError:
                    pass
        assert echo_seconds(run.port) < 1.0
        run.wait_for_no_connection()
        run.wait(lambda: run.threads.alive() == ("accept test",))


LIMITS = {
    "longer than 256 KiB": struct.pack(">BxI", 1, 262145) + bytes(1000),
    "shorter than its fixed fields": struct.pack(">BxI", 1, 20) + bytes(20),
    "129 contexts": None,
    "65 transfer syntaxes in a context": associate_rq(
        ((1, CT, tuple(f"1.2.{number}" for number in range(65))),)
    ),
    "an even context identifier": associate_rq(((1, CT, (EXPLICIT,)),)).replace(
        b"\x20\x00\x00\x3a\x01", b"\x20\x00\x00\x3a\x02"
    ),
}
_context = associate_rq(((1, CT, (EXPLICIT,)),))
_start = _context.index(b"\x20\x00", 74)
_size = 4 + struct.unpack(">H", _context[_start + 2 : _start + 4])[0]
_item = _context[_start : _start + _size]
_body = _context[6:_start] + _item * 129 + _context[_start + _size :]
LIMITS["129 contexts"] = struct.pack(">BxI", 1, len(_body)) + _body
LIMITS["an even context identifier"] = _context[: _start + 4] + b"\x02" + _context[_start + 5 :]
_twice = _context[6:_start] + _item * 2 + _context[_start + _size :]
LIMITS["one identifier twice"] = struct.pack(">BxI", 1, len(_twice)) + _twice


@pytest.mark.parametrize("case", LIMITS)
def test_requests_over_a_limit_are_aborted_before_they_are_decoded(case):
    with running() as run, RawPeer(run.port, associate=False) as peer:
        peer.send(LIMITS[case])
        assert peer.expect_abort() == (0, 0)
        assert run.sink.calls == []


def test_unknown_items_of_a_request_are_ignored():
    extra = struct.pack(">BxH", 0x77, 3) + b"abc"
    body = associate_rq()[6:] + extra
    with running() as run, RawPeer(run.port, associate=False) as peer:
        peer.send(struct.pack(">BxI", 1, len(body)) + body)
        assert peer.pdu()[0] == 2


def test_another_protocol_version_or_application_context_is_rejected():
    version = bytearray(associate_rq())
    version[6:8] = b"\0\2"
    context = associate_rq().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2")
    for request, fields in ((bytes(version), (1, 2, 2)), (context, (1, 1, 2))):
        with running() as run, RawPeer(run.port, associate=False) as peer:
            peer.send(request)
            assert peer.pdu() == (3, bytes((0, *fields)))


def test_strange_ae_titles_reach_authorise_and_break_nothing():
    request = bytearray(associate_rq())
    request[26:42] = b"\xff\xfe..\\../\n      "[:16].ljust(16)
    sink = Sink(rejection=lambda calling: Rejection(1, 1, 3))
    with running(sink) as run, RawPeer(run.port, associate=False) as peer:
        peer.send(bytes(request))
        assert peer.pdu() == (3, bytes((0, 1, 1, 3)))
        assert len(sink.calls) == 1


def test_contexts_that_are_rejected_are_named_and_the_association_stands():
    contexts = (
        (1, VERIFICATION, (IMPLICIT,)),
        (3, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),
        (5, "1.2.826.0.1.3680043.9.9999.1", (IMPLICIT, EXPLICIT)),
    )
    with running() as run, RawPeer(run.port, contexts=contexts) as peer:
        results = []
        offset = 68
        while offset < len(peer.accept):
            kind, length = struct.unpack(">BxH", peer.accept[offset : offset + 4])
            if kind == 0x21:
                item = peer.accept[offset + 4 : offset + 4 + length]
                results.append((item[0], item[2], item[8:].decode()))
            offset += 4 + length
        assert results[0] == (1, 0, IMPLICIT)
        assert results[1][:2] == (3, 3)
        assert results[2] == (5, 0, EXPLICIT)


def test_answers_obey_a_tiny_maximum_pdu():
    with running() as run, RawPeer(run.port, max_pdu_bytes=16) as peer:
        peer.send(p_data(pdv(1, echo_rq(), command=True)))
        collected = b""
        while True:
            kind, body = peer.pdu()
            assert kind == 4 and len(body) <= 16
            collected += body[6:]
            if body[5] & 2:
                break
        assert collected[-10:] == struct.pack("<HHIH", 0, 0x0900, 2, 0)


def test_several_fragments_and_messages_may_share_a_pdu():
    with running() as run, RawPeer(run.port) as peer:
        peer.send(
            p_data(
                pdv(3, store_rq(), command=True),
                pdv(3, b"one", last=False),
                pdv(3, b"", last=False),
                pdv(3, b"two"),
                pdv(1, echo_rq(), command=True),
            )
        )
        assert (peer.status(), peer.status()) == (0, 0)
        assert run.sink.data_sets == [b"onetwo"]
