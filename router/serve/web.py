"""Role `web`: health, readiness, metrics, API and pages over HTTP."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from router.dimse.certificates import read_certificate
from router.dimse.tls import server_context
from router.errors import StoreDown, StoreFull
from router.model.plan import Plan
from router.serve.dicomweb import SERVICES, open_dicomweb
from router.serve.places import Places
from router.serve.process import Role
from router.serve.reload_state import read_state
from router.serve.site import open_site
from router.store.audit import AuditTrail
from router.store.ledger import Ledger
from router.store.room import Room
from router.telemetry.metrics import Gauges, merged, published_ages
from router.web.app import Readings, Site, make_app
from router.web.dicomweb.routes import Routes
from router.web.server import DRAIN_SECONDS, HttpServer

SILENT_AFTER_SECONDS = 5.0


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
        gauges = (
            *_ledger_gauges(ledger, role.places.data_dir),
            *_reload_gauges(role.places),
            _certificate_gauges(role.plan),
            _audit_gauge(role.plan, site.services.trail),
        )
        return merged(role.places.run, gauges)

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
        server.stop()
    for thread in threads:
        thread.join(DRAIN_SECONDS + 1.0)
    role.finish(lambda: not site.services.retrievals.is_busy())
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


def _certificate_gauges(plan: Plan) -> Gauges:
    """When our own certificates end; those that cannot be read now are left out."""
    rows: list[tuple[tuple[str, ...], float]] = []
    for profile in plan.tls.values():
        with suppress(ValueError):
            if profile.cert is not None:
                rows.append(((profile.name,), read_certificate(profile.cert).not_after))
    return Gauges(
        "tls_certificate_expiry_timestamp_seconds",
        "When the certificate of a TLS profile ends.",
        ("profile",),
        tuple(rows),
    )


def _audit_gauge(plan: Plan, trail: AuditTrail) -> Gauges:
    """How much of the audit trail its receiver has not read; nothing where there is none."""
    head = trail.head()
    waiting = float(head.last_id - head.shipped_id)
    rows = (((), waiting),) if plan.audit.syslog is not None else ()
    return Gauges("audit_unshipped", "Audit messages the receiver has not read.", (), rows)


def _reload_gauges(places: Places) -> tuple[Gauges, ...]:
    """How the last change of the configuration went; a router that never changed went well."""
    state = read_state(places)
    went_well = state is None or state.state != "refused"
    rows = () if state is None or not went_well else (((), state.at),)
    return (
        Gauges(
            "config_last_reload_successful",
            "0 while the configuration folder holds what was refused.",
            (),
            (((), float(went_well)),),
        ),
        Gauges(
            "config_last_reload_success_timestamp_seconds",
            "When a change of the configuration was last taken.",
            (),
            rows,
        ),
    )


def _ledger_gauges(ledger: Ledger, data_dir: Path) -> tuple[Gauges, ...]:
    account = ledger.account()
    deliveries = tuple(
        ((station, state), float(count))
        for station, states in account.stations.items()
        for state, count in states.items()
    )
    up = tuple(
        ((station,), float(status.state == "online"))
        for station, status in ledger.station_statuses().items()
        if status.state in {"online", "offline"}
    )
    instances = tuple(((name,), float(count)) for name, count in account.instances.items())
    imbalance = float(len(account.differences))
    free_bytes = float(shutil.disk_usage(data_dir).free)
    return (
        Gauges("instances", "Accepted instances, by where they are.", ("disposition",), instances),
        Gauges("deliveries", "Deliveries, by state.", ("station", "state"), deliveries),
        Gauges("station_up", "1 online, 0 offline; absent when unknown.", ("station",), up),
        Gauges(
            "ledger_imbalance",
            "What is not in exactly one place; must be 0.",
            (),
            (((), imbalance),),
        ),
        Gauges("storage_free_bytes", "Free bytes on the volume.", (), (((), free_bytes),)),
    )
