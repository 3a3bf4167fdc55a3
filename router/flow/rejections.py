"""Rejections: whether an arriving Key Object Selection document rejects others, and which.

Only such documents pay for it: their title and their references are read from the header that
passes, bounded like all of it. A note whose references cannot be read is kept and quarantined: it
must not travel as an ordinary object, and it must not be lost.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from router.dicom.header import HeaderReader
from router.dicom.tags import parse_path
from router.errors import BadDataset
from router.model.instance import Instance
from router.model.path import Path
from router.model.plan import Plan
from router.model.rejection import KEY_OBJECT_SELECTION, TITLES, Rejection

_CODE: Final = parse_path("ConceptNameCodeSequence[0].CodeValue")
_SCHEME: Final = parse_path("ConceptNameCodeSequence[0].CodingSchemeDesignator")
# The evidence, and the content tree that mirrors it (PS3.3 C.17.6.2).
_REFERENCES: Final = (
    parse_path(
        "CurrentRequestedProcedureEvidenceSequence[*].ReferencedSeriesSequence[*]"
        ".ReferencedSOPSequence[*].ReferencedSOPInstanceUID"
    ),
    parse_path("ContentSequence[*].ReferencedSOPSequence[*].ReferencedSOPInstanceUID"),
)
_PATHS: Final = frozenset({_CODE, _SCHEME, *_REFERENCES})


def wanted(plan: Plan, sop_class_uid: str) -> frozenset[Path]:
    """What is to be kept of the header; `sop_class_uid` is '' where only the data set says it."""
    if sop_class_uid and sop_class_uid != KEY_OBJECT_SELECTION:
        return plan.needs
    return _with_references(plan.needs)


@lru_cache(maxsize=8)
def _with_references(needs: frozenset[Path]) -> frozenset[Path]:
    return needs | _PATHS


def rejection_of(plan: Plan, instance: Instance, header: HeaderReader) -> Rejection | None:
    """What the instance rejects; None when it is no rejection note.

    Raises BadDataset when it is one, or may be one, and cannot be read.
    """
    if instance.sop_class_uid != KEY_OBJECT_SELECTION:
        return None
    code = _text(header, _CODE)
    if code not in TITLES or _text(header, _SCHEME) != "DCM":
        return None
    named: dict[str, None] = {}
    for path in _REFERENCES:
        attribute = header.get(path)
        for value in attribute.values if attribute is not None else ():
            named.setdefault(str(value).strip(" \0"))
    named.pop("", None)
    if not named:
        raise BadDataset("the rejection note names no object that can be read")
    stations = [
        station
        for station in plan.stations.values()
        if station.send and station.name != instance.source.station
    ]
    return Rejection(
        code,
        tuple(named),
        tuple(station.name for station in stations if station.iocm),
        tuple(station.name for station in stations if station.cancel_unsent == "all"),
    )


def _text(header: HeaderReader, path: Path) -> str:
    attribute = header.get(path)
    return "" if attribute is None else "\\".join(map(str, attribute.values)).strip(" \0")
