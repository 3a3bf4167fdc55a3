"""What `/metrics` says besides the counters of the roles: gauges read when somebody asks.

Of the ledger, the journal's files, the configuration, the certificates and the roles themselves.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from router import __version__
from router.config.releases import Releases
from router.dimse.certificates import read_certificate
from router.model.plan import Plan
from router.serve.looking import Branch
from router.serve.places import Places
from router.serve.process import Role
from router.serve.reload_state import read_state
from router.store.audit import AuditTrail
from router.store.balance import Account, Backlog
from router.store.ledger import Ledger, StationStatus
from router.store.segment import journal_bytes
from router.telemetry.metrics import Gauges, published_ages

SILENT_AFTER_SECONDS = 5.0
_Row = tuple[tuple[str, ...], float]


def gauges(
    role: Role, ledger: Ledger, expected: Collection[str], trail: AuditTrail, folder: Path
) -> tuple[Gauges, ...]:
    """All of them, as they are now. `expected` are the roles that must run.

    `folder` is the configuration's as it was given: behind a link it is a release.
    """
    account, backlog = ledger.account(), ledger.backlog()
    return (
        *_identity(role.plan),
        *_account(account),
        *_backlog(backlog, role.clock.now()),
        *_stations(ledger.station_statuses()),
        *_reload(role.places),
        *_deployment(Branch.of(Releases(folder), role.plan)),
        *_space(role.places, backlog),
        _certificates(role.plan),
        _unshipped(role.plan, trail),
        _roles(role.places, expected),
    )


def _unshipped(plan: Plan, trail: AuditTrail) -> Gauges:
    """How much of the audit trail its receiver has not read; nothing where there is none."""
    head = trail.head()
    rows = (((), float(head.last_id - head.shipped_id)),) if plan.audit.syslog is not None else ()
    return Gauges("audit_unshipped", "Audit messages the receiver has not read.", (), rows)


def _one(name: str, text: str, value: float) -> Gauges:
    return Gauges(name, text, (), (((), value),))


def _many(name: str, text: str, labels: tuple[str, ...], rows: Iterable[_Row]) -> Gauges:
    return Gauges(name, text, labels, tuple(rows))


def _identity(plan: Plan) -> tuple[Gauges, ...]:
    router = plan.router
    program = (__version__, platform.python_version())
    running = (router.name, router.organization, plan.digest[:12], plan.revision)
    return (
        _many("build_info", "The program that runs.", ("version", "python"), [(program, 1.0)]),
        _many(
            "config_info",
            "The configuration that runs: its digest, and the commit it was deployed from.",
            ("router", "organization", "plan", "revision"),
            [(running, 1.0)],
        ),
    )


def _account(account: Account) -> tuple[Gauges, ...]:
    deliveries = (
        ((station, state), float(count))
        for station, states in account.stations.items()
        for state, count in states.items()
    )
    instances = (((name,), float(count)) for name, count in account.instances.items())
    return (
        _many("instances", "Accepted instances, by where they are.", ("disposition",), instances),
        _many("deliveries", "Deliveries, by state.", ("station", "state"), deliveries),
        _one(
            "ledger_imbalance",
            "What is not in exactly one place; must be 0.",
            float(len(account.differences)),
        ),
    )


def _backlog(backlog: Backlog, now: float) -> tuple[Gauges, ...]:
    tasks = (((status, station), float(n)) for (station, status), n in backlog.tasks.items())
    ages = (
        ((station,), max(0.0, now - since)) for station, since in backlog.oldest_waiting_at.items()
    )
    return (
        _many("tasks", "Tasks, by status and station.", ("status", "station"), tasks),
        _many(
            "task_oldest_waiting_seconds",
            "How long the oldest delivery of a station waits; absent when none does.",
            ("station",),
            ages,
        ),
    )


def _stations(statuses: Mapping[str, StationStatus]) -> tuple[Gauges, ...]:
    known = {name: one for name, one in statuses.items() if one.state in {"online", "offline"}}
    up = (((name,), float(one.state == "online")) for name, one in known.items())
    echoes = (
        ((name,), one.seconds)
        for name, one in known.items()
        if one.state == "online" and one.seconds is not None
    )
    return (
        _many("station_up", "1 online, 0 offline; absent when unknown.", ("station",), up),
        _many("station_echo_seconds", "What the last heartbeat took.", ("station",), echoes),
    )


def _reload(places: Places) -> tuple[Gauges, ...]:
    """How the last change of the configuration went; a router that never changed went well."""
    state = read_state(places)
    went_well = state is None or state.state != "refused"
    at: list[_Row] = [] if state is None or not went_well else [((), state.at)]
    return (
        _one(
            "config_last_reload_successful",
            "0 while the configuration folder holds what was refused.",
            float(went_well),
        ),
        _many(
            "config_last_reload_success_timestamp_seconds",
            "When a change of the configuration was last taken.",
            (),
            at,
        ),
    )


def _deployment(branch: Branch | None) -> tuple[Gauges, ...]:
    """How the branch is followed; nothing where none is."""
    if branch is None:
        return ()
    known = branch.book.read()
    behind: list[_Row] = [] if known.behind is None else [((), float(known.behind))]
    return (
        _one(
            "deployment_refused",
            "1 while the branch that is followed is at a commit that was refused.",
            float(known.decision == "refused" and known.decided == known.tip),
        ),
        _one(
            "deployment_fetch_failures",
            "How often in a row the branch could not be fetched.",
            float(known.failures),
        ),
        _one(
            "deployment_last_fetch_timestamp_seconds",
            "When the branch was last fetched; 0 for never.",
            known.fetched_at,
        ),
        _many(
            "deployment_commits_behind",
            "Commits of the branch that the release in use lacks; absent when unknown.",
            (),
            behind,
        ),
    )


def _space(places: Places, backlog: Backlog) -> tuple[Gauges, ...]:
    """One journal is spool and cache: what is owed may not be evicted, the rest may."""
    volume = shutil.disk_usage(places.data_dir)
    held = journal_bytes(places.journal)
    return (
        _one("storage_free_bytes", "Free bytes on the volume.", float(volume.free)),
        _one("storage_size_bytes", "Size of the volume.", float(volume.total)),
        _one("spool_bytes", "Bytes of records that are still owed.", float(backlog.owed_bytes)),
        _one(
            "cache_bytes",
            "Bytes of the journal that may be evicted.",
            float(max(0, held - backlog.owed_bytes)),
        ),
    )


def _certificates(plan: Plan) -> Gauges:
    """When our own certificates end; those that cannot be read now are left out."""
    rows: list[_Row] = []
    for profile in plan.tls.values():
        with suppress(ValueError):
            if profile.cert is not None:
                rows.append(((profile.name,), read_certificate(profile.cert).not_after))
    return _many(
        "tls_certificate_expiry_timestamp_seconds",
        "When the certificate of a TLS profile ends.",
        ("profile",),
        rows,
    )


def _roles(places: Places, expected: Collection[str]) -> Gauges:
    ages = published_ages(places.run)
    rows = (
        ((name,), float(ages.get(name, SILENT_AFTER_SECONDS) < SILENT_AFTER_SECONDS))
        for name in sorted(expected)
    )
    return _many(
        "role_up", "1 while a process of the router speaks, 0 when it is silent.", ("role",), rows
    )
