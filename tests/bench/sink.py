"""A DICOM destination that is never the limit: it reads, counts, answers success, keeps nothing.

    python -m tests.bench.sink LOG [--digest] [--port PORT] [--tls FOLDER]

Prints its port. One process per association. Each instance becomes a record of the log: the
number in its UID, when its last byte was read, its length, and whether the text a rule of the
bench sets is in its header; with `--digest` also BLAKE2b-256 of its data set.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import ssl
import struct
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tests.bench.arrivals import NO_DIGEST, ArrivalLog
from tests.bench.sets import DIGITS
from tests.support import wire

# What the rules of the bench write into Institution Name; looked for near the front.
MARKER = "BENCH HOSPITAL"
MARKER_WITHIN_BYTES = 16384
_PDU = struct.Struct(">BBL")
_PDV = struct.Struct(">LBB")
_MAX_PDU_BYTES = 1 << 20


class PduBuffer:
    """Whole PDUs out of one reused buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(_MAX_PDU_BYTES + (1 << 16))
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def next(self) -> tuple[int, memoryview]:
        """The next PDU: its type and body, valid until the next call. Closed at the end."""
        self._fill(6)
        kind, _, length = _PDU.unpack_from(self._buffer, self._start)
        self._fill(6 + length)
        begin = self._start + 6
        self._start = begin + length
        return kind, self._view[begin : self._start]

    def _fill(self, count: int) -> None:
        if count > len(self._buffer):
            raise wire.Closed(f"a PDU of {count} bytes")
        if self._start + count > len(self._buffer) or self._start == self._end:
            rest = self._end - self._start
            self._view[:rest] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, rest
        while self._end - self._start < count:
            received = self._sock.recv_into(self._view[self._end :])
            if not received:
                raise wire.Closed("closed by the peer")
            self._end += received


class Provider:
    """One association, served to its end."""

    def __init__(self, sock: socket.socket, log: ArrivalLog, *, digest: bool) -> None:
        self._sock = sock
        self._log = log
        self._digest = digest

    def serve(self) -> None:
        """Negotiate, then answer every C-STORE and C-ECHO with success (PS3.7 9.3.1.2)."""
        _, body = wire.read_pdu(self._sock)
        request = wire.parse_associate(body)
        accepted = {
            context_id: (0, _preferred(transfers))
            for context_id, (_, transfers, _) in request.contexts.items()
        }
        self._sock.sendall(wire.associate_ac(request, accepted, _MAX_PDU_BYTES))
        pdus = PduBuffer(self._sock)
        while (command := self._command(pdus)) is not None:
            context_id, elements = command
            if elements.get(0x0800) != wire.NO_DATA_SET:
                self._receive(pdus, str(elements.get(0x1000, "")))
            self._answer(context_id, elements)
        self._sock.sendall(wire.pdu(wire.RELEASE_RP, bytes(4)))

    def _command(self, pdus: PduBuffer) -> tuple[int, dict[int, int | str]] | None:
        """A command set in one PDV, as every peer here sends it; None for the release."""
        kind, body = pdus.next()
        if kind == wire.RELEASE_RQ:
            return None
        if kind != wire.P_DATA:
            raise wire.Closed(f"PDU type {kind}")
        _, context_id, _ = _PDV.unpack_from(body)
        return context_id, wire.decode_command(bytes(body[6:]))

    def _receive(self, pdus: PduBuffer, uid: str) -> None:
        length, last, changed = 0, False, False
        hasher = hashlib.blake2b(digest_size=32) if self._digest else None
        while not last:
            kind, body = pdus.next()
            if kind != wire.P_DATA:
                raise wire.Closed(f"PDU type {kind} within a data set")
            at = 0
            while at < len(body):
                count, _, control = _PDV.unpack_from(body, at)
                fragment = body[at + 6 : at + 4 + count]
                if length < MARKER_WITHIN_BYTES:
                    head = bytes(fragment[:MARKER_WITHIN_BYTES])
                    changed = changed or MARKER.encode() in head
                if hasher is not None:
                    hasher.update(fragment)
                length += len(fragment)
                last = bool(control & 2)
                at += 4 + count
        digest = hasher.digest() if hasher is not None else NO_DIGEST
        now = time.monotonic_ns()
        self._log.add(_number(uid), now, length, changed=changed, digest=digest)

    def _answer(self, context_id: int, elements: dict[int, int | str]) -> None:
        answer: dict[int, int | str] = {
            0x0100: int(elements[0x0100]) | 0x8000,
            0x0120: elements[0x0110],
            0x0800: wire.NO_DATA_SET,
            0x0900: 0,
        }
        answer.update({key: elements[key] for key in (0x0002, 0x1000) if key in elements})
        data = wire.encode_command(answer)
        self._sock.sendall(wire.pdv(context_id, data, command=True, last=True))


def _preferred(transfers: tuple[str, ...]) -> str:
    explicit = wire.EXPLICIT_VR_LITTLE_ENDIAN
    return explicit if explicit in transfers else transfers[0]


def _number(uid: str) -> int:
    digits = uid[-DIGITS:]
    return int(digits) if digits.isdecimal() else -1


def listen(port: int = 0) -> socket.socket:
    """A listening socket on loopback, on a free port when none is given; prints the port."""
    listening = socket.create_server(("127.0.0.1", port), backlog=256)
    print(listening.getsockname()[1], flush=True)
    return listening


def _secured(sock: socket.socket, certificates: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return context.wrap_socket(sock, server_side=True)


def reap(_signal: int, _frame: FrameType | None) -> None:
    """Wait for children that ended, so that their time is accounted for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(log: Path, port: int, certificates: Path | None, *, digest: bool) -> None:
    """Serve until killed: one forked process per connection."""
    signal.signal(signal.SIGCHLD, reap)
    listening = listen(port)
    while True:
        sock, _ = listening.accept()
        if os.fork() == 0:
            try:
                listening.close()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if certificates:
                    sock = _secured(sock, certificates)
                Provider(sock, ArrivalLog(log), digest=digest).serve()
            except (wire.Closed, OSError):
                pass  # a contestant that was killed hangs up as it likes
            finally:
                os._exit(0)
        sock.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", type=Path, help="the folder of cert.pem and key.pem")
    given = parser.parse_args()
    main(given.log, given.port, given.tls, digest=given.digest)
