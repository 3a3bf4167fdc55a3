"""Step `remap_uids`: every UID of the object becomes another one, the same wherever it stands.

Instances, studies, series, frames of reference and all references to them, at any depth, follow one
keyed mapping, so objects that refer to each other still do, across studies and restarts. UIDs of
the standard, and attributes that name classes, transfer syntaxes or coding schemes, are left alone;
`except` leaves more attributes alone. Fails with MorphFailed when the router has no mapping key.
"""

from __future__ import annotations

from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.keyed import mapped_uid
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

_UI: Final = frozenset({"UI"})
# What names a kind of thing and not a thing; a vendor may use a UID of its own here.
CLASS_TAGS: Final = frozenset(
    {
        *(0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x0008010D),
        *(0x00080117, 0x00080118, 0x00081150, 0x0008115A, 0x00083002, 0x00280303),
        *(0x0040DB0C, 0x0040DB0D, 0x00400554, 0x04000010, 0x00020002, 0x00020010),
    }
)


def rewrite_uids(
    data_set: EditableDataSet, context: MorphContext, left_alone: frozenset[int] = frozenset()
) -> None:
    """Map every UID but those of the attributes left alone."""
    kept = CLASS_TAGS | left_alone

    def change(tag: int, raw: bytes) -> bytes | None:
        if tag in kept:
            return None
        before = raw.decode("latin-1").rstrip("\0 ")
        after = "\\".join(mapped_uid(context, part.strip(" ")) for part in before.split("\\"))
        if after == before:
            return None
        return after.encode("ascii") + b"\0" * (len(after) % 2)

    data_set.rewrite(_UI, change)


def compile_remap_uids(parameters: Any) -> Step:
    """True, or {except: attributes}. Raises PlugError."""
    left_alone: frozenset[int] = frozenset()
    if isinstance(parameters, dict):
        known_keys(parameters, "remap_uids", ("except",), ())
        if "except" in parameters:
            (found,) = each((("except", lambda: paths(parameters["except"], _plain)),))
            left_alone = frozenset(path.steps[0].tag for path in found)
    elif parameters is not True:
        raise PlugError("`remap_uids` takes true, or {except: [attributes]}", code="DR102")

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        rewrite_uids(data_set, context, left_alone)

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
