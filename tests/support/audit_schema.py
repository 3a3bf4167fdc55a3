"""The rules of the audit message schema (PS3.15 A.5.1), written as checks from the standard's text.

Element order, attributes with their types, and the codes of A.5.3: independent of the product's code.
"""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from datetime import datetime

_CODED = {"csd-code", "codeSystemName", "originalText"}
# element → (required attributes, optional attributes, children in order with * ? + or 1)
_RULES: dict[str, tuple[set[str], set[str], list[tuple[str, str]]]] = {
    "AuditMessage": (set(), set(), [
        ("EventIdentification", "1"), ("ActiveParticipant", "+"),
        ("AuditSourceIdentification", "1"), ("ParticipantObjectIdentification", "*"),
    ]),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"},
        [("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?")],
    ),
    "EventID": (_CODED, {"displayName"}, []),
    "EventTypeCode": (_CODED, {"displayName"}, []),
    "RoleIDCode": (_CODED, {"displayName"}, []),
    "MediaType": (_CODED, {"displayName"}, []),
    "ParticipantObjectIDTypeCode": (_CODED, {"displayName"}, []),
    "EventOutcomeDescription": (set(), set(), []),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
        [("RoleIDCode", "*"), ("MediaIdentifier", "?")],
    ),
    "MediaIdentifier": (set(), set(), [("MediaType", "1")]),
    "AuditSourceIdentification": (
        {"AuditSourceID"}, {"AuditEnterpriseSiteID"}, [("AuditSourceTypeCode", "*")],
    ),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "originalText", "displayName"}, []),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole",
         "ParticipantObjectDataLifeCycle", "ParticipantObjectSensitivity"},
        [("ParticipantObjectIDTypeCode", "1"),
         ("ParticipantObjectName|ParticipantObjectQuery", "1"),
         ("ParticipantObjectDetail", "*"), ("ParticipantObjectDescription", "*")],
    ),
    "ParticipantObjectDescription": (
        set(), set(),
        [("MPPS", "*"), ("Accession", "*"), ("SOPClass", "*"),
         ("ParticipantObjectContainsStudy", "?"), ("Encrypted", "?"), ("Anonymized", "?")],
    ),
    "ParticipantObjectName": (set(), set(), []),
    "ParticipantObjectQuery": (set(), set(), []),
    "ParticipantObjectDetail": ({"type", "value"}, set(), []),
    "Accession": ({"Number"}, set(), []),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, []),
}  # fmt: skip
# Event ID → (allowed actions, least studies, least patients): the tables of A.5.3.
_EVENTS = {
    "110100": ("E", 0, 0), "110101": ("R", 0, 0), "110102": ("E", 1, 1), "110103": ("CRUD", 1, 1),
    "110104": ("CRU", 1, 1), "110105": ("D", 1, 1), "110106": ("R", 1, 1), "110112": ("E", 0, 0),
    "110113": ("E", 0, 0), "110114": ("E", 0, 0),
}  # fmt: skip


def faults(message: bytes) -> list[str]:
    """What the standard would not have in it."""
    root = ET.fromstring(message)
    found: list[str] = []
    if root.tag != "AuditMessage":
        return [f"root is {root.tag}"]
    _walk(root, found)
    event = root.find("EventIdentification")
    assert event is not None
    code = event.find("EventID")
    assert code is not None
    actions, studies, patients = _EVENTS[code.attrib["csd-code"]]
    if event.attrib["EventActionCode"] not in actions:
        found.append(f"action {event.attrib['EventActionCode']} of {code.attrib['csd-code']}")
    if event.attrib["EventOutcomeIndicator"] not in {"0", "4", "8", "12"}:
        found.append("outcome")
    if datetime.fromisoformat(event.attrib["EventDateTime"]).tzinfo is None:
        found.append("EventDateTime has no zone")
    kinds = [
        (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole"))
        for one in root.findall("ParticipantObjectIdentification")
    ]
    if kinds.count(("2", "3")) < studies or kinds.count(("1", "1")) < patients:
        found.append(f"objects {kinds}")
    return found


def _walk(element: ET.Element, found: list[str]) -> None:
    required, optional, children = _RULES[element.tag]
    given = set(element.attrib)
    if required - given or given - required - optional:
        found.append(f"{element.tag} has {sorted(given)}")
    found += [
        f"{element.tag}@{name} is no token"
        for name, value in element.attrib.items()
        if " ".join(value.split()) != value
    ]
    pattern = "".join(
        f"(?:<(?:{name})>){'' if times == '1' else times}" for name, times in children
    )
    if not re.fullmatch(pattern, "".join(f"<{one.tag}>" for one in element)):
        found.append(f"{element.tag} holds {[one.tag for one in element]}")
    if element.get("UserIsRequestor", "true") not in {"true", "false"}:
        found.append("UserIsRequestor")
    if element.get("NetworkAccessPointTypeCode", "1") not in {"1", "2", "3", "4", "5"}:
        found.append("NetworkAccessPointTypeCode")
    binary = [element.get("value", "")] if element.tag == "ParticipantObjectDetail" else []
    binary += [element.text or ""] if element.tag == "ParticipantObjectQuery" else []
    for text in binary:
        base64.b64decode(text, validate=True)
    for one in element:
        _walk(one, found)
