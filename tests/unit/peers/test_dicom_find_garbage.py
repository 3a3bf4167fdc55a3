"""Answers to C-FIND that make no sense end the search in words, at once, and our side hangs up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from router.clock import Clock
from router.dicom.keys import parse_keys
from router.errors import DeliveryError
from router.model.query import Query
from router.model.station import Limits, Station
from router.peers.dicom import DicomPeer
from tests.support import wire
from tests.support.parcels import peer_context

PENDING = {0x0100: 0x8020, 0x0120: 1, 0x0800: 1, 0x0900: 0xFF00}
CUT_SHORT = b"\x10\x00\x10\x00PN\xff\x00Yamada"
ENDLESS = b"\x10\x00\x10\x40LT\xf0\xff" + b"x" * 0xFFF0


def message(command: dict[int, int | str], *data: bytes) -> bytes:
    """One answer in PDUs; the pieces of the data set one by one, the last marked."""
    pdus = wire.pdv(1, wire.encode_command(command), command=True, last=True)
    for number, piece in enumerate(data, 1):
        pdus += wire.pdv(1, piece, command=False, last=number == len(data))
    return pdus


@contextmanager
def saying(answer: bytes) -> Iterator[DicomPeer]:
    """A peer of ours for a provider that accepts, reads one request, says this, and waits."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError, wire.Closed):
            sock, _ = listener.accept()
            with sock:
                _, body = wire.read_pdu(sock)
                request = wire.parse_associate(body)
                accepted = {
                    key: (0, syntaxes[0]) for key, (_, syntaxes, _) in request.contexts.items()
                }
                sock.sendall(wire.associate_ac(request, accepted))
                wire.read_message(sock)
                sock.sendall(answer)
                while not isinstance(wire.read_message(sock), int):
                    pass

    thread = threading.Thread(target=serve, name="says-nonsense")
    thread.start()
    station = Station(
        "pacs",
        "dicom",
        ae_title="PACS",
        host="127.0.0.1",
        port=listener.getsockname()[1],
        query_retrieve=True,
        limits=Limits(timeout_seconds=5.0),
    )
    peer = DicomPeer(station, peer_context(Clock()))
    try:
        yield peer
        # It ends only when we have hung up.
        thread.join(10)
        assert not thread.is_alive()
    finally:
        peer.close()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (message({**PENDING, 0x0800: 0x0101}), "without an identifier"),
        (message(PENDING, CUT_SHORT), "no data set"),
        (message(PENDING, *[ENDLESS[:16000]] * 80), "larger than"),
        (message({**PENDING, 0x0120: 7}, b""), "another message"),
        (message({**PENDING, 0x0100: 0x8001}, b""), "no answer to the request"),
        (message({key: PENDING[key] for key in (0x0100, 0x0120, 0x0800)}, b""), "no status"),
        (wire.pdv(1, b"nonsense", command=True, last=True), "command set"),
        (wire.pdu(wire.ABORT, bytes(4)), "abort"),
        (b"\x99" * 64, "unknown type"),
    ],
    ids=["bare", "cut", "huge", "stranger", "other", "mute", "noise", "abort", "bytes"],
)
def test_nonsense_ends_the_search_in_words(answer: bytes, said: str) -> None:
    query = Query("STUDY", parse_keys(["StudyInstanceUID"]), 10, 10.0)
    with saying(answer) as peer, pytest.raises(DeliveryError, match=said):
        list(peer.find(query, lambda: False))
