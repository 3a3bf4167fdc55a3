"""Every key of the language with what is known of it, taken from the schema that checks it.

One source for `docs KEY`, docs/CONFIGURATION.md and the hover text of editors. A path is written as
people look for it: `stations.NAME.limits.batch.size`, `rules[].route[].when`, `match: glob`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.config.codes import CODES
from router.config.plugged import Plugs
from router.config.schema import schema
from router.config.suggest import nearest

_TYPES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
}
_APART: Final = ("#/definitions/condition", "#/definitions/steps")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. `kinds` are the kinds of listener, station or authentication that have it."""

    path: str
    description: str
    value: str
    default: str = ""
    examples: tuple[str, ...] = ()
    required: bool = False
    kinds: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The last word of the path."""
        return self.path.replace("[]", "").replace(": ", ".").rsplit(".", 1)[-1]


def entries(plugs: Plugs) -> tuple[Entry, ...]:
    """All keys, in the order of the language."""
    whole = schema(plugs)
    found: dict[str, Entry] = {}
    for entry in _walk(whole, "", (), whole["definitions"]):
        known = found.get(entry.path)
        if known is None:
            found[entry.path] = entry
        else:
            found[entry.path] = replace(
                known, kinds=tuple(dict.fromkeys((*known.kinds, *entry.kinds)))
            )
    condition, steps = whole["definitions"]["condition"], whole["definitions"]["steps"]
    for name, fragment in condition["properties"].items():
        found[f"match: {name}"] = _entry(f"match: {name}", fragment, (), required=False)
    for name, fragment in condition["additionalProperties"]["then"]["properties"].items():
        found.setdefault(f"match: {name}", _entry(f"match: {name}", fragment, (), required=False))
    for name, fragment in steps["items"]["else"]["properties"].items():
        found[f"morph: {name}"] = _entry(f"morph: {name}", fragment, (), required=False)
        for entry in _walk(fragment, f"morph: {name}", (), {}):
            found[entry.path] = entry
    return tuple(found.values())


def explain(key: str, plugs: Plugs) -> tuple[str, bool]:
    """What a key, a path, an operator, a step or a code means; False when there is none such."""
    code = key.upper()
    if code in CODES:
        return f"{code}\n  {CODES[code]}", True
    listed = entries(plugs)
    wanted = key.strip().rstrip(":")
    exact = [entry for entry in listed if _plain(entry.path) == _plain(wanted)]
    ending = [entry for entry in listed if _plain(entry.path).endswith(f".{_plain(wanted)}")]
    found = (exact or ending) if "." in _plain(wanted) else [*exact, *ending]
    if found:
        return "\n\n".join(map(text_of, found)), True
    known = {entry.key for entry in listed} | {_plain(entry.path) for entry in listed} | set(CODES)
    best = nearest(wanted, known)
    return f"no key '{key}'" + (f": did you mean '{best}'?" if best else ""), False


def text_of(entry: Entry) -> str:
    """An entry for a terminal."""
    lines = [entry.path, f"  {entry.description}", f"  value     {entry.value}"]
    if entry.required:
        lines.append("  needed    yes")
    if entry.default:
        lines.append(f"  default   {entry.default}")
    if entry.kinds:
        lines.append(f"  of kind   {', '.join(entry.kinds)}")
    if entry.examples:
        lines.append(f"  example   {'  or  '.join(entry.examples)}")
    return "\n".join(lines)


def markdown(plugs: Plugs) -> str:
    """The tables of docs/CONFIGURATION.md: one for each section, then operators, steps, codes."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries(plugs):
        name = entry.path.split(".")[0].split(":")[0].replace("[]", "")
        groups.setdefault(name, []).append(entry)
    parts = []
    for name, members in groups.items():
        rows = [_row(entry) for entry in members]
        head = "| key | meaning | value | default |\n|---|---|---|---|"
        parts.append(f"## {name}\n\n{head}\n" + "\n".join(rows))
    codes = "\n".join(f"| {code} | {words} |" for code, words in CODES.items())
    parts.append(f"## Codes of problems\n\n| code | meaning |\n|---|---|\n{codes}")
    return "\n\n".join(parts) + "\n"


def _row(entry: Entry) -> str:
    words = entry.description + (f" ({', '.join(entry.kinds)})" if entry.kinds else "")
    value = entry.value + (f", such as `{entry.examples[0]}`" if entry.examples else "")
    default = "needed" if entry.required else f"`{entry.default}`" if entry.default else ""
    cells = (f"`{entry.path}`", words, value, default)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _walk(
    fragment: Mapping[str, Any], path: str, kinds: tuple[str, ...], known: Mapping[str, Any]
) -> Iterator[Entry]:
    reference = fragment.get("$ref")
    if reference:
        if reference not in _APART:
            yield from _walk(known[reference.rsplit("/", 1)[1]], path, kinds, known)
        return
    required = fragment.get("required", [])
    for key, inner in fragment.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        shared = known.get(inner.get("$ref", "").rsplit("/", 1)[-1], {})
        described = {
            **inner,
            "description": inner.get("description", shared.get("description", "")),
        }
        yield _entry(below, described, kinds, required=key in required)
        yield from _walk(inner, below, kinds, known)
    others = fragment.get("additionalProperties")
    if isinstance(others, Mapping) and not path.startswith("morph"):
        yield from _walk(others, f"{path}.NAME", kinds, known)
    items = fragment.get("items")
    if isinstance(items, Mapping):
        yield from _walk(items.get("else", items), f"{path}[]", kinds, known)
    for branch in fragment.get("allOf", ()):
        kind = branch["if"].get("properties", {}).get("type", {}).get("const")
        if kind:
            yield from _walk(branch["then"], path, (*kinds[:-1], kind), known)


def _entry(
    path: str, fragment: Mapping[str, Any], kinds: tuple[str, ...], *, required: bool
) -> Entry:
    default = fragment.get("default")
    return Entry(
        path=path,
        description=str(fragment.get("description", "")),
        value=_value(fragment),
        default="" if default is None else _written(default),
        examples=tuple(_written(each) for each in fragment.get("examples", ())),
        required=required,
        kinds=() if path.endswith(".type") and len(kinds) == 1 else kinds,
    )


def _value(fragment: Mapping[str, Any]) -> str:
    if "enum" in fragment:
        return "one of: " + ", ".join(map(_written, fragment["enum"]))
    if "const" in fragment:
        return _written(fragment["const"])
    if fragment.get("$ref") in _APART:
        return "conditions" if fragment["$ref"] == _APART[0] else "a list of steps, or its name"
    types = fragment.get("type")
    kinds = types if isinstance(types, list) else [types] if types else []
    title = str(fragment.get("title", ""))
    if title and not title.isidentifier():
        return title
    return (
        " or ".join(dict.fromkeys(_TYPES.get(kind, "a number") for kind in kinds))
        or "a value, a list or operators"
    )


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(path: str) -> str:
    return path.replace("[]", "").replace(".NAME", "").replace(": ", ".").lower()
