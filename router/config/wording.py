"""From a schema error to the words people read: one mistake, one message, and how to mend it.

Takes the parts of a jsonschema error (keyword, its value, the schema around it, the wrong instance)
and the node it came from. A secret written in clear is never repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from typing import Any, NamedTuple

from router.config.nodes import Node, PathPart, Scalar
from router.config.suggest import did_you_mean
from router.model.ids import normalise_ae_title
from router.model.words import is_one_slip, meant

_TYPE_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_YES = ("yes", "on", "y")
_NO = ("no", "off", "n")
_WITH_EXAMPLES = ("duration-with-unit", "size-with-unit", "rate-with-unit", "bind")
_SHOWN = 60


class Words(NamedTuple):
    """Code, message and hint of one problem."""

    code: str
    message: str
    hint: str = ""


def name_of(path: tuple[PathPart, ...]) -> str:
    """The last key of a path: what the value is called."""
    for part in reversed(path):
        if isinstance(part, str):
            return part
    return "this"


def wrong_type(schema: AnyMapping[str, Any], node: Node | None, name: str, value: Any) -> Words:
    """The value has another type than the schema asks for."""
    if schema.get("format") == "secret":
        hint = "a secret in the configuration ends in git: put it in a file or in the environment"
        return Words("DR107", f"{name} must be {schema['title']}, never the secret itself", hint)
    expected = schema.get("title") or _type_words(schema.get("type"))
    written = node.text if isinstance(node, Scalar) else ""
    return Words(
        "DR102",
        f"{name} must be {expected}, but {_seen(node, value)}",
        _type_hint(schema, name, written, value),
    )


def wrong_choice(options: list[Any], value: Any) -> Words:
    """The value is none of a few words."""
    listed = [
        str(option).lower() if isinstance(option, bool) else str(option) for option in options
    ]
    best = did_you_mean(value, listed) if isinstance(value, str) and meant(value, listed) else ""
    one_of = f"one of: {', '.join(listed)}" if len(listed) > 1 else f"write {listed[0]}"
    hint = f"{best} {one_of}" if best else one_of
    return Words("DR104", f"{_quoted(value)} is not allowed here", hint)


def wrong_text(schema: AnyMapping[str, Any], name: str, value: str) -> Words:
    """The text has not the form that is asked for."""
    title = schema.get("title", "a text")
    message = f"{name}: {_quoted(value)} is not {title}"
    if schema.get("format") == "base-url" and "@" in value:
        hint = "leave out what stands before the @, and use auth"
        return Words("DR107", f"{name} must not hold a user or a password", hint)
    if value == "":
        return Words("DR105", f"{name} is empty", f"write {title}")
    return Words("DR105", message, _text_hint(schema, value))


def out_of_range(schema: AnyMapping[str, Any], name: str, value: Any) -> Words:
    """The number is too small or too large."""
    low, high = schema.get("minimum"), schema.get("maximum")
    title = schema.get("title") or f"between {low} and {high}"
    return Words("DR105", f"{name} must be {title}, not {value}")


def unknown_key(key: str, properties: Iterable[str], where: str) -> Words:
    """A key that means nothing here."""
    listed = [name for name in properties if name != "type" or is_one_slip(key, name)]
    place = f" in {where}" if where else ""
    return Words("DR101", f"unknown key '{key}'{place}", did_you_mean(key, listed))


def missing_keys(keys: list[str], where: str) -> Words:
    """Keys that must be there."""
    listed = " and ".join(f"'{key}'" for key in keys)
    return Words("DR103", f"{where or 'the configuration'} needs {listed}")


def number_like_text(name: str, text: str) -> Words:
    """A text that other YAML readers take for a number."""
    hint = f"write '{text}' in quotes: {name}: \"{text}\""
    return Words("DR102", f"{name} must be a text, but {text} is read as a number", hint)


def other_fault(keyword: str, limit: Any, name: str, expected: str) -> Words:
    """Any other keyword of JSON Schema; `expected` describes what would be right."""
    words = {
        "minItems": f"{name} must hold at least {limit}",
        "maxItems": f"{name} must hold at most {limit}",
        "uniqueItems": f"{name} names something twice",
        "minProperties": f"{name} must hold at least {limit} key",
        "maxProperties": f"{name} must hold only {limit} key",
    }
    if keyword in words:
        return Words("DR106", words[keyword])
    message = f"{name} has not the shape that is expected here"
    return Words("DR106", message, f"write {expected.rstrip('.')}" if expected else "")


def _type_words(types: Any) -> str:
    if isinstance(types, str):
        return _TYPE_WORDS.get(types, types)
    if isinstance(types, list):
        return " or ".join(_TYPE_WORDS.get(each, str(each)) for each in types)
    return "something else"


def _seen(node: Node | None, value: Any) -> str:
    if value is None:
        return "nothing is written"
    if isinstance(value, dict):
        return "this is a mapping"
    if isinstance(value, list):
        return "this is a list"
    written = node.text if isinstance(node, Scalar) else str(value)
    shown = written if len(written) <= _SHOWN else written[:_SHOWN] + "…"
    if isinstance(value, bool):
        return f"{shown} is a truth value"
    if isinstance(value, int | float):
        return f"{shown} is read as a number"
    if isinstance(node, Scalar) and not node.style:
        return f"{shown} is a word"
    return f"'{shown}' is a text"


def _type_hint(schema: AnyMapping[str, Any], name: str, written: str, value: Any) -> str:
    types = schema.get("type")
    if types == "boolean" and isinstance(value, str):
        if written.lower() in _YES or written.lower() == "true":
            return "write true"
        return "write false" if written.lower() in (*_NO, "false") else "write true or false"
    if str(schema.get("format", "")) in _WITH_EXAMPLES:
        return _examples(schema)
    takes_text = types == "string" or (isinstance(types, list) and "string" in types)
    if takes_text and isinstance(value, bool | int | float):
        return f"write '{written}' in quotes: {name}: \"{written}\""
    if types in ("integer", "number") and isinstance(value, str):
        text = value.strip()
        return f"write {int(text)} without quotes" if text.isdecimal() and len(text) < 12 else ""
    if types == "array" and isinstance(value, str):
        return f"write [{written}]" if len(written) <= _SHOWN else ""
    return _examples(schema)


def _text_hint(schema: AnyMapping[str, Any], value: str) -> str:
    kind = schema.get("format")
    if kind == "ae-title":
        try:
            normalise_ae_title(value)
        except ValueError as error:
            length = len(value.strip(" "))
            return f"{length} characters, at most 16" if length > 16 else str(error)
    if kind == "bind" and ":" not in value:
        return (
            f'write the port too: "{value}:11112"'
            if not value.isdecimal()
            else f'"0.0.0.0:{value}"'
        )
    if kind == "host" and ":" in value:
        return "the port has a key of its own: port"
    return _examples(schema)


def _examples(schema: AnyMapping[str, Any]) -> str:
    examples = schema.get("examples")
    return f"such as {', '.join(str(each) for each in examples)}" if examples else ""


def _quoted(value: Any) -> str:
    if value is None:
        return "nothing"
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, dict | list):
        return "this"
    return f"'{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}'"
