"""Rejection notes as the router writes them: Key Object Selection documents (PS3.3 A.35.4, PS3.16 TID 2010).

Evidence and content tree name the same objects. The note stands in a series of its own in the study of
the objects, whose patient and study attributes it repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.dicom.identifier import element_of, encode_identifier
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.dicom.uid_names import uid_name
from router.model.query import DataElement, Identifier
from router.model.rejection import KEY_OBJECT_SELECTION, TITLES

# Of the Patient and General Study modules: type 1 and 2, and what archives match patients by.
REPEATED: Final = (
    0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030, 0x00100010, 0x00100020, 0x00100021,
    0x00100030, 0x00100040, 0x00200010,
)  # fmt: skip
_OPTIONAL: Final = frozenset({0x00081030, 0x00100021})
SERIES_NUMBER: Final = "999"


@dataclass(frozen=True, slots=True)
class Named:
    """One object that a note names."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a note is made of: title code, study, objects; UIDs of its own, date and time of writing.

    `repeated` has the texts of REPEATED attributes that the objects have values of.
    """

    code: str
    study_instance_uid: str
    named: Sequence[Named]
    sop_instance_uid: str
    series_instance_uid: str
    date: str
    time: str
    repeated: Mapping[int, str]


def encoded(note: Note) -> bytes:
    """The data set, Explicit VR Little Endian. Raises ValueProblem for text that cannot be written."""
    series: dict[str, list[Identifier]] = {}
    content: list[Identifier] = []
    for one in note.named:
        reference = {
            0x00081150: _uid(one.sop_class_uid),
            0x00081155: _uid(one.sop_instance_uid),
        }
        series.setdefault(one.series_instance_uid, []).append(reference)
        content.append(
            {
                0x0040A010: _code("CONTAINS"),
                0x0040A040: _code(_value_type(one.sop_class_uid)),
                0x00081199: _items(reference),
            }
        )
    of_series = [
        {0x0020000E: _uid(uid), 0x00081199: _items(*references)}
        for uid, references in series.items()
    ]
    evidence = {
        0x0020000D: _uid(note.study_instance_uid),
        0x00081115: _items(*of_series),
    }
    repeated = {
        tag: element_of(tag, note.repeated.get(tag, ""))
        for tag in REPEATED
        if tag in note.repeated or tag not in _OPTIONAL
    }
    document: dict[int, DataElement] = {
        0x00080016: _uid(KEY_OBJECT_SELECTION),
        0x00080018: _uid(note.sop_instance_uid),
        0x00080023: DataElement("DA", (note.date,)),
        0x00080033: DataElement("TM", (note.time,)),
        0x00080060: _code("KO"),
        0x00080070: DataElement("LO", ("dicom-router",)),
        0x0008103E: DataElement("LO", ("Rejection Note",)),
        0x00081111: _items(),
        0x0020000D: _uid(note.study_instance_uid),
        0x0020000E: _uid(note.series_instance_uid),
        0x00200011: DataElement("IS", (SERIES_NUMBER,)),
        0x00200013: DataElement("IS", ("1",)),
        0x0040A040: _code("CONTAINER"),
        0x0040A043: _items(_title(note.code)),
        0x0040A050: _code("SEPARATE"),
        0x0040A375: _items(evidence),
        0x0040A504: _items({0x00080105: _code("DCMR"), 0x0040DB00: _code("2010")}),
        0x0040A730: _items(*content),
    }
    return encode_identifier({**repeated, **document}, EXPLICIT_VR_LITTLE_ENDIAN)


def _title(code: str) -> Identifier:
    return {
        0x00080100: DataElement("SH", (code,)),
        0x00080102: DataElement("SH", ("DCM",)),
        0x00080104: DataElement("LO", (TITLES[code],)),
    }


def _value_type(sop_class_uid: str) -> str:
    name = uid_name(sop_class_uid)
    if "Waveform" in name or "ECG" in name:
        return "WAVEFORM"
    return "IMAGE" if "Image Storage" in name else "COMPOSITE"


def _uid(value: str) -> DataElement:
    return DataElement("UI", (value,))


def _code(value: str) -> DataElement:
    return DataElement("CS", (value,))


def _items(*items: Identifier) -> DataElement:
    return DataElement("SQ", items)
