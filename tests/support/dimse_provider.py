"""A running provider, a sink for what it takes, raw PDUs, and DCMTK programs as peers."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from router.clock import Clock
from router.dimse.handlers import (
    Calling,
    Handlers,
    Operate,
    Rejection,
    StoreAnswer,
    StoreRequest,
)
from router.dimse.pdu import AssociateRequest, ProposedContext, encode_request
from router.dimse.server import Server
from router.errors import ProtocolError
from router.model.instance import Source
from router.model.listener import AssociationLimits, Listener
from router.threads import Threads

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


@dataclass
class Sink:
    """Keeps what the provider hands over; `fault` may raise or answer in its place."""

    requests: list[StoreRequest] = field(default_factory=list)
    data_sets: list[bytes] = field(default_factory=list)
    broken: list[ProtocolError] = field(default_factory=list)
    calls: list[Calling] = field(default_factory=list)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    fault: Callable[[StoreRequest, Iterator[memoryview]], StoreAnswer] | None = None
    rejection: Callable[[Calling], Rejection | None] = lambda calling: None
    operate: Operate | None = None

    def authorise(self, calling: Calling) -> Source | Rejection:
        self.calls.append(calling)
        return self.rejection(calling) or Source(
            calling.listener,
            calling.calling_ae_title,
            calling.called_ae_title,
            calling.address,
            None,
            calling.tls_subject,
        )

    def store(self, request: StoreRequest, chunks: Iterator[memoryview]) -> StoreAnswer:
        if self.fault is not None:
            return self.fault(request, chunks)
        try:
            data = b"".join(bytes(chunk) for chunk in chunks)
        except ProtocolError as error:
            self.broken.append(error)
            raise
        self.requests.append(request)
        self.data_sets.append(data)
        return StoreAnswer(0)

    def observe(self, event: str, /, **facts: object) -> None:
        self.events.append((event, facts))

    def of(self, event: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.events if name == event]


@dataclass
class Running:
    server: Server
    port: int
    sink: Sink
    threads: Threads
    crashes: list[BaseException]

    def wait(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, (self.server.counts(), self.sink.events[-5:])
            time.sleep(0.005)

    def wait_for_no_connection(self, seconds: float = 5.0) -> None:
        self.wait(lambda: not self.server._admission.connections(), seconds)
        counts = self.server.counts()
        assert (counts.open, counts.pending) == (0, 0)


@contextlib.contextmanager
def running(sink: Sink | None = None, tls_context=None, **limits: object) -> Iterator[Running]:
    """A provider on a port of its own; at its end nothing of it may be left."""
    sink = sink or Sink()
    crashes: list[BaseException] = []
    threads = Threads(lambda name, error: crashes.append(error))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    listener = Listener("test", "dimse", "127.0.0.1", sock.getsockname()[1])
    listener = replace(listener, limits=replace(AssociationLimits(), **limits))
    handlers = Handlers(sink.authorise, sink.store, sink.operate)
    server = Server(
        listener, sock, handlers, threads, Clock(), tls_context=tls_context, observe=sink.observe
    )
    server.start()
    try:
        yield Running(server, listener.port, sink, threads, crashes)
    finally:
        server.close()
        assert threads.join(5.0), threads.alive()
        assert crashes == []
        counts = server.counts()
        assert (counts.open, counts.pending) == (0, 0)
        assert not sink.of("association_fault"), sink.of("association_fault")


def associate_rq(
    contexts=((1, VERIFICATION, (IMPLICIT,)), (3, CT, (EXPLICIT,)), (5, MR, (EXPLICIT,))),
    calling: str = "PEER",
    called: str = "ROUTER",
    max_pdu_bytes: int = 16384,
) -> bytes:
    proposed = tuple(ProposedContext(*context) for context in contexts)
    return encode_request(
        AssociateRequest(1, "1.2.840.10008.3.1.1.1", called, calling, proposed, max_pdu_bytes)
    )


def pdv(context_id: int, data: bytes, command: bool = False, last: bool = True) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context_id, command | last << 1) + data


def p_data(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


def command_set(**values: object) -> bytes:
    """Elements by name, as they come; numbers as US, text as UI."""
    numbers = {
        "sop_class": 0x0002,
        "field": 0x0100,
        "message_id": 0x0110,
        "responded_to": 0x0120,
        "priority": 0x0700,
        "data_set": 0x0800,
        "status": 0x0900,
        "instance": 0x1000,
    }
    body = b""
    for name, value in values.items():
        if isinstance(value, int):
            raw = struct.pack("<H", value)
        else:
            raw = value.encode() + b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", 0, numbers[name], len(raw)) + raw
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def store_rq(instance: str = "1.2.3", sop_class: str = CT, data_set: int = 1, message_id: int = 7):
    return command_set(
        sop_class=sop_class,
        field=1,
        message_id=message_id,
        priority=0,
        data_set=data_set,
        instance=instance,
    )


def echo_rq(message_id: int = 3) -> bytes:
    return command_set(sop_class=VERIFICATION, field=0x30, message_id=message_id, data_set=0x0101)


class RawPeer:
    """Sends what it is told and reads PDUs."""

    def __init__(self, port: int, associate: bool = True, **request: object) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if associate:
            self.send(associate_rq(**request))
            kind, self.accept = self.pdu()
            assert kind == 2, (kind, self.accept)

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError(data)
            data += piece
        return data

    def pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(length)

    def response(self) -> dict[int, bytes]:
        kind, body = self.pdu()
        assert kind == 4, (kind, body)
        data = body[6:]
        values = {}
        while data:
            _, element, length = struct.unpack("<HHI", data[:8])
            values[element] = data[8 : 8 + length]
            data = data[8 + length :]
        return values

    def status(self) -> int:
        return int.from_bytes(self.response()[0x0900], "little")

    def expect_abort(self) -> tuple[int, int]:
        """(source, reason) of the A-ABORT that must come now."""
        kind, body = self.pdu()
        assert kind == 7, (kind, body)
        return body[2], body[3]

    def expect_close(self, seconds: float = 5.0) -> None:
        self.sock.settimeout(seconds)
        try:
            assert self.sock.recv(1) == b""
        except ConnectionResetError:
            pass

    def release(self) -> None:
        self.send(bytes.fromhex("05000000000400000000"))
        assert self.pdu()[0] == 6
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def echo_seconds(port: int) -> float:
    """How long a whole association with one echo takes."""
    began = time.monotonic()
    with RawPeer(port) as peer:
        peer.send(p_data(pdv(1, echo_rq(), command=True)))
        assert peer.status() == 0
        peer.release()
    return time.monotonic() - began


def run(*words: object, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """A DCMTK program to its end."""
    return subprocess.run(
        [str(word) for word in words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def storescp(*options: object, folder) -> Iterator[int]:
    """DCMTK's storescp as a destination that writes what it gets into the folder."""
    port = free_port()
    process = subprocess.Popen(
        ["storescp", *map(str, options), "-od", str(folder), str(port)],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < until
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


class ScriptedPeer:
    """A listening socket served once, in a thread, by the given function of the connection."""

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(5)
        self.port = self._listening.getsockname()[1]
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(script,), daemon=True)
        self._thread.start()

    def _serve(self, script: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._listening.accept()
            with sock:
                try:
                    script(sock)
                except AssertionError as error:
                    self.error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self._thread.join(5)
        if self.error is not None:
            raise self.error
