"""Steps `case` and `trim`: the letters of each value, and the blanks around it.

`case: {PatientName: upper}` knows upper, lower and title (the first letter of each word). `trim`
takes blanks, tabs and line ends from both ends of each value and makes one blank of several inside.
Absent attributes, and values that are so already, are left alone. Fails with MorphFailed when a
value does not fit the VR any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTES,
    Step,
    each,
    entries,
    paths,
    present,
    text_attribute,
    text_of,
    touched,
)

_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_WORD: Final = re.compile(r"[^\W\d_]+")


def _title(text: str) -> str:
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text)


FORMS: Final[dict[str, Callable[[str], str]]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": _title,
}


def compile_case(parameters: Any) -> Step:
    """Attribute to upper, lower or title. Raises PlugError."""

    def pair(key: Any, value: Any) -> tuple[Path, Callable[[str], str]]:
        path = text_attribute(key, at_key=True)
        form = FORMS.get(text_of(value))
        if form is None:
            raise PlugError(
                f"'{value}' is no case", hint=f"one of: {', '.join(FORMS)}", code="DR102"
            )
        return path, form

    changes: list[tuple[Path, Callable[[str], str]]] = each(
        (key, partial(pair, key, value)) for key, value in entries(parameters, "case")
    )
    return _step(changes)


def compile_trim(parameters: Any) -> Step:
    """One attribute, or a list of them. Raises PlugError."""
    return _step([(path, _trimmed) for path in paths(parameters, text_attribute)])


def _trimmed(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" ")


def _step(changes: list[tuple[Path, Callable[[str], str]]]) -> Step:
    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        for pattern, change in changes:
            for path, before in present(data_set, pattern):
                after = [change(value) for value in before]
                if after != before:
                    data_set.set(path, after)

    return step


PLUGS = (
    Morph(
        name="case",
        summary="Writes each value in upper, lower or title case.",
        schema={
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"enum": list(FORMS)},
            "description": "Attribute to upper, lower or title: case: {PatientName: upper}.",
        },
        example="case: {PatientName: upper}",
        compile=compile_case,
        reads=touched,
        writes=touched,
    ),
    Morph(
        name="trim",
        summary="Takes away blanks around each value, and doubled ones inside.",
        schema={**ATTRIBUTES, "description": "One attribute or a list: trim: [PatientID]."},
        example="trim: [PatientID, AccessionNumber]",
        compile=compile_trim,
        reads=touched,
        writes=touched,
    ),
)
