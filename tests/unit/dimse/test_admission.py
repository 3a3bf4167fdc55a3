"""Slots of associations: each bound by itself, and given back on every way an association can end."""

from __future__ import annotations

import contextlib
import threading

import pytest

from router.dimse.admission import Admission, Connection
from router.dimse.handlers import Rejection, StoreAnswer
from router.model.listener import AssociationLimits
from tests.support.dimse_provider import (
    RawPeer,
    Sink,
    associate_rq,
    echo_seconds,
    p_data,
    pdv,
    running,
    store_rq,
)


class Wire:
    """As much of a wire as the books touch."""

    def __init__(self) -> None:
        self.interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1


def connection(address: str = "10.0.0.1") -> Connection:
    return Connection(Wire(), address, 0.0)  # type: ignore[arg-type]


def entered(admission: Admission, address: str = "10.0.0.1") -> Connection:
    made = connection(address)
    admission.enter(made)
    return made


@pytest.mark.parametrize(
    ("limits", "same", "limit"),
    [
        ({"associations": 2}, (), "limit_total"),
        ({"associations_per_address": 2}, ("address",), "limit_address"),
        ({"associations_per_ae_title": 2}, ("title",), "limit_ae_title"),
    ],
)
def test_each_bound_counts_what_it_names(limits, same, limit):
    admission = Admission(AssociationLimits(**limits))

    def come(number: int) -> tuple[Connection, str | None]:
        address = "10.0.0.1" if "address" in same else f"10.0.1.{number}"
        title = "CT1" if "title" in same else f"CT{number}"
        one = entered(admission, address)
        return one, admission.admit(one, title)

    inside = [come(number) for number in range(2)]
    assert [refusal for _, refusal in inside] == [None, None]
    turned_away, refusal = come(2)
    assert refusal == limit
    # Whoever was refused still sits on a connection, but on no slot.
    assert (admission.counts().open, admission.counts().pending) == (2, 1)
    admission.leave(turned_away)
    admission.leave(inside[0][0])
    assert come(3)[1] is None
    assert admission.counts().associations == 3


def test_the_bound_of_all_is_named_before_those_of_one_peer():
    limits = AssociationLimits(
        associations=1, associations_per_address=1, associations_per_ae_title=1
    )
    admission = Admission(limits)
    admission.admit(entered(admission), "CT1")
    assert admission.admit(entered(admission), "CT1") == "limit_total"


def test_the_same_title_from_two_addresses_is_one_title():
    # A modality with a wrong title set twice would otherwise double its share.
    admission = Admission(AssociationLimits(associations_per_ae_title=1))
    assert admission.admit(entered(admission, "10.0.0.1"), "CT1") is None
    assert admission.admit(entered(admission, "10.0.0.2"), "CT1") == "limit_ae_title"
    assert admission.admit(entered(admission, "10.0.0.2"), "CT2") is None


def test_the_oldest_of_the_loudest_address_goes_first():
    admission = Admission(AssociationLimits(pending_connections=4))
    quiet = entered(admission, "10.0.0.9")
    loud = [entered(admission, "10.0.0.1") for _ in range(3)]
    for expected in (loud[0], loud[1]):
        entered(admission, "10.0.0.2")
        assert expected.evicted
    assert [one.wire.interrupts for one in (quiet, *loud)] == [0, 1, 1, 0]
    assert admission.counts().refused == {"evicted": 2}
    assert admission.counts().pending == 4


def test_an_association_is_never_thrown_out_for_a_newcomer():
    admission = Admission(AssociationLimits(pending_connections=1))
    working = entered(admission)
    assert admission.admit(working, "CT1") is None
    first, second = entered(admission), entered(admission)
    assert (working.evicted, first.evicted, second.evicted) == (False, True, False)


def test_numbers_add_up():
    admission = Admission(AssociationLimits())
    one = entered(admission)
    admission.admit(one, "CT1")
    admission.stored(500, failed=False)
    admission.stored(70, failed=True)
    admission.refuse("authorisation")
    admission.refuse("authorisation")
    admission.abort()
    counts = admission.counts()
    assert (counts.instances, counts.failed, counts.bytes) == (2, 1, 570)
    assert (counts.connections, counts.associations, counts.aborted) == (1, 1, 1)
    assert counts.refused == {"authorisation": 2}
    admission.leave(one)
    assert admission.counts().connections == 1, "totals stay when the connection goes"


def test_the_books_balance_when_eight_threads_write_in_them():
    admission = Admission(AssociationLimits(associations_per_address=3, pending_connections=5))
    highest = []

    def visit(address: str) -> None:
        for _ in range(300):
            one = entered(admission, address)
            if admission.admit(one, "CT1") is None:
                highest.append(admission.counts().open)
            admission.leave(one)

    threads = [threading.Thread(target=visit, args=(f"10.0.0.{n % 2}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = admission.counts()
    assert (counts.open, counts.pending, admission.connections()) == (0, 0, ())
    assert counts.connections == 2400
    assert max(highest) <= 6


def released(peer: RawPeer) -> None:
    peer.release()


def aborted(peer: RawPeer) -> None:
    peer.send(bytes.fromhex("07000000000400000000"))
    peer.close()


def faulty(peer: RawPeer) -> None:
    peer.send(b"GET / HTTP/1.1\r\n")
    assert peer.pdu()[0] == 7
    peer.close()


def lost_amid_an_object(peer: RawPeer) -> None:
    peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"half", last=False)))
    peer.reset()


def told_that_we_fail(peer: RawPeer) -> None:
    peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"whole")))
    assert peer.status() == 0x0110
    peer.release()


def silent(peer: RawPeer) -> None:
    peer.expect_abort()
    peer.close()


ENDINGS = {
    "release": released,
    "abort": aborted,
    "close": RawPeer.close,
    "reset": RawPeer.reset,
    "protocol error": faulty,
    "reset amid an object": lost_amid_an_object,
    "a handler that fails": told_that_we_fail,
    "idle": silent,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_only_slot_is_free_again_after_each_ending(ending):
    def fail(request, chunks):
        raise KeyError("a fault of ours")

    sink = Sink(fault=fail) if ending == "a handler that fails" else Sink()
    with running(sink, associations=1, idle_seconds=0.3 if ending == "idle" else 30) as run:
        peer = RawPeer(run.port)
        with RawPeer(run.port, associate=False) as other:
            other.send(associate_rq())
            assert other.pdu() == (3, bytes((0, 2, 3, 2)))
        ENDINGS[ending](peer)
        run.wait_for_no_connection()
        assert echo_seconds(run.port) < 2.0
        assert run.server.counts().refused["limit_total"] == 1


def test_a_request_that_is_refused_or_breaks_off_takes_no_slot():
    refusals = iter([Rejection(1, 1, 3), None])
    with running(Sink(rejection=lambda _: next(refusals)), associations=1) as run:
        for first in (associate_rq(), associate_rq()[:50], b"\2" + associate_rq()[1:]):
            with RawPeer(run.port, associate=False) as peer, contextlib.suppress(OSError):
                peer.send(first)
                peer.sock.shutdown(1)
                while peer.sock.recv(4096):
                    pass
        run.wait_for_no_connection()
        assert echo_seconds(run.port) < 2.0
        assert run.server.counts().associations == 1


def test_an_authoriser_that_fails_costs_its_caller_only():
    def refuse(calling):
        if calling.calling_ae_title == "ODD":
            raise KeyError("a fault of ours")

    with running(Sink(rejection=refuse), associations=1) as run:
        with RawPeer(run.port, associate=False) as peer:
            peer.send(associate_rq(calling="ODD"))
            assert peer.expect_abort() == (0, 0)
        run.wait_for_no_connection()
        assert echo_seconds(run.port) < 2.0
        # The place is told to the operator, the words are not.
        (fault,) = run.sink.of("association_fault")
        assert fault["error"] == "KeyError"
        assert "a fault of ours" not in str(fault)
        run.sink.events.clear()


def test_a_slot_held_by_a_slow_handler_is_given_back_by_close():
    began, go_on = threading.Event(), threading.Event()

    def wait(request, chunks):
        began.set()
        go_on.wait(5.0)
        return StoreAnswer(0)

    with running(Sink(fault=wait), associations=1) as run:
        peer = RawPeer(run.port)
        peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"x")))
        assert began.wait(5.0)
        assert run.server.drain(0.1) is False
        go_on.set()
        run.server.close()
        peer.close()
