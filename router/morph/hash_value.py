"""Step `hash`: each value becomes a token that stands for it and tells nothing.

Keyed with the mapping key of the router: equal values get equal tokens, in all objects and on all
nodes that share the key, and nobody without it can try out a list. `hash: [PatientID]` gives 16
characters, `hash: {PatientID: 12}` another number; digits and the letters A to F. A text shorter
than its token is none the worse. Absent and empty values are left alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.keyed import mapped_token
from router.morph.parameters import (
    ATTRIBUTE,
    Step,
    check_literal,
    each,
    paths,
    present,
    text_attribute,
    touched,
    values_of,
)

DEFAULT_LENGTH: Final = 16
_SHORTEST, _LONGEST = 8, 64


def compile_hash(parameters: Any) -> Step:
    """Attributes, or attribute to the length of its token. Raises PlugError."""
    if parameters == {}:
        raise PlugError("`hash` takes attributes, or a mapping of them", code="DR102")
    if isinstance(parameters, dict):
        pairs: list[tuple[Path, int]] = each(
            (key, partial(_pair, key, value)) for key, value in parameters.items()
        )
    else:
        pairs = [(path, DEFAULT_LENGTH) for path in paths(parameters, _hashable)]

    def step(data_set: EditableDataSet, context: MorphContext) -> None:
        for pattern, length in pairs:
            for path, values in present(data_set, pattern):
                tokens = [mapped_token(context, one, length) if one else "" for one in values]
                data_set.set(path, tokens)

    return step


def _hashable(name: Any) -> Path:
    path = text_attribute(name)
    check_literal("A" * DEFAULT_LENGTH, values_of(path))
    return path


def _pair(key: Any, value: Any) -> tuple[Path, int]:
    path = text_attribute(key, at_key=True)
    try:
        length = int(str(value))
    except ValueError:
        length = 0
    if not _SHORTEST <= length <= _LONGEST:
        raise PlugError(f"a token has {_SHORTEST} to {_LONGEST} characters", code="DR102")
    check_literal("A" * length, values_of(path))
    return path, length


PLUGS = (
    Morph(
        name="hash",
        summary="Replaces each value by a keyed token, equal for equal values.",
        schema={
            "anyOf": [
                ATTRIBUTE,
                {"type": "array", "minItems": 1, "items": ATTRIBUTE},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": ["integer", "string"]},
                },
            ],
            "description": "Attributes, or attribute to length: hash: {PatientID: 12}.",
        },
        example="hash: {PatientID: 12}",
        compile=compile_hash,
        reads=touched,
        writes=touched,
    ),
)
