"""Step `remap_uids`: every UID of the object becomes another one, the same wherever it stands.

Instances, studies, series, frames of reference and all references to them, at any depth, follow one
keyed mapping, so objects that refer to each other still do, across studies and restarts. UIDs of
the standard, and attributes that name classes, transfer syntaxes or coding schemes, are left alone;
`except` leaves more attributes alone. Fails with MorphFailed when the router has no mapping key.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.keyed import CLASS_TAGS, mapped_value
from router.morph.parameters import (
    ATTRIBUTES,
    Step,
    as_list,
    attribute,
    each,
    known_keys,
    named,
    paths,
)


def compile_remap_uids(parameters: Any) -> Step:
    """True, or {except: attributes}. Raises PlugError."""
    kept = CLASS_TAGS
    if isinstance(parameters, dict):
        known_keys(parameters, "remap_uids", ("except",), ("except",))
        (found,) = each((("except", lambda: paths(parameters["except"], _plain)),))
        kept = CLASS_TAGS | {path.steps[0].tag for path in found}
    elif parameters is not True:
        raise PlugError("`remap_uids` takes true, or {except: [attributes]}", code="DR102")

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        change = partial(mapped_value, context)
        data_set.judge_all(lambda tag, vr, _: change if vr == "UI" and tag not in kept else None)

    return step


def _plain(name: Any) -> Path:
    path = attribute(name)
    if len(path.steps) > 1 or path.steps[0].creator is not None:
        raise PlugError("a single standard attribute is expected; it is meant at every depth")
    return path


def _writes(parameters: Any) -> frozenset[Path]:
    mapped = named(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"))
    kept = parameters.get("except", ()) if isinstance(parameters, dict) else ()
    return mapped - named(as_list(kept))


PLUGS = (
    Morph(
        name="remap_uids",
        summary="Gives every UID of the object another one, the same wherever it stands.",
        schema={
            "anyOf": [
                {"const": True},
                {
                    "type": "object",
                    "required": ["except"],
                    "additionalProperties": False,
                    "properties": {
                        "except": {
                            **ATTRIBUTES,
                            "description": "Attributes whose UIDs stay as they are, at any depth.",
                        }
                    },
                },
            ],
            "description": "true, or {except: [FrameOfReferenceUID]}.",
        },
        example="remap_uids: {except: [FrameOfReferenceUID]}",
        compile=compile_remap_uids,
        writes=_writes,
    ),
)
