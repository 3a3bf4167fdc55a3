"""Synthetic studies for the demo: small, complete, Explicit VR Little Endian, of nobody."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN

ROWS = COLUMNS = 128
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_LONG_FORM = frozenset({"OB", "OW", "SQ", "UN", "UT"})


@dataclass(frozen=True, slots=True)
class Image:
    """One instance: its UIDs and its data set as it goes over the wire."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What to make: how many images, and what their headers say."""

    seed: int
    modality: str
    sop_class_uid: str
    description: str
    patient_name: str
    patient_id: str
    images: int


def make_study(plan: StudyPlan) -> Iterator[Image]:
    """The images of a study, the same for the same plan."""
    dice = random.Random(plan.seed)
    root = f"2.25.{dice.getrandbits(96)}"
    pixels = dice.randbytes(ROWS * COLUMNS * 2)
    for number in range(1, plan.images + 1):
        instance = f"{root}.2.{number}"
        data_set = b"".join(
            _element(tag, vr, value) for tag, vr, value in _attributes(plan, root, instance, number)
        )
        shifted = pixels[number:] + pixels[:number]
        yield Image(
            plan.sop_class_uid,
            instance,
            EXPLICIT_VR_LITTLE_ENDIAN,
            data_set + _element(0x7FE00010, "OW", shifted),
        )


def _attributes(
    plan: StudyPlan, root: str, instance: str, number: int
) -> tuple[tuple[int, str, str | int], ...]:
    return (
        (0x00080005, "CS", "ISO_IR 100"),
        (0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        (0x00080016, "UI", plan.sop_class_uid),
        (0x00080018, "UI", instance),
        (0x00080020, "DA", "20261122"),
        (0x00080030, "TM", "081500"),
        (0x00080050, "SH", f"A{plan.seed:06d}"),
        (0x00080060, "CS", plan.modality),
        (0x00080070, "LO", "Pretend Imaging"),
        (0x00080080, "LO", "Hospital A"),
        (0x00081030, "LO", plan.description),
        (0x0008103E, "LO", "AXIAL"),
        (0x00100010, "PN", plan.patient_name),
        (0x00100020, "LO", plan.patient_id),
        (0x00100030, "DA", "19700101"),
        (0x00100040, "CS", "O"),
        (0x0020000D, "UI", root),
        (0x0020000E, "UI", f"{root}.2"),
        (0x00200010, "SH", f"S{plan.seed}"),
        (0x00200011, "IS", "2"),
        (0x00200013, "IS", str(number)),
        (0x00280002, "US", 1),
        (0x00280004, "CS", "MONOCHROME2"),
        (0x00280010, "US", ROWS),
        (0x00280011, "US", COLUMNS),
        (0x00280100, "US", 16),
        (0x00280101, "US", 12),
        (0x00280102, "US", 11),
        (0x00280103, "US", 0),
    )


def _element(tag: int, vr: str, value: str | int | bytes) -> bytes:
    """One element in Explicit VR Little Endian (PS3.5 7.1.2)."""
    if isinstance(value, int):
        raw = struct.pack("<H", value)
    elif isinstance(value, str):
        raw = value.encode("latin-1")
        raw += b"" if len(raw) % 2 == 0 else (b"\0" if vr == "UI" else b" ")
    else:
        raw = value
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    if vr in _LONG_FORM:
        return head + struct.pack("<HI", 0, len(raw)) + raw
    return head + struct.pack("<H", len(raw)) + raw
