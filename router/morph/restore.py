"""Step `restore`, behind `original_patient_id`: attributes leave as they came (protocols 3.3).

They get back exactly what the object had when it was received; what was absent is absent again. Of an
object that was retrieved, which others changed before, they get what it tells of its earliest ID.
People do not write it: the key of the station puts it last on send, and a recipe that de-identifies
does without (router.model.recipe).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path
from router.model.instance import RETRIEVED
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import ATTRIBUTES, Step, as_list, attribute, named, paths

PATIENT_ID: Final = 0x00100020
MAX_ITEMS: Final = 100
_IDENTIFIERS: Final = {PATIENT_ID: "PatientID", 0x00100021: "IssuerOfPatientID"}


def compile_restore(parameters: Any) -> Step:
    """One attribute at the top, or a list of them. Raises PlugError."""
    tags = frozenset(path.steps[0].tag for path in paths(parameters, _plain))

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        data_set.restore(tags)
        if context.source.listener == RETRIEVED:
            _give_earliest(data_set, tags)

    return step


def _give_earliest(data_set: EditableDataSet, tags: Collection[int]) -> None:
    """Of what was retrieved no arrival is known: what it tells itself of its earliest ID counts.

    That is the earliest item of Original Attributes Sequence that holds a Patient ID (PS3.3
    C.12.1.1.9); an item without a time is taken for later. Attributes it does not hold were not
    changed then, and stay as the object came.
    """
    if PATIENT_ID not in tags:
        return
    found: list[tuple[bool, str, int]] = []
    for number in range(MAX_ITEMS):
        item = f"OriginalAttributesSequence[{number}]"
        if not data_set.exists(parse_path(item)):
            break
        if _text(data_set, f"{item}.ModifiedAttributesSequence[0].PatientID"):
            time = _text(data_set, f"{item}.AttributeModificationDateTime")
            found.append((not time, time, number))
    if not found:
        return
    before = f"OriginalAttributesSequence[{min(found)[2]}].ModifiedAttributesSequence[0]"
    for tag, keyword in _IDENTIFIERS.items():
        old = data_set.get(parse_path(f"{before}.{keyword}")) if tag in tags else None
        if old is not None:
            data_set.set(parse_path(keyword), old.values)


def _text(data_set: EditableDataSet, path: str) -> str:
    attribute = data_set.get(parse_path(path))
    return "".join(str(value).strip() for value in attribute.values) if attribute else ""


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
