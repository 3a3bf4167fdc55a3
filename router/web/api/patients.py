"""Attributes of patients and studies, for those only who have the scope `phi`."""

from __future__ import annotations

from router.flow.patients import told
from router.web.services import Services


def patient_of(services: Services, study_instance_uid: str) -> dict[str, str] | None:
    """Whose study it is; None when it is not held any more."""
    attributes = services.catalogue.study(study_instance_uid)
    if attributes is None:
        services.catalogue.follow()
        attributes = services.catalogue.study(study_instance_uid)
    return None if attributes is None else told(attributes)
