"""Operators `equals` and `any`: the value is this one, or one of these.

Equality is that of the VR: numbers as numbers, dates within what was written, UIDs exactly, a
person name by any of its component groups, text without trailing padding.
"""

from __future__ import annotations

from typing import Any

from router.match.values import LITERAL_SCHEMA, Test, equality
from router.model.path import Path
from router.model.plug import Operator, PlugError


def compile_equals(literal: Any, path: Path | None) -> Test:
    """One value. Raises PlugError when the VR cannot hold it."""
    try:
        return equality([literal], path)
    except PlugError as error:
        error.path = error.path[1:]
        raise


def compile_any(literals: Any, path: Path | None) -> Test:
    """A list of values. Raises PlugError, with the index, when the VR cannot hold one."""
    if not isinstance(literals, list):
        raise PlugError("`any` takes a list", hint=f"write any: [{literals}]", code="DR102")
    if not literals:
        raise PlugError("an empty list matches nothing", code="DR102")
    return equality(literals, path)


PLUGS = (
    Operator(
        name="equals",
        summary="The value is this one, compared as its VR says.",
        schema={
            **LITERAL_SCHEMA,
            "description": "The value: numbers as numbers, dates and times as such, text exactly.",
        },
        example="equals: CT",
        compile=compile_equals,
    ),
    Operator(
        name="any",
        summary="The value is one of these.",
        schema={
            "type": "array",
            "minItems": 1,
            "items": LITERAL_SCHEMA,
            "description": "Any of these values; a plain list means the same.",
        },
        example="any: [CT, MR]",
        compile=compile_any,
    ),
)
