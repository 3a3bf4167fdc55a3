"""A storage provider that follows a script: any status, none, the wrong one, silence, an abort.

`Script` says how it behaves; what it saw is in `stored` and `associations`. It stores nothing on
disk and keeps only digests of data sets, so it may receive a lot.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support import wire

Answer = int | str


@dataclass(frozen=True, slots=True)
class Script:
    """How the provider behaves.

    `reject`: (result, source, reason) of PS3.8 table 9-21. `accept`: which transfer syntax of a
    proposed context, None for none. `context_result`: the result of those not accepted.
    `max_pdu_bytes`: announced; 0 = no limit. `statuses`: one answer per store, the last one for
    ever: a status, or "none" (no answer), "empty" (a response without Status), "wrong-id",
    "twice", "abort", "close", "garbage". `abort_at_pdu`: A-ABORT when that many P-DATA PDUs have
    come. `stop_reading_after_bytes`: reads so many and no more. `answer_early`: responds before
    the data set ends. `comment`: Error Comment. `release`: whether a release is answered.
    `pause_seconds`: before each answer to a store.
    """

    reject: tuple[int, int, int] | None = None
    accept: Callable[[str, Sequence[str]], str | None] = lambda _abstract, syntaxes: syntaxes[0]
    context_result: int = 4
    max_pdu_bytes: int = 16384
    statuses: Sequence[Answer] = (0x0000,)
    abort_at_pdu: int | None = None
    stop_reading_after_bytes: int | None = None
    answer_early: bool = False
    comment: str = ""
    release: bool = True
    echo_status: int = 0x0000
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """One C-STORE as it was received; `at` is the monotonic time of its last byte."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    priority: int
    length: int
    sha256: str
    answer: Answer
    at: float = 0.0
    move_originator: tuple[str, int] | None = None


@dataclass(slots=True)
class _Reading:
    """Where one association stands."""

    transfers: dict[int, str]
    pdus: int = 0
    bytes: int = 0
    command: bytearray = field(default_factory=bytearray)
    request: wire.Message | None = None
    data_set: bytearray = field(default_factory=bytearray)


class ScriptedScp:
    """The provider, on a loopback `port`. `script` may be replaced at any time; it is read for
    each association. Use as a context manager."""

    def __init__(self, script: Script | None = None, *, port: int = 0) -> None:
        self.script = script or Script()
        self.stored: list[Stored] = []
        self.associations: list[wire.Associate] = []
        self.echoes = 0
        self.largest_pdu_bytes = 0
        self._answers = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="scripted-accept", daemon=True).start()

    def close(self) -> None:
        """Stop listening; break open connections."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(sock)
            threading.Thread(
                target=self._serve, args=(sock,), name="scripted-association", daemon=True
            ).start()

    def _serve(self, sock: socket.socket) -> None:
        script = self.script
        try:
            transfers = self._negotiate(sock, script)
            if transfers is not None:
                self._read(sock, script, _Reading(transfers))
        except (wire.Closed, OSError, struct.error):
            pass
        finally:
            self._open.discard(sock)
            sock.close()

    def _negotiate(self, sock: socket.socket, script: Script) -> dict[int, str] | None:
        kind, body = wire.read_pdu(sock)
        if kind != wire.ASSOCIATE_RQ:
            return None
        request = wire.parse_associate(body)
        with self._lock:
            self.associations.append(request)
        if script.reject is not None:
            sock.sendall(wire.pdu(wire.ASSOCIATE_RJ, bytes((0, *script.reject))))
            with contextlib.suppress(wire.Closed):
                wire.read_pdu(sock)
            return None
        accepted: dict[int, tuple[int, str]] = {}
        for context_id, (abstract, transfers, _) in request.contexts.items():
            chosen = script.accept(abstract, transfers)
            result = 0 if chosen is not None else script.context_result
            accepted[context_id] = (result, chosen or transfers[0])
        sock.sendall(wire.associate_ac(request, accepted, script.max_pdu_bytes))
        return {key: transfer for key, (result, transfer) in accepted.items() if result == 0}

    def _read(self, sock: socket.socket, script: Script, at: _Reading) -> None:
        while True:
            kind, length = self._header(sock)
            if kind == wire.RELEASE_RQ:
                wire.receive_exactly(sock, length)
                if script.release:
                    sock.sendall(wire.pdu(wire.RELEASE_RP, bytes(4)))
                else:
                    self._closing.wait()
                return
            if kind != wire.P_DATA:
                return
            limit = script.stop_reading_after_bytes
            if limit is not None and at.bytes + length > limit:
                wire.receive_exactly(sock, max(0, limit - at.bytes))
                self._closing.wait()
                return
            body = wire.receive_exactly(sock, length)
            at.bytes += length
            at.pdus += 1
            if script.abort_at_pdu is not None and at.pdus >= script.abort_at_pdu:
                sock.sendall(wire.pdu(wire.ABORT, bytes(4)))
                return
            for context_id, is_command, last, fragment in wire.parse_pdvs(body):
                if not self._fragment(sock, script, at, context_id, is_command, last, fragment):
                    return

    def _header(self, sock: socket.socket) -> tuple[int, int]:
        kind, _, length = struct.unpack(">BBL", wire.receive_exactly(sock, 6))
        if kind == wire.P_DATA:
            self.largest_pdu_bytes = max(self.largest_pdu_bytes, length)
        return kind, length

    def _fragment(
        self,
        sock: socket.socket,
        script: Script,
        at: _Reading,
        context_id: int,
        is_command: bool,
        last: bool,
        data: bytes,
    ) -> bool:
        """Take one fragment; false when the association is over."""
        (at.command if is_command else at.data_set).extend(data)
        if not last:
            return True
        if is_command:
            at.request = wire.Message(context_id, wire.decode_command(bytes(at.command)))
            at.command.clear()
            if at.request.command.get(0x0100) == wire.C_ECHO_RQ:
                self.echoes += 1
                self._respond(sock, script, at.request, script.echo_status)
                return True
            if script.answer_early:
                return self._answer(sock, script, at.request, self._next(script))
            return True
        assert at.request is not None
        answer = "early" if script.answer_early else self._next(script)
        self._remember(at, context_id, answer)
        at.data_set.clear()
        return answer == "early" or self._answer(sock, script, at.request, answer)

    def _next(self, script: Script) -> Answer:
        with self._lock:
            answer = script.statuses[min(self._answers, len(script.statuses) - 1)]
            self._answers += 1
        return answer

    def _remember(self, at: _Reading, context_id: int, answer: Answer) -> None:
        assert at.request is not None
        command = at.request.command
        stored = Stored(
            sop_class_uid=str(command.get(0x0002, "")),
            sop_instance_uid=str(command.get(0x1000, "")),
            transfer_syntax_uid=at.transfers.get(context_id, ""),
            priority=int(command.get(0x0700, 0)),
            length=len(at.data_set),
            sha256=hashlib.sha256(at.data_set).hexdigest(),
            answer=answer,
            at=time.monotonic(),
            move_originator=_originator(command),
        )
        with self._lock:
            self.stored.append(stored)

    def _answer(
        self, sock: socket.socket, script: Script, request: wire.Message, answer: Answer
    ) -> bool:
        """Answer as the script says; false when the association is over."""
        self._closing.wait(script.pause_seconds)
        if answer == "none":
            return True
        if answer == "abort":
            sock.sendall(wire.pdu(wire.ABORT, bytes((0, 0, 2, 0))))
            return False
        if answer == "close":
            return False
        if answer == "garbage":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return False
        if answer == "wrong-id":
            self._respond(sock, script, request, 0x0000, message_id=0xBEEF)
        elif answer == "empty":
            self._respond(sock, script, request, None)
        elif answer == "twice":
            self._respond(sock, script, request, 0x0000)
            self._respond(sock, script, request, 0x0000)
        else:
            self._respond(sock, script, request, int(answer))
        return True

    def _respond(
        self,
        sock: socket.socket,
        script: Script,
        request: wire.Message,
        status: int | None,
        *,
        message_id: int | None = None,
    ) -> None:
        asked = request.command
        elements: dict[int, int | str] = {
            0x0002: str(asked.get(0x0002, "")),
            0x0100: int(asked.get(0x0100, 0)) | 0x8000,
            0x0120: int(asked.get(0x0110, 0)) if message_id is None else message_id,
            0x0800: wire.NO_DATA_SET,
        }
        if status is not None:
            elements[0x0900] = status
        if script.comment:
            elements[0x0902] = script.comment
        if 0x1000 in asked:
            elements[0x1000] = asked[0x1000]
        data = wire.encode_command(elements)
        sock.sendall(wire.pdv(request.context_id, data, command=True, last=True))


def _originator(command: dict[int, int | str]) -> tuple[str, int] | None:
    """Move Originator AE title and message ID of a C-STORE-RQ."""
    if 0x1030 not in command:
        return None
    return str(command[0x1030]).strip(), int(command.get(0x1031, -1))
