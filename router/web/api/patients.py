"""Attributes of patients and studies, for those only who have the scope `phi`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.model.catalogue import Attributes
from router.web.services import Services

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


def patient_of(services: Services, study_instance_uid: str) -> dict[str, str] | None:
    """Whose study it is; None when it is not held any more."""
    attributes = services.catalogue.study(study_instance_uid)
    if attributes is None:
        services.catalogue.follow()
        attributes = services.catalogue.study(study_instance_uid)
    return None if attributes is None else told(attributes)
