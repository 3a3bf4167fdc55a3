"""What the audit trail tells: one event, who took part, which studies, and whose.

The words are ours; `router.telemetry.audit_message` makes a message of PS3.15 A.5 of them. Patients
are in the message alone, and a message is sealed before it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

AuditKind = Literal[
    "start",
    "stop",
    "login",
    "logout",
    "login_refused",
    "association_refused",
    "configuration_changed",
    "configuration_refused",
    "access_changed",
    "keys_changed",
    "operation_refused",
    "audit_used",
    "transfer_begun",
    "received",
    "sent",
    "exported",
    "queried",
    "accessed",
    "deleted",
]
RoleName = Literal["", "application", "source", "destination", "media"]

SUCCESS: Final = 0
MINOR_FAILURE: Final = 4
SERIOUS_FAILURE: Final = 8


@dataclass(frozen=True, slots=True)
class Participant:
    """A person or process that took part, by the name it is known under here."""

    user_id: str
    role: RoleName = ""
    is_requestor: bool = False
    address: str = ""
    other_id: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose study it is; texts are empty where they are not known."""

    patient_id: str = ""
    name: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class AuditedStudy:
    """A study, and how many instances of which SOP class of it."""

    study_instance_uid: str
    sop_classes: Mapping[str, int] = field(default_factory=dict)
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What was asked for: the bytes of an identifier or an address, of which SOP class."""

    content: bytes
    sop_class_uid: str
    transfer_syntax_uid: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `who` and `what` are shown in lists and must name no patient."""

    kind: AuditKind
    at: float
    who: str
    what: str = ""
    outcome: int = SUCCESS
    description: str = ""
    participants: tuple[Participant, ...] = ()
    studies: tuple[AuditedStudy, ...] = ()
    patient: Patient | None = None
    query: AuditQuery | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the trail, without its message."""

    audit_id: int
    at: float
    event: str
    outcome: int
    who: str
    what: str
    digest: bytes
