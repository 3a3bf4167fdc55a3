"""The DICOM JSON model (PS3.18 annex F) of identifiers, read and written.

Reading takes what servers really send: numbers as text and the other way round, members that are
missing, VRs that are unknown. What cannot be read as an attribute is left out; BadDataset is raised
only where the whole is no data set.
"""

from __future__ import annotations

import re
from typing import Any, Final

from router.dicom.tags import vr_for
from router.dicom.values import BULK_VRS, KNOWN_VRS
from router.errors import BadDataset
from router.model.query import DataElement, Identifier

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")
_WHOLE_VRS: Final = frozenset({"SL", "SS", "SV", "UL", "US", "UV"})
_REAL_VRS: Final = frozenset({"FD", "FL"})
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_MAX_DEPTH: Final = 16


def from_json(document: object, *, depth: int = 0) -> dict[int, DataElement]:
    """The data set of one JSON object. Raises BadDataset when it is none, or nested too deep."""
    if not isinstance(document, dict) or depth > _MAX_DEPTH:
        raise BadDataset("the answer is no DICOM JSON data set")
    found: dict[int, DataElement] = {}
    for key, member in document.items():
        if not isinstance(key, str) or not _TAG.match(key) or not isinstance(member, dict):
            continue
        tag = int(key, 16)
        vr = member.get("vr")
        vr = vr if isinstance(vr, str) and vr in KNOWN_VRS else vr_for(tag)
        values = member.get("Value", [])
        values = values if isinstance(values, list) else [values]
        if vr == "SQ":
            items = tuple(
                from_json(one, depth=depth + 1) for one in values if isinstance(one, dict)
            )
            found[tag] = DataElement(vr, items)
        elif vr not in BULK_VRS:
            read = [one for value in values if (one := _read(vr, value)) is not None]
            # An empty value keeps its place between others (PS3.18 F.2.5), alone it is none.
            found[tag] = DataElement(vr, tuple(read) if any(one != "" for one in read) else ())
    return found


def to_json(identifier: Identifier) -> dict[str, Any]:
    """The data set as JSON members in the order of tags."""
    return {f"{tag:08X}": _member(identifier[tag]) for tag in sorted(identifier)}


def _read(vr: str, value: Any) -> str | int | float | None:
    if value is None:
        return ""
    if vr == "PN":
        if not isinstance(value, dict):
            return str(value)
        return "=".join(str(value.get(group) or "") for group in _NAME_GROUPS).rstrip("=")
    try:
        if vr in _WHOLE_VRS:
            return int(value)
        if vr in _REAL_VRS:
            return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _member(element: DataElement) -> dict[str, Any]:
    member: dict[str, Any] = {"vr": element.vr}
    if not element.values:
        return member
    if element.vr == "SQ":
        member["Value"] = [to_json(item) for item in element.items]
    elif element.vr == "PN":
        member["Value"] = [_name(str(value)) for value in element.values]
    else:
        member["Value"] = [_written(element.vr, value) for value in element.values]
    return member


def _name(text: str) -> dict[str, str]:
    groups = zip(_NAME_GROUPS, text.split("="), strict=False)
    return {group: part for group, part in groups if part}


def _written(vr: str, value: Any) -> Any:
    if vr not in {"DS", "IS"} or not isinstance(value, str):
        return value
    try:
        return int(value) if vr == "IS" else float(value)
    except ValueError:
        return value
