"""What the catalogue knows of what is held: the attributes of patient, study and series.

Query keys of PS3.4 C.6.1.1 and C.6.2.1, and a few more that servers are asked for. Attributes are
text, decoded to Unicode, several values joined by a backslash; sequences are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MODALITIES_IN_STUDY: Final = 0x00080061
SOP_CLASSES_IN_STUDY: Final = 0x00080062
MODALITY: Final = 0x00080060
# No tags of DICOM: Patient ID and issuer as they came, where the hook on receive may change them.
ORIGINAL_PATIENT_ID: Final = 0x1_00100020
ORIGINAL_ISSUER: Final = 0x1_00100021
INSTANCE_AVAILABILITY: Final = 0x00080056
PATIENT_RELATED_STUDIES: Final = 0x00201200
PATIENT_RELATED_SERIES: Final = 0x00201202
PATIENT_RELATED_INSTANCES: Final = 0x00201204
STUDY_RELATED_SERIES: Final = 0x00201206
STUDY_RELATED_INSTANCES: Final = 0x00201208
SERIES_RELATED_INSTANCES: Final = 0x00201209

PATIENT_TAGS: Final = frozenset(
    {
        0x00100010,  # PatientName
        0x00100020,  # PatientID
        0x00100021,  # IssuerOfPatientID
        0x00100030,  # PatientBirthDate
        0x00100032,  # PatientBirthTime
        0x00100040,  # PatientSex
        0x00101000,  # OtherPatientIDs
        0x00101001,  # OtherPatientNames
        0x00102160,  # EthnicGroup
        0x00104000,  # PatientComments
    }
)
STUDY_TAGS: Final = frozenset(
    {
        0x00080020,  # StudyDate
        0x00080030,  # StudyTime
        0x00080050,  # AccessionNumber
        0x00080090,  # ReferringPhysicianName
        0x00081030,  # StudyDescription
        0x00081060,  # NameOfPhysiciansReadingStudy
        0x00081080,  # AdmittingDiagnosesDescription
        0x00101010,  # PatientAge
        0x00101020,  # PatientSize
        0x00101030,  # PatientWeight
        0x00102180,  # Occupation
        0x001021B0,  # AdditionalPatientHistory
        0x0020000D,  # StudyInstanceUID
        0x00200010,  # StudyID
        0x00321060,  # RequestedProcedureDescription
    }
)
SERIES_TAGS: Final = frozenset(
    {
        0x00080021,  # SeriesDate
        0x00080031,  # SeriesTime
        MODALITY,
        0x00080070,  # Manufacturer
        0x00080080,  # InstitutionName
        0x00081010,  # StationName
        0x0008103E,  # SeriesDescription
        0x00081040,  # InstitutionalDepartmentName
        0x00081050,  # PerformingPhysicianName
        0x00081070,  # OperatorsName
        0x00081090,  # ManufacturerModelName
        0x00180015,  # BodyPartExamined
        0x00181030,  # ProtocolName
        0x00185100,  # PatientPosition
        0x0020000E,  # SeriesInstanceUID
        0x00200011,  # SeriesNumber
        0x00200060,  # Laterality
        0x00400244,  # PerformedProcedureStepStartDate
        0x00400245,  # PerformedProcedureStepStartTime
        0x00400253,  # PerformedProcedureStepID
        0x00400254,  # PerformedProcedureStepDescription
    }
)
PATIENT_COUNTS: Final = frozenset(
    {PATIENT_RELATED_STUDIES, PATIENT_RELATED_SERIES, PATIENT_RELATED_INSTANCES}
)
STUDY_COUNTS: Final = frozenset(
    {SOP_CLASSES_IN_STUDY, STUDY_RELATED_SERIES, STUDY_RELATED_INSTANCES}
)
MAX_TEXT_LENGTH: Final = 4096

Attributes = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """One series as the instance `sop_instance_uid` describes it, patient and study included."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    attributes: Attributes
