"""`fmt`: one layout for every file, with its comments, and never another meaning.

Works on lines, not on values: an entry takes the comments above it and every line below it along, so
quotes, flow style and long texts stay as they were written. Two spaces a level, lists indented below
their key, keys in the order of `config.order`, one empty line between sections, no blanks at the end of
a line. What comes out is read again and compared node by node; when the meaning would differ, the
order is left alone, and if it still differs the text comes back as it was. Nothing raises for any
text that can be read; `None` for one that cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from router.config.nodes import Mapping, Node, Scalar, Sequence
from router.config.order import order_of, rank
from router.config.report import Report
from router.config.text import parse
from router.installed import MODELINE

_STEP: Final = 2
# Entries that change places take the empty lines above them along, which may then count otherwise.
_MOST_RUNS: Final = 4


class _Block(NamedTuple):
    """An entry as lines: the comments above it, and itself."""

    above: list[str]
    lines: list[str]


def formatted(text: str) -> str | None:
    """The text in its layout; None when it cannot be read."""
    found: str | None = text
    for _ in range(_MOST_RUNS):
        before = found
        found = _formatted_once(before or "")
        if found is None or found == before:
            break
    return found


def _formatted_once(text: str) -> str | None:
    report = Report()
    root = parse(text, "", report)
    if report.has_errors:
        return None
    if not isinstance(root, Mapping) or not _is_block(root, text.splitlines()):
        return text
    for keeps_order in (False, True):
        written = _Layout(text.splitlines(), keeps_order=keeps_order).document(root)
        again = parse(written, "", Report())
        if again is not None and is_same(root, again):
            return written
    return text


def is_same(one: Node, other: Node) -> bool:
    """Whether two trees mean the same: everything but the order of mappings, comments and layout."""
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        return one.text == other.text and bool(one.style) == bool(other.style)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return len(one.items) == len(other.items) and all(map(is_same, one.items, other.items))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.entries.keys() == other.entries.keys() and all(
            is_same(entry.value, other.entries[key].value) for key, entry in one.entries.items()
        )
    return False


class _Layout:
    """One text. Places are indexes of lines, from 0; `end` is behind the last line of a part."""

    def __init__(self, lines: list[str], *, keeps_order: bool) -> None:
        self._lines = lines
        self._keeps_order = keeps_order

    def document(self, root: Mapping) -> str:
        first = next(iter(root.entries.values())).key.line - 1
        head = self._lines[:first]
        # What stands apart from the first section, or speaks to the editor, is about the whole file.
        apart = (place + 1 for place, line in enumerate(head) if _is_about_the_file(line))
        cut = max(apart, default=0)
        blocks, tail = self._mapping(root, cut, len(self._lines), 0, ())
        written = _squeezed(line.rstrip() for line in head[:cut])
        for block in blocks:
            if written and written[-1] and blocks[0] is not block:
                written.append("")
            written += _without_first_blanks(block.above) + block.lines
        written += ["", *_without_first_blanks(tail)] if any(tail) else []
        return "\n".join(_without_last_blanks(_without_first_blanks(written))) + "\n"

    def _mapping(
        self, node: Mapping, start: int, end: int, indent: int, path: tuple[str, ...]
    ) -> tuple[list[_Block], list[str]]:
        """The entries of a block mapping, and the comments behind the last."""
        entries = sorted(node.entries.values(), key=lambda entry: entry.key.line)
        starts = [entry.key.line - 1 for entry in entries]
        above = self._lines[start : starts[0]]
        blocks: list[tuple[str, _Block]] = []
        for entry, here, following in zip(entries, starts, [*starts[1:], end], strict=True):
            column = entry.key.column - 1
            stop = self._end_of_content(here, following, column)
            key = entry.key.text
            lines = self._entry(entry.value, here, stop, (column, indent), (*path, key))
            blocks.append((key, _Block(_comments(above, indent), lines)))
            above = self._lines[stop:following]
        order = order_of(_pattern(path))
        if order is not None and not self._keeps_order:
            blocks.sort(key=lambda block: rank(block[0], order))
        return [block for _, block in blocks], _comments(above, indent)

    def _entry(
        self, value: Node, here: int, stop: int, columns: tuple[int, int], path: tuple[str, ...]
    ) -> list[str]:
        column, indent = columns
        first = " " * indent + self._lines[here][column:]
        if here < value.line - 1 < stop and _is_block(value, self._lines):
            return [first.rstrip(), *self._block(value, here + 1, stop, indent + _STEP, path)]
        keeps_blanks = isinstance(value, Scalar)
        rest = self._moved(here + 1, stop, indent - column, keeps_blanks=keeps_blanks)
        return [first if keeps_blanks and rest else first.rstrip(), *rest]

    def _block(
        self, node: Node, start: int, end: int, indent: int, path: tuple[str, ...]
    ) -> list[str]:
        if isinstance(node, Sequence):
            return self._sequence(node, start, end, indent, path)
        assert isinstance(node, Mapping)
        blocks, tail = self._mapping(node, start, end, indent, path)
        return [line for block in blocks for line in (*block.above, *block.lines)] + tail

    def _sequence(
        self, node: Sequence, start: int, end: int, indent: int, path: tuple[str, ...]
    ) -> list[str]:
        column = node.column - 1
        starts = [self._dash(item, column) for item in node.items]
        above = self._lines[start : starts[0]] if starts else []
        written: list[str] = []
        for item, here, following in zip(node.items, starts, [*starts[1:], end], strict=True):
            stop = self._end_of_content(here, following, column)
            written += _comments(above, indent)
            written += self._item(item, here, stop, (column, indent), (*path, "*"))
            above = self._lines[stop:following]
        return written + _comments(above, indent)

    def _item(
        self, item: Node, here: int, stop: int, columns: tuple[int, int], path: tuple[str, ...]
    ) -> list[str]:
        column, indent = columns
        if not isinstance(item, Mapping) or not _is_block(item, self._lines):
            moved = self._moved(here + 1, stop, indent - column, keeps_blanks=True)
            return [" " * indent + self._lines[here][column:].rstrip(), *moved]
        inner_start = min(here + 1, item.line - 1)
        blocks, tail = self._mapping(item, inner_start, stop, indent + _STEP, path)
        first, *others = blocks
        dashed = " " * indent + "- " + first.lines[0][indent + _STEP :]
        above = [line[_STEP:] if line else line for line in first.above]
        below = [line for block in others for line in (*block.above, *block.lines)]
        return [*above, dashed, *first.lines[1:], *below, *tail]

    def _dash(self, item: Node, column: int) -> int:
        """The line of the dash before an item."""
        here = item.line - 1
        while here > 0 and self._lines[here][column : column + 1] != "-":
            here -= 1
        return here

    def _end_of_content(self, here: int, following: int, column: int) -> int:
        """Behind the last line of an entry: comments that are not deeper belong to what follows."""
        stop = here + 1
        is_behind = False
        for place in range(here + 1, following):
            line = self._lines[place]
            is_comment = line.lstrip().startswith("#")
            is_deeper = len(line) - len(line.lstrip(" ")) > column
            is_behind = is_comment and (is_behind or not is_deeper)
            if line.strip() and not is_behind:
                stop = place + 1
        return stop

    def _moved(self, start: int, stop: int, by: int, *, keeps_blanks: bool) -> list[str]:
        moved: list[str] = []
        for line in self._lines[start:stop]:
            if by >= 0:
                shifted = " " * by + line if line.strip() else line
            else:
                shifted = line[-by:] if not line[:-by].strip() else line.lstrip(" ")
            moved.append(shifted if keeps_blanks else shifted.rstrip())
        return moved


def _is_about_the_file(line: str) -> bool:
    return not line.strip() or line.startswith(MODELINE)


def _is_block(node: Node, lines: list[str]) -> bool:
    """Whether a collection is written in block style."""
    if isinstance(node, Scalar) or node.line > len(lines):
        return False
    if isinstance(node, Mapping):
        if not node.entries:
            return False
        first = next(iter(node.entries.values())).key
        before = lines[first.line - 1][: first.column - 1]
        return not before.strip(" -")
    return bool(node.items) and lines[node.line - 1][node.column - 1 : node.column] == "-"


def _comments(lines: list[str], indent: int) -> list[str]:
    """Comments and empty lines at this indentation."""
    return _squeezed(" " * indent + line.strip() if line.strip() else "" for line in lines)


def _squeezed(lines: Iterable[str]) -> list[str]:
    """Never two empty lines in a row."""
    written: list[str] = []
    for line in lines:
        if line or (written and written[-1]) or not written:
            written.append(line)
    return written


def _without_first_blanks(lines: list[str]) -> list[str]:
    start = next((place for place, line in enumerate(lines) if line), len(lines))
    return lines[start:]


def _without_last_blanks(lines: list[str]) -> list[str]:
    return _without_first_blanks(lines[::-1])[::-1]


def _pattern(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with * for a name below listeners, tls and stations."""
    if len(path) > 1 and path[0] in ("listeners", "tls", "stations"):
        return (path[0], "*", *path[2:])
    return path
