"""Problem: one thing wrong in the configuration, with its place, its cause and a hint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one file. Lines and columns count from 1; `length` is in characters, ≥ 1."""

    file: str
    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """A data set and its sender that show what advice is about, and what the engine made of them.

    `sender` and `attributes` are pairs of names and shown values; `rules` those that matched;
    `outcome` as `explain` says it; `stations` where it would go; `note` what else was seen.
    """

    sender: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    outcome: str
    stations: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Codes: DR0xx text, 1xx shape, 2xx references and DICOM meaning, 3xx advice, 4xx environment.

    `path` is the place in the document (`rules[3].match.Modality`), `hint` what to write instead.
    `other` is the second place when two contradict (a name defined twice); `example` shows advice.
    """

    severity: Severity
    code: str
    message: str
    place: Place
    path: str = ""
    hint: str = ""
    other: Place | None = None
    example: Example | None = None
