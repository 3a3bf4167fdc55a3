"""Step `shift_dates`: all dates of the object, at any depth, move by the same number of days.

`days: -30` moves by that many; `up_to_days: 365` by a number of days that belongs to the patient
(Patient ID and its issuer, as the step finds them), keyed, 1 to that many into the past, so that the
time between two studies of a patient stays what it was. DA and DT are moved; times of day stay. A
date of year and month only keeps that precision. Fails with MorphFailed for a value that is no date,
and when the router has no mapping key.
"""

from __future__ import annotations

from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.dates import moved_value, patient_of
from router.morph.keyed import mapped_days
from router.morph.parameters import Step, known_keys, named

MAX_DAYS: Final = 36_500
_DATES: Final = frozenset({"DA", "DT"})


def compile_shift_dates(parameters: Any) -> Step:
    """{days} or {up_to_days}. Raises PlugError."""
    known_keys(parameters, "shift_dates", ("days", "up_to_days"), ())
    if len(parameters) != 1:
        raise PlugError("`shift_dates` takes {days: …} or {up_to_days: …}", code="DR102")
    ((key, value),) = parameters.items()
    number = _whole(value, key)

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        days = number
        if key == "up_to_days":
            days = mapped_days(context, patient_of(data_set), number)
        data_set.judge_all(
            lambda tag, vr, _: (lambda raw: moved_value(tag, raw, days)) if vr in _DATES else None
        )

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
