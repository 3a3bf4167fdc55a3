"""Step `shift_dates`: all dates of the object, at any depth, move by the same number of days.

`days: -30` moves by that many; `up_to_days: 365` by a number of days that belongs to the patient
(Patient ID and its issuer, as the step finds them), keyed, 1 to that many into the past, so that the
time between two studies of a patient stays what it was. DA and DT are moved; times of day stay. A
date of year and month only keeps that precision. Fails with MorphFailed for a value that is no date,
and when the router has no mapping key.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import format_tag, parse_path
from router.errors import MorphFailed
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.keyed import mapped_days
from router.morph.parameters import Step, named

MAX_DAYS: Final = 36_500
_DATES: Final = frozenset({"DA", "DT"})
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


def move_dates(
    data_set: EditableDataSet, days: int, left_alone: frozenset[int] = frozenset()
) -> None:
    """Move every DA and DT value but those of the attributes left alone."""

    def change(tag: int, raw: bytes) -> bytes | None:
        text = raw.decode("latin-1").rstrip("\0 ")
        if not text or tag in left_alone:
            return None
        parts = [moved(part.strip(" "), days) for part in text.split("\\")]
        if None in parts:
            raise MorphFailed(f"{format_tag(tag)} holds a value that is no date")
        fresh = "\\".join(part or "" for part in parts).encode("latin-1")
        return fresh + b" " * (len(fresh) % 2)

    data_set.rewrite(_DATES, change)


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


def compile_shift_dates(parameters: Any) -> Step:
    """{days} or {up_to_days}. Raises PlugError."""
    if not isinstance(parameters, dict) or len(parameters) != 1:
        raise PlugError("`shift_dates` takes {days: …} or {up_to_days: …}", code="DR102")
    ((key, value),) = parameters.items()
    if key not in {"days", "up_to_days"}:
        raise PlugError(
            f"'{key}' is unknown here",
            path=(key,),
            at_key=True,
            hint="one of: days, up_to_days",
            code="DR101",
        )
    number = _whole(value, key)

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        days = number
        if key == "up_to_days":
            days = mapped_days(context, patient_of(data_set), number)
        move_dates(data_set, days)

    return step


def _whole(value: Any, key: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    low = 1 if key == "up_to_days" else -MAX_DAYS
    if not low <= number <= MAX_DAYS or number == 0:
        raise PlugError(
            f"`{key}` is a whole number of days from {low} to {MAX_DAYS}, not 0",
            path=(key,),
            code="DR102",
        )
    return number


def _reads(parameters: Any) -> frozenset[Path]:
    by_patient = isinstance(parameters, dict) and "up_to_days" in parameters
    return named(("PatientID", "IssuerOfPatientID")) if by_patient else frozenset()


def _writes(_: Any) -> frozenset[Path]:
    return named(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "PatientBirthDate"))


_DAYS: Final = {"type": ["integer", "string"]}

PLUGS = (
    Morph(
        name="shift_dates",
        summary="Moves all dates of the object by the same number of days.",
        schema={
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                "days": {**_DAYS, "description": "By so many days; negative is into the past."},
                "up_to_days": {
                    **_DAYS,
                    "description": "By a number of days of the patient's own, 1 to this many.",
                },
            },
            "description": "{days: -30} or {up_to_days: 365}.",
        },
        example="shift_dates: {up_to_days: 365}",
        compile=compile_shift_dates,
        reads=_reads,
        writes=_writes,
    ),
)
