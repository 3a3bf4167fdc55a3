r"""Step `original_attributes`: what the steps before it changed is told in the object itself.

One item is added to Original Attributes Sequence (0400,0561): the old values as they came, byte for
byte, in (0400,0550), who changed them, when, and why (protocols 4.9). The time is that of the
arrival, so that a retry gives equal bytes. Items that are there already stay. Nothing is added when
nothing at the top of the object changed. Put it last: it tells of the steps before it only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.dicom.tags import parse_path
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import Step, known_keys, text_of

REASONS: Final = ("COERCE", "CORRECT")
_SEQUENCE: Final = 0x04000561
_PIXELS: Final = 0x7FE00010


def compile_original_attributes(parameters: Any) -> Step:
    """True, or {reason, source}. Raises PlugError."""
    written = {} if parameters is True else parameters
    if not isinstance(written, dict) or parameters == {}:
        raise PlugError("`original_attributes` takes true, or {reason, source}", code="DR102")
    known_keys(written, "original_attributes", ("reason", "source"), ())
    reason = text_of(written.get("reason", "COERCE"))
    source = text_of(written.get("source", "")) if "source" in written else ""
    if reason not in REASONS:
        raise PlugError(
            f"'{reason}' is no reason", path=("reason",), hint="COERCE or CORRECT", code="DR102"
        )

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        changed = [one for one in data_set.originals() if one[0] not in {_SEQUENCE, _PIXELS}]
        if not changed:
            return
        item = f"OriginalAttributesSequence[{_items(data_set)}]"
        when = datetime.fromtimestamp(context.received_at, UTC)
        data_set.put_raw(parse_path(f"{item}.ModifiedAttributesSequence[0]"), changed)
        for keyword, value in (
            ("SourceOfPreviousValues", source),
            ("AttributeModificationDateTime", when.strftime("%Y%m%d%H%M%S.%f+0000")),
            ("ModifyingSystem", context.router_name[:64]),
            ("ReasonForTheAttributeModification", reason),
        ):
            data_set.set(parse_path(f"{item}.{keyword}"), value)

    return step


def _items(data_set: EditableDataSet) -> int:
    number = 0
    while data_set.exists(parse_path(f"OriginalAttributesSequence[{number}]")):
        number += 1
    return number


def _writes(_: Any) -> frozenset[Path]:
    return frozenset({parse_path("OriginalAttributesSequence")})


PLUGS = (
    Morph(
        name="original_attributes",
        summary="Tells in the object which values the steps before it changed.",
        schema={
            "anyOf": [
                {"const": True},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {
                        "reason": {"enum": list(REASONS), "description": "Why: COERCE, CORRECT."},
                        "source": {
                            "type": "string",
                            "maxLength": 64,
                            "description": "Who had given the old values.",
                        },
                    },
                },
            ],
            "description": "true, or {reason: CORRECT, source: CT-1}.",
        },
        example="original_attributes: {reason: COERCE}",
        compile=compile_original_attributes,
        writes=_writes,
    ),
)
