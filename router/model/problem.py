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
class Problem:
    """Codes: DR0xx text, 1xx shape, 2xx references and DICOM meaning, 3xx advice, 4xx environment.

    `path` is the place in the document (`rules[3].match.Modality`), `hint` what to write instead.
    `other` is the second place when two contradict (a name defined twice).
    """

    severity: Severity
    code: str
    message: str
    place: Place
    path: str = ""
    hint: str = ""
    other: Place | None = None
