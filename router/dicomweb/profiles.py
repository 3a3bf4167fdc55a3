"""What each kind of DICOMweb server accepts and answers, as data (PS3.18 10.5).

`generic` is the standard's own text; the others differ from it in limits and in failure reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from router.model.plug import Profile

_GIB: Final = 1024**3

PROFILES: Final = (
    Profile(
        name="aws",
        summary="AWS HealthImaging: at most 1 GB in a request.",
        max_request_bytes=10**9,
    ),
    Profile(
        name="azure",
        summary="Azure Health Data Services: 45070 means that it has the instance already.",
        max_instances=16,
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
    ),
    Profile(
        name="orthanc",
        summary="Orthanc with its DICOMweb plugin: 400 when one of several is unreadable.",
        query_limit=100,
    ),
)


def profiles() -> Mapping[str, Profile]:
    """The profiles by name."""
    return MappingProxyType({profile.name: profile for profile in PROFILES})


def profile_named(name: str) -> Profile:
    """The profile of this name; `generic` for a name nobody knows."""
    known = profiles()
    return known.get(name, known["generic"])
