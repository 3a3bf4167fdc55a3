"""What we accept of what a peer proposes (PS3.8 7.1.1.13, PS3.4 annex B).

Verification, every storage class, and every class we do not know: a router must not lose an image
because a vendor invented a class. Classes that are known not to be storage (query, worklist,
print, procedure steps and so on) are rejected by name; so are the query classes where no query
service is given. For C-GET the peer may be provider of storage (PS3.7 D.3.3.4). The door to
pynetdicom's class tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pynetdicom.service_class import (
    NonPatientObjectStorageServiceClass,
    ServiceClass,
    StorageServiceClass,
)
from pynetdicom.sop_class import uid_to_service_class

from router.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    layout_of,
)
from router.dimse.command import (
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
)
from router.dimse.commitment import STORAGE_COMMITMENT
from router.dimse.pdu import (
    APPLICATION_CONTEXT_NAME,
    AnsweredContext,
    AssociateRequest,
    ProposedContext,
)

VERIFICATION_SOP_CLASS_UID = "1.2.840.10008.1.1"
_QUERY_ROOT = "1.2.840.10008.5.1.4.1.2."
PATIENT_ROOT, STUDY_ROOT = f"{_QUERY_ROOT}1", f"{_QUERY_ROOT}2"
# By the command field of the service: Patient Root and Study Root (PS3.4 C.6).
QUERY_SOP_CLASSES = {
    C_FIND_RQ: (f"{PATIENT_ROOT}.1", f"{STUDY_ROOT}.1"),
    C_MOVE_RQ: (f"{PATIENT_ROOT}.2", f"{STUDY_ROOT}.2"),
    C_GET_RQ: (f"{PATIENT_ROOT}.3", f"{STUDY_ROOT}.3"),
}
_QUERIES = frozenset(uid for uids in QUERY_SOP_CLASSES.values() for uid in uids)
ACCEPTANCE = 0
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

_STANDARD_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_TRANSFER_SYNTAX_ROOT = "1.2.840.10008.1.2"
_RANKS = {
    EXPLICIT_VR_LITTLE_ENDIAN: 0,
    IMPLICIT_VR_LITTLE_ENDIAN: 2,
    EXPLICIT_VR_BIG_ENDIAN: 3,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: 4,
}
_IDENTIFIER_SYNTAXES = frozenset(
    {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
)
_COMPRESSED_RANK = 1
_DEFLATED_RANK = 4


def is_storage(sop_class_uid: str) -> bool:
    """Whether objects of this class are taken by C-STORE: known storage, or not known at all."""
    service = uid_to_service_class(sop_class_uid)
    if service in (StorageServiceClass, NonPatientObjectStorageServiceClass):
        return True
    if sop_class_uid.startswith(_STANDARD_ROOT):
        # New storage classes of later editions all get numbers below this root.
        return service is ServiceClass and sop_class_uid.startswith(_STORAGE_ROOT)
    return service is ServiceClass and bool(sop_class_uid)


def choose_transfer_syntax(offered: Sequence[str]) -> str | None:
    """The one we take: Explicit LE, compressed as offered, Implicit LE, Big Endian, Deflated.

    A private one is taken where nothing standard is offered: its bytes pass through unread.
    """
    standard = [uid for uid in offered if uid.startswith(_TRANSFER_SYNTAX_ROOT)]
    if not standard:
        return offered[0] if offered and offered[0] else None
    return min(standard, key=_rank)


def _rank(uid: str) -> int:
    known = _RANKS.get(uid)
    if known is not None:
        return known
    return _DEFLATED_RANK if layout_of(uid).deflated else _COMPRESSED_RANK


@dataclass(frozen=True, slots=True)
class Offered:
    """What is offered beside storage and verification: query and retrieve, storage commitment."""

    queries: bool = False
    commitment: bool = False


NOTHING_ELSE = Offered()


def is_commitment(field: int, sop_class_uid: str) -> bool:
    """Whether it is a request of Storage Commitment (PS3.4 J.3) on a context of its class."""
    return sop_class_uid == STORAGE_COMMITMENT and field in (N_ACTION_RQ, N_EVENT_REPORT_RQ)


def answer(proposed: ProposedContext, also: Offered = NOTHING_ELSE) -> AnsweredContext:
    """Our answer to one proposed context, its own abstract syntax with it.

    `also` is offered beside storage; identifiers are never compressed.
    """
    result = ACCEPTANCE
    uid = proposed.abstract_syntax
    offered = proposed.transfer_syntaxes
    is_other = (also.queries and uid in _QUERIES) or (also.commitment and uid == STORAGE_COMMITMENT)
    if is_other:
        offered = tuple(one for one in offered if one in _IDENTIFIER_SYNTAXES)
    chosen = choose_transfer_syntax(offered)
    if uid != VERIFICATION_SOP_CLASS_UID and not is_other and not is_storage(uid):
        result = ABSTRACT_SYNTAX_NOT_SUPPORTED
    elif chosen is None:
        result = TRANSFER_SYNTAXES_NOT_SUPPORTED
    # Of a rejected context the transfer syntax is not significant, but one must be there.
    syntax = chosen or IMPLICIT_VR_LITTLE_ENDIAN
    return AnsweredContext(proposed.context_id, result, syntax, uid)


def roles(
    request: AssociateRequest, answers: Sequence[AnsweredContext]
) -> dict[str, tuple[bool, bool]]:
    """The roles we grant by SOP class, (user, provider): those proposed, where C-GET is accepted.

    Without C-GET no object is ever sent back, and the default roles stand (PS3.7 D.3.3.4). Who
    reports a storage commitment asks to be its provider (PS3.4 J.3.3.1.4).
    """
    accepted = {one.abstract_syntax for one in answers if one.result == ACCEPTANCE}
    commitment = {
        uid: proposed
        for uid, proposed in request.roles.items()
        if uid == STORAGE_COMMITMENT and uid in accepted and any(proposed)
    }
    if accepted.isdisjoint(QUERY_SOP_CLASSES[C_GET_RQ]):
        return commitment
    return commitment | {
        uid: proposed
        for uid, proposed in request.roles.items()
        if uid in accepted and is_storage(uid)
    }


def objection(request: AssociateRequest) -> tuple[int, int, int] | None:
    """Why the request cannot be taken at all, as the fields of A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    if not request.protocol_version & 1:
        return (1, 2, 2)
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return (1, 1, 2)
    return None
