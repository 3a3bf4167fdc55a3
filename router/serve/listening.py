"""The listening sockets: by address, so that they outlive the plan that asked for them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from router.dimse.tls import server_context
from router.errors import RouterError
from router.model.listener import Listener
from router.model.plan import Plan

BACKLOG = 512
_FIRST_FREE_PORT = 1024
SERVED_KINDS = frozenset({"dimse", "http", "https"})
Sockets = dict[str, socket.socket]


class CannotListen(RouterError):
    """A listener cannot be opened; the message names it and the system's reason."""

    retry = False
    scope = "configuration"


def bind(plan: Plan, open_before: Mapping[tuple[str, int], socket.socket] | None = None) -> Sockets:
    """A listening socket for every listener a role serves; those at known addresses are kept.

    Raises CannotListen, and closes what it bound. Certificates are tried here too: a role that
    cannot use them would start and fail for ever.
    """
    known = open_before or {}
    bound: Sockets = {}
    fresh: list[socket.socket] = []
    try:
        for name, listener in plan.listeners.items():
            if listener.kind not in SERVED_KINDS:
                continue
            _try_certificates(plan, listener)
            kept = known.get((listener.host, listener.port))
            if kept is None:
                same_port = [sock for (_, port), sock in known.items() if port == listener.port]
                kept = _listen(listener, same_port)
                fresh.append(kept)
            bound[name] = kept
    except CannotListen:
        for listening in fresh:
            listening.close()
        raise
    return bound


def _try_certificates(plan: Plan, listener: Listener) -> None:
    if listener.tls is None:
        return
    try:
        server_context(plan.tls[listener.tls])
    except ValueError as error:
        raise CannotListen(f"{_named(listener)}: {error}") from error


def _named(listener: Listener) -> str:
    place = listener.place
    where = f"{place.file}:{place.line}: " if place is not None else ""
    return f"{where}listener {listener.name}"


def _listen(listener: Listener, same_port: Collection[socket.socket]) -> socket.socket:
    """A new listening socket; `same_port` are ours that it may overlap until they are closed."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with _shared((listening, *same_port) if same_port else ()):
            listening.bind((listener.host, listener.port))
            listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        hint = "write another bind"
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there, or write another bind"
        elif isinstance(error, PermissionError) and listener.port < _FIRST_FREE_PORT:
            hint = "ports below 1024 need CAP_NET_BIND_SERVICE"
        raise CannotListen(
            f"{_named(listener)}: cannot listen on {listener.host}:{listener.port}: "
            f"{error.strerror}; {hint}"
        ) from error
    return listening


@contextmanager
def _shared(sockets: Collection[socket.socket]) -> Iterator[None]:
    """Let sockets of ours share a port while one of them binds: 0.0.0.0 and 127.0.0.1 overlap.

    For that moment only. A port that stays shared could be taken by another process of this user,
    and two routers on one port would both seem to run.
    """
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
