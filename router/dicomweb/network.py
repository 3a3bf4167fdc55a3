"""Sockets under HTTP: every call ends by the deadline, and no address is reached by surprise.

A time-out of the HTTP library counts anew for each read, so a server that drips one byte a second
holds a thread for ever. Here each thread sets a deadline before it begins a request, and no connect,
handshake, read or write of that thread lasts longer. A name that resolves to this machine or to a
link-local address (where clouds keep their metadata service) is refused, unless the station itself
is written that way.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import httpcore

from router.clock import Clock
from router.errors import Rejected

_SMALLEST_WAIT_SECONDS: Final = 0.001
_KEEP_ALIVE: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)

_SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class Deadline:
    """The moment by which what this thread does now must be over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._local = threading.local()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Everything this thread does on the network inside ends after these seconds."""
        self._local.at = self._clock.monotonic() + seconds
        try:
            yield
        finally:
            self._local.at = None

    def bound(self, timeout_seconds: float | None, error: type[Exception]) -> float:
        """The shorter of the time-out and what is left; raises `error` when nothing is left."""
        at = getattr(self._local, "at", None)
        if at is None:
            return 60.0 if timeout_seconds is None else timeout_seconds
        left: float = at - self._clock.monotonic()
        if left <= 0.0:
            raise error("the time for the whole request is over")
        left = max(left, _SMALLEST_WAIT_SECONDS)
        return left if timeout_seconds is None else min(left, timeout_seconds)


class BoundedBackend(httpcore.NetworkBackend):
    """Connects, for the HTTP library, under a deadline and to permitted addresses."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.NetworkStream:
        """A TCP connection to the first address that answers; the name is resolved every time."""
        del local_address, socket_options
        problem = f"{host} has no address"
        for family, address in permitted_addresses(host, port):
            with _raised_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                for level, name, value in _KEEP_ALIVE:
                    connection.setsockopt(level, name, value)
                connection.settimeout(self._deadline.bound(timeout, httpcore.ConnectTimeout))
                connection.connect(address)
            except OSError as error:
                connection.close()
                problem = f"{host} port {port}: {error.strerror or error}"
            except BaseException:
                connection.close()
                raise
            else:
                return BoundedStream(connection, self._deadline)
        raise httpcore.ConnectError(problem)


class BoundedStream(httpcore.NetworkStream):
    """One connection whose every call ends by the deadline of the calling thread."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; b"" at the end."""
        with _raised_as(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(self._deadline.bound(timeout, httpcore.ReadTimeout))
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All the bytes; `timeout` is how long the peer may take none of them."""
        view = memoryview(buffer)
        with _raised_as(httpcore.WriteTimeout, httpcore.WriteError):
            while view:
                self._socket.settimeout(self._deadline.bound(timeout, httpcore.WriteTimeout))
                view = view[self._socket.send(view) :]

    def close(self) -> None:
        """Close the connection; never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same connection under TLS; chain and host name are verified by the context."""
        try:
            with _raised_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._socket.settimeout(self._deadline.bound(timeout, httpcore.ConnectTimeout))
                under_tls = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return BoundedStream(under_tls, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """What the connection pool asks: whether a kept connection was closed, and its objects."""
        if info == "is_readable":
            poll = select.poll()
            if self._socket.fileno() < 0:
                return True
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        return {"socket": lambda: self._socket}.get(info, lambda: None)()


@contextlib.contextmanager
def _raised_as(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise on_timeout("time-out") from error
    except OSError as error:
        # the reason of a certificate failure is what its operator needs; it names no secret
        reason = getattr(error, "verify_message", "") or error.strerror or type(error).__name__
        raise on_error(str(reason)) from error


def permitted_addresses(host: str, port: int) -> tuple[tuple[socket.AddressFamily, Any], ...]:
    """The addresses of a host, resolved now; raises Rejected when one is not for us to reach.

    Raises httpcore.ConnectError when the name has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", "") or "no such host"
        raise httpcore.ConnectError(f"{host}: {words}") from error
    means_this_machine = host == "localhost" or _is(host, lambda address: address.is_loopback)
    for _family, _type, _protocol, _name, address in found:
        number = str(address[0])
        if _is(number, lambda found: found.is_link_local or found.is_multicast):
            raise Rejected(f"{host} is at the link-local address {number}: refused")
        here = _is(number, lambda found: found.is_loopback or found.is_unspecified)
        if here and not means_this_machine:
            raise Rejected(f"{host} resolves to this machine: write localhost if that is meant")
    return tuple((family, address) for family, _type, _protocol, _name, address in found)


def _is(
    text: str, question: Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]
) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return question(mapped or address)
