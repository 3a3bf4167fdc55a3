"""Operators `glob` and `regex`: a pattern fits one of the values.

A glob (`*`, `?`, `[..]`) fits the whole value, a regular expression (RE2) is searched in it. Both
are case-sensitive; `(?i)` in front of a regular expression makes it blind to case. Of a person
name each component group is tried too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.match.values import VALUELESS_VRS, Test, Values, subjects, text_of, vr_of
from router.model.path import Path
from router.model.plug import Operator, PlugError
from router.patterns import PatternError, compile_pattern, weigh


def compile_regex(literal: Any, path: Path | None) -> Test:
    """A regular expression. Raises PlugError (DR211) that points at the character."""
    return _over_subjects(_searcher(text_of(literal)), path)


def compile_glob(literal: Any, path: Path | None) -> Test:
    """A glob. Raises PlugError (DR211) for a bracket that is not closed."""
    return _over_subjects(_glob(text_of(literal)), path)


def _over_subjects(fits: Callable[[str], bool], path: Path | None) -> Test:
    vr = vr_of(path)
    if vr in VALUELESS_VRS:
        raise PlugError(f"an attribute of VR {vr} has no text a pattern could fit")

    def test(values: Values | None) -> bool:
        if not values:
            return False
        first = values[0]
        if len(values) == 1 and vr != "PN" and isinstance(first, str):
            return fits(first)
        return any(fits(subject) for subject in subjects(values, vr))

    return test


def _searcher(pattern: str, message: str = "regex does not compile") -> Callable[[str], bool]:
    try:
        return compile_pattern(pattern).search
    except PatternError as error:
        raise PlugError(
            f"{message}: {error}", hint=error.hint, column_offset=error.offset, code="DR211"
        ) from None


def _glob(text: str) -> Callable[[str], bool]:
    """The commonest globs are a comparison of text; the rest become a regular expression."""
    body = text.strip("*")
    if text and not any(character in body for character in "*?["):
        starts, ends = text.startswith("*"), text.endswith("*")
        if starts and ends:
            return lambda subject: body in subject
        if ends:
            return lambda subject: subject.startswith(body)
        if starts:
            return lambda subject: subject.endswith(body)
        return lambda subject: subject == body
    return _searcher(r"(?s)\A" + _translated(text) + r"\z", "glob does not compile")


def _translated(text: str) -> str:
    pieces = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == "[":
            piece, position = _class(text, position)
            pieces.append(piece)
            continue
        pieces.append({"*": ".*", "?": "."}.get(character) or _quoted(character))
        position += 1
    return "".join(pieces)


def _class(text: str, start: int) -> tuple[str, int]:
    first = start + 2 if text[start + 1 : start + 2] in {"!", "^"} else start + 1
    end = text.find("]", first + 1)
    if end < 0:
        raise PlugError(
            "glob does not compile: missing ]",
            column_offset=start,
            hint="write [[] for the bracket itself",
            code="DR211",
        )
    negated = "^" if first == start + 2 else ""
    members = text[first:end]
    inside = "".join(member if member == "-" else _quoted(member) for member in members)
    for index in range(1, len(members) - 1):
        if members[index] == "-" and members[index - 1] > members[index + 1]:
            raise PlugError(
                f"glob does not compile: the range {members[index - 1 : index + 2]} runs backwards",
                column_offset=first + index - 1,
                code="DR211",
            )
    return f"[{negated}{inside}]", end + 1


def _quoted(character: str) -> str:
    return character if character.isalnum() or character in " _" else f"\\x{{{ord(character):x}}}"


def _weigh_glob(literal: Any) -> int:
    """A glob has no repetition that could grow: its length tells."""
    return 10 * len(text_of(literal))


PLUGS = (
    Operator(
        name="glob",
        summary="The whole value fits a pattern with `*`, `?` and `[..]`, case-sensitive.",
        schema={
            "type": ["string", "number"],
            "description": "* is any text, ? any character, [abc] one of these, [!abc] none of these.",
        },
        example='glob: "TEST*"',
        compile=compile_glob,
        weigh=_weigh_glob,
    ),
    Operator(
        name="regex",
        summary="A regular expression (RE2) is found in the value, case-sensitive.",
        schema={
            "type": ["string", "number"],
            "description": "RE2 syntax; anchor with ^ and $, begin with (?i) to ignore case.",
        },
        example='regex: "(?i)chest|thorax"',
        compile=compile_regex,
        weigh=lambda literal: weigh(text_of(literal)),
    ),
)
