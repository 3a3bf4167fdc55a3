"""Step `restore`, behind `original_patient_id`: attributes leave as they came (protocols 3.3).

They get back exactly what the object had when it was received; what was absent is absent again.
People do not write it: the key of the station puts it last on send, and a recipe that de-identifies
does without (router.model.recipe).
"""

from __future__ import annotations

from typing import Any

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import ATTRIBUTES, Step, as_list, attribute, named, paths


def compile_restore(parameters: Any) -> Step:
    """One attribute at the top, or a list of them. Raises PlugError."""
    tags = frozenset(path.steps[0].tag for path in paths(parameters, _plain))

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        data_set.restore(tags)

    return step


def _plain(name: Any) -> Path:
    path = attribute(name)
    if not path.is_plain or path.steps[0].item is not None:
        raise PlugError("a single standard attribute at the top is expected")
    return path


def _touched(parameters: Any) -> frozenset[Path]:
    return named(as_list(parameters))


PLUGS = (
    Morph(
        name="restore",
        summary="Gives attributes back what they were when the object came.",
        schema={**ATTRIBUTES, "description": "One attribute or a list: restore: [PatientID]."},
        example="restore: [PatientID, IssuerOfPatientID]",
        compile=compile_restore,
        writes=_touched,
        is_offered=False,
    ),
)
