"""The small PDUs (PS3.8 9.3): association, release, abort; coded and decoded.

The door to pynetdicom's coders of A-ASSOCIATE. They raise whatever they stumble over (KeyError,
AssertionError, struct.error and more) on malformed input; here that becomes ProtocolError with
A-ABORT reason 6, and nothing else leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import pdu as coders
from pynetdicom import pdu_primitives as primitives
from pynetdicom.presentation import PresentationContext

from router.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from router.dimse import items
from router.errors import ProtocolError

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
RELEASE_RQ_PDU = bytes.fromhex("05000000000400000000")
RELEASE_RP_PDU = bytes.fromhex("06000000000400000000")
_PDU_HEADER = struct.Struct(">BxI")
_STORAGE_INFORMATION_BYTES = 6
_DECODER_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context as proposed (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """The answer to one context (PS3.8 9.3.3.2): result 0 accepts, 3 and 4 name what is unknown."""

    context_id: int
    result: int
    transfer_syntax: str
    abstract_syntax: str = ""


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ. AE titles as sent without outer spaces; `max_pdu_bytes` 0 is no limit.

    `ae_title_fields` are the 32 bytes of both as received, which the answer repeats. `roles` are
    the proposed ones of the peer by SOP class: (user, provider), PS3.7 D.3.3.4.
    """

    protocol_version: int
    application_context_name: str
    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    max_pdu_bytes: int = 0
    wants_asynchronous_window: bool = False
    wants_identity_response: bool = False
    extended_sop_classes: tuple[str, ...] = ()
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    implementation_version_name: str = ""
    ae_title_fields: bytes = b""


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """An A-ASSOCIATE-AC, as far as a requestor needs it."""

    contexts: tuple[AnsweredContext, ...]
    max_pdu_bytes: int
    implementation_version_name: str = ""


def reject(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return struct.pack(">BxIxBBB", 3, 4, result, source, reason)


def abort(source: int, reason: int) -> bytes:
    """An A-ABORT (PS3.8 9.3.8): source 0 the user (no reason), 2 the provider."""
    return struct.pack(">BxIxxBB", 7, 4, source, reason)


def decode_request(body: bytes) -> AssociateRequest:
    """An A-ASSOCIATE-RQ from all that follows its header. Raises ProtocolError."""
    primitive, version = _decode(coders.A_ASSOCIATE_RQ(), 1, body)
    try:
        information = primitive.user_information
        return AssociateRequest(
            protocol_version=version,
            application_context_name=str(primitive.application_context_name or ""),
            called_ae_title=body[4:20].decode("ascii", "replace").strip(" \0"),
            calling_ae_title=body[20:36].decode("ascii", "replace").strip(" \0"),
            contexts=tuple(
                ProposedContext(
                    context.context_id,
                    str(context.abstract_syntax or ""),
                    tuple(str(uid) for uid in context.transfer_syntax),
                )
                for context in primitive.presentation_context_definition_list
            ),
            max_pdu_bytes=_max_pdu_bytes(information),
            wants_asynchronous_window=any(
                isinstance(item, primitives.AsynchronousOperationsWindowNegotiation)
                for item in information
            ),
            wants_identity_response=any(
                isinstance(item, primitives.UserIdentityNegotiation)
                and bool(item.positive_response_requested)
                for item in information
            ),
            extended_sop_classes=tuple(
                str(item.sop_class_uid)
                for item in information
                if isinstance(item, primitives.SOPClassExtendedNegotiation)
            ),
            roles={
                str(item.sop_class_uid): (bool(item.scu_role), bool(item.scp_role))
                for item in information
                if isinstance(item, primitives.SCP_SCU_RoleSelectionNegotiation)
            },
            implementation_version_name=_version_name(information),
            ae_title_fields=body[4:36],
        )
    except _DECODER_FAULTS as fault:
        raise _undecodable(fault) from fault


def decode_accept(body: bytes) -> AssociateAccept:
    """An A-ASSOCIATE-AC from all that follows its header. Raises ProtocolError."""
    primitive, _ = _decode(coders.A_ASSOCIATE_AC(), 2, body)
    try:
        contexts = primitive.presentation_context_definition_results_list
        return AssociateAccept(
            tuple(
                AnsweredContext(
                    context.context_id,
                    int(context.result),
                    str(context.transfer_syntax[0]) if context.transfer_syntax else "",
                )
                for context in contexts
            ),
            _max_pdu_bytes(primitive.user_information),
            _version_name(primitive.user_information),
        )
    except _DECODER_FAULTS as fault:
        raise _undecodable(fault) from fault


def encode_request(request: AssociateRequest) -> bytes:
    """The A-ASSOCIATE-RQ PDU. Raises ValueError when a title or UID cannot be encoded."""
    primitive = _primitive(request.calling_ae_title, request.called_ae_title)
    primitive.presentation_context_definition_list = [
        _context(context.context_id, context.abstract_syntax, context.transfer_syntaxes)
        for context in request.contexts
    ]
    information = _user_information(request.max_pdu_bytes) + _role_items(request.roles)
    primitive.user_information = information
    encoder = coders.A_ASSOCIATE_RQ()
    encoder.from_primitive(primitive)
    return bytes(encoder.encode())


def encode_accept(
    request: AssociateRequest,
    contexts: Sequence[AnsweredContext],
    max_pdu_bytes: int,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
) -> bytes:
    """The A-ASSOCIATE-AC PDU to this request (PS3.8 9.3.3, PS3.7 D.3.3, PS3.4 B.3.1).

    An operations window is answered 1/1, extended negotiation of an accepted storage class level
    2, and a user identity only when the peer asked for a positive response. `roles` are granted.
    """
    primitive = _primitive("X", "X")
    primitive.result = 0
    answers = []
    for context in contexts:
        answer = _context(context.context_id, APPLICATION_CONTEXT_NAME, (context.transfer_syntax,))
        answer.result = context.result
        answers.append(answer)
    primitive.presentation_context_definition_results_list = answers
    information = _user_information(max_pdu_bytes)
    if request.wants_asynchronous_window:
        window = primitives.AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = 1
        window.maximum_number_operations_performed = 1
        information.append(window)
    accepted = {context.abstract_syntax for context in contexts if context.result == 0}
    for sop_class_uid in dict.fromkeys(request.extended_sop_classes):
        if sop_class_uid in accepted:
            item = primitives.SOPClassExtendedNegotiation()
            item.sop_class_uid = sop_class_uid
            item.service_class_application_information = b"\2" + bytes(
                _STORAGE_INFORMATION_BYTES - 1
            )
            information.append(item)
    information += _role_items(roles or {})
    if request.wants_identity_response:
        identity = primitives.UserIdentityNegotiation()
        identity.server_response = b""
        information.append(identity)
    primitive.user_information = information
    encoder = coders.A_ASSOCIATE_AC()
    encoder.from_primitive(primitive)
    encoded = bytes(encoder.encode())
    return encoded[:10] + request.ae_title_fields + encoded[42:]


def _decode(decoder: Any, kind: int, body: bytes) -> tuple[Any, int]:
    """The decoded primitive and the protocol version of an A-ASSOCIATE PDU."""
    known = items.cleaned(body)
    # Titles are read by us: a peer with a strange one is to be refused by name, not aborted.
    plain = known[:4] + b"X".ljust(16) * 2 + known[36:]
    try:
        decoder.decode(_PDU_HEADER.pack(kind, len(plain)) + plain)
        return decoder.to_primitive(), int.from_bytes(body[:2], "big")
    except _DECODER_FAULTS as fault:
        raise _undecodable(fault) from fault


def _undecodable(fault: BaseException) -> ProtocolError:
    return ProtocolError(f"an A-ASSOCIATE PDU cannot be decoded ({type(fault).__name__})", 6)


def _primitive(calling_ae_title: str, called_ae_title: str) -> Any:
    primitive = primitives.A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT_NAME
    primitive.calling_ae_title = calling_ae_title
    primitive.called_ae_title = called_ae_title
    return primitive


def _context(context_id: int, abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> Any:
    context = PresentationContext()
    context.context_id = context_id
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = list(transfer_syntaxes)
    return context


def _user_information(max_pdu_bytes: int) -> list[Any]:
    length = primitives.MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = primitives.ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = primitives.ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]


def _role_items(roles: Mapping[str, tuple[bool, bool]]) -> list[Any]:
    items = []
    for sop_class_uid, (is_user, is_provider) in roles.items():
        role = primitives.SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid = sop_class_uid
        role.scu_role, role.scp_role = is_user, is_provider
        items.append(role)
    return items


def _max_pdu_bytes(information: Sequence[Any]) -> int:
    for item in information:
        if isinstance(item, primitives.MaximumLengthNotification):
            return int(item.maximum_length_received)
    return 0


def _version_name(information: Sequence[Any]) -> str:
    for item in information:
        if isinstance(item, primitives.ImplementationVersionNameNotification):
            name = str(item.implementation_version_name or "")
            return "".join(char if " " <= char <= "~" else "?" for char in name)[:16]
    return ""
