"""From the bytes of one file to nodes with places; the only door to PyYAML.

The text is untrusted. It is checked raw (size, UTF-8, control characters), then read as a stream of
parser events and built into nodes without recursion, so that neither libyaml's recursive loader nor
ours can be driven out of its stack: reading stops at the first event beyond a bound. Bounds: 1 MiB a
file, 64 levels, 1,000 aliases, 200,000 nodes with aliases expanded. Tags and merge keys are refused,
duplicate keys are refused with both places, aliases are allowed. Nothing raises: what is wrong goes
to the report, and None comes back where there is no tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from router.config.build import TreeBuilder, Unbuildable
from router.config.nodes import Node
from router.config.report import Report
from router.config.work import NODE, Work
from router.model.problem import Place

MAX_FILE_BYTES: Final = 1024 * 1024
# Line separators other than CR and LF are refused: editors and YAML readers count them differently.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS: Final[dict[type, str]] = {
    yaml.ScalarEvent: "scalar",
    yaml.MappingStartEvent: "mapping",
    yaml.SequenceStartEvent: "sequence",
    yaml.MappingEndEvent: "end",
    yaml.SequenceEndEvent: "end",
    yaml.AliasEvent: "alias",
    yaml.DocumentStartEvent: "document",
}


def decode(data: bytes, file: str, report: Report) -> str | None:
    """The text of a file, or None with a problem (DR001, DR004) when it is no acceptable UTF-8."""
    start = Place(file, 1, 1)
    if len(data) > MAX_FILE_BYTES:
        report.error("DR004", f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", start)
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        report.error("DR001", "the file is UTF-16", start, hint="save it as UTF-8")
    else:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8-sig", "replace")
            place = _place_of_offset(file, before, len(before))
            report.error("DR001", "this byte is no UTF-8", place, hint="save the file as UTF-8")
    report.is_incomplete = True
    return None


def parse(text: str, file: str, report: Report, work: Work | None = None) -> Node | None:
    """The tree of a text; None when it is empty or cannot be read (then the report says why).

    Raises TooMuchWork, where `work` is counted.
    """
    found = _FORBIDDEN.search(text)
    if found:
        report.is_incomplete = True
        place = _place_of_offset(file, text, found.start())
        message = f"the character U+{ord(found.group()):04X} is not allowed in a configuration"
        report.error("DR001", message, place, hint="remove it, or write it as an escape in quotes")
        return None
    lines = text.splitlines()
    builder = TreeBuilder(file, lines, report)
    try:
        return builder.build(_events(text))
    except Unbuildable as error:
        report.is_incomplete = True
        report.add(error.problem)
    except yaml.MarkedYAMLError as error:
        report.is_incomplete = True
        _report_syntax(error, file, lines, report)
    finally:
        if work is not None:
            work.spend(NODE * builder.nodes, Place(file, 1, 1))
    return None


def _events(text: str) -> Iterator[tuple[str, Any]]:
    for event in yaml.parse(text, Loader=_LOADER):
        yield _KINDS.get(type(event), "other"), event


def _place_of_offset(file: str, text: str, offset: int) -> Place:
    before = text[:offset]
    lines = before.splitlines() or [""]
    if before.endswith(("\n", "\r")):
        return Place(file, len(lines) + 1, 1)
    return Place(file, len(lines), len(lines[-1]) + 1)


def _report_syntax(
    error: yaml.MarkedYAMLError, file: str, lines: list[str], report: Report
) -> None:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "this is not YAML")
    unfinished = "unexpected end of stream" in problem or "end of stream" in str(error.context)
    if unfinished and error.context_mark is not None:
        mark = error.context_mark
    line = (mark.line if mark else 0) + 1
    column = (mark.column if mark else 0) + 1
    if lines and line > len(lines):
        line, column = len(lines), len(lines[-1]) + 1
    written = lines[line - 1] if line <= len(lines) else ""
    indentation = written[: len(written) - len(written.lstrip(" \t"))]
    if "\t" in indentation:
        place = Place(file, line, indentation.index("\t") + 1)
        report.error("DR001", "a tab cannot indent", place, hint="use spaces")
        return
    context = f" ({error.context})" if error.context and error.problem else ""
    report.error("DR001", f"{problem}{context}", Place(file, line, column), hint=_advice(problem))


def _advice(problem: str) -> str:
    """What usually is behind the parser's words."""
    for words, advice in (
        (
            "mapping values are not allowed",
            "a text with ': ' in it needs quotes; or the line above is unfinished",
        ),
        ("did not find expected key", "check the indentation, and quotes around the text before"),
        (
            "did not find expected '-'",
            "check the indentation: this line is not part of the list above",
        ),
        ("could not find expected ':'", "a key needs a colon and a space after it"),
        ("cannot start any token", "a text that begins with this character needs quotes"),
        ("unexpected end of stream", "the quote or bracket that opens here is never closed"),
        ("did not find expected ',' or", "a comma is missing, or a bracket is not closed"),
        ("found undefined alias", "define it before with &name"),
        ("unknown escape", "in double quotes a backslash begins an escape; single quotes keep it"),
    ):
        if words in problem:
            return advice
    return ""
