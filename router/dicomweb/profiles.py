"""What each kind of DICOMweb server accepts and answers, as data (PS3.18 10.5).

`generic` is the standard's own text; the others differ from it in limits and in failure reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from router.model.plug import Profile

_GIB: Final = 1024**3
# StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, StudyDate, AccessionNumber, Modality,
# ModalitiesInStudy, PatientName, PatientID.
_COMMON_KEYS: Final = frozenset(
    {0x0020000D, 0x0020000E, 0x00080018, 0x00080020, 0x00080050, 0x00080060, 0x00080061}
    | {0x00100010, 0x00100020}
)

PROFILES: Final = (
    Profile(
        name="aws",
        summary="AWS HealthImaging: at most 1 GB in a request.",
        max_request_bytes=10**9,
        query_wildcards=False,
        query_keys=_COMMON_KEYS,
    ),
    Profile(
        name="azure",
        summary="Azure Health Data Services: 45070 means that it has the instance already.",
        max_instances=16,
        query_wildcards=False,
        # and ReferringPhysicianName, StudyDescription, ManufacturerModelName, PatientBirthDate,
        # PerformedProcedureStepStartDate
        query_keys=_COMMON_KEYS | {0x00080090, 0x00081030, 0x00081090, 0x00100030, 0x00400244},
        fuzzy_names=True,
        permanent_codes=frozenset({0xA900, 0xA901}),
    ),
    Profile(
        name="dcm4chee",
        summary="dcm4chee-arc: 0xA770 to 0xA77B are about the object, not about room.",
        delivered_codes=frozenset({0x0111, 0xB00E, 0xA770, 0xA774}),
        later_codes=frozenset({0xB00F, 0xA77A}),
        permanent_codes=frozenset(set(range(0xA770, 0xA77C)) - {0xA770, 0xA774, 0xA77A}),
    ),
    Profile(name="generic", summary="A server that follows PS3.18 and nothing else."),
    Profile(
        name="google",
        summary="Google Cloud Healthcare: other bytes under a known UID are a conflict.",
        query_limit=5000,
        query_wildcards=False,
        query_keys=_COMMON_KEYS | {0x00080090},
        fuzzy_names=True,
    ),
    Profile(
        name="orthanc",
        summary="Orthanc with its DICOMweb plugin: 400 when one of several is unreadable.",
        query_limit=100,
        # Seen with 1.10.1: the arguments reach the plugin as they stand in the URL.
        decodes_percent=False,
    ),
)


def profiles() -> Mapping[str, Profile]:
    """The profiles by name."""
    return MappingProxyType({profile.name: profile for profile in PROFILES})


def profile_named(name: str) -> Profile:
    """The profile of this name; `generic` for a name nobody knows."""
    known = profiles()
    return known.get(name, known["generic"])
