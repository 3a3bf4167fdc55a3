"""PS3.15 table E.1-1 as data: what becomes of each attribute under the Basic Profile and options.

Read once from `deidentification.tsv`, which names its edition. Actions are the standard's letters:
D dummy value, Z empty, X remove, K keep, C clean, U another UID; compound ones leave a choice by the
type of the attribute, which this module makes so that the object stays valid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("deidentification.tsv")
_HEAD: Final = re.compile(r"# (PS\d\.\d+ \w+), table E\.1-1")
# An element that is there although its type would allow it to be absent may be needed by others;
# a value or an empty value is valid where it is.
_CHOICES: Final = {"X/Z": "Z", "X/D": "D", "Z/D": "D", "X/Z/D": "D", "X/Z/U*": "U"}


@dataclass(frozen=True, slots=True)
class Row:
    """The action of the Basic Profile, one letter, and of the options that differ: K or C."""

    basic: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows by tag; rows of repeating groups by their eight digits with `x`."""

    edition: str
    rows: Mapping[int, Row]
    repeating: tuple[tuple[int, int, Row], ...]

    def row(self, tag: int) -> Row | None:
        """The row of an attribute, None when the table does not name it."""
        found = self.rows.get(tag)
        if found is not None:
            return found
        return next((row for mask, value, row in self.repeating if tag & mask == value), None)


@lru_cache(maxsize=1)
def table() -> Table:
    """The table that comes with this version."""
    rows: dict[int, Row] = {}
    repeating: list[tuple[int, int, Row]] = []
    edition = ""
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            head = _HEAD.match(line)
            edition = head[1] if head else edition
            continue
        digits, basic, *more = line.split("\t")
        options = dict(cell.split("=") for cell in more[0].split(" ")) if more else {}
        row = Row(_CHOICES.get(basic, basic), options)
        if "x" in digits:
            mask = int("".join("0" if one == "x" else "F" for one in digits), 16)
            repeating.append((mask, int(digits.replace("x", "0"), 16), row))
        else:
            rows[int(digits, 16)] = row
    return Table(edition, rows, tuple(repeating))
