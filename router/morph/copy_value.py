"""Steps `copy` and `move`: the values of one attribute into another; `move` leaves the first absent.

Written `copy: {Target: Source}`, as `set` is. A source without a value leaves the target without
one; an absent source changes nothing. All sources are read before anything is written, so two
attributes can change places. Fails with MorphFailed when the VR of the target does not allow the
values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTE,
    Step,
    attribute,
    each,
    entries,
    named,
    removable,
    values_of,
)


def _pairs(parameters: Any, name: str, source_of: Callable[[Any], Path]) -> list[tuple[Path, Path]]:
    """(target, source) of each entry. Raises PlugError."""

    def pair(target: Any, source: Any) -> tuple[Path, Path]:
        to, origin = attribute(target, at_key=True), source_of(source)
        for path, is_key in ((to, True), (origin, False)):
            try:
                values_of(path)
            except PlugError as error:
                error.at_key = is_key
                raise
        return to, origin

    return each(
        (target, partial(pair, target, source)) for target, source in entries(parameters, name)
    )


def compile_copy(parameters: Any) -> Step:
    """Target to source. Raises PlugError."""
    pairs = _pairs(parameters, "copy", attribute)

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        copies = [(to, data_set.get(origin)) for to, origin in pairs]
        for to, found in copies:
            if found is not None:
                data_set.set(to, found.values)

    return step


def compile_move(parameters: Any) -> Step:
    """Target to source, which must be one an object can do without. Raises PlugError."""
    pairs = _pairs(parameters, "move", removable)
    targets = {to.text for to, _ in pairs}

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        moves = [(to, origin, data_set.get(origin)) for to, origin in pairs]
        for _to, origin, found in moves:
            if found is not None and origin.text not in targets:
                data_set.remove(origin)
        for to, _origin, found in moves:
            if found is not None:
                data_set.set(to, found.values)

    return step


def _reads(parameters: Any) -> frozenset[Path]:
    return named(parameters.values())


def _writes(parameters: Any) -> frozenset[Path]:
    return named(parameters)


def _move_writes(parameters: Any) -> frozenset[Path]:
    return named(parameters) | named(parameters.values())


PLUGS = (
    Morph(
        name="copy",
        summary="Copies the values of one attribute into another.",
        schema={
            "type": "object",
            "minProperties": 1,
            "additionalProperties": ATTRIBUTE,
            "description": "Target to source: copy: {OtherPatientIDs: PatientID}.",
        },
        example="copy: {OtherPatientIDs: PatientID}",
        compile=compile_copy,
        reads=_reads,
        writes=_writes,
    ),
    Morph(
        name="move",
        summary="Moves the values of one attribute into another.",
        schema={
            "type": "object",
            "minProperties": 1,
            "additionalProperties": ATTRIBUTE,
            "description": "Target to source: move: {OtherPatientIDs: PatientID}.",
        },
        example="move: {RetrieveAETitle: StationAETitle}",
        compile=compile_move,
        reads=_reads,
        writes=_move_writes,
    ),
)
