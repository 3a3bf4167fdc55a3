"""Operator `all`: every value of a multi-valued attribute meets the condition.

The condition is written as for the attribute itself: a value, a list (each value is one of these)
or operators (`all: {glob: "A*"}`). An attribute without a value does not match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.match import compare, equals, pattern
from router.match.values import LITERAL_SCHEMA, Test, Values
from router.model.path import Path
from router.model.plug import Operator, PlugError

_INNER: Final = {
    operator.name: operator for module in (equals, pattern, compare) for operator in module.PLUGS
}


def _inner_tests(parameters: Any, path: Path | None) -> list[Callable[[Any], bool]]:
    if isinstance(parameters, list):
        return [equals.compile_any(parameters, path)]
    if not isinstance(parameters, dict):
        return [equals.compile_equals(parameters, path)]
    tests = []
    for name, inner in parameters.items():
        if name not in _INNER:
            raise PlugError(
                f"'{name}' is no operator of `all`",
                path=(name,),
                at_key=True,
                hint="one of: " + ", ".join(sorted(_INNER)),
                code="DR101",
            )
        try:
            tests.append(_INNER[name].compile(inner, path))
        except PlugError as error:
            error.path = (name, *error.path)
            raise
    if not tests:
        raise PlugError("`all` needs a value, a list or an operator", code="DR102")
    return tests


def compile_all(parameters: Any, path: Path | None) -> Test:
    """Every value meets all that is written. Raises PlugError for the first mistake."""
    tests = _inner_tests(parameters, path)

    def test(values: Values | None) -> bool:
        return bool(values) and all(held((value,)) for value in values or () for held in tests)

    return test


PLUGS = (
    Operator(
        name="all",
        summary="Every value of a multi-valued attribute meets the condition.",
        schema={
            "description": "A value, a list (each value is one of these) or operators.",
            "anyOf": [
                LITERAL_SCHEMA,
                {"type": "array", "minItems": 1, "items": LITERAL_SCHEMA},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {name: dict(_INNER[name].schema) for name in sorted(_INNER)},
                },
            ],
        },
        example="all: [ORIGINAL, PRIMARY]",
        compile=compile_all,
    ),
)
