"""`run`: from a plan to running roles. One order of work, for every start.

Lock the data directory, create what is missing, index what the journal holds beyond the ledger,
free the leases of earlier boots, bind every listener, fork the roles, say `ready`. What fails
before that is told and nothing is left running.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable

from router import __version__
from router.clock import Clock
from router.dimse.tls import server_context
from router.errors import RouterError
from router.model.listener import Listener
from router.model.plan import Plan
from router.serve.deliver import deliver
from router.serve.places import Places
from router.serve.process import Role, run_role
from router.serve.receive import receive
from router.serve.stores import open_journal, open_ledger
from router.serve.supervisor import Supervisor
from router.serve.web import web
from router.store.lock import DataLock
from router.store.recovery import recover
from router.store.room import Room
from router.telemetry.log import Log

BACKLOG = 512
SERVED_KINDS = frozenset({"dimse", "http"})


class CannotListen(RouterError):
    """A listener cannot be opened; the message names it and the system's reason."""

    retry = False
    scope = "configuration"


def run(plan: Plan, log: Log, on_ready: Callable[[], None]) -> int:
    """Run the router until it is told to stop; 0, or 1 when a role failed for good.

    Raises CannotListen, StoreDown and StoreFull before anything runs.
    """
    places = Places(plan.router.data_dir)
    for folder in (places.data_dir, places.run):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    boot_id = uuid.uuid4().hex
    lock = DataLock.acquire(places.data_dir, boot_id, __version__)
    try:
        # A look gives the ballast up when the disk is full: starting needs a little room.
        Room(places.data_dir, Clock()).shortage_bytes()
        for stale in places.run.iterdir():
            stale.unlink()
        _recover(plan, places, boot_id, log, unclean=lock.unclean)
        sockets = bind(plan)
        bodies = _bodies(plan, sockets, boot_id, log)
        log.info("starting", roles=" ".join(bodies), plan=plan.digest[:12], boot_id=boot_id)
        return Supervisor(bodies, log).run(on_ready)
    finally:
        lock.release()


def bind(plan: Plan) -> dict[str, socket.socket]:
    """A listening socket for every listener a role serves.

    Raises CannotListen, and closes what it bound. Certificates are tried here too: a role that
    cannot use them would start and fail for ever.
    """
    bound: dict[str, socket.socket] = {}
    try:
        for name, listener in plan.listeners.items():
            if listener.kind in SERVED_KINDS:
                _try_certificates(plan, listener)
                bound[name] = _listen(listener)
    except CannotListen:
        for listening in bound.values():
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


def _recover(plan: Plan, places: Places, boot_id: str, log: Log, *, unclean: bool) -> None:
    """Before the fork, and closed again: no database connection may cross it."""
    clock = Clock()
    ledger = open_ledger(places, clock, boot_id, quick_check=unclean)
    try:
        journal = open_journal(places, plan, clock)
        found = recover(journal, ledger)
        journal.close()
        freed = ledger.release_foreign_leases()
        ledger.remember_recipes(send.recipe for rule in plan.rules for send in rule.sends)
        log.info(
            "recovered",
            records=found.records,
            damaged=found.damaged,
            torn_bytes=found.torn_bytes,
            leases_freed=freed,
        )
    finally:
        ledger.close()


def _bodies(
    plan: Plan, sockets: dict[str, socket.socket], boot_id: str, log: Log
) -> dict[str, Callable[[], int]]:
    bell = os.eventfd(0)
    dimse = {name: sock for name, sock in sockets.items() if plan.listeners[name].kind == "dimse"}
    http = {name: sock for name, sock in sockets.items() if plan.listeners[name].kind == "http"}
    work: dict[str, Callable[[Role], None]] = {"deliver": lambda role: deliver(role, bell)}
    if dimse:
        work["receive"] = lambda role: receive(role, dimse, bell)
    expected = frozenset(work)
    if http:
        work["web"] = lambda role: web(role, http, expected)
    return {
        name: lambda name=name, body=body: run_role(name, plan, boot_id, log, body)  # type: ignore[misc]
        for name, body in work.items()
    }
