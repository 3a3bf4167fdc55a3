"""Settings of stations changed in the text they are written in; comments, order and quotes stay.

Only the characters of a changed value are replaced, or a line is added or taken out. What comes out
is read again and must mean what was wanted and nothing else, or nothing is changed (Unwritable).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping as AnyMapping
from typing import Any, Final, NamedTuple

from router.config.exchange import Settings
from router.config.nodes import Entry, Mapping, Node, Scalar, plain, resolve
from router.config.report import Report
from router.config.text import parse
from router.errors import ConfigError

_PLAIN: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ._/-]*[A-Za-z0-9._/-])?\Z")
_DURATION: Final = re.compile(r"[0-9.]+[a-z]+\Z")
# Characters that a file may not hold as they are.
_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


class Unwritable(ConfigError):
    """The text is written in a way that is left to people, such as with aliases."""


class _Edit(NamedTuple):
    """The characters from start to end become `text`."""

    start: int
    end: int
    text: str


def new_station(name: str, settings: Settings) -> str:
    """A file with one station."""
    key = name if _PLAIN.match(name) and resolve(name) == name else json.dumps(name)
    lines = [f"    {_written(path, value)}\n" for path, value in _grouped(settings).items()]
    return f"stations:\n  {key}:\n{''.join(lines)}"


def edited(text: str, changes: AnyMapping[str, Settings]) -> str:
    """The text with these settings of these stations; None takes a key out. Raises Unwritable."""
    root = parse(text, "", Report())
    stations = root.get("stations") if isinstance(root, Mapping) else None
    if root is None or not isinstance(stations, Mapping):
        raise Unwritable(["the file has no stations"])
    wanted = copy.deepcopy(plain(root))
    lines = _Lines(text)
    edits: list[_Edit] = []
    for name, settings in changes.items():
        station = stations.get(name)
        if not isinstance(station, Mapping):
            raise Unwritable([f"station {name} is not a mapping"])
        edits += lines.edits(station, _grouped(settings))
        _want(wanted["stations"][name], settings)
    changed = _applied(text, edits)
    again = parse(changed, "", Report())
    if again is None or plain(again) != wanted:
        names = ", ".join(changes)
        raise Unwritable([f"{names}: written in a way that only a person can change"])
    return changed


def _grouped(settings: Settings) -> dict[str, Any]:
    """The settings by their first key, those of two keys as a mapping."""
    grouped: dict[str, Any] = {}
    for path, value in settings.items():
        if len(path) == 1:
            grouped[path[0]] = value
        else:
            grouped.setdefault(path[0], {})[path[1]] = value
    return {key: value for key, value in grouped.items() if value != {}}


def _want(station: dict[str, Any], settings: Settings) -> None:
    for path, value in settings.items():
        inner = station
        for key in path[:-1]:
            inner[key] = inner.get(key) or {}
            inner = inner[key]
        if value is None:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = value


def _written(key: str, value: Any) -> str:
    """One entry: `port: 104`, `heartbeat: {enabled: false, every: 10m}`."""
    if isinstance(value, dict):
        return f"{key}: {{{', '.join(_written(*each) for each in value.items())}}}"
    return f"{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if (_PLAIN.match(value) or _DURATION.match(value)) and resolve(value) == value:
            return value
        quoted = json.dumps(value, ensure_ascii=False)
        return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", quoted)
    return json.dumps(value)


class _Lines:
    """Where the characters of a text are, by line and column."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def edits(self, node: Mapping, values: AnyMapping[str, Any]) -> list[_Edit]:
        """The edits that give a mapping these values."""
        found: list[_Edit] = []
        added: dict[str, Any] = {}
        for key, value in values.items():
            entry = node.entries.get(key)
            if entry is None:
                if value is not None:
                    added[key] = value
            elif value is None:
                found.append(self._without(node, entry))
            elif isinstance(value, dict) and isinstance(entry.value, Mapping):
                found += self.edits(entry.value, value)
            elif isinstance(entry.value, Scalar):
                found.append(self._replaced(entry, value))
        return [*found, *self._added(node, added)]

    def _at(self, node: Node) -> int:
        return self._starts[node.line - 1] + node.column - 1

    def _is_flow(self, node: Mapping) -> bool:
        return self._text[self._at(node)] == "{"

    def _is_on_one_line(self, entry: Entry) -> bool:
        value = entry.value
        return (
            isinstance(value, Scalar)
            and value.style not in ("|", ">")
            and value.line == entry.key.line
        )

    def _replaced(self, entry: Entry, value: Any) -> _Edit:
        key, old = entry
        written = _written(key.text, value).partition(": ")[2]
        if isinstance(old, Scalar) and old.value is None:  # nothing, or the word null
            end = self._at(old) + len(old.text)
            return _Edit(self._text.index(":", self._at(key) + key.length) + 1, end, f" {written}")
        return _Edit(self._at(old), self._at(old) + old.length, written)

    def _without(self, node: Mapping, entry: Entry) -> _Edit:
        if not self._is_flow(node):
            line = entry.key.line
            return _Edit(self._starts[line - 1], self._starts[line], "")
        entries = list(node.entries.values())
        place = entries.index(entry)
        if place + 1 < len(entries):
            return _Edit(self._at(entry.key), self._at(entries[place + 1].key), "")
        end = self._at(entry.value) + entry.value.length
        before = entries[place - 1].value if place else None
        start = self._at(before) + before.length if before else self._at(entry.key)
        return _Edit(start, end, "")

    def _added(self, node: Mapping, values: AnyMapping[str, Any]) -> list[_Edit]:
        """New entries: at the head of flow style, behind the last entry of one line otherwise."""
        written = [_written(*each) for each in values.items()]
        if not written:
            return []
        if self._is_flow(node):
            place = self._at(node) + 1
            more = ", " if node.entries else ""
            return [_Edit(place, place, ", ".join(written) + more)]
        entries = list(node.entries.values())
        indent = " " * (entries[0].key.column - 1)
        block = "".join(f"{indent}{each}{self._newline}" for each in written)
        behind = [entry for entry in entries if self._is_on_one_line(entry)]
        place = self._starts[behind[-1].key.line if behind else entries[0].key.line - 1]
        if place == len(self._text) and not self._text.endswith("\n"):
            block = self._newline + block
        return [_Edit(place, place, block)]


def _applied(text: str, edits: list[_Edit]) -> str:
    """The text with the edits; where two take characters out, they take them out once."""
    parts: list[str] = []
    place = 0
    for edit in sorted(edits, key=lambda each: (each.start, each.end)):
        parts += [text[place : max(place, edit.start)], edit.text]
        place = max(place, edit.end)
    return "".join([*parts, text[place:]])
