"""A STOW-RS origin server that is never the limit: it reads, counts, answers 200, keeps nothing.

    python -m tests.bench.stow_sink LOG

Prints its port. One process per connection, HTTP/1.1 with keep-alive, Content-Length and chunked.
Every part of a request becomes a record of the log (arrivals.py) and an entry of the DICOM JSON
answer (PS3.18 10.5.3).
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.arrivals import ArrivalLog
from tests.bench.sets import DIGITS
from tests.bench.sink import MARKER, MARKER_WITHIN_BYTES, listen
from tests.support.wire import Closed

_BOUNDARY = re.compile(rb'boundary="?([^";\r\n]+)', re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_RECEIVE_BYTES = 1 << 20
_META = 132


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a request: what its file meta says, its length, whether it was changed."""

    sop_class_uid: str
    sop_instance_uid: str
    length: int
    changed: bool


class Connection:
    """One connection, served to its end."""

    def __init__(self, sock: socket.socket, log: ArrivalLog) -> None:
        self._sock = sock
        self._log = log
        self._pending = bytearray()

    def serve(self) -> None:
        """Answer requests until the client hangs up (Closed)."""
        while True:
            head = self._head()
            if _CONTINUE.search(head):
                self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._body(head)
            now = time.monotonic_ns()
            boundary = _BOUNDARY.search(head)
            found = parts(body, boundary[1]) if boundary else []
            for part in found:
                digits = part.sop_instance_uid[-DIGITS:]
                number = int(digits) if digits.isdecimal() else -1
                self._log.add(number, now, part.length, changed=part.changed)
            self._answer(found)

    def _head(self) -> bytes:
        while (end := self._pending.find(b"\r\n\r\n")) < 0:
            self._more()
        return self._take(end + 4)

    def _body(self, head: bytes) -> bytes | bytearray:
        if _CHUNKED.search(head):
            return self._chunks()
        length = _LENGTH.search(head)
        return self._exactly(int(length[1])) if length else b""

    def _chunks(self) -> bytearray:
        body = bytearray()
        while True:
            while (end := self._pending.find(b"\r\n")) < 0:
                self._more()
            size = int(self._take(end + 2).split(b";")[0], 16)
            body += self._exactly(size)
            self._exactly(2)
            if not size:
                return body

    def _exactly(self, count: int) -> bytes | bytearray:
        if count <= len(self._pending):
            return self._take(count)
        body = bytearray(count)
        view, got = memoryview(body), len(self._pending)
        view[:got] = self._pending
        self._pending.clear()
        while got < count:
            received = self._sock.recv_into(view[got:])
            if not received:
                raise Closed("closed within a body")
            got += received
        return body

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._pending)[:count])
        del self._pending[:count]
        return taken

    def _more(self) -> None:
        received = self._sock.recv(_RECEIVE_BYTES)
        if not received:
            raise Closed("closed by the client")
        self._pending += received

    def _answer(self, found: list[Part]) -> None:
        entries = [
            {
                "00081150": {"vr": "UI", "Value": [part.sop_class_uid]},
                "00081155": {"vr": "UI", "Value": [part.sop_instance_uid]},
            }
            for part in found
        ]
        body = json.dumps({"00081199": {"vr": "SQ", "Value": entries}}).encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
        self._sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def parts(body: bytes | bytearray, boundary: bytes) -> list[Part]:
    """The parts of a multipart/related body (RFC 2046 5.1.1), each a DICOM file."""
    delimiter = b"--" + boundary
    found = []
    start = body.find(delimiter)
    while start >= 0:
        begin = body.find(b"\r\n\r\n", start)
        following = body.find(b"\r\n" + delimiter, start + len(delimiter))
        if begin < 0 or following < 0:
            break
        found.append(_part(memoryview(body)[begin + 4 : following]))
        start = following + 2
    return found


def _part(file: memoryview) -> Part:
    """Reads group 0002, always Explicit VR Little Endian (PS3.10 7.1)."""
    head = bytes(file[:MARKER_WITHIN_BYTES])
    uids, at = {0x0002: "", 0x0003: ""}, _META
    while at + 8 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, at)
        if group != 2:
            break
        if vr in (b"OB", b"UN"):
            at += 12 + struct.unpack_from("<L", head, at + 8)[0]
            continue
        if element in uids:
            uids[element] = head[at + 8 : at + 8 + length].decode("latin-1").strip("\0 ")
        at += 8 + length
    return Part(uids[0x0002], uids[0x0003], len(file), MARKER.encode() in head)


def main(log: Path) -> None:
    """Serve until killed: one forked process per connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = listen()
    while True:
        sock, _ = listening.accept()
        if os.fork() == 0:
            try:
                listening.close()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Connection(sock, ArrivalLog(log)).serve()
            except (Closed, OSError):
                pass  # clients hang up as they like
            finally:
                os._exit(0)
        sock.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
