"""How a transfer syntax lays out its bytes: VR form, byte order, deflated, encapsulated.

Every UID has a layout: one we do not know is compressed and private, and those are Explicit VR
Little Endian by rule (PS3.5 A.4), so its header can be read and it can be forwarded unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
# What everybody must take, the better first (PS3.5 10.1).
UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_JPIP_REFERENCED_DEFLATE: Final = "1.2.840.10008.1.2.4.95"
_JPIP_REFERENCED: Final = "1.2.840.10008.1.2.4.94"
_GE_PRIVATE_IMPLICIT: Final = "1.2.840.113619.5.2"


@dataclass(frozen=True, slots=True)
class Layout:
    """The encoding of one transfer syntax (PS3.5 10 and annex A).

    `encapsulated` also stands for "pixel data we cannot rewrite": such a data set is never
    converted.
    """

    uid: str
    explicit_vr: bool = True
    little_endian: bool = True
    deflated: bool = False
    encapsulated: bool = False


_KNOWN: Final = {
    layout.uid: layout
    for layout in (
        Layout(IMPLICIT_VR_LITTLE_ENDIAN, explicit_vr=False),
        Layout(EXPLICIT_VR_LITTLE_ENDIAN),
        Layout(EXPLICIT_VR_BIG_ENDIAN, little_endian=False),
        Layout(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, deflated=True),
        Layout(_JPIP_REFERENCED),
        Layout(_JPIP_REFERENCED_DEFLATE, deflated=True),
        # Implicit header, but big-endian pixel data: readable, not convertible.
        Layout(_GE_PRIVATE_IMPLICIT, explicit_vr=False, encapsulated=True),
    )
}


def layout_of(uid: str) -> Layout:
    """The layout of a transfer syntax UID; unknown ones are encapsulated Explicit VR LE."""
    return _KNOWN.get(uid) or Layout(uid, encapsulated=True)
