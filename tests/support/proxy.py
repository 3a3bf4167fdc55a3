"""A TCP proxy that breaks things: cut after N bytes, reset, stall, slice, delay, throttle.

One rule for each direction, read again for every chunk, so a test may change it while bytes flow.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one direction. Counted bytes are those of one connection.

    `cut_after_bytes`: pass so many, then close (or reset, with `reset`); `stall_after_bytes`: pass
    so many, then nothing more, the connection stays open; `slice_bytes`: at most so many a write;
    `delay_seconds`: before each write; `bytes_per_second`: average bandwidth.
    """

    cut_after_bytes: int | None = None
    reset: bool = False
    stall_after_bytes: int | None = None
    slice_bytes: int | None = None
    delay_seconds: float = 0.0
    bytes_per_second: float | None = None


class FaultProxy:
    """Listens on `port` and connects each client to `target_port`, both on loopback.

    `to_target` and `to_client` may be replaced at any time; `refuse` closes new connections at
    once. Use as a context manager.
    """

    def __init__(
        self, target_port: int, to_target: Fault | None = None, to_client: Fault | None = None
    ) -> None:
        self._target_port = target_port
        self.to_target = to_target or Fault()
        self.to_client = to_client or Fault()
        self.refuse = False
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy-accept", daemon=True).start()

    def heal(self) -> None:
        """No fault any more, for connections to come and those that still pass bytes."""
        self.to_target = self.to_client = Fault()
        self.refuse = False

    def drop(self, *, reset: bool = True) -> None:
        """Break every open connection now."""
        for sock in tuple(self._open):
            self._end(sock, reset=reset)

    def close(self) -> None:
        """Stop listening and break what is open."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

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
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refuse:
                self._end(client, reset=True)
                continue
            try:
                target = socket.create_connection(("127.0.0.1", self._target_port), 10)
            except OSError:
                self._end(client, reset=True)
                continue
            target.settimeout(None)
            for sock in (client, target):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(sock)
            for source, sink, side in (
                (client, target, "to_target"),
                (target, client, "to_client"),
            ):
                threading.Thread(
                    target=self._pump, args=(source, sink, side), name=f"proxy-{side}", daemon=True
                ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, side: str) -> None:
        passed = 0
        try:
            while data := source.recv(_CHUNK_BYTES):
                fault: Fault = getattr(self, side)
                passed = self._pass(source, sink, data, passed, fault)
                if passed < 0:
                    return
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(source)
            self._end(sink)

    def _pass(
        self, source: socket.socket, sink: socket.socket, data: bytes, passed: int, fault: Fault
    ) -> int:
        """Write one chunk under the fault; the new count, or -1 when the connection is over."""
        limits = [n for n in (fault.cut_after_bytes, fault.stall_after_bytes) if n is not None]
        room = min(limits) - passed if limits else len(data)
        self._write(sink, data[: max(0, room)], fault)
        if len(data) < room or not limits:
            return passed + len(data)
        if fault.cut_after_bytes is not None and min(limits) == fault.cut_after_bytes:
            self._end(source, reset=fault.reset)
            self._end(sink, reset=fault.reset)
        else:
            while not self._closing.wait(0.05) and source in self._open:
                pass
        return -1

    def _write(self, sink: socket.socket, data: bytes, fault: Fault) -> None:
        step = fault.slice_bytes or len(data) or 1
        for start in range(0, len(data), step):
            part = data[start : start + step]
            if fault.delay_seconds:
                time.sleep(fault.delay_seconds)
            if fault.bytes_per_second:
                time.sleep(len(part) / fault.bytes_per_second)
            sink.sendall(part)

    def _end(self, sock: socket.socket, *, reset: bool = False) -> None:
        self._open.discard(sock)
        with contextlib.suppress(OSError):
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            else:
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def cut(after_bytes: int, *, reset: bool = False) -> Fault:
    """Pass so many bytes, then end the connection."""
    return replace(Fault(), cut_after_bytes=after_bytes, reset=reset)
