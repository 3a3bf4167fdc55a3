"""Steps `split` and `join`: one text into several values or attributes, and back.

`split` cuts each value at a text. With `into` the pieces go to those attributes in order: the last
takes what is left, those without a piece are left without a value, and the source stays. Without it
they become the values of the attribute itself. `join` puts the values of an attribute, or with
`from` those of several attributes, behind one another with a text between; empty values are left
out. Absent attributes are left alone. Fails with MorphFailed when a result does not fit the VR.
"""

from __future__ import annotations

from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.values import SINGLE_VALUE_VRS
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTE,
    ATTRIBUTES,
    Step,
    as_list,
    concrete,
    each,
    known_keys,
    named,
    paths,
    present,
    text_attribute,
    text_of,
    values_of,
)

_SPLIT: Final = ("tag", "by", "into")
_JOIN: Final = ("tag", "with", "from")


def compile_split(parameters: Any) -> Step:
    """{tag, by, into}. Raises PlugError."""
    known_keys(parameters, "split", _SPLIT, ("tag", "by"))
    tag, by, into = each(
        (
            ("tag", lambda: text_attribute(parameters["tag"])),
            ("by", lambda: _separator(parameters["by"])),
            (
                "into",
                lambda: paths(parameters["into"], text_attribute) if "into" in parameters else (),
            ),
        )
    )
    if not into and all(vr in SINGLE_VALUE_VRS for vr in values_of(tag)):
        raise PlugError(
            f"'{tag.text}' holds one value", path=("tag",), hint="say where with into: [...]"
        )

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        for path, values in present(data_set, tag):
            if not into:
                data_set.set(path, [piece.strip(" ") for one in values for piece in one.split(by)])
                continue
            pieces = "\\".join(values).split(by, len(into) - 1)
            for place, target in enumerate(into):
                data_set.set(target, pieces[place].strip(" ") if place < len(pieces) else "")

    return step


def compile_join(parameters: Any) -> Step:
    """{tag, with, from}. Raises PlugError."""
    known_keys(parameters, "join", _JOIN, ("tag", "with"))
    tag, between, origins = each(
        (
            ("tag", lambda: text_attribute(parameters["tag"])),
            ("with", lambda: text_of(parameters["with"])),
            (
                "from",
                lambda: paths(parameters["from"], text_attribute) if "from" in parameters else (),
            ),
        )
    )

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        if origins:
            _put(data_set, tag, [value for path in origins for value in _texts(data_set, path)])
            return
        for path in concrete(data_set, tag):
            _put(data_set, path, _texts(data_set, path))

    def _put(data_set: EditableDataSet, path: Path, values: list[str]) -> None:
        if values:
            data_set.set(path, between.join(values))

    return step


def _texts(data_set: EditableDataSet, path: Path) -> list[str]:
    found = data_set.get(path)
    return [str(value) for value in found.values if value != ""] if found else []


def _separator(written: Any) -> str:
    text = text_of(written)
    if not text or "\\" in text:
        raise PlugError("a text to cut at is expected, without a backslash", code="DR102")
    return text


def _split_writes(parameters: Any) -> frozenset[Path]:
    return named(as_list(parameters.get("into", [parameters["tag"]])))


def _tag(parameters: Any) -> frozenset[Path]:
    return named([parameters["tag"]])


def _join_reads(parameters: Any) -> frozenset[Path]:
    return named(as_list(parameters.get("from", [parameters["tag"]])))


PLUGS = (
    Morph(
        name="split",
        summary="Cuts a text into several values, or into several attributes.",
        schema={
            "type": "object",
            "required": ["tag", "by"],
            "additionalProperties": False,
            "properties": {
                "tag": ATTRIBUTE,
                "by": {"type": "string", "minLength": 1, "description": "The text to cut at."},
                "into": {**ATTRIBUTES, "description": "Attributes for the pieces, in order."},
            },
            "description": "{tag, by, into}",
        },
        example='split: {tag: StudyDescription, by: " - ", into: [SeriesDescription, ProtocolName]}',
        compile=compile_split,
        reads=_tag,
        writes=_split_writes,
    ),
    Morph(
        name="join",
        summary="Puts several values, or several attributes, into one text.",
        schema={
            "type": "object",
            "required": ["tag", "with"],
            "additionalProperties": False,
            "properties": {
                "tag": ATTRIBUTE,
                "with": {"type": "string", "description": "The text between two values."},
                "from": {**ATTRIBUTES, "description": "Attributes whose values are put together."},
            },
            "description": "{tag, with, from}",
        },
        example='join: {tag: StudyDescription, with: " ", from: [Modality, BodyPartExamined]}',
        compile=compile_join,
        reads=_join_reads,
        writes=_tag,
    ),
)
