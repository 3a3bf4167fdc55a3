"""Connecting to a peer: the socket to it, and its refusal of an association in words."""

from __future__ import annotations

import socket

from router.clock import Clock
from router.dimse.wire import describe, set_options
from router.errors import Busy, DeliveryError, Rejected, Unreachable

_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
_SOURCES = {1: "service user", 2: "service provider (ACSE)", 3: "service provider (presentation)"}


def open_socket(host: str, port: int, peer: str, deadline: float, clock: Clock) -> socket.socket:
    """A connected socket; every address of the name is tried, looked up anew each time."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{peer}: the host name is not known") from error
    cause = "no address"
    for family, kind, protocol, _, address in addresses:
        seconds = deadline - clock.monotonic()
        if seconds <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(seconds)
            sock.connect(address)
            set_options(sock)
        except OSError as error:
            sock.close()
            cause = describe(error)
            continue
        return sock
    raise Unreachable(f"{peer}: {cause}")


def refused(peer: str, result: int, source: int, reason: int) -> DeliveryError:
    """The A-ASSOCIATE-RJ in words: Busy when it is transient, Rejected when permanent."""
    words = _REASONS.get((source, reason), f"reason {reason}")
    by = _SOURCES.get(source, f"source {source}")
    if result == 2:
        return Busy(f"{peer}: association rejected for now by the {by}: {words}")
    return Rejected(f"{peer}: association rejected by the {by}: {words}")
