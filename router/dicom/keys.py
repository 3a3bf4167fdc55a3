"""Query keys as people write them: `PatientName=YAMADA*`, `PatientID`, `Sequence[0].Keyword=x`.

Raises `router.dicom.tags.PathError` with a hint where the text names no attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from router.dicom.tags import PathError, keyword_for, parse_path, vr_for
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicom.values import BULK_VRS, SINGLE_VALUE_VRS, TEXT_VRS, Value, ValueProblem, encode
from router.model.path import PathStep
from router.model.query import DataElement, Identifier

_RESERVED: Final = frozenset({0x00080005, 0x00080052, 0x00080054})


def parse_keys(texts: Iterable[str]) -> dict[int, DataElement]:
    """The identifier that these keys make; several values are separated by backslashes."""
    keys: dict[int, DataElement] = {}
    for text in texts:
        written, equals, value = text.partition("=")
        path = parse_path(written.strip())
        if path.steps[0].tag in _RESERVED:
            raise PathError(f"{written!r} is no key: the level and the like have their own options")
        _put(keys, path.steps, value if equals else "", written)
    return keys


def _put(keys: dict[int, DataElement], steps: tuple[PathStep, ...], value: str, text: str) -> None:
    step, rest = steps[0], steps[1:]
    if step.creator is not None:
        raise PathError(f"{text!r}: private attributes cannot be searched by their creator")
    vr = vr_for(step.tag)
    if rest or step.item is not None:
        held = keys.get(step.tag)
        item: dict[int, DataElement] = dict(held.items[0]) if held and held.items else {}
        if rest:
            _put(item, rest, value, text)
        keys[step.tag] = DataElement("SQ", (item,))
        return
    if step.tag in keys:
        raise PathError(f"{text!r} is given twice", hint=r"several values: KEY=one\two")
    if vr == "SQ" and value:
        raise PathError(f"{text!r} is a sequence", hint=f"{text}[0].Keyword=value")
    if vr in BULK_VRS and value:
        raise PathError(f"{text!r} (VR {vr}) cannot be searched by")
    keys[step.tag] = DataElement(vr, _values(vr, value, text))


def _values(vr: str, value: str, text: str) -> tuple[Value, ...]:
    if not value:
        return ()
    if vr in SINGLE_VALUE_VRS:
        return (value,)
    parts = tuple(value.split("\\"))
    if vr in TEXT_VRS:
        return parts
    try:
        encode(vr, parts, layout_of(EXPLICIT_VR_LITTLE_ENDIAN), "")
        return tuple(float(part) if vr in {"FD", "FL"} else int(part) for part in parts)
    except (ValueProblem, ValueError):
        raise PathError(f"{text!r} takes numbers (VR {vr})") from None


def name_of(tag: int) -> str:
    """The keyword of a tag, or the tag in eight digits."""
    return keyword_for(tag) or f"{tag:08X}"


def text_of(identifier: Identifier, tag: int) -> str:
    """The values of one element as one line of printable text; '' when it is absent or empty."""
    element = identifier.get(tag)
    if element is None:
        return ""
    if element.vr == "SQ":
        return " | ".join(_item_text(item) for item in element.items)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in element.text)


def _item_text(item: Mapping[int, DataElement]) -> str:
    return ", ".join(f"{name_of(tag)}={text_of(item, tag)}" for tag in sorted(item))
