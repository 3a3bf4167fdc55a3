"""Role `web`: health, readiness, metrics, API and pages over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from router.dimse.tls import server_context
from router.errors import StoreDown, StoreFull
from router.serve.dicomweb import SERVICES, open_dicomweb
from router.serve.gauges import SILENT_AFTER_SECONDS, gauges
from router.serve.process import Role
from router.serve.site import open_site
from router.store.ledger import Ledger
from router.store.room import Room
from router.telemetry.metrics import merged, published_ages
from router.web.app import Readings, Site, make_app
from router.web.dicomweb.routes import Routes
from router.web.server import LAST_WORDS_SECONDS, HttpServer

# What is being answered when the router stops may go on so long.
STOP_SECONDS = 15.0


def web(
    role: Role,
    sockets: Mapping[str, socket.socket],
    expected: frozenset[str],
    folder: Path,
    bell: int,
) -> None:
    """Serve every HTTP listener until told to stop.

    `expected` are the roles that must be alive, `folder` the configuration's as it was given.
    """
    room = Room(role.places.data_dir, role.clock)
    site, not_ready = open_site(role, folder, lambda ledger: _reasons(role, ledger, room, expected))
    ledger = site.services.ledger

    def metrics() -> bytes:
        trail = site.services.trail
        return merged(role.places.run, gauges(role, ledger, expected, trail))

    readings = Readings(not_ready, metrics)
    dicomweb = None
    if any(SERVICES.intersection(role.plan.listeners[name].serve) for name in sockets):
        dicomweb = open_dicomweb(role, site, bell)
        if dicomweb is None:
            return
    servers = []
    for name, listening in sockets.items():
        more = dicomweb.routes(name) if dicomweb else []
        servers.append(_server(role, name, readings, site, listening, more))
    threads = [role.threads.start("http", server.run) for server in servers]
    role.wait()
    for server in servers:
        server.retire()
    site.events.end()
    # An upload that was begun is read to its end, however long; a stop gives it less.
    role.finish(
        lambda: (
            not any(one.is_alive() for one in threads) and not site.services.retrievals.is_busy()
        )
    )
    until = role.clock.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - role.clock.monotonic()))
    for server in servers:
        server.stop()
    for thread in threads:
        thread.join(LAST_WORDS_SECONDS + 1.0)
    if dicomweb is not None:
        dicomweb.close()
    site.close()


def _reasons(role: Role, ledger: Ledger, room: Room, expected: frozenset[str]) -> tuple[str, ...]:
    """Why the router is not ready; empty when it is."""
    ages = published_ages(role.places.run)
    reasons = [
        f"role {name} is silent"
        for name in sorted(expected)
        if ages.get(name, SILENT_AFTER_SECONDS) >= SILENT_AFTER_SECONDS
    ]
    try:
        room.check()
    except StoreFull as error:
        reasons.append(str(error))
    try:
        ledger.marks()
    except StoreDown as error:
        reasons.append(f"ledger: {error}")
    return tuple(reasons)


def _server(
    role: Role,
    name: str,
    readings: Readings,
    site: Site,
    listening: socket.socket,
    more: Routes,
) -> HttpServer:
    """The certificates are read here: what renews them comes as a new generation of this role."""
    listener = role.plan.listeners[name]
    context = server_context(role.plan.tls[listener.tls]) if listener.tls else None
    app = make_app(
        readings,
        frozenset(listener.serve),
        site,
        is_tls=context is not None,
        origins=listener.origins,
        more=more,
        on_bug=lambda error: role.log.bug("a request failed", error),
    )
    return HttpServer(app, listening, context)
