"""The fast sender: one process per association, data sets mapped, one system call per instance.

    python -m tests.bench.sender '{"port": …, "ae_title": …, "set": …, …}'

Connects, prints `ready`, waits for a line on standard input, sends, prints one JSON object:
begin_ns, end_ns (first byte handed over, last answer read) and failed (answers that were no
success, or instances a peer never answered). TLS 1.3 when the file of an `authority` is given. The moment each instance's last byte was handed to
the kernel is appended to the log `sent` when one is asked for.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.arrivals import ArrivalLog
from tests.bench.sets import (
    DIGITS,
    INSTANCE_UID,
    INSTANCES_PER_STUDY,
    SERIES_UID,
    STUDY_UID,
    DataSets,
)
from tests.support import wire

HEADER_BYTES = 16384
_PDV = struct.Struct(">BBLLBB")
_PARTS = 512
# The end of (0000,0800) "no data set" and the head of (0000,0900), where the status follows.
_STATUS = b"\x01\x01" + b"\0\0\0\x09\x02\0\0\0"
_RESULT = struct.Struct("<qqq")


class Association:
    """One association that stores instances made from the templates of a set."""

    def __init__(self, port: int, ae_title: str, sets: DataSets, authority: str = "") -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if authority:
            context = ssl.create_default_context(cafile=authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._sock = context.wrap_socket(self._sock, server_hostname="127.0.0.1")
        contexts = [(sets.sop_class_uid, [wire.EXPLICIT_VR_LITTLE_ENDIAN])]
        self._sock.sendall(wire.associate_rq(ae_title, "CT1", contexts))
        kind, body = wire.read_pdu(self._sock)
        if kind != wire.ASSOCIATE_AC:
            raise wire.Closed(f"PDU type {kind} in answer to the request", body)
        limit = wire.parse_associate(body).max_pdu_bytes or 1 << 20
        self._fragment_bytes = min(limit, 1 << 20) - 6
        with open(sets.path, "rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        whole = memoryview(pages)
        pairs = zip(sets.offsets, sets.offsets[1:], strict=False)
        self._templates = [whole[start:end] for start, end in pairs]
        self._places = [_places(template) for template in self._templates]
        self._command = _Command(sets.sop_class_uid)
        self._answer = bytearray(4096)

    def store(self, number: int) -> tuple[int, int]:
        """Store instance `number`: the time of its last byte (ns), and the status answered."""
        index = number % len(self._templates)
        template = self._templates[index]
        digits = str(number).zfill(DIGITS).encode()
        study = str(number // INSTANCES_PER_STUDY).zfill(DIGITS).encode()
        for place, is_instance in self._places[index]:
            template[place : place + DIGITS] = digits if is_instance else study
        parts: list[bytes | memoryview] = [self._command.encode(number)]
        size = self._fragment_bytes
        for start in range(0, len(template), size):
            piece = template[start : start + size]
            last = 2 if start + size >= len(template) else 0
            count = len(piece)
            parts.append(_PDV.pack(wire.P_DATA, 0, count + 6, count + 2, 1, last))
            parts.append(piece)
            if len(parts) >= _PARTS:
                self._send(parts)
                parts = []
        self._send(parts)
        sent_at = time.monotonic_ns()
        return sent_at, self._status()

    def _send(self, parts: list[bytes | memoryview]) -> None:
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.sendall(b"".join(parts))
            return
        wanted = sum(map(len, parts))
        sent = self._sock.sendmsg(parts)
        if sent < wanted:
            self._sock.sendall(b"".join(parts)[sent:])

    def _status(self) -> int:
        view, got, wanted = memoryview(self._answer), 0, 6
        while got < wanted:
            received = self._sock.recv_into(view[got:])
            if not received:
                raise wire.Closed("closed by the peer")
            got += received
            if got >= 6:
                wanted = 6 + int.from_bytes(self._answer[2:6], "big")
        at = self._answer.find(_STATUS, 0, got)
        if self._answer[0] != wire.P_DATA or at < 0:
            raise wire.Closed(f"PDU type {self._answer[0]} instead of a response")
        return int.from_bytes(self._answer[at + 10 : at + 12], "little")

    def release(self) -> None:
        """A-RELEASE, and wait for its answer."""
        self._sock.sendall(wire.pdu(wire.RELEASE_RQ, bytes(4)))
        wire.read_pdu(self._sock)
        self._sock.close()


class _Command:
    """A C-STORE-RQ encoded once; only message id and instance number change (PS3.7 9.3.1.1)."""

    def __init__(self, sop_class_uid: str) -> None:
        elements: dict[int, int | str] = {
            0x0002: sop_class_uid,
            0x0100: wire.C_STORE_RQ,
            0x0110: 0x5A5A,
            0x0700: 0,
            0x0800: wire.DATA_SET,
            0x1000: INSTANCE_UID,
        }
        data = wire.encode_command(elements)
        self._pdu = bytearray(wire.pdv(1, data, command=True, last=True))
        self._uid = self._pdu.find(INSTANCE_UID.encode()) + len(INSTANCE_UID) - DIGITS
        self._message_id = self._pdu.find(b"\x5a\x5a")

    def encode(self, number: int) -> bytes:
        self._pdu[self._uid : self._uid + DIGITS] = str(number).zfill(DIGITS).encode()
        struct.pack_into("<H", self._pdu, self._message_id, number % 0xFFFF + 1)
        return bytes(self._pdu)


def _places(template: memoryview) -> list[tuple[int, bool]]:
    """Where the ten digits of each UID lie, and whether they are the instance's."""
    header = bytes(template[:HEADER_BYTES])
    found = []
    for uid, is_instance in ((INSTANCE_UID, True), (SERIES_UID, False), (STUDY_UID, False)):
        at = header.find(uid.encode())
        assert at >= 0, f"{uid} is not in the header"
        found.append((at + len(uid) - DIGITS, is_instance))
    return found


def numbers(first: int, count: int, associations: int) -> Iterator[range]:
    """Each association's instances: neighbours, so that a study comes from one of them."""
    each, more = divmod(count, associations)
    for index in range(associations):
        stop = first + each + (index < more)
        yield range(first, stop)
        first = stop


def _run(association: Association, share: range, every_seconds: float, log: ArrivalLog) -> bytes:
    begin, failed = time.monotonic_ns(), 0
    for index, number in enumerate(share):
        if every_seconds:
            pause = begin / 1e9 + index * every_seconds - time.monotonic()
            time.sleep(max(0.0, pause))
        sent_at, status = association.store(number)
        failed += status != 0
        if every_seconds:
            log.add(number, sent_at, 0, changed=False)
    end = time.monotonic_ns()
    association.release()
    return _RESULT.pack(begin, end, failed)


def _child(start: int, results: int, job: dict, sets: DataSets, share: range) -> None:
    """Body of one forked process: connect, say so, wait for the start, send, report."""
    association = Association(job["port"], job["ae_title"], sets, job["authority"])
    os.write(results, _RESULT.pack(0, 0, 0))
    select.select([start], [], [])
    with ArrivalLog(Path(job["sent"])) as log:
        os.write(results, _run(association, share, job["every_seconds"], log))


def main(job: dict) -> int:
    """Fork the associations, start them together, gather their results."""
    sets = DataSets.from_json(job["set"])
    wait_end, start_end = os.pipe()
    results, children_end = os.pipe()
    children = []
    for share in numbers(job["first"], job["count"], job["associations"]):
        child = os.fork()
        if child == 0:
            status = 1
            os.close(start_end)
            try:
                _child(wait_end, children_end, job, sets, share)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(children_end)
    ready = [os.read(results, _RESULT.size) for _ in children]
    if any(len(one) < _RESULT.size for one in ready):
        return 1
    print("ready", flush=True)
    sys.stdin.readline()
    os.close(start_end)
    done = [os.read(results, _RESULT.size) for _ in children]
    ended = [os.waitpid(child, 0)[1] for child in children]
    if any(ended):
        return 1
    found = [_RESULT.unpack(one) for one in done]
    begin, end = min(one[0] for one in found), max(one[1] for one in found)
    json.dump({"begin_ns": begin, "end_ns": end, "failed": sum(o[2] for o in found)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
