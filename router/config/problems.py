"""How a problem looks: on a terminal and in a log, as problem details (RFC 9457), and as SARIF.

    rules/20-cloud.yaml:9:7: error DR210: 'StudyDescripton' is no DICOM keyword
      |
    9 |       StudyDescripton: {regex: chest}
      |       ^^^^^^^^^^^^^^^ did you mean 'StudyDescription' (0008,1030)?

Advice ends with its example. Lines wider than a terminal are cut around the caret, wide and combining
characters keep it in its column, and nothing that came from a file can send control characters to a
terminal. Nothing fails.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from router.model.problem import Example, Place, Problem

MAX_SOURCE_WIDTH: Final = 100
_MAX_MESSAGE: Final = 500
_KINDS = (
    ("DR0", "the text cannot be read"),
    ("DR1", "the shape is wrong"),
    ("DR2", "a reference or a DICOM meaning is wrong"),
    ("DR3", "advice"),
    ("DR4", "the environment does not fit"),
)


def render(problem: Problem, lines: Sequence[str]) -> str:
    """The problem as people read it; `lines` are the source lines of its file (may be empty)."""
    place = problem.place
    words = _clean(problem.message)
    head = f"{_clean(place.file)}:{place.line}:{place.column}: {problem.severity} {problem.code}: {words}"
    hint = _clean(hint_of(problem))
    shown_example = _clean(example_text(problem.example)) if problem.example else ""
    below = f"\n  = for example {shown_example}" if shown_example else ""
    if not 1 <= place.line <= len(lines):
        return (f"{head}\n  = {hint}" if hint else head) + below
    shown, indent, width = _window(lines[place.line - 1], place.column - 1, place.length)
    number = str(place.line)
    gutter = " " * len(number)
    marks = f"{' ' * indent}{'^' * width}{' ' if hint else ''}{hint}"
    return f"{head}\n{gutter} |\n{number} | {shown}".rstrip() + f"\n{gutter} | {marks}{below}"


def render_all(problems: Iterable[Problem], sources: Mapping[str, str]) -> str:
    """All of them, an empty line between; `sources` are the texts by file as in the places."""
    lines = {file: text.splitlines() for file, text in sources.items()}
    return "\n\n".join(render(problem, lines.get(problem.place.file, ())) for problem in problems)


def hint_of(problem: Problem) -> str:
    """The hint, with the second place when there is one."""
    if problem.other is None:
        return problem.hint
    other = problem.other
    where = f"line {other.line}"
    if other.file != problem.place.file:
        where = f"{other.file}:{other.line}:{other.column}"
    if problem.example is not None:
        first = f"the other is on {where}" if where.startswith("line") else f"the other: {where}"
    else:
        is_here = other.file == problem.place.file
        first = f"first given on {where}" if is_here else f"first in {where}"
    return f"{first}; {problem.hint}" if problem.hint else first


def example_text(example: Example) -> str:
    """`from ct-1, Modality=CT: matches 'a', 'b', goes to pacs`."""
    given = [
        f"from {value}" if name == "from" else f"{name}={value}" for name, value in example.sender
    ]
    given += [f"{name}={value}" for name, value in example.attributes]
    matched = ", ".join(f"'{name}'" for name in example.rules)
    said = [f"matches {matched}" if matched else "matches no rule"]
    said.append(f"goes to {', '.join(example.stations)}" if example.stations else example.outcome)
    said += [example.note] if example.note else []
    return f"{', '.join(given)}: {', '.join(said)}"


def as_json(problem: Problem) -> dict[str, Any]:
    """Problem details (RFC 9457 3), with file, line, column, code and hint as extensions."""
    place = problem.place
    details: dict[str, Any] = {
        "type": f"urn:dicom-router:problem:{problem.code}",
        "title": next((words for code, words in _KINDS if problem.code.startswith(code)), ""),
        "status": 422,
        "detail": problem.message,
        "severity": problem.severity,
        "code": problem.code,
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "length": place.length,
        "path": problem.path,
        "hint": hint_of(problem),
    }
    if problem.other is not None:
        other = problem.other
        details["other"] = {"file": other.file, "line": other.line, "column": other.column}
    if problem.example is not None:
        example = problem.example
        details["example"] = {
            "sender": dict(example.sender),
            "attributes": dict(example.attributes),
            "rules": list(example.rules),
            "outcome": example.outcome,
            "stations": list(example.stations),
            "note": example.note,
        }
    return details


def as_sarif(problems: Iterable[Problem], version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run; `version` is that of the router."""
    results = [
        {
            "ruleId": problem.code,
            "level": problem.severity,
            "message": {"text": ". ".join(filter(None, (problem.message, hint_of(problem))))},
            "locations": [_sarif_location(problem.place)],
            "relatedLocations": [_sarif_location(problem.other)] if problem.other else [],
        }
        for problem in problems
    ]
    driver = {"name": "dicom-router", "version": version, "rules": []}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
        ],
    }


def _sarif_location(place: Place) -> dict[str, Any]:
    region = {
        "startLine": place.line,
        "startColumn": place.column,
        "endColumn": place.column + place.length,
    }
    uri = place.file.replace("\\", "/")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


def _window(line: str, start: int, length: int) -> tuple[str, int, int]:
    """The part of the line to show, and in columns of a terminal where the caret begins and ends."""
    start = min(start, len(line))
    end = min(max(start + length, start + 1), max(len(line), start + 1))
    left, right = 0, len(line)
    if _width(line) > MAX_SOURCE_WIDTH:
        left = max(0, start - MAX_SOURCE_WIDTH // 3)
        right = min(len(line), left + MAX_SOURCE_WIDTH)
        while right > start + 1 and _width(line[left:right]) > MAX_SOURCE_WIDTH:
            right -= 1
        end = min(end, max(right, start + 1))
    before = "…" if left else ""
    after = "…" if right < len(line) else ""
    shown = before + _clean(line[left:right], whole=True) + after
    indent = len(before) + _width(line[left:start])
    return shown, indent, max(1, _width(line[start:end]))


def _clean(text: str, *, whole: bool = False) -> str:
    """The text with whatever a terminal would act upon shown as a sign of the same width."""
    if not whole and len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + "…"
    if text.isprintable():
        return text
    return "".join(_safe(sign) for sign in text)


def _safe(sign: str) -> str:
    if sign.isprintable():
        return sign
    if sign in "\t\n\r" or unicodedata.category(sign) == "Zs":
        return " "
    return "�"


def _width(text: str) -> int:
    """Columns on a terminal (Unicode annex 11)."""
    if text.isascii():
        return len(text)
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
