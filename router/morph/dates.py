"""Dates of a patient, moved: DA and DT values as bytes, by days that belong to the patient."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import format_tag, parse_path
from router.errors import MorphFailed

# Year, month and day (also as before 1993, with dots), then the time and offset of a DT.
_DAY: Final = re.compile(
    r"(\d{4})(\.?)(\d{2})\2(\d{2})((?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)"
)
_MONTH: Final = re.compile(r"(\d{4})(\d{2})((?:[+-]\d{4})?)")
_YEAR: Final = re.compile(r"(\d{4})((?:[+-]\d{4})?)")
_PATIENT_ID: Final = parse_path("PatientID")
_ISSUER: Final = parse_path("IssuerOfPatientID")


def patient_of(data_set: EditableDataSet) -> str:
    """Patient ID and issuer as one text, the key of what belongs to a patient."""
    texts = []
    for path in (_PATIENT_ID, _ISSUER):
        found = data_set.get(path)
        texts.append(str(found.values[0]).strip() if found and found.values else "")
    return "\0".join(texts)


def moved_value(tag: int, raw: bytes, days: int) -> bytes | None:
    """The bytes of a DA or DT value with each date moved; None where there is none.

    Raises MorphFailed, naming the tag, for a value that is no date.
    """
    text = raw.decode("latin-1").rstrip("\0 ")
    if not text:
        return None
    parts = [moved(part.strip(" "), days) for part in text.split("\\")]
    if None in parts:
        raise MorphFailed(f"{format_tag(tag)} holds a value that is no date")
    fresh = "\\".join(part or "" for part in parts).encode("latin-1")
    return fresh + b" " * (len(fresh) % 2)


def moved(text: str, days: int) -> str | None:
    """A DA or DT value moved by days; None when it is none. The empty value stays empty."""
    if not text:
        return ""
    try:
        if found := _DAY.fullmatch(text):
            year, dot, month, day, rest = found.groups()
            then = date(int(year), int(month), int(day)) + timedelta(days=days)
            return f"{then.year:04d}{dot}{then.month:02d}{dot}{then.day:02d}{rest}"
        if found := _MONTH.fullmatch(text):
            then = date(int(found[1]), int(found[2]), 1) + timedelta(days=days)
            return f"{then.year:04d}{then.month:02d}{found[3]}"
        if found := _YEAR.fullmatch(text):
            return f"{(date(int(found[1]), 1, 1) + timedelta(days=days)).year:04d}{found[2]}"
    except (ValueError, OverflowError):
        return None
    return None
