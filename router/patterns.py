r"""Regular expressions that take linear time, whatever pattern meets whatever text (RE2).

One pattern in one rule must not stop the router, so no other engine sees text of the network.
RE2 has no look-around and no back-references inside a pattern; `compile_pattern` raises
PatternError for those as for every other mistake, with the character where it lies.
"""

from __future__ import annotations

import bisect
from typing import Any

import re2

MAX_PATTERN_LENGTH = 1024
MAX_PROGRAM_SIZE = 10_000
MAX_UNICODE_CLASSES = 20
# RE2 gives up beyond it, early; patterns within it have programs of some 10,000 instructions.
_TRIAL_BYTES = 256 * 1024
_TRIAL_FAULT = 40_000
MAX_RESULT_LENGTH = 1024 * 1024


class PatternError(ValueError):
    """A pattern or replacement that cannot be used; `offset` is the character, from 0."""

    def __init__(self, message: str, offset: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint


class Pattern:
    """A compiled pattern. Safe to share between threads."""

    __slots__ = ("_made", "_testing", "text")

    def __init__(self, text: str, testing: Any) -> None:
        self.text = text
        self._testing = testing
        self._made: Any = None

    @property
    def _capturing(self) -> Any:
        """Compiled when something is to be replaced: most patterns only ask."""
        if self._made is None:
            self._made = _compile(self.text, capturing=True)
        return self._made

    def search(self, subject: str) -> bool:
        """Whether the pattern is found anywhere in the subject."""
        # Bytes in, because the spans of a str are converted back to characters at some cost.
        return self._testing.search(subject.encode("utf-8", "replace")) is not None

    def sub(self, replacement: Replacement, subject: str) -> str:
        r"""The subject with every match replaced; an empty match right behind another is none.

        Raises PatternError when the result would exceed MAX_RESULT_LENGTH characters.
        """
        subject = subject.encode("utf-8", "replace").decode()
        pieces: list[str] = []
        end = 0
        length = len(subject)
        for match in self._capturing.finditer(subject):
            # `.*` fits once, not once more at its own end.
            if pieces and match.start() == match.end() == end:
                continue
            text = replacement.expand(match)
            length += len(text)
            if length > MAX_RESULT_LENGTH:
                raise PatternError("the replaced text is too long")
            pieces.append(subject[end : match.start()])
            pieces.append(text)
            end = match.end()
        pieces.append(subject[end:])
        return "".join(pieces)

    def replacement(self, text: str) -> Replacement:
        r"""The replacement `text`, in which `\1` to `\9` are groups and `\\` is a backslash.

        Raises PatternError for a group the pattern does not have and for any other escape.
        """
        return Replacement(text, self._capturing.groups)


class Replacement:
    """What matches become: literal text and group numbers, in turn."""

    __slots__ = ("_pieces",)

    def __init__(self, text: str, groups: int) -> None:
        pieces: list[str | int] = []
        position = 0
        while position < len(text):
            if text[position] != "\\":
                end = text.find("\\", position)
                end = len(text) if end < 0 else end
                pieces.append(text[position:end])
                position = end
                continue
            pieces.append(_escape(text, position, groups))
            position += 2
        self._pieces = tuple(pieces)

    def expand(self, match: Any) -> str:
        """The text that replaces this match; a group that took no part is empty."""
        return "".join(
            piece if isinstance(piece, str) else (match.group(piece) or "")
            for piece in self._pieces
        )


def _escape(text: str, position: int, groups: int) -> str | int:
    following = text[position + 1 : position + 2]
    if following == "\\":
        return "\\"
    if not (following.isascii() and following.isdigit()):
        raise PatternError(
            "a backslash in a replacement is followed by a group number or a backslash",
            position,
            r"write \\ for one backslash",
        )
    if int(following) > groups:
        raise PatternError(
            f"the replacement names group {following}, the pattern has {groups}",
            position,
            "a group is written in parentheses: (…)",
        )
    return int(following)


def compile_pattern(text: str) -> Pattern:
    """The compiled pattern; search semantics, case-sensitive unless it begins with `(?i)`.

    Raises PatternError with the offset of the character where the mistake lies.
    """
    if len(text) > MAX_PATTERN_LENGTH:
        raise PatternError(
            f"a pattern has at most {MAX_PATTERN_LENGTH} characters", MAX_PATTERN_LENGTH
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PatternError("a pattern holds Unicode characters only", error.start) from None
    if _unicode_classes(text) > MAX_UNICODE_CLASSES:
        raise PatternError(f"a pattern has at most {MAX_UNICODE_CLASSES} classes of Unicode (\\p)")
    fault = _fault(text)
    if fault.startswith("pattern too large"):
        raise PatternError(fault, 0, "write fewer or smaller repetitions: {n,m}")
    if fault:
        message, _, fragment = fault.partition(": ")
        raise PatternError(message, _offset(text, fault, fragment), _hint(message, fragment))
    return Pattern(text, _compile(text, capturing=False))


def weigh(text: str) -> int:
    """What compiling a pattern costs, in about microseconds; one that is no good costs most."""
    if len(text) > MAX_PATTERN_LENGTH or _unicode_classes(text) > MAX_UNICODE_CLASSES:
        return 0  # refused before it is compiled
    try:
        size = int(_compile(text, capturing=True, most_bytes=_TRIAL_BYTES).programsize)
        return 2 * size + 50
    except (re2.error, UnicodeEncodeError):
        return _TRIAL_FAULT


def _unicode_classes(text: str) -> int:
    return text.count("\\p") + text.count("\\P")


def _compile(text: str, *, capturing: bool, most_bytes: int = 0) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not capturing
    if most_bytes:
        options.max_mem = most_bytes
    engine: Any = re2  # the package is not annotated
    return engine.compile(text, options)


def _fault(text: str) -> str:
    try:
        tried = _compile(text, capturing=True, most_bytes=_TRIAL_BYTES)
        if tried.programsize > MAX_PROGRAM_SIZE:
            return "pattern too large"
    except re2.error as error:
        said = error.args[0]
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return ""


def _offset(text: str, fault: str, fragment: str) -> int:
    """RE2 names the faulty stretch, not its place: the shortest prefix with that fault ends it."""
    if fault.startswith("missing )"):
        return _open_parenthesis(text)
    unexpected = fault.startswith("unexpected )")

    def has_fault(end: int) -> bool:
        said = _fault(text[:end])
        return said.startswith("unexpected )") if unexpected else said == fault

    # RE2 reads from the left and stops at the first fault: what holds for a prefix holds beyond.
    end = bisect.bisect_left(range(len(text) + 1), True, key=has_fault)
    return max(0, min(end, len(text)) - (1 if unexpected else len(fragment)))


def _open_parenthesis(text: str) -> int:
    opened: list[int] = []
    in_class = False
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            # A bracket that comes first in a class stands for itself: []abc], [^]abc].
            position += 1 if text[position + 1 : position + 2] == "^" else 0
            position += 1 if text[position + 1 : position + 2] == "]" else 0
        elif character == "(":
            opened.append(position)
        elif character == ")" and opened:
            opened.pop()
        position += 1
    return opened[0] if opened else 0


def _hint(message: str, fragment: str) -> str:
    if message == "invalid perl operator" and fragment[:3] in {"(?=", "(?!", "(?<"}:
        return "patterns are RE2: there is no look-ahead or look-behind"
    if message == "invalid escape sequence" and fragment[1:2].isdigit():
        return "patterns are RE2: there are no back-references inside a pattern"
    return ""
