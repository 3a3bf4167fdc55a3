"""One connection over loopback: every call ends by its deadline, and says how it ended."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from router.clock import Clock
from router.dimse.wire import Closed, Stalled, Wire, describe, set_options

Pair = tuple[Wire, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A wire and the bare socket at its other end, with small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.socket()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        other.connect(listener.getsockname())
        sock, _ = listener.accept()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    set_options(sock)
    wire = Wire(sock, Clock())
    yield wire, other
    wire.close()
    other.close()


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def receive(wire: Wire, size: int = 100, seconds: float = 5.0) -> bytes:
    memory = bytearray(size)
    return bytes(memory[: wire.receive_into(memoryview(memory), soon(seconds))])


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_bytes_come_as_they_come_and_then_the_end(pair: Pair):
    wire, other = pair
    other.sendall(b"abcdef")
    assert receive(wire, 4) == b"abcd"
    assert receive(wire, 4) == b"ef"
    other.close()
    assert receive(wire) == b""


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.2])
def test_silence_is_stalled_at_the_deadline(pair: Pair, seconds: float):
    # 1.2 s is longer than the slice after which a call looks up.
    wire, _ = pair
    began = time.monotonic()
    with pytest.raises(Stalled):
        receive(wire, seconds=seconds)
    assert seconds - 0.02 <= time.monotonic() - began < seconds + 0.5


def test_a_deadline_that_passed_gives_nothing_even_if_there_is_something(pair: Pair):
    wire, other = pair
    other.sendall(b"late")
    with pytest.raises(Stalled):
        receive(wire, seconds=-1.0)
    assert receive(wire) == b"late"


def test_a_reset_is_closed_in_words_for_both_directions(pair: Pair):
    wire, other = pair
    reset(other)
    with pytest.raises(Closed, match="the peer reset the connection"):
        receive(wire)
    with pytest.raises(Closed):
        for _ in range(3):
            wire.send((bytes(100_000),), soon())


@pytest.mark.parametrize("seconds", [5.0, 0.01])
def test_an_interrupt_wakes_whoever_waits(pair: Pair, seconds: float):
    wire, _ = pair
    timer = threading.Timer(seconds if seconds < 1 else 0.1, wire.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Closed, match="ended on our side"):
        receive(wire, seconds=20.0)
    assert time.monotonic() - began < 5
    with pytest.raises(Closed, match="ended on our side"):
        wire.send((b"more",), soon())
    timer.join()


def test_last_words_are_still_said_after_an_interrupt(pair: Pair):
    wire, other = pair
    wire.interrupt()
    wire.farewell(b"goodbye", 1.0)
    wire.close()
    assert other.recv(100) == b"goodbye"
    assert other.recv(100) == b""


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"a",),
        (b"", b"a", b"", b"b", b""),
        tuple(bytes([n % 256]) * (n % 7) for n in range(1024)),
        (bytearray(b"x" * 300_000), memoryview(b"y" * 300_001), b"z"),
    ],
    ids=["empty", "one", "with empty ones", "the most", "large"],
)
def test_all_parts_arrive_in_order_through_a_narrow_pipe(pair: Pair, parts):
    wire, other = pair
    got = bytearray()

    def read() -> None:
        while data := other.recv(3000):
            got.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    wire.send(parts, soon())
    wire.close()
    reader.join(5.0)
    assert bytes(got) == b"".join(parts)


def test_a_peer_that_does_not_read_is_stalled_at_the_deadline(pair: Pair):
    wire, _ = pair
    began = time.monotonic()
    with pytest.raises(Stalled):
        wire.send((bytes(5_000_000), b"more"), soon(0.3))
    assert 0.25 < time.monotonic() - began < 5


def test_lingering_ends_with_the_peer_the_time_or_the_amount(pair: Pair):
    wire, other = pair
    began = time.monotonic()
    wire.linger(0.2)
    assert 0.15 < time.monotonic() - began < 5
    stop = threading.Event()

    def flood() -> None:
        try:
            while not stop.is_set():
                other.send(bytes(1 << 16))
        except OSError:
            pass

    flooding = threading.Thread(target=flood)
    flooding.start()
    began = time.monotonic()
    wire.linger(60.0)
    assert time.monotonic() - began < 20.0, "16 MiB of chatter are enough"
    stop.set()
    wire.close()
    flooding.join(5.0)
    assert not flooding.is_alive()


def test_lingering_lets_the_last_pdu_arrive_though_the_peer_kept_talking(pair: Pair):
    # Closing with unread input would send a reset that can overtake what was just sent.
    wire, other = pair
    other.sendall(b"unread")
    wire.send((b"rejected",), soon())
    threading.Timer(0.1, other.shutdown, (socket.SHUT_WR,)).start()
    wire.linger(5.0)
    wire.close()
    assert other.recv(100) == b"rejected"


@pytest.mark.parametrize(
    ("happens", "is_open"),
    [
        (lambda other: None, True),
        (lambda other: other.sendall(b"unasked"), False),
        (lambda other: other.shutdown(socket.SHUT_WR), False),
        (reset, False),
    ],
    ids=["silence", "something unasked", "a close", "a reset"],
)
def test_whether_it_can_be_used_again(pair: Pair, happens, is_open: bool):
    wire, other = pair
    happens(other)
    until = soon(2.0)
    while wire.is_open() is not is_open and time.monotonic() < until:
        time.sleep(0.01)
    assert wire.is_open() is is_open


def test_closing_twice_and_interrupting_what_is_closed_is_harmless(pair: Pair):
    wire, _ = pair
    wire.close()
    wire.close()
    wire.interrupt()
    assert not wire.is_open()
    with pytest.raises(Closed):
        wire.send((b"x",), soon())


def test_options_notice_a_dead_peer_within_about_a_minute(pair: Pair):
    wire, _ = pair
    found = {
        name: wire._sock.getsockopt(level, option)
        for name, level, option in (
            ("no delay", socket.IPPROTO_TCP, socket.TCP_NODELAY),
            ("keep alive", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ("idle", socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            ("interval", socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            ("probes", socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            ("user timeout", socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        )
    }
    assert found.pop("no delay") == found.pop("keep alive") == 1
    assert found == {"idle": 60, "interval": 10, "probes": 3, "user timeout": 60_000}


GONE = "underlying socket connection gone"


def verification_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "x"), "connection refused"),
        (ConnectionResetError(104, "x"), "the peer reset the connection"),
        (BrokenPipeError(32, "x"), "the peer reset the connection"),
        (TimeoutError(), "no answer in time"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
        (OSError(), "OSError"),
        (ssl.SSLEOFError(8, "EOF"), "TLS: the peer closed the connection in the middle"),
        (verification_error(), "TLS: the certificate is not accepted: certificate has expired"),
        # What Python says itself of TLS has neither number nor reason.
        (ssl.SSLError("Underlying socket connection gone"), f"TLS: {GONE}"),
        (ssl.SSLError(1, "[SSL] odd"), "TLS: [ssl] odd"),
        (ssl.SSLError(), "TLS: no reason given"),
    ],
)
def test_errors_are_words_an_operator_can_act_on(error: OSError, words: str):
    assert describe(error) == words
