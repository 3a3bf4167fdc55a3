"""The audit trail of one process: opened after the fork, and its threads in role `deliver`."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import closing

from router.clock import Clock
from router.dimse.tls import client_context
from router.errors import StoreDown, StoreFull
from router.flow.audit_shipping import AuditShipping
from router.flow.auditing import AuditLog, Auditor, entry_of, ourselves
from router.model.audit import SERIOUS_FAILURE, SUCCESS, AuditEvent, AuditKind, Participant
from router.model.plan import Plan
from router.serve.places import Places
from router.serve.process import Role
from router.serve.stores import follow_ring
from router.store.audit import AuditTrail
from router.telemetry.log import Log
from router.telemetry.syslog import SyslogRecord, ship

END_SECONDS = 3.0


def open_audit_log(role: Role, trail: AuditTrail | None = None) -> AuditLog:
    """What this process writes events with."""
    trail = trail or AuditTrail.open(role.places.ledger, role.places.keys)
    follow_ring(role, trail.keys)
    return AuditLog(trail, role.plan, role.clock, role.log, role.metrics)


def start_auditing(role: Role) -> Callable[[], None]:
    """The threads that tell what the ledger did, and that ship the trail where it is to go.

    A role that retires leaves both to its successor. What is given back waits for their end.
    """
    trail = AuditTrail.open(role.places.ledger, role.places.keys)
    follow_ring(role, trail.keys)

    auditor = Auditor(
        trail, role.plan, role.clock, role.log, role.metrics, role.threads.stop, role.has_successor
    )
    threads = [role.threads.start("audit", auditor.run)]
    receiver = role.plan.audit.syslog
    if receiver is not None:

        def send(records: Sequence[SyslogRecord]) -> None:
            assert receiver is not None
            # Made anew for each batch: a renewed certificate is taken without a restart.
            ship(records, receiver.host, receiver.port, client_context(role.plan.tls[receiver.tls]))

        shipping = AuditShipping(
            trail, send, role.clock, role.log, role.metrics, role.threads.stop, role.has_successor
        )
        threads.append(role.threads.start("audit-syslog", shipping.run))

    def end() -> None:
        for thread in threads:
            thread.join(END_SECONDS)
        trail.close()

    return end


def note_activity(plan: Plan, kind: AuditKind, log: Log) -> None:
    """Tell that the router starts or stops."""
    note_system(plan, kind, f"plan {plan.digest[:12]}", log)


def note_system(plan: Plan, kind: AuditKind, what: str, log: Log) -> None:
    """Tell what the router did by itself.

    Opened and closed at once: no connection may cross a fork.
    """
    event = AuditEvent(
        kind,
        Clock().now(),
        plan.router.name,
        what,
        participants=(ourselves(plan, is_requestor=True),),
    )
    _note(plan, event, log)


def note_configuration(plan: Plan, log: Log, problems: str = "", origin: str = "") -> None:
    """Tell that another configuration is in use, or was refused; `origin`: its folder otherwise."""
    kind: AuditKind = "configuration_refused" if problems else "configuration_changed"
    revision = f", revision {plan.revision}" if plan.revision else ""
    event = AuditEvent(
        kind,
        Clock().now(),
        plan.router.name,
        origin or f"plan {plan.digest[:12]}{revision}",
        SERIOUS_FAILURE if problems else SUCCESS,
        problems[:1000] or f"plan {plan.digest}{revision}",
        (ourselves(plan), Participant(origin or str(plan.folder), is_requestor=True)),
    )
    _note(plan, event, log)


def note_command(plan: Plan, kind: AuditKind, what: str, description: str = "") -> None:
    """Tell what a person did at this machine by a command. Raises StoreDown, StoreFull."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    person = Participant(user, is_requestor=True, address=socket.gethostname())
    event = AuditEvent(
        kind,
        Clock().now(),
        user,
        what,
        description=description or what,
        participants=(person, ourselves(plan)),
    )
    _append(plan, event)


def _note(plan: Plan, event: AuditEvent, log: Log) -> None:
    try:
        _append(plan, event)
    except (StoreDown, StoreFull) as error:
        log.error("the audit trail cannot be written", kind=event.kind, reason=str(error))  # noqa: TRY400 - the reason is all there is


def _append(plan: Plan, event: AuditEvent) -> None:
    places = Places(plan.router.data_dir)
    with closing(AuditTrail.open(places.ledger, places.keys)) as trail:
        trail.append([entry_of(event, plan)])
