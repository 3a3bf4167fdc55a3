"""Steps `prefix` and `suffix`: text before or behind each value of an attribute.

The text may be a template. An attribute that is absent or has no value is left alone, and so is an
empty value among several. All entries see the data set as the step found it. Fails with MorphFailed
when the longer value does not fit the VR.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph
from router.morph.context import MorphContext
from router.morph.parameters import (
    SCALAR,
    Step,
    Text,
    each,
    entries,
    named,
    present,
    text,
    text_attribute,
)
from router.morph.reads import template_reads


def _compiler(name: str, join: Callable[[str, str], str]) -> Callable[[Any], Step]:
    def compile_affix(parameters: Any) -> Step:
        def pair(key: Any, value: Any) -> tuple[Path, Text]:
            return text_attribute(key, at_key=True), text(value)

        pairs: list[tuple[Path, Text]] = each(
            (key, partial(pair, key, value)) for key, value in entries(parameters, name)
        )

        def step(data_set: EditableDataSet, context: MorphContext) -> None:
            changes = []
            for pattern, affix in pairs:
                for path, before in present(data_set, pattern):
                    added = affix(data_set, context)
                    changes.append((path, [join(old, added) if old else "" for old in before]))
            for path, values in changes:
                data_set.set(path, values)

        return step

    return compile_affix


def _reads(parameters: Any) -> frozenset[Path]:
    return named(parameters) | template_reads(parameters.values())


def _writes(parameters: Any) -> frozenset[Path]:
    return named(parameters)


_SCHEMA: Final = {"type": "object", "minProperties": 1, "additionalProperties": SCALAR}

PLUGS = (
    Morph(
        name="prefix",
        summary="Puts text before each value of an attribute.",
        schema={**_SCHEMA, "description": "Attribute to text: prefix: {AccessionNumber: HSPA-}."},
        example="prefix: {AccessionNumber: HSPA-}",
        compile=_compiler("prefix", lambda old, added: added + old),
        reads=_reads,
        writes=_writes,
    ),
    Morph(
        name="suffix",
        summary="Puts text behind each value of an attribute.",
        schema={**_SCHEMA, "description": "Attribute to text: suffix: {PatientID: -A}."},
        example="suffix: {PatientID: -A}",
        compile=_compiler("suffix", lambda old, added: old + added),
        reads=_reads,
        writes=_writes,
    ),
)
