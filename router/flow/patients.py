"""Patients and studies by the names that commands, API and pages give their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.model.catalogue import Attributes

STUDY: Final[Mapping[str, int]] = {
    "patient_name": 0x00100010,
    "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021,
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
    "accession_number": 0x00080050,
    "study_date": 0x00080020,
    "study_time": 0x00080030,
    "study_description": 0x00081030,
}
SERIES: Final[Mapping[str, int]] = {
    "series_number": 0x00200011,
    "series_description": 0x0008103E,
    "body_part_examined": 0x00180015,
}


def told(attributes: Attributes, names: Mapping[str, int] = STUDY) -> dict[str, str]:
    """The attributes by name, '' where there is none."""
    return {name: attributes.get(tag, "") for name, tag in names.items()}
