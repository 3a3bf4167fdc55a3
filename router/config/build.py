"""From parser events to nodes, with every bound kept while the tree grows.

Iterative: a stack of open collections, so depth costs no stack of ours. Raises `Unbuildable` with its
problem where going on would be unsafe or senseless; lesser faults (a key given twice) are reported
and the first one stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router.config.nodes import Entry, Mapping, Node, Scalar, Sequence
from router.config.report import Report
from router.model.problem import Place, Problem

MAX_DEPTH: Final = 64
MAX_ALIASES: Final = 1000
MAX_NODES: Final = 200_000


class Unbuildable(Exception):
    """The text is refused as a whole; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Open:
    """A collection that is being read: its key in waiting, nodes and levels below it."""

    __slots__ = ("anchor", "height", "key", "node", "size")

    def __init__(self, node: Sequence | Mapping, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: Scalar | None = None
        self.size = 1
        self.height = 1


class TreeBuilder:
    """Builds the tree of one document. `lines` are those of the text the events come from."""

    def __init__(self, file: str, lines: list[str], report: Report) -> None:
        self._file = file
        self._lines = lines
        self._report = report
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._aliases = 0
        self.nodes = 0
        """Nodes read so far; those an alias repeats not."""
        self._documents = 0
        self._root: Node | None = None

    def build(self, events: Iterator[tuple[str, Any]]) -> Node | None:
        """The root node; None for an empty document.

        `events` are (kind, parser event), kind one of scalar, mapping, sequence, end, alias,
        document, other. Raises Unbuildable, and whatever `events` raises.
        """
        for kind, event in events:
            if kind == "scalar":
                if event.tag is not None:
                    self._refuse_tag(event)
                self._add(self._scalar(event), event.anchor, 1, 0)
            elif kind in ("mapping", "sequence"):
                self._open(kind, event)
            elif kind == "end":
                self._close(event)
            elif kind == "alias":
                self._alias(event)
            elif kind == "document":
                self._documents += 1
                if self._documents > 1:
                    hint = "one file holds one document: remove the '---'"
                    raise self._refuse(event, "DR001", "a second document begins here", hint)
        return self._root

    def _open(self, kind: str, event: Any) -> None:
        self._refuse_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._refuse(event, "DR004", f"nested deeper than {MAX_DEPTH} levels")
        line, column = self._start(event)
        collection = Mapping if kind == "mapping" else Sequence
        node = collection(self._file, line, column, 0 if event.flow_style else 1)
        if self._stack and isinstance(self._stack[-1].node, Mapping) and not self._stack[-1].key:
            raise self._refuse(
                event,
                "DR003",
                "a key must be a text, not a list or a mapping",
                "a text with '{{' in it needs quotes",
            )
        self._stack.append(_Open(node, event.anchor))

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        node = done.node
        if not node.length:
            end = event.end_mark
            same_line = end.line + 1 == node.line
            node.length = end.column + 1 - node.column if same_line else self._rest_of_line(node)
        elif isinstance(node, Mapping) and node.entries:
            first = next(iter(node.entries.values())).key
            node.line, node.column, node.length = first.line, first.column, first.length
        self._add(node, done.anchor, done.size, done.height)

    def _add(self, node: Node, anchor: str | None, size: int, height: int) -> None:
        """Put a finished node where it belongs; `size` nodes and `height` levels come with it."""
        if anchor:
            self._anchors[anchor] = (node, size, height)
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.size += size
        parent.height = max(parent.height, height + 1)
        self.nodes += 1
        if self.nodes > MAX_NODES or parent.size > MAX_NODES:
            raise self._refuse_at(node, "DR004", f"more than {MAX_NODES} nodes, aliases expanded")
        if len(self._stack) + height > MAX_DEPTH:
            raise self._refuse_at(node, "DR004", f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node)
        else:
            self._enter(parent.node, parent.key, node)
            parent.key = None

    def _key(self, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            raise self._refuse_at(node, "DR003", "a key must be a text, not a list or a mapping")
        if node.text == "<<" and not node.style:
            raise self._refuse_at(
                node,
                "DR003",
                "merge keys ('<<') are not supported",
                "repeat the keys, or use 'defaults:'",
            )
        if not node.text and not node.style:
            raise self._refuse_at(node, "DR003", "a key is missing before this colon")
        return node

    def _enter(self, mapping: Mapping, key: Scalar, value: Node) -> None:
        first = mapping.entries.get(key.text)
        if first is None:
            mapping.entries[key.text] = Entry(key, value)
            return
        self._report.error(
            "DR002",
            f"key '{key.text}' is given twice in this mapping",
            key.place,
            other=first.key.place,
        )

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._refuse(event, "DR004", f"more than {MAX_ALIASES} aliases")
        if any(frame.anchor == event.anchor for frame in self._stack):
            raise self._refuse(event, "DR003", f"the alias '*{event.anchor}' contains itself")
        known = self._anchors.get(event.anchor)
        if known is None:
            raise self._refuse(
                event, "DR003", f"no anchor '&{event.anchor}' comes before this alias"
            )
        node, size, height = known
        self._add(node, None, size, height)

    def _scalar(self, event: Any) -> Scalar:
        end = event.end_mark
        line, column = self._start(event)
        style = event.style or ""
        node = Scalar(self._file, line, column, 1, event.value, style)
        if style not in ("|", ">"):
            if end.line + 1 == line:
                node.length = end.column + 1 - column
            else:
                node.length = self._rest_of_line(node)
        return node

    def _start(self, event: Any) -> tuple[int, int]:
        """Line and column of what an event is about, from 1: behind its anchor, if it has one."""
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if event.anchor and line <= len(self._lines):
            written = self._lines[line - 1][mark.column :]
            behind = written.removeprefix(f"&{event.anchor}").lstrip(" ")
            if behind and not behind.startswith("#"):
                column += len(written) - len(behind)
        return line, column

    def _rest_of_line(self, node: Node) -> int:
        if node.line > len(self._lines):
            return 1
        return max(1, len(self._lines[node.line - 1].rstrip()) - node.column + 1)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            raise self._refuse(
                event,
                "DR003",
                "YAML tags ('!') are not supported",
                "secrets are written {file: NAME} or {env: NAME}; a text that begins with '!' needs quotes",
            )

    def _refuse(self, event: Any, code: str, message: str, hint: str = "") -> Unbuildable:
        mark = event.start_mark
        place = Place(self._file, mark.line + 1, mark.column + 1)
        return Unbuildable(Problem("error", code, message, place, hint=hint))

    def _refuse_at(self, node: Node, code: str, message: str, hint: str = "") -> Unbuildable:
        return Unbuildable(Problem("error", code, message, node.place, hint=hint))
