"""Operators `exists` and `empty`: the attribute is there at all; it is there without a value.

`exists: false` is the only condition an absent attribute meets. `empty` speaks of attributes that
are present: `empty: true` holds without a value, `empty: false` with one.
"""

from __future__ import annotations

from typing import Any, Final

from router.match.values import VALUELESS_VRS, Test, vr_of
from router.model.path import Path
from router.model.plug import Operator, PlugError

_ANSWERS: Final = {True: True, False: False, "true": True, "false": False}


def _answer(parameters: Any, name: str, path: Path | None) -> bool:
    if path is None:
        raise PlugError(f"`{name}` is for attributes; a fact is always there")
    if not isinstance(parameters, bool | str) or parameters not in _ANSWERS:
        raise PlugError(f"`{name}` is true or false", hint=f"write {name}: true", code="DR102")
    return _ANSWERS[parameters]


def compile_exists(parameters: Any, path: Path | None) -> Test:
    """Present, with or without a value; or absent."""
    if _answer(parameters, "exists", path):
        return lambda values: values is not None
    return lambda values: values is None


def compile_empty(parameters: Any, path: Path | None) -> Test:
    """Present without a value; or present with one."""
    wanted = _answer(parameters, "empty", path)
    vr = vr_of(path)
    if vr in VALUELESS_VRS:
        raise PlugError(
            f"whether an attribute of VR {vr} is empty is not read", hint="ask for exists"
        )
    if wanted:
        return lambda values: values is not None and not any(value != "" for value in values)
    return lambda values: values is not None and any(value != "" for value in values)


_SCHEMA: Final = {"enum": [True, False, "true", "false"]}

PLUGS = (
    Operator(
        name="exists",
        summary="The attribute is present, or with `false` absent.",
        schema={**_SCHEMA, "description": "true: present, even without a value. false: absent."},
        example="exists: false",
        compile=compile_exists,
    ),
    Operator(
        name="empty",
        summary="The attribute is present without a value, or with `false` with one.",
        schema={**_SCHEMA, "description": "Speaks of present attributes only."},
        example="empty: true",
        compile=compile_empty,
    ),
)
