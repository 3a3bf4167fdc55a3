"""Operators `gt`, `ge`, `lt`, `le` and `between`: order, where the VR has one.

Numbers, dates, times, date-times and ages have an order. A value or literal of little precision is
a stretch (`2024` is the year): greater means after its end, less before its start, so `le: 2024`
takes the whole year in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.match.moments import Stretch
from router.match.values import (
    LITERAL_SCHEMA,
    Test,
    Values,
    aligned,
    comparable,
    literal_stretch,
    vr_of,
)
from router.model.path import Path
from router.model.plug import Operator, PlugError

Order = Callable[[float, float, float, float], bool]


def _after(value_low: float, value_high: float, low: float, high: float) -> bool:  # noqa: ARG001
    return value_low > high


def _not_before(value_low: float, value_high: float, low: float, high: float) -> bool:  # noqa: ARG001
    return value_low >= low


def _before(value_low: float, value_high: float, low: float, high: float) -> bool:  # noqa: ARG001
    return value_high < low


def _not_after(value_low: float, value_high: float, low: float, high: float) -> bool:  # noqa: ARG001
    return value_high <= high


def _ordered(path: Path | None) -> tuple[str, Callable[[Any], Stretch | None]]:
    vr = vr_of(path)
    parse = comparable(vr)
    if parse is None or path is None:
        raise PlugError(
            f"values of VR {vr} have no order" if path else "this fact has no order",
            hint="gt, ge, lt, le and between are for numbers, dates, times and ages",
        )
    return vr, parse


def _compiler(order: Order) -> Callable[[Any, Path | None], Test]:
    def compile_order(literal: Any, path: Path | None) -> Test:
        vr, parse = _ordered(path)
        bound = literal_stretch(literal, vr)

        def test(values: Values | None) -> bool:
            for value in values or ():
                stretch = parse(value)
                if stretch is not None and order(*aligned(stretch, bound)):
                    return True
            return False

        return test

    return compile_order


def compile_between(literals: Any, path: Path | None) -> Test:
    """Two bounds, both included. Raises PlugError when they are not two, or stand in reverse."""
    vr, parse = _ordered(path)
    if not isinstance(literals, list) or len(literals) != 2:
        raise PlugError(
            "`between` takes a list of two values", hint="write between: [1, 10]", code="DR102"
        )
    bounds = []
    for index, literal in enumerate(literals):
        try:
            bounds.append(literal_stretch(literal, vr))
        except PlugError as error:
            error.path = (index,)
            raise
    lower, upper = bounds
    first_low, _, _, last_high = aligned(lower, upper)
    if first_low > last_high:
        raise PlugError("nothing lies between these: the first is greater", path=(0,))

    def test(values: Values | None) -> bool:
        for value in values or ():
            stretch = parse(value)
            if (
                stretch is not None
                and _not_before(*aligned(stretch, lower))
                and _not_after(*aligned(stretch, upper))
            ):
                return True
        return False

    return test


def _operator(name: str, words: str, example: str, order: Order) -> Operator:
    return Operator(
        name=name,
        summary=f"The value is {words}.",
        schema={
            **LITERAL_SCHEMA,
            "description": f"A value that is {words}: number, date, time, age.",
        },
        example=example,
        compile=_compiler(order),
    )


PLUGS = (
    _operator("gt", "greater or later than this", "gt: 5", _after),
    _operator("ge", "this, greater or later", "ge: 5", _not_before),
    _operator("lt", "less or earlier than this", "lt: 5", _before),
    _operator("le", "this, less or earlier", "le: 5", _not_after),
    Operator(
        name="between",
        summary="The value lies between two others, both included.",
        schema={
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": LITERAL_SCHEMA,
            "description": "The least and the greatest value that still match.",
        },
        example="between: [1, 10]",
        compile=compile_between,
    ),
)
