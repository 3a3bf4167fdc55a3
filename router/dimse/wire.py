"""A connected socket, plain or TLS, whose every call has a deadline.

A plain socket stays blocking and gets its time-outs from the kernel, which costs one system call
per read instead of two. A call wakes at least once a second to see whether another thread wants
the association to end (`interrupt`). Everything that can go wrong is a ProtocolError of one of two
kinds: `Closed` (the peer, or the network, or we ended it) and `Stalled` (a deadline passed).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Sequence

from router.clock import Clock
from router.dimse.tls import subject_of
from router.errors import ProtocolError

SLICE_SECONDS = 1.0
KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_INTERVAL_SECONDS = 10
KEEPALIVE_PROBES = 3
USER_TIMEOUT_MILLISECONDS = 60_000
_LINGER_BYTES = 16 * 1024 * 1024

Buffer = bytes | bytearray | memoryview


class Closed(ProtocolError):
    """The connection is gone; nothing can be said to the peer any more."""


class Stalled(ProtocolError):
    """The peer did not send, or did not read, in time."""


def set_options(sock: socket.socket) -> None:
    """No delay in sending, and a dead peer noticed within about a minute (reliability 3.2)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLISECONDS)


class Wire:
    """One connection. Only `interrupt` may be called from another thread than the owner's."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._monotonic = clock.monotonic
        self._lock = threading.Lock()
        self._closed = False
        self._in_handshake = False
        self._timeouts = {socket.SO_RCVTIMEO: 0.0, socket.SO_SNDTIMEO: 0.0}
        self.interrupted = False
        if not self._tls:
            sock.settimeout(None)

    def _limit(self, option: int, deadline: float) -> None:
        """Let the next call end at the deadline, or after a slice, whichever is first."""
        left = deadline - self._monotonic()
        if left <= 0:
            raise Stalled("a deadline passed")
        # In steps of 10 ms, so that a time-out already set mostly serves again.
        seconds = min(max(round(left, 2), 0.01), SLICE_SECONDS)
        if self.interrupted:
            raise Closed("the association was ended on our side")
        if self._tls:
            self._sock.settimeout(seconds)
        elif seconds != self._timeouts[option]:
            whole = int(seconds)
            value = struct.pack("@ll", whole, max(1, int((seconds - whole) * 1_000_000)))
            self._sock.setsockopt(socket.SOL_SOCKET, option, value)
            self._timeouts[option] = seconds

    def secure(
        self, context: ssl.SSLContext, deadline: float, server_hostname: str | None = None
    ) -> None:
        """Do the TLS handshake: as a client when a host name is given, else as a server.

        Raises Stalled at the deadline and Closed, with the reason in words, when it fails.
        """
        try:
            secured = context.wrap_socket(
                self._sock,
                server_side=server_hostname is None,
                do_handshake_on_connect=False,
                server_hostname=server_hostname,
            )
        except (OSError, ValueError) as error:
            raise Closed("the peer closed the connection before the TLS handshake") from error
        with self._lock:
            self._sock = secured
            self._tls = True
        self._in_handshake = True
        seconds = deadline - self._monotonic()
        if seconds <= 0 or self.interrupted:
            raise Stalled("the TLS handshake was not finished in time")
        try:
            secured.settimeout(seconds)
            secured.do_handshake()
            self._in_handshake = False
        except TimeoutError as error:
            raise Stalled("the TLS handshake was not finished in time") from error
        except OSError as error:
            raise Closed(describe(error)) from error

    @property
    def tls_subject(self) -> str | None:
        """The peer's verified certificate in one line (`tls.subject_of`), or None."""
        return subject_of(self._sock) if isinstance(self._sock, ssl.SSLSocket) else None

    def receive_into(self, view: memoryview, deadline: float) -> int:
        """Receive at least one byte into the view; 0 when the peer closed orderly.

        Raises Stalled when nothing came by the deadline (monotonic seconds), Closed on a reset.
        """
        while True:
            self._limit(socket.SO_RCVTIMEO, deadline)
            try:
                # A delayed acknowledgement of ours would hold back senders that use Nagle's rule.
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                received = self._sock.recv_into(view)
            except (BlockingIOError, TimeoutError):
                continue
            except OSError as error:
                raise Closed(describe(error)) from error
            if not received and self.interrupted:
                raise Closed("the association was ended on our side")
            return received

    def send(self, parts: Sequence[Buffer], deadline: float) -> None:
        """Send all parts in order, as few system calls as the kernel allows.

        Raises Stalled when the peer does not take them by the deadline, Closed when it is gone.
        At most 1,024 parts (IOV_MAX), each a flat buffer of bytes.
        """
        if self._tls:
            parts = (b"".join(parts),)
        left = list(parts)
        while left:
            self._limit(socket.SO_SNDTIMEO, deadline)
            try:
                sent = self._sock.send(left[0]) if len(left) == 1 else self._sock.sendmsg(left)
            except (BlockingIOError, TimeoutError):
                continue
            except OSError as error:
                raise Closed(describe(error)) from error
            left = _rest(left, sent)

    def linger(self, seconds: float) -> None:
        """Read and drop until the peer closes, for a bounded time and a bounded amount.

        Closing with unread input would reset the connection and could destroy the PDU just sent.
        """
        deadline = self._monotonic() + seconds
        scratch = memoryview(bytearray(65536))
        taken = 0
        with contextlib.suppress(ProtocolError):
            while taken < _LINGER_BYTES:
                received = self.receive_into(scratch, deadline)
                if not received:
                    return
                taken += received

    def is_open(self) -> bool:
        """Whether the peer has neither closed nor sent anything unasked."""
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
        if self._tls:
            # A Python time-out makes even MSG_DONTWAIT wait; the next call sets its own again.
            self._sock.settimeout(0.0)
        try:
            socket.socket.recv(self._sock, 1, flags)
        except (BlockingIOError, TimeoutError):
            return True
        except OSError:
            return False
        return False

    def interrupt(self) -> None:
        """Make the owner's present and later calls raise Closed within a second."""
        with self._lock:
            self.interrupted = True
            if not self._closed:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._sock, socket.SHUT_RD)

    def farewell(self, pdu: bytes, seconds: float) -> None:
        """Try to send a last PDU, also after `interrupt`; a failure no longer matters.

        Within an unfinished TLS handshake there is no way to say anything.
        """
        if self._in_handshake:
            return
        self.interrupted = False
        with contextlib.suppress(ProtocolError):
            self.send((pdu,), self._monotonic() + seconds)

    def close(self) -> None:
        """Close the socket; harmless when it is closed."""
        with self._lock:
            self._closed = True
            with contextlib.suppress(OSError):
                self._sock.close()


def _rest(parts: list[Buffer], sent: int) -> list[Buffer]:
    """What is left of the parts after the first `sent` bytes."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [memoryview(part)[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def describe(error: OSError) -> str:
    """The error in words an operator can act on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the peer closed the connection in the middle"
    if isinstance(error, ssl.SSLError):
        # What OpenSSL did not say itself ("Underlying socket connection gone") has no reason.
        reason = getattr(error, "reason", None) or (error.args or ("no reason given",))[-1]
        return f"TLS: {str(reason).lower().replace('_', ' ')}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the peer reset the connection"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or type(error).__name__
