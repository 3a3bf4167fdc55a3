"""What people and programs do over HTTP, into the audit trail: who, from where, what they saw."""

from __future__ import annotations

from router.flow.auditing import AuditLog, ourselves
from router.model.audit import (
    SERIOUS_FAILURE,
    SUCCESS,
    AuditEvent,
    AuditKind,
    AuditQuery,
    Participant,
)
from router.model.plan import Plan

# PS3.15 A.5.3.10: a query is of a SOP class; what is not DICOM's asks as the study root does.
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def session(audit: AuditLog, plan: Plan, kind: AuditKind, who: str, address: str) -> None:
    """A person logged in or out."""
    person = Participant(who, is_requestor=True, address=address)
    audit.note(AuditEvent(kind, audit.now(), who, address, participants=(person, ourselves(plan))))


def refused(audit: AuditLog, plan: Plan, reason: str, address: str) -> None:
    """Somebody gave a token that opens nothing, or came from another site: once in a while."""
    if not audit.is_news("login_refused", reason, address):
        return
    person = Participant("unknown", is_requestor=True, address=address)
    participants = (person, ourselves(plan))
    audit.note(
        AuditEvent(
            "login_refused", audit.now(), "unknown", address, SERIOUS_FAILURE, reason, participants
        )
    )


def queried(
    audit: AuditLog, plan: Plan, who: str, address: str, content: str, station: str = ""
) -> None:
    """Somebody searched for patients, here or at a station; the same search once in a while."""
    if not audit.is_news("queried", who, address, content, station):
        return
    person = Participant(who, "" if station else "source", is_requestor=True, address=address)
    others = [ourselves(plan, role="source" if station else "destination")]
    if station:
        others.append(Participant(station, "destination"))
    audit.note(
        AuditEvent(
            "queried",
            audit.now(),
            who,
            station or plan.router.name,
            participants=(person, *others),
            query=AuditQuery(content.encode("utf-8", "replace"), _STUDY_ROOT_FIND),
        )
    )


def looked(audit: AuditLog, plan: Plan, who: str, address: str, what: str) -> None:
    """Somebody read a message of the trail itself."""
    person = Participant(who, is_requestor=True, address=address)
    participants = (person, ourselves(plan))
    audit.note(AuditEvent("audit_used", audit.now(), who, what, participants=participants))


def changed(
    audit: AuditLog, plan: Plan, who: str, address: str, what: str, *, was_refused: bool = False
) -> None:
    """Somebody changed the configuration, or tried to; what took effect is told by the router too."""
    audit.note(
        AuditEvent(
            "configuration_refused" if was_refused else "configuration_changed",
            audit.now(),
            who,
            what,
            SERIOUS_FAILURE if was_refused else SUCCESS,
            f"{what} by {who}",
            (ourselves(plan), Participant(who, is_requestor=True, address=address)),
        )
    )


def keys_changed(audit: AuditLog, plan: Plan, who: str, address: str, what: str) -> None:
    """Somebody changed the key ring."""
    person = Participant(who, is_requestor=True, address=address)
    participants = (person, ourselves(plan))
    audit.note(
        AuditEvent(
            "keys_changed", audit.now(), who, what, description=what, participants=participants
        )
    )
