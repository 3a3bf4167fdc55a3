"""Steps `set` and `default`: give attributes a value; only where they have none.

A value is a text, a template, or a list of them for several values. Attributes that are absent are
added, with the sequence item and the private creator on their way; `[*]` means every item there is.
All templates of one step see the data set as the step found it, so the order of entries is nothing.
Fails with MorphFailed when a template does, or when its result does not fit the VR.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph
from router.morph.context import MorphContext
from router.morph.parameters import SCALAR, Step, Texts, attribute, concrete, each, entries, named
from router.morph.parameters import texts as compile_texts
from router.morph.reads import template_reads


def _pairs(parameters: Any, name: str) -> list[tuple[Path, Texts]]:
    def pair(key: Any, value: Any) -> tuple[Path, Texts]:
        path = attribute(key, at_key=True)
        return path, compile_texts(value, path)

    return each((key, partial(pair, key, value)) for key, value in entries(parameters, name))


def compile_set(parameters: Any) -> Step:
    """Attribute to value. Raises PlugError."""
    pairs = _pairs(parameters, "set")

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        found = [(path, values(data_set, context)) for path, values in pairs]
        for path, values in found:
            data_set.set(path, _written(values))

    return step


def compile_default(parameters: Any) -> Step:
    """As `set`, for each attribute that is absent or has no value. Raises PlugError."""
    pairs = _pairs(parameters, "default")

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        missing = [
            (path, values(data_set, context))
            for pattern, values in pairs
            for path in concrete(data_set, pattern)
            if _has_none(data_set, path)
        ]
        for path, values in missing:
            data_set.set(path, _written(values))

    return step


def _has_none(data_set: EditableDataSet, path: Path) -> bool:
    found = data_set.get(path)
    return found is None or not any(value != "" for value in found.values)


def _written(values: tuple[str, ...]) -> tuple[str, ...] | str:
    return values[0] if len(values) == 1 else values


def _writes(parameters: Any) -> frozenset[Path]:
    return named(parameters)


def _set_reads(parameters: Any) -> frozenset[Path]:
    return template_reads(parameters.values())


def _default_reads(parameters: Any) -> frozenset[Path]:
    return template_reads(parameters.values()) | named(parameters)


_SCHEMA: Final = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "anyOf": [SCALAR, {"type": "array", "items": SCALAR}],
        "description": "A value, a template with {{ … }}, or a list of them for several values.",
    },
}

PLUGS = (
    Morph(
        name="set",
        summary="Gives attributes a value, whether they had one or not.",
        schema={
            **_SCHEMA,
            "description": "Attribute to value: set: {InstitutionName: Hospital A}.",
        },
        example='set: {InstitutionName: Hospital A, StationName: "{{ source.name }}"}',
        compile=compile_set,
        reads=_set_reads,
        writes=_writes,
    ),
    Morph(
        name="default",
        summary="Gives attributes a value where they are absent or empty.",
        schema={**_SCHEMA, "description": "Attribute to the value it gets where it has none."},
        example="default: {IssuerOfPatientID: HOSPA}",
        compile=compile_default,
        reads=_default_reads,
        writes=_writes,
    ),
)
