"""Steps `blank` and `remove`: attributes without their value, and without themselves.

Absent attributes stay absent. `remove` also takes an item (`Sequence[0]`) and whole groups, with
`x` for any digit (`"0009,xxxx"`); a private creator left without elements goes too (PS3.5 7.8.1).
What makes an object an object (its UIDs, its character set) cannot be removed, by a group neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import format_tag
from router.model.path import Path, PathStep
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTES,
    Step,
    as_list,
    is_identity,
    named,
    paths,
    removable,
    text_of,
)

_MASK: Final = re.compile(r"\(?([0-9A-Fa-fx]{4}),\s*([0-9A-Fa-fx]{4})\)?")


def compile_blank(parameters: Any) -> Step:
    """One attribute, or a list of them. Raises PlugError."""
    wanted: list[Path] = paths(parameters, _blankable)

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        for path in wanted:
            data_set.blank(path)

    return step


def _blankable(name: Any) -> Path:
    path = removable(name)
    if path.steps[-1].item is not None:
        raise PlugError("an item has no value of its own", hint="`remove` takes an item away")
    return path


def compile_remove(parameters: Any) -> Step:
    """One attribute, item or group, or a list of them. Raises PlugError."""
    removals: list[Callable[[EditableDataSet], None]] = paths(parameters, _removal)

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        for removal in removals:
            removal(data_set)

    return step


def _removal(name: Any) -> Callable[[EditableDataSet], None]:
    mask = _mask(name)
    if mask is None:
        path = removable(name)
        return lambda data_set: data_set.remove(path)
    fits = mask.fullmatch

    def remove(data_set: EditableDataSet) -> None:
        for tag in data_set.tags():
            if fits(f"{tag:08X}") and not is_identity(tag):
                data_set.remove(Path((PathStep(tag),), format_tag(tag)))

    return remove


def _mask(name: Any) -> re.Pattern[str] | None:
    """The tags a name with `x` in it stands for, as a pattern over eight digits."""
    found = _MASK.fullmatch(text_of(name))
    if found is None or "x" not in found[0]:
        return None
    return re.compile((found[1] + found[2]).upper().replace("X", "[0-9A-F]"))


def _writes(parameters: Any) -> frozenset[Path]:
    return named(as_list(parameters))


PLUGS = (
    Morph(
        name="blank",
        summary="Leaves attributes without a value; absent ones stay absent.",
        schema={**ATTRIBUTES, "description": "One attribute or a list: blank: [PatientBirthDate]."},
        example="blank: [PatientBirthDate, OtherPatientIDs]",
        compile=compile_blank,
        writes=_writes,
    ),
    Morph(
        name="remove",
        summary="Removes attributes, items of sequences, or whole groups.",
        schema={
            **ATTRIBUTES,
            "description": 'One or a list: keyword, tag, path, item, or a group "0009,xxxx".',
        },
        example='remove: [OtherPatientIDs, "0009,xxxx"]',
        compile=compile_remove,
        writes=_writes,
    ),
)
