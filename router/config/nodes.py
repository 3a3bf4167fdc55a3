"""What was written, as a tree that remembers where every key and every value stands.

Three kinds of node: `Scalar`, `Sequence`, `Mapping`. A scalar keeps its raw text; what it means is
decided late, by `plain` (YAML 1.2 core scalars, leading zeros stay text) or by `raw` (numbers keep
their text too, as in `match` and `morph`). Depth is bounded where the tree is built (`text`), so the
recursions here are bounded as well. Nothing here fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from router.model.problem import Place

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}\Z")
_FLOAT = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,2})?\Z"
)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAY_BE_NUMBER = frozenset("+-.0123456789")


@dataclass(slots=True, eq=False)
class Scalar:
    """One scalar. `style` is '' for plain text, else the quote or the block sign."""

    file: str
    line: int
    column: int
    length: int
    text: str
    style: str = ""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.line, self.column, max(1, self.length))

    @property
    def value(self) -> Any:
        """Text, integer, float, truth value or None, by YAML 1.2 core rules."""
        return self.text if self.style else resolve(self.text)


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    file: str
    line: int
    column: int
    length: int
    items: list[Node] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.file, self.line, self.column, max(1, self.length))


class Entry(NamedTuple):
    """One key of a mapping, with its place, and the value."""

    key: Scalar
    value: Node


@dataclass(slots=True, eq=False)
class Mapping:
    """A mapping; keys are always text, by their raw writing."""

    file: str
    line: int
    column: int
    length: int
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.file, self.line, self.column, max(1, self.length))

    def get(self, key: str) -> Node | None:
        """The value of a key, None when the key is absent or its value is null."""
        entry = self.entries.get(key)
        if entry is None or is_null(entry.value):
            return None
        return entry.value


Node = Scalar | Sequence | Mapping
PathPart = str | int


def resolve(text: str) -> Any:
    """What a plain scalar means.

    No octals (`0012` stays text), no dates, no sexagesimals, no yes and no, no infinities; numbers
    too long to be one stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _INTEGER.match(text):
        return int(text)
    if _HEXADECIMAL.match(text):
        return int(text, 16)
    if _FLOAT.match(text):
        return float(text)
    return text


def is_null(node: Node) -> bool:
    """Whether nothing was written: `key:` or `key: null`."""
    return isinstance(node, Scalar) and node.value is None


def plain(node: Node) -> Any:
    """Plain dicts, lists and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def raw(node: Node) -> Any:
    """As `plain`, but numbers keep the text they were written as."""
    if isinstance(node, Scalar):
        value = node.value
        return value if value is None or isinstance(value, bool) else node.text
    if isinstance(node, Sequence):
        return [raw(item) for item in node.items]
    return {key: raw(entry.value) for key, entry in node.entries.items()}


def place_at(node: Node, path: Iterable[PathPart], *, at_key: bool = False) -> Place:
    """The place `path` leads to below `node`, as far as it exists; of the last key if `at_key`."""
    place = node.place
    for part in path:
        if isinstance(node, Mapping) and str(part) in node.entries:
            entry = node.entries[str(part)]
            node = entry.value
            place = entry.key.place if at_key else node.place
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            place = node.place
        else:
            break
    return place


def node_at(node: Node, path: Iterable[PathPart]) -> Node | None:
    """The node `path` leads to, or None."""
    for part in path:
        if isinstance(node, Mapping) and str(part) in node.entries:
            node = node.entries[str(part)].value
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node


def show_path(path: Iterable[PathPart]) -> str:
    """`rules[3].match.Modality`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown
