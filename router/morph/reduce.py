"""Steps `remove_private` and `keep`: less of the object, at any depth or at the top.

`remove_private: true` takes every private element away; `{keep: [CREATOR]}` leaves the blocks of
those creators. `keep` names the attributes that stay at the top of the object; everything else
goes, but what an object cannot do without: its UIDs and class, character set, modality, image
type, instance number, functional groups, the description of its pixels (group 0028) and the pixels.
"""

from __future__ import annotations

from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.walk import REMOVE
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTES,
    Step,
    as_list,
    attribute,
    known_keys,
    named,
    paths,
    text_of,
)

_NEEDED: Final = frozenset(
    {
        *(0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E),
        *(0x00200013, 0x52009229, 0x52009230),
    }
)
_NEEDED_GROUPS: Final = frozenset({0x0028, 0x7FE0})


def compile_remove_private(parameters: Any) -> Step:
    """True, or {keep: creators}. Raises PlugError."""
    kept: frozenset[str] = frozenset()
    if isinstance(parameters, dict):
        known_keys(parameters, "remove_private", ("keep",), ("keep",))
        kept = frozenset(text_of(name).rstrip(" ") for name in as_list(parameters["keep"]))
    elif parameters is not True:
        raise PlugError("`remove_private` takes true, or {keep: [creators]}", code="DR102")

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        data_set.judge_all(
            lambda tag, _vr, creator: (
                REMOVE if tag & 0x10000 and (creator or "").rstrip() not in kept else None
            )
        )

    return step


def compile_keep(parameters: Any) -> Step:
    """One attribute, or a list of them. Raises PlugError."""
    kept = frozenset(path.steps[0].tag for path in paths(parameters, _plain)) | _NEEDED

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        data_set.remove_at_top(
            [tag for tag in data_set.tags() if tag not in kept and tag >> 16 not in _NEEDED_GROUPS]
        )

    return step


def _plain(name: Any) -> Path:
    path = attribute(name)
    if len(path.steps) > 1 or path.steps[0].creator is not None or path.steps[0].item is not None:
        raise PlugError("an attribute at the top of the object is expected here")
    return path


# Examples of what goes: `writes` is for advice, and cannot name all that a data set may hold.
_PRIVATE: Final = ("0009,0010",)
_OFTEN_GONE: Final = ("PatientName", "PatientID", "PatientBirthDate", "StudyDescription")


def _dropped(parameters: Any) -> frozenset[Path]:
    return named(_OFTEN_GONE) - _kept(parameters)


def _kept(parameters: Any) -> frozenset[Path]:
    return named(as_list(parameters))


PLUGS = (
    Morph(
        name="remove_private",
        summary="Removes private elements at any depth, but those of the creators kept.",
        schema={
            "anyOf": [
                {"const": True},
                {
                    "type": "object",
                    "required": ["keep"],
                    "additionalProperties": False,
                    "properties": {
                        "keep": {
                            "type": ["string", "array"],
                            "items": {"type": "string"},
                            "description": "Private creators whose elements stay.",
                        }
                    },
                },
            ],
            "description": "true, or {keep: [GEMS_PARM_01]}.",
        },
        example="remove_private: {keep: [GEMS_PARM_01]}",
        compile=compile_remove_private,
        writes=lambda _: named(_PRIVATE),
    ),
    Morph(
        name="keep",
        summary="Removes everything at the top but what is named and what an object needs.",
        schema={**ATTRIBUTES, "description": "What stays: keep: [PatientID, StudyDate]."},
        example="keep: [PatientID, StudyDate]",
        compile=compile_keep,
        reads=_kept,
        writes=_dropped,
    ),
)
