"""The store response data set in the DICOM JSON model (PS3.18 10.5.3.1, PS3.18 F), read leniently.

Servers differ in the case of keys, write numbers as text, and wrap the object into an array. What
cannot be read is left out, and what is no store response at all gives None; nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_WARNING_REASON: Final = "00081196"
_RETRIEVE_URL: Final = "00081190"
_KNOWN: Final = frozenset(
    {_REFERENCED_SOP_SEQUENCE, _FAILED_SOP_SEQUENCE, _OTHER_FAILURES_SEQUENCE, _RETRIEVE_URL}
)
_MAX_ITEMS: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """What was stored (UID → warning reason or None) and what failed (UID → reason or None).

    `failed_unnamed` are the reasons of failures that name no instance.
    """

    stored: Mapping[str, int | None] = field(default_factory=dict)
    failed: Mapping[str, int | None] = field(default_factory=dict)
    failed_unnamed: tuple[int | None, ...] = ()


def parse(body: bytes) -> StoreResponse | None:
    """The store response in this body, or None when there is none."""
    data_set = _data_set(body)
    if data_set is None or not _KNOWN.intersection(data_set):
        return None
    stored: dict[str, int | None] = {}
    for item in _items(data_set, _REFERENCED_SOP_SEQUENCE):
        uid = _text(item, _REFERENCED_SOP_INSTANCE_UID)
        if uid:
            stored[uid] = _number(item, _WARNING_REASON)
    failed: dict[str, int | None] = {}
    unnamed: list[int | None] = []
    for item in _items(data_set, _FAILED_SOP_SEQUENCE):
        uid = _text(item, _REFERENCED_SOP_INSTANCE_UID)
        if uid:
            failed[uid] = _number(item, _FAILURE_REASON)
        else:
            unnamed.append(_number(item, _FAILURE_REASON))
    unnamed += [
        _number(item, _FAILURE_REASON) for item in _items(data_set, _OTHER_FAILURES_SEQUENCE)
    ]
    return StoreResponse(stored, failed, tuple(unnamed))


def _data_set(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return _upper(found) if isinstance(found, dict) else None


def _upper(data_set: dict[str, Any]) -> dict[str, Any]:
    return {key.upper(): value for key, value in data_set.items()}


def _items(data_set: Mapping[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    for item in _values(data_set, tag)[:_MAX_ITEMS]:
        if isinstance(item, dict):
            yield _upper(item)


def _values(data_set: Mapping[str, Any], tag: str) -> list[Any]:
    attribute = data_set.get(tag)
    if not isinstance(attribute, dict):
        return []
    values = attribute.get("Value", attribute.get("value"))
    return values if isinstance(values, list) else []


def _text(item: Mapping[str, Any], tag: str) -> str:
    values = _values(item, tag)
    return values[0].strip(" \0") if values and isinstance(values[0], str) else ""


def _number(item: Mapping[str, Any], tag: str) -> int | None:
    values = _values(item, tag)
    value = values[0] if values else None
    if isinstance(value, str):
        try:
            value = int(value.strip()[:20])
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFF:
        return value
    return None
