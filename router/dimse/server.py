"""The DIMSE provider of one listener: accept, bound, hand over to a thread per association.

The accepting thread does nothing but accept; no peer, silent, slow or hostile, delays the next.
The listening socket is given, so it can outlive the plan that asked for it. `drain` lets running
work end while new requests hear "temporary congestion"; `close` ends what is left.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading

from router.clock import Clock
from router.dimse.admission import Admission, Connection
from router.dimse.association import Association, Service
from router.dimse.handlers import (
    CALLED_AE_TITLE_NOT_RECOGNISED,
    CALLING_AE_TITLE_NOT_RECOGNISED,
    Calling,
    Counts,
    Handlers,
    Observe,
    Rejection,
    StoreAnswer,
    StoreRequest,
)
from router.dimse.wire import Wire, set_options
from router.model.listener import Listener
from router.threads import Threads

__all__ = [
    "CALLED_AE_TITLE_NOT_RECOGNISED",
    "CALLING_AE_TITLE_NOT_RECOGNISED",
    "Calling",
    "Counts",
    "Handlers",
    "Observe",
    "Rejection",
    "Server",
    "StoreAnswer",
    "StoreRequest",
]

_BACKLOG = 512
_ACCEPT_SECONDS = 0.25
_DRAIN_STEP_SECONDS = 0.02
_CLOSE_SECONDS = 5.0


def _unobserved(event: str, /, **facts: object) -> None:
    """Where nobody listens."""


class Server:
    """Accepts DICOM associations on one socket."""

    def __init__(
        self,
        listener: Listener,
        sock: socket.socket,
        handlers: Handlers,
        threads: Threads,
        clock: Clock,
        *,
        tls_context: ssl.SSLContext | None = None,
        observe: Observe = _unobserved,
    ) -> None:
        """`sock` is bound; with `tls_context` every peer must speak TLS first."""
        self._listener = listener
        self._sock = sock
        self._threads = threads
        self._clock = clock
        self._observe = observe
        self._tls_context = tls_context
        self._admission = Admission(listener.limits)
        self._draining = threading.Event()
        self._closed = threading.Event()
        self._retired = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._accepting: threading.Thread | None = None
        self._service = Service(listener, handlers, self._admission, clock, observe, self._draining)

    def start(self) -> None:
        """Begin to listen and accept, in a thread of its own. Raises OSError when it cannot."""
        self._sock.listen(_BACKLOG)
        self._sock.setblocking(False)
        self._accepting = self._threads.start(f"accept {self._listener.name}", self._accept)

    def use_tls_context(self, context: ssl.SSLContext) -> None:
        """Take renewed certificates into use for all later connections."""
        self._tls_context = context

    def counts(self) -> Counts:
        """The numbers now, for metrics."""
        return self._admission.counts()

    def is_busy(self) -> bool:
        """Whether any connection is open, with an association or on the way to one."""
        return bool(self._admission.connections())

    def drain(self, seconds: float) -> bool:
        """Refuse new associations, end idle ones, wait for the busy; whether all ended in time."""
        self._draining.set()
        deadline = self._clock.monotonic() + seconds
        while self._admission.counts().open:
            if self._clock.monotonic() >= deadline:
                return False
            self._clock.wait(self._closed, _DRAIN_STEP_SECONDS)
        return True

    def retire(self) -> None:
        """Accept nothing more here, and leave the associations there are to their own end."""
        self._retired.set()
        self._stop_accepting()

    def _stop_accepting(self) -> None:
        if self._accepting is not None:
            os.eventfd_write(self._wake, 1)
            self._accepting.join(_CLOSE_SECONDS)

    def close(self, *, keep_socket: bool = False) -> None:
        """Stop accepting, abort what is left, and wait a bounded time for its threads."""
        self._draining.set()
        self._closed.set()
        self._stop_accepting()
        if not keep_socket:
            self._sock.close()
        # Once each: a second time would silence the abort the first one made it send.
        for connection in self._admission.connections():
            connection.wire.interrupt()
        deadline = self._clock.monotonic() + _CLOSE_SECONDS
        while self._admission.connections() and self._clock.monotonic() < deadline:
            self._clock.wait(threading.Event(), _DRAIN_STEP_SECONDS)
        if self._accepting is not None and not self._accepting.is_alive():
            self._accepting = None
            os.close(self._wake)

    def _accept(self) -> None:
        news = select.poll()
        news.register(self._sock, select.POLLIN)
        news.register(self._wake, select.POLLIN)
        while not any(
            ended.is_set() for ended in (self._closed, self._retired, self._threads.stop)
        ):
            if not news.poll(_ACCEPT_SECONDS * 1000):
                continue
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                continue  # another process that has the socket took it, or it is time to end
            except OSError as error:
                # Out of descriptors or memory, or the peer was gone at once: none is for ever.
                self._observe("accept_failed", listener=self._listener.name, error=error.errno)
                self._clock.wait(self._closed, _ACCEPT_SECONDS)
                continue
            self._begin(sock, str(address[0]))
        if self._retired.is_set():
            self._accept_last()
            self._sock.close()

    def _accept_last(self) -> None:
        """Who was let in by the system before the end: a socket that closes would reset them."""
        with contextlib.suppress(OSError):
            for _ in range(_BACKLOG):
                sock, address = self._sock.accept()
                self._begin(sock, str(address[0]))

    def _begin(self, sock: socket.socket, address: str) -> None:
        """Give the connection a thread; under want of threads it is closed instead."""
        try:
            set_options(sock)
            connection = Connection(Wire(sock, self._clock), address, self._clock.monotonic())
        except OSError:
            sock.close()
            return
        self._admission.enter(connection)
        association = Association(self._service, connection, self._tls_context)
        try:
            self._threads.start(f"association {self._listener.name} {address}", association.run)
        except RuntimeError:
            self._admission.refuse("threads")
            self._admission.leave(connection)
            with contextlib.suppress(OSError):
                connection.wire.close()
