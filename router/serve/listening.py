"""The listening sockets: by address, so that they outlive the plan that asked for them."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from router.dimse.tls import server_context
from router.errors import RouterError
from router.model.listener import Listener
from router.model.plan import Plan

BACKLOG = 512
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
                kept = _listen(listener)
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
        raise CannotListen(f"listener {listener.name}: {error}") from error


def _listen(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((listener.host, listener.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotListen(
            f"listener {listener.name}: cannot listen on {listener.host}:{listener.port}: "
            f"{error.strerror}"
        ) from error
    return listening
