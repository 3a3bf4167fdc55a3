"""The filters of templates but `default`, each bounded: text cannot grow beyond MAX_TEXT.

A value is a text, or a tuple of texts where the attribute has several; `finish` writes a tuple
with backslashes, as DICOM does. Wrong use raises FilterError, whose message holds no value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

MAX_TEXT: Final = 16 * 1024


class FilterError(ValueError):
    """A filter that cannot be applied to this value; the message never repeats the value."""


def finish(value: Any) -> Any:
    """What is written into the output for one expression."""
    return "\\".join(str(part) for part in value) if isinstance(value, tuple) else value


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise FilterError("the text of a template grows too long")
    return text


def _over(change: Callable[[str], str], value: Any) -> Any:
    """Change each value. An undefined value raises here, as it is read."""
    if isinstance(value, tuple):
        return tuple(_bounded(change(str(part))) for part in value)
    return _bounded(change(str(value)))


def _upper(value: Any) -> Any:
    return _over(str.upper, value)


def _lower(value: Any) -> Any:
    return _over(str.lower, value)


def _trim(value: Any) -> Any:
    return _over(str.strip, value)


def _replace(value: Any, old: Any, new: Any) -> Any:
    before, after = str(old), str(new)
    if not before:
        raise FilterError("replace needs a text to look for")

    def change(text: str) -> str:
        if len(text) + text.count(before) * (len(after) - len(before)) > MAX_TEXT:
            raise FilterError("the text of a template grows too long")
        return text.replace(before, after)

    return _over(change, value)


def _truncate(value: Any, length: Any) -> Any:
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise FilterError("truncate needs a number of characters")
    return _over(lambda text: text[:length], value)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else _over(str, value)


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, tuple) else _over(str, value)


def _join(value: Any, separator: Any = "") -> str:
    parts = value if isinstance(value, tuple) else (str(value),)
    between = str(separator)
    if len(between) * len(parts) > MAX_TEXT:
        raise FilterError("the text of a template grows too long")
    return _bounded(between.join(str(part) for part in parts))


def _int(value: Any) -> int:
    text = str(finish(value)).strip()
    if len(text) > 32 or not text.isascii() or not text.lstrip("+-").isdigit():
        raise FilterError("int needs a whole number")
    try:
        return int(text)
    except ValueError:
        raise FilterError("int needs a whole number") from None


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "first": _first,
    "int": _int,
    "join": _join,
    "last": _last,
    "lower": _lower,
    "replace": _replace,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
}
