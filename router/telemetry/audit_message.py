"""Audit messages as XML: the schema of PS3.15 A.5.1, the tables of A.5.3.

One function from an event to the bytes of a message. What XML cannot hold becomes `?`; nothing
raises on any text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final
from xml.etree.ElementTree import Element, SubElement, fromstring, indent, tostring

from router.model.audit import AuditedStudy, AuditEvent, AuditQuery, Participant, Patient

Code = tuple[str, str]
_ALERT: Final[Code] = ("110113", "Security Alert")
_AUTHENTICATION: Final[Code] = ("110114", "User Authentication")
_TRANSFERRED: Final[Code] = ("110104", "DICOM Instances Transferred")
_AUDIT_USED: Final[Code] = ("110101", "Audit Log Used")
_ACTIVITY: Final[Code] = ("110100", "Application Activity")
EVENTS: Final[Mapping[str, tuple[Code, Code | None, str]]] = {
    "start": (_ACTIVITY, ("110120", "Application Start"), "E"),
    "stop": (_ACTIVITY, ("110121", "Application Stop"), "E"),
    "login": (_AUTHENTICATION, ("110122", "Login"), "E"),
    "logout": (_AUTHENTICATION, ("110123", "Logout"), "E"),
    "login_refused": (_AUTHENTICATION, ("110122", "Login"), "E"),
    "association_refused": (_ALERT, ("110126", "Node Authentication"), "E"),
    "configuration_changed": (_ALERT, ("110131", "Software Configuration"), "E"),
    "configuration_refused": (_ALERT, ("110131", "Software Configuration"), "E"),
    "access_changed": (_ALERT, ("110137", "User Security Attributes Changed"), "E"),
    "keys_changed": (_ALERT, ("110129", "Security Configuration"), "E"),
    "operation_refused": (_ALERT, ("110132", "Use of Restricted Function"), "E"),
    "audit_used": (_AUDIT_USED, None, "R"),
    "transfer_begun": (("110102", "Begin Transferring DICOM Instances"), None, "E"),
    "received": (_TRANSFERRED, None, "C"),
    "sent": (_TRANSFERRED, None, "R"),
    "exported": (("110106", "Export"), None, "R"),
    "queried": (("110112", "Query"), None, "E"),
    "accessed": (("110103", "DICOM Instances Accessed"), None, "R"),
    "deleted": (("110105", "DICOM Study Deleted"), None, "D"),
}
"""Our word → Event ID, Event Type Code, Event Action Code (PS3.15 A.5.3, PS3.16 CID 400 to 403)."""
_ROLES: Final[Mapping[str, Code]] = {
    "application": ("110150", "Application"),
    "source": ("110153", "Source Role ID"),
    "destination": ("110152", "Destination Role ID"),
    "media": ("110154", "Destination Media"),
}
_STUDY: Final[Code] = ("110180", "Study Instance UID")
_SOP_CLASS: Final[Code] = ("110181", "SOP Class UID")
_NODE: Final[Code] = ("110182", "Node ID")
_MEDIA_TYPE: Final[Code] = ("110037", "URI")
_URI: Final[Code] = ("12", "URI")
# RFC 3881 5.5.4: these two codes are not of DICOM's own dictionary.
_PATIENT_NUMBER: Final[Code] = ("2", "Patient Number")
_NETWORK_ADDRESS, _MACHINE_NAME = "2", "1"
_APPLICATION_SERVER: Final = "4"


@dataclass(frozen=True, slots=True)
class AuditSource:
    """Who reports: the router by name and the organization it belongs to."""

    name: str
    organization: str = ""


def audit_message(event: AuditEvent, source: AuditSource) -> bytes:
    """The message in UTF-8, without an XML declaration."""
    event_id, event_type, action = EVENTS[event.kind]
    root = Element("AuditMessage")
    head = SubElement(
        root,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(event.outcome),
    )
    _code(head, "EventID", event_id)
    if event_type is not None:
        _code(head, "EventTypeCode", event_type)
    if event.outcome and event.description:
        SubElement(head, "EventOutcomeDescription").text = _clean(event.description)
    for one in event.participants:
        _participant(root, one)
    told = {"AuditSourceID": _clean(source.name)}
    if source.organization:
        told["AuditEnterpriseSiteID"] = _clean(source.organization)
    reported = SubElement(root, "AuditSourceIdentification", told)
    SubElement(reported, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for study in event.studies:
        _study(root, study)
    if event.patient is not None:
        _patient(root, event.patient)
    if event.query is not None:
        _query(root, event.query)
    if event_id == _AUDIT_USED:
        found = _object(root, event.what, "2", "13", _URI)
        SubElement(found, "ParticipantObjectName").text = "Security Audit Log"
    if event_id == _ALERT:
        _alert(root, event)
    return tostring(root, encoding="unicode").encode()


def laid_out(message: str) -> str:
    """A message for a person to read: one element a line."""
    root = fromstring(message)  # noqa: S314 - our own text
    indent(root)
    return tostring(root, encoding="unicode")


def _participant(root: Element, one: Participant) -> None:
    told = {"UserID": _clean(one.user_id) or "unknown"}
    if one.other_id:
        told["AlternativeUserID"] = _clean(one.other_id)
    told["UserIsRequestor"] = "true" if one.is_requestor else "false"
    if one.address:
        told["NetworkAccessPointID"] = _clean(one.address)
        told["NetworkAccessPointTypeCode"] = _kind_of_address(one.address)
    found = SubElement(root, "ActiveParticipant", told)
    if one.role:
        _code(found, "RoleIDCode", _ROLES[one.role])
    if one.role == "media":
        _code(SubElement(found, "MediaIdentifier"), "MediaType", _MEDIA_TYPE)


def _kind_of_address(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        return _MACHINE_NAME
    return _NETWORK_ADDRESS


def _object(root: Element, identity: str, kind: str, role: str, code: Code, **more: str) -> Element:
    told = {"ParticipantObjectID": _clean(identity) or "unknown"}
    told |= {"ParticipantObjectTypeCode": kind, "ParticipantObjectTypeCodeRole": role, **more}
    found = SubElement(root, "ParticipantObjectIdentification", told)
    system = "RFC-3881" if code in {_PATIENT_NUMBER, _URI} else "DCM"
    _code(found, "ParticipantObjectIDTypeCode", code, system)
    return found


def _study(root: Element, study: AuditedStudy) -> None:
    found = _object(root, study.study_instance_uid, "2", "3", _STUDY)
    SubElement(found, "ParticipantObjectName").text = "study"
    if not study.accession_number and not study.sop_classes:
        return
    described = SubElement(found, "ParticipantObjectDescription")
    if study.accession_number:
        SubElement(described, "Accession", Number=_clean(study.accession_number))
    for uid, number in study.sop_classes.items():
        SubElement(described, "SOPClass", UID=_clean(uid), NumberOfInstances=str(number))


def _patient(root: Element, patient: Patient) -> None:
    found = _object(root, patient.patient_id, "1", "1", _PATIENT_NUMBER)
    SubElement(found, "ParticipantObjectName").text = _clean(patient.name) or "unknown"
    if patient.issuer:
        _detail(found, "IssuerOfPatientID", patient.issuer)


def _query(root: Element, query: AuditQuery) -> None:
    found = _object(root, query.sop_class_uid, "2", "3", _SOP_CLASS)
    SubElement(found, "ParticipantObjectQuery").text = base64.b64encode(query.content).decode()
    if query.transfer_syntax_uid:
        _detail(found, "TransferSyntax", query.transfer_syntax_uid)


def _alert(root: Element, event: AuditEvent) -> None:
    found = _object(root, event.what or event.who, "2", "13", _NODE)
    SubElement(found, "ParticipantObjectName").text = _clean(event.kind)
    _detail(found, "Alert Description", event.description or event.kind)


def _detail(found: Element, kind: str, text: str) -> None:
    """A detail has a type and a value, and the value is base64 (PS3.15 A.5.1)."""
    value = base64.b64encode(text.encode("utf-8", "replace")).decode()
    SubElement(found, "ParticipantObjectDetail", type=kind, value=value)


def _code(above: Element, name: str, code: Code, system: str = "DCM") -> None:
    told = {"csd-code": code[0], "codeSystemName": system, "originalText": code[1]}
    SubElement(above, name, told)


def _clean(text: str) -> str:
    """Without what XML 1.0 cannot hold, and without outer or doubled blanks (xsd:token)."""
    shown = "".join(char if _is_held(ord(char)) else "?" for char in text)
    return " ".join(shown.split())


def _is_held(point: int) -> bool:
    if point < 0x20:
        return point in {0x9, 0xA, 0xD}
    return not 0xD800 <= point <= 0xDFFF and point not in {0xFFFE, 0xFFFF}
