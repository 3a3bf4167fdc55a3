"""What a de-identified object says of itself, and which private elements are known to be safe.

Codes of CID 7050 (PS3.16), attributes of PS3.3 C.7.1.1 and C.12.1; safe private elements of PS3.15
table E.3.10-1, as far as they hold numbers of the acquisition only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path

# option: code of CID 7050, its meaning, its column in the table ('' has none).
OPTIONS: Final[dict[str, tuple[str, str, str]]] = {
    "retain_safe_private": ("113111", "Retain Safe Private Option", ""),
    "retain_uids": ("113110", "Retain UIDs Option", "uids"),
    "retain_device_identity": ("113109", "Retain Device Identity Option", "device"),
    "retain_institution_identity": (
        "113112",
        "Retain Institution Identity Option",
        "institution",
    ),
    "retain_patient_characteristics": (
        "113108",
        "Retain Patient Characteristics Option",
        "characteristics",
    ),
    "retain_longitudinal_full_dates": (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
        "full_dates",
    ),
    "retain_longitudinal_modified_dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
        "modified_dates",
    ),
    "clean_descriptors": ("113105", "Clean Descriptors Option", "descriptors"),
    "clean_structured_content": (
        "113104",
        "Clean Structured Content Option",
        "structured_content",
    ),
    "clean_graphics": ("113103", "Clean Graphics Option", ""),
}
_BASIC: Final = ("113100", "Basic Application Confidentiality Profile")

_SAFE: Final = {
    "ELSCINT1": frozenset({(0x00E1, 0x21), (0x01E1, 0x26), (0x01F1, 0x07), (0x01F1, 0x26)}),
    "GEMS_ACQU_01": frozenset({(0x0019, 0x23), (0x0019, 0x24), (0x0019, 0x27)}),
    "GEMS_PARM_01": frozenset({(0x0043, 0x27), (0x0043, 0x6F)}),
    "GEMS_SERS_01": frozenset({(0x0025, 0x07)}),
    "Philips Imaging DD 001": frozenset({(0x2001, 0x03), (0x2001, 0x04)}),
    "Philips PET Private Group": frozenset({(0x7053, 0x00), (0x7053, 0x09)}),
    "SIEMENS MR HEADER": frozenset({(0x0019, 0x0C), (0x0019, 0x0D), (0x0019, 0x0E)}),
}


def safe_private(tag: int, creator: str | None) -> bool:
    """Whether a private element, or the creator of its block, is known to hold nothing personal."""
    known = _SAFE.get((creator or "").strip())
    if known is None:
        return False
    group, number = tag >> 16, tag & 0xFFFF
    return number <= 0xFF or (group, number & 0xFF) in known


def mark(data_set: EditableDataSet, options: Collection[str], edition: str) -> None:
    """Say in the object what was done to it."""
    data_set.set(parse_path("PatientIdentityRemoved"), "YES")
    data_set.set(parse_path("DeidentificationMethod"), f"dicom-router {edition} E.1-1")
    chosen = [_BASIC, *(OPTIONS[name][:2] for name in OPTIONS if name in options)]
    data_set.remove(parse_path("DeidentificationMethodCodeSequence"))
    for place, (code, meaning) in enumerate(chosen):
        item = f"DeidentificationMethodCodeSequence[{place}]"
        data_set.set(parse_path(f"{item}.CodeValue"), code)
        data_set.set(parse_path(f"{item}.CodingSchemeDesignator"), "DCM")
        data_set.set(parse_path(f"{item}.CodeMeaning"), meaning)
    times = "REMOVED"
    if "retain_longitudinal_full_dates" in options:
        times = "UNMODIFIED"
    elif "retain_longitudinal_modified_dates" in options:
        times = "MODIFIED"
    data_set.set(parse_path("LongitudinalTemporalInformationModified"), times)
