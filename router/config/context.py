"""What every part of the compiler shares: the report, the shapes, the folder and the environment.

Turns references into what they mean (paths below the folder, files that must exist, secrets) and
mistakes of plugs into problems at the character they are about.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from router.config.nodes import Node, PathPart, Scalar, node_at, place_at, show_path
from router.config.plugged import Plugs
from router.config.report import Report
from router.config.schema import Shapes
from router.config.secrets import find_file
from router.config.work import MISTAKE, Work
from router.model.plug import PlugError
from router.model.problem import Place
from router.model.station import Secret

_ESCAPE_LENGTHS: Final = {"x": 2, "u": 4, "U": 8}


@dataclass(slots=True)
class Context:
    """One compilation. `lines` are the source lines by file; nothing is read but what is named.

    `faulty` are the (section, name) of things with a mistake of their own: what they lack because of
    it is not told a second time where they are used.
    """

    report: Report
    shapes: Shapes
    plugs: Plugs
    folder: Path
    lines: Mapping[str, list[str]]
    environment: Mapping[str, str]
    work: Work = field(default_factory=Work)
    faulty: set[tuple[str, str]] = field(default_factory=set)

    @property
    def mistake(self) -> int:
        """What one more mistake costs: nothing while it is shown, much when it no longer is."""
        return MISTAKE if self.report.is_full else 0

    def error(
        self, code: str, message: str, node: Node, path: tuple[PathPart, ...], hint: str = ""
    ) -> None:
        """A problem at a value."""
        self.work.spend(self.mistake, node.place)
        self.report.error(code, message, node.place, path=show_path(path), hint=hint)

    def warn(
        self, code: str, message: str, node: Node, path: tuple[PathPart, ...], hint: str = ""
    ) -> None:
        """Advice about a value."""
        self.report.warn(code, message, node.place, path=show_path(path), hint=hint)

    def file(self, text: str, node: Node, path: tuple[PathPart, ...], words: str) -> Path:
        """The absolute path of a file that must exist (DR401)."""
        found = self.folder / text
        if not found.is_file():
            hint = f"looked for {found}"
            self.error("DR401", f"{words} '{text}' does not exist", node, path, hint)
        elif not os.access(found, os.R_OK):
            self.error("DR401", f"{words} '{text}' cannot be read", node, path, "check its owner")
        return found

    def secret(
        self, data: Mapping[str, str], node: Node | None, path: tuple[PathPart, ...]
    ) -> Secret:
        """A reference to a secret; a missing file is an error, an unset variable a warning."""
        if "env" in data:
            name = data["env"]
            if node is not None and name not in self.environment:
                self.warn("DR402", f"the environment variable '{name}' is not set", node, path)
            return Secret("env", name)
        name = data["file"]
        if node is not None and find_file(name, self.folder, self.environment) is None:
            hint = f"looked for {self.folder / name}"
            self.error("DR401", f"the secret file '{name}' does not exist", node, path, hint)
        return Secret("file", name)

    def plug_error(self, error: PlugError, node: Node, path: tuple[PathPart, ...]) -> None:
        """A mistake in parameters: at the key, at the value, or at a character of the value."""
        place = place_at(node, error.path, at_key=error.at_key)
        self.work.spend(self.mistake, place)
        wrong = node_at(node, error.path)
        if error.column_offset is not None and not error.at_key and isinstance(wrong, Scalar):
            place = self._inside(wrong, error.column_offset)
        message = str(error) or "this is not understood"
        shown = show_path((*path, *error.path))
        self.report.error(error.code, message, place, path=shown, hint=error.hint)

    def _inside(self, scalar: Scalar, offset: int) -> Place:
        """The place of a character of the value, as far as it stands on the scalar's first line."""
        lines = self.lines.get(scalar.file, [])
        line = lines[scalar.line - 1] if scalar.line <= len(lines) else ""
        written = line[scalar.column - 1 : scalar.column - 1 + scalar.length]
        shift = offset_in_source(written, scalar.style, offset)
        if scalar.style in ("|", ">") or shift >= len(written):
            return scalar.place
        return Place(scalar.file, scalar.line, scalar.column + shift)


def offset_in_source(written: str, style: str, offset: int) -> int:
    """Where character `offset` of a value stands in its written form, quotes and escapes counted."""
    if style not in ("'", '"'):
        return offset
    position = 1
    for _ in range(offset):
        if position >= len(written):
            break
        if style == "'" and written[position : position + 2] == "''":
            position += 2
        elif style == '"' and written[position] == "\\":
            position += 2 + _ESCAPE_LENGTHS.get(written[position + 1 : position + 2], 0)
        else:
            position += 1
    return position


def raw_for(node: Node, data: Any, schema: Any) -> Any:
    """`data` (raw) with numbers where the schema asks for nothing but numbers."""
    if not isinstance(schema, Mapping):
        return data
    if isinstance(node, Scalar) and schema.get("type") in ("integer", "number"):
        return node.value
    properties = schema.get("properties")
    if isinstance(data, dict) and isinstance(properties, Mapping):
        return {
            key: raw_for(inner, value, properties.get(key))
            for key, value in data.items()
            if (inner := node_at(node, (key,))) is not None
        }
    return data
