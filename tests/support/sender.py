"""A fast, honest storage user: it believes a peer's answers and remembers each of them.

Written on `wire`, not on the product, so that a test of the product is judged from outside.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from tests.support import wire

_CHUNK_BYTES = 1 << 18


class Sender:
    """One association to a storage provider. Use as a context manager: it releases at the end.

    Raises wire.RejectedAssociation, and wire.Closed when the peer ends the association.
    """

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, Sequence[str]]],
        *,
        calling_ae_title: str = "CT1",
        called_ae_title: str = "EDGE_A",
        timeout_seconds: float = 30.0,
        host: str = "127.0.0.1",
    ) -> None:
        self._sock = socket.create_connection((host, port), timeout_seconds)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message_id = 0
        try:
            self._negotiate(called_ae_title, calling_ae_title, contexts)
        except BaseException:
            self._sock.close()
            raise

    def _negotiate(
        self, called: str, calling: str, contexts: Sequence[tuple[str, Sequence[str]]]
    ) -> None:
        self._sock.sendall(wire.associate_rq(called, calling, contexts))
        kind, body = wire.read_pdu(self._sock)
        if kind == wire.ASSOCIATE_RJ:
            raise wire.RejectedAssociation(*body[1:4])
        if kind != wire.ASSOCIATE_AC:
            raise wire.Closed(f"PDU type {kind} in answer to the request", body)
        answer = wire.parse_associate(body)
        limit = answer.max_pdu_bytes or 1 << 20
        self._fragment_bytes = min(limit, 1 << 20) - 6
        self._contexts = {
            (contexts[(context_id - 1) // 2][0], transfers[0]): context_id
            for context_id, (_, transfers, result) in answer.contexts.items()
            if result == 0
        }

    def accepted(self) -> frozenset[tuple[str, str]]:
        """The pairs of SOP class and transfer syntax the peer agreed to."""
        return frozenset(self._contexts)

    def echo(self) -> int:
        """C-ECHO; the status."""
        context_id = next(iter(self._contexts.values()))
        self._command(
            context_id,
            {0x0002: wire.VERIFICATION, 0x0100: wire.C_ECHO_RQ, 0x0800: wire.NO_DATA_SET},
        )
        return self._status()

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        data_set: bytes | Iterable[bytes],
        was_sent: Callable[[], None] | None = None,
        priority: int = 0,
    ) -> int:
        """C-STORE of a whole data set or of its chunks; the status the peer answered.

        `was_sent` is called when the last byte was handed to the kernel, before the answer.
        """
        context_id = self._contexts[sop_class_uid, transfer_syntax_uid]
        self._command(
            context_id,
            {
                0x0002: sop_class_uid,
                0x0100: wire.C_STORE_RQ,
                0x0700: priority,
                0x0800: wire.DATA_SET,
                0x1000: sop_instance_uid,
            },
        )
        self._send_data_set(context_id, data_set)
        if was_sent is not None:
            was_sent()
        return self._status()

    def _command(self, context_id: int, elements: dict[int, int | str]) -> None:
        self._message_id = self._message_id % 0xFFFF + 1
        elements[0x0110] = self._message_id
        data = wire.encode_command(elements)
        self._send(wire.pdv(context_id, data, command=True, last=True))

    def _send_data_set(self, context_id: int, data_set: bytes | Iterable[bytes]) -> None:
        chunks = [data_set] if isinstance(data_set, bytes) else data_set
        pending: memoryview | None = None
        for chunk in chunks:
            view = memoryview(chunk)
            for start in range(0, len(view), self._fragment_bytes):
                if pending is not None:
                    self._fragment(context_id, pending, last=False)
                pending = view[start : start + self._fragment_bytes]
        self._fragment(context_id, pending if pending is not None else memoryview(b""), last=True)

    def _fragment(self, context_id: int, data: memoryview, *, last: bool) -> None:
        header = struct.pack(
            ">BBLLBB",
            wire.P_DATA,
            0,
            len(data) + 6,
            len(data) + 2,
            context_id,
            2 if last else 0,
        )
        if len(data) <= _CHUNK_BYTES:
            self._send(header + data)
        else:
            self._send(header)
            self._send(data)

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._sock.sendall(data)
        except ConnectionError as error:
            raise wire.Closed(str(error)) from error

    def _status(self) -> int:
        answer = wire.read_message(self._sock)
        if isinstance(answer, int):
            raise wire.Closed(f"PDU type {answer} instead of a response")
        if answer.command.get(0x0120) != self._message_id:
            raise wire.Closed("a response to another message")
        return int(answer.command[0x0900])

    def release(self) -> None:
        """A-RELEASE, and wait for its answer."""
        self._send(wire.pdu(wire.RELEASE_RQ, bytes(4)))
        wire.read_pdu(self._sock)
        self._sock.close()

    def abort(self) -> None:
        """A-ABORT, and close."""
        try:
            self._send(wire.pdu(wire.ABORT, bytes(4)))
        except wire.Closed:
            pass
        self._sock.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.close()
