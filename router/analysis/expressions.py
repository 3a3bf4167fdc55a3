r"""Patterns as trees: the part of RE2's language whose meaning is plain, globs, and plain texts.

Understood: characters, `.`, classes, `\d \w \s` and their contraries, groups, `|`, `* + ? {m,n}`,
`^` and `$`, and `(?i)` or `(?s)` in front. Everything else gives None: then nothing is concluded
from the pattern, it is only tried. Trees are ("set", ranges), ("seq", …), ("alt", …),
("many", tree, least, most or None).
"""

from __future__ import annotations

import re
from typing import Any, Final

Ranges = tuple[tuple[int, int], ...]
Tree = tuple[Any, ...]

LAST: Final = 0x10FFFF
BEGIN: Final = LAST + 1  # the place before the first character, and behind the last
END: Final = LAST + 2
ANY: Final[Ranges] = ((0, LAST),)
_DOT: Final[Ranges] = ((0, 9), (11, LAST))
_ESCAPED: Final[dict[str, Ranges]] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 10), (12, 13), (32, 32)),
}
_COUNTED = re.compile(r"\{(\d{1,2})(,(\d{1,2})?)?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([is]{1,2})\)")
_MAX_REPEAT: Final = 20


def samples(operator: str, text: str) -> list[str]:
    """Texts that probably fit a glob or a regular expression; cheap, and nothing is promised."""
    if operator == "glob":
        body = text.replace("?", "X")
        return list(dict.fromkeys((body.replace("*", ""), body.replace("*", "X"))))
    plain = _FLAGS.sub("", text, count=1)
    words = [word.strip("^$") for word in plain.split("|")]
    return [word for word in words if word and not set(word) & set("\\.[](){}*+?^$")]


class _NotPlainError(ValueError):
    """The pattern uses something that is not understood here."""


def set_of(ranges: Ranges) -> Tree:
    """One character of these ranges."""
    return ("set", ranges)


def whole_text(text: str) -> Tree:
    """Exactly this text."""
    points = [BEGIN, *map(ord, text), END]
    return ("seq", *(set_of(((point, point),)) for point in points))


def glob(text: str) -> Tree | None:
    """A glob that fits the whole text; None when it has a class."""
    if "[" in text:
        return None
    parts: list[Tree] = [set_of(((BEGIN, BEGIN),))]
    for character in text:
        one = set_of(ANY if character in "*?" else ((ord(character), ord(character)),))
        parts.append(("many", one, 0, None) if character == "*" else one)
    return ("seq", *parts, set_of(((END, END),)))


def regex(text: str) -> Tree | None:
    """A regular expression that is found anywhere in a text, or None."""
    flags = _FLAGS.match(text)
    start = flags.end() if flags else 0
    parser = _Parser(text[start:], flags.group(1) if flags else "")
    around: Tree = ("many", set_of(((0, END),)), 0, None)
    try:
        return ("seq", around, parser.whole(), around)
    except _NotPlainError:
        return None


class _Parser:
    """Recursive descent; the depth of the recursion is that of the groups, and bounded."""

    def __init__(self, text: str, flags: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._any = ANY if "s" in flags else _DOT
        self._folds = "i" in flags

    def whole(self) -> Tree:
        tree = self._choice()
        if self._at < len(self._text):
            raise _NotPlainError
        return tree

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> Tree:
        options = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else ("alt", *options)

    def _sequence(self) -> Tree:
        parts: list[Tree] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._one()))
        return ("seq", *parts)

    def _one(self) -> Tree:
        character = self._next()
        self._at += 1
        if character == "(":
            return self._group()
        if character == "[":
            return set_of(self._class())
        if character == ".":
            return set_of(self._any)
        if character in "^$":
            if self._next() and self._next() in "^$*+?{":
                raise _NotPlainError
            point = BEGIN if character == "^" else END
            return set_of(((point, point),))
        if character == "\\":
            return set_of(self._folded(self._escape()))
        if character in "*+?{":
            raise _NotPlainError
        return set_of(self._folded(((ord(character), ord(character)),)))

    def _group(self) -> Tree:
        self._depth += 1
        if self._depth > 20:
            raise _NotPlainError
        if self._next() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise _NotPlainError
            self._at += 2
        tree = self._choice()
        if self._next() != ")":
            raise _NotPlainError
        self._at += 1
        self._depth -= 1
        if self._next() and self._next() in "*+?{" and _holds_place(tree):
            raise _NotPlainError
        return tree

    def _repeated(self, tree: Tree) -> Tree:
        sign = self._next()
        least, most = 1, 1
        if sign and sign in "*+?":
            self._at += 1
            least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[sign]
        elif sign == "{":
            found = _COUNTED.match(self._text, self._at)
            if found is None:
                raise _NotPlainError
            self._at = found.end()
            least = int(found[1])
            most = least if found[2] is None else int(found[3]) if found[3] else -1
            if max(least, most) > _MAX_REPEAT:
                raise _NotPlainError
        else:
            return tree
        if self._next() and self._next() in "*+{":
            raise _NotPlainError
        if self._next() == "?":  # the same texts, however greedily
            self._at += 1
        return ("many", tree, least, None if most < 0 else most)

    def _escape(self) -> Ranges:
        character = self._next()
        self._at += 1
        if character.lower() in _ESCAPED:
            ranges = _ESCAPED[character.lower()]
            return ranges if character.islower() else _contrary(ranges)
        if not character or character.isalnum() or not character.isascii():
            raise _NotPlainError
        return ((ord(character), ord(character)),)

    def _class(self) -> Ranges:
        negated = self._next() == "^"
        self._at += negated
        found: list[tuple[int, int]] = []
        while self._next() != "]" or not found:
            character = self._next()
            if character in ("", "["):
                raise _NotPlainError
            self._at += 1
            if character == "\\":
                found += self._escape()
                if self._next() == "-":
                    raise _NotPlainError
                continue
            low = high = ord(character)
            following = self._text[self._at + 1 : self._at + 2]
            if self._next() == "-" and following != "]":
                if following in ("", "\\", "["):
                    raise _NotPlainError
                high = ord(following)
                self._at += 2
            found.append((low, high))
        self._at += 1
        ranges = self._folded(tuple(found))
        return _contrary(ranges) if negated else ranges

    def _folded(self, ranges: Ranges) -> Ranges:
        if not self._folds:
            return ranges
        added: list[tuple[int, int]] = []
        for low, high in ranges:
            if high > 127 and (low, high) != (128, LAST):
                raise _NotPlainError
            for first, last, shift in ((65, 90, 32), (97, 122, -32)):
                start, end = max(low, first), min(high, last)
                if start <= end:
                    added.append((start + shift, end + shift))
                    # RE2 folds U+017F to s and U+212A to k.
                    for letter, also in ((115, 0x17F), (107, 0x212A)):
                        base = letter if first == 97 else letter - 32
                        if start <= base <= end:
                            added.append((also, also))
        return (*ranges, *added)


def _holds_place(tree: Tree) -> bool:
    """Whether `^` or `$` stands somewhere in the tree."""
    if tree[0] == "set":
        return any(high > LAST for _, high in tree[1])
    return any(_holds_place(part) for part in tree[1:] if isinstance(part, tuple))


def _contrary(ranges: Ranges) -> Ranges:
    found: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= LAST:
        found.append((start, LAST))
    return tuple(found)
