"""Objects that may show a name in their pixels, where no header can be trusted to say so.

Burned In Annotation YES is believed, NO is believed, and where nothing is said the kinds of objects
that are screens, films, photographs, ultrasound or documents are not (PS3.15 E.3.1).
"""

from __future__ import annotations

from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path
from router.errors import MorphFailed

_RISKY_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture and its multi-frame kinds
    "1.2.840.10008.5.1.4.1.1.104",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.77.1",  # visible light, photographs and video
    "1.2.840.10008.5.1.4.1.1.12.1",  # X-Ray angiography: patient banner in many exports
)
_RISKY_MODALITIES: Final = frozenset(
    ["BDUS", "DOC", "ECG", "EPS", "ES", "GM", "HC", "IVUS", "OT", "SC", "SM", "US", "XC"]
)
_SCREENS: Final = ("SCREEN", "CAPTURE", "SAVE")


def refuse_burned_in(data_set: EditableDataSet) -> None:
    """Raise MorphFailed for an object whose pixels may tell who it is."""
    said = _text(data_set, "BurnedInAnnotation")
    if said == "NO":
        return
    if said == "YES":
        raise MorphFailed("the object says that identification is burned into its pixels")
    sop_class_uid = _text(data_set, "SOPClassUID")
    risky = any(
        sop_class_uid == root or sop_class_uid.startswith(f"{root}.") for root in _RISKY_CLASSES
    )
    image_type = _text(data_set, "ImageType").upper()
    if (
        risky
        or _text(data_set, "Modality") in _RISKY_MODALITIES
        or any(word in image_type for word in _SCREENS)
    ):
        raise MorphFailed(
            "objects of this kind often show a name in their pixels, and this one does not say "
            "(0028,0301): look, then allow them with burned_in: allow"
        )


def _text(data_set: EditableDataSet, keyword: str) -> str:
    found = data_set.get(parse_path(keyword))
    return "\\".join(str(value) for value in found.values) if found else ""
