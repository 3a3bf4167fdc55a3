"""Step `map`: each value is looked up in a table, old to new.

`otherwise` says what becomes of a value that is not in the table: `keep` it (the default), `blank`
it, `fail`, or any other text as its new value. An absent attribute is left alone; one without a
value is the key "". Fails with MorphFailed for `fail`, and when a new value does not fit the VR.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from router.dicom.dataset import EditableDataSet
from router.errors import MorphFailed
from router.model.path import Path
from router.model.plug import Morph, PlugError
from router.morph.context import MorphContext
from router.morph.parameters import (
    ATTRIBUTE,
    SCALAR,
    Step,
    attribute,
    check_literal,
    concrete,
    each,
    known_keys,
    named,
    text_of,
    values_of,
)

KEYS: Final = ("tag", "table", "otherwise")


def compile_map(parameters: Any) -> Step:
    """Raises PlugError; a table still named here is one that was never defined (DR201)."""
    known_keys(parameters, "map", KEYS, ("tag", "table"))
    (path,) = each((("tag", lambda: _written(parameters["tag"])),))
    table, otherwise = each(
        (
            ("table", lambda: _table(parameters["table"], path)),
            ("otherwise", lambda: _otherwise(parameters.get("otherwise", "keep"), path)),
        )
    )
    return _step(path, table, otherwise)


def _written(name: Any) -> Path:
    path = attribute(name)
    values_of(path)
    return path


def _table(written: Any, path: Path) -> dict[str, str]:
    if isinstance(written, str):
        raise PlugError(f"no table is named '{written}'", code="DR201")
    if not isinstance(written, dict) or not written:
        raise PlugError("a table is a mapping, old value to new value", code="DR102")
    choices = values_of(path)

    def entry(old: Any, new: Any) -> tuple[str, str]:
        literal = text_of(new)
        check_literal(literal, choices)
        return text_of(old).rstrip(" "), literal

    return dict(each((old, partial(entry, old, new)) for old, new in written.items()))


def _otherwise(written: Any, path: Path) -> str:
    literal = text_of(written)
    if literal not in {"keep", "blank", "fail"}:
        check_literal(literal, values_of(path))
    return literal


def _step(tag: Path, table: dict[str, str], otherwise: str) -> Step:
    def new_value(old: str) -> str:
        if old in table:
            return table[old]
        if otherwise == "fail":
            raise MorphFailed(f"{tag.text}: a value is not in the table")
        return {"keep": old, "blank": ""}.get(otherwise, otherwise)

    def step(data_set: EditableDataSet, _: MorphContext) -> None:
        for path in concrete(data_set, tag):
            found = data_set.get(path)
            if found is None:
                continue
            before = [str(value) for value in found.values]
            if before:
                after = [new_value(value) for value in before]
            else:
                after = [table[""]] if "" in table else []
            if after != before:
                data_set.set(path, after)

    return step


def _touched(parameters: Any) -> frozenset[Path]:
    return named([parameters["tag"]])


PLUGS = (
    Morph(
        name="map",
        summary="Looks each value up in a table, old to new.",
        schema={
            "type": "object",
            "required": ["tag", "table"],
            "additionalProperties": False,
            "properties": {
                "tag": ATTRIBUTE,
                "table": {
                    "description": "Old value to new value, or the name of a table.",
                    "anyOf": [
                        {"type": "string"},
                        {"type": "object", "minProperties": 1, "additionalProperties": SCALAR},
                    ],
                },
                "otherwise": {
                    **SCALAR,
                    "description": "For values not in the table: keep, blank, fail, or a value.",
                },
            },
            "description": "{tag, table, otherwise}",
        },
        example="map: {tag: Modality, table: {DX: CR}, otherwise: keep}",
        compile=compile_map,
        reads=_touched,
        writes=_touched,
    ),
)
