"""Specific Character Set (0008,0005): bytes to text and back (PS3.5 6.1, PS3.3 C.12.1.1.2).

A character set is named by the text of the attribute, several values joined by a backslash; ''
is the default repertoire. Decoding never fails unless `strict`: damaged text is still worth
matching. Encoding never replaces a character: it raises CharacterSetProblem.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.charset import (
    CODES_TO_ENCODINGS,
    ENCODINGS_TO_CODES,
    STAND_ALONE_ENCODINGS,
    python_encoding,
)

UTF_8: Final = "ISO_IR 192"
_ESCAPE: Final = b"\x1b"
_FRAGMENT: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_RESETS: Final = re.compile(rb"[\\^=\r\n\t\f]")
_COMPONENTS: Final = re.compile(r"([\\^=\r\n\t\f])")
# Python's codecs for these read and write the escape sequences themselves.
_SELF_ESCAPING: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})


class CharacterSetProblem(ValueError):
    """Text that does not fit the character set, or bytes that do not belong to it (strict)."""


@lru_cache(maxsize=256)
def encodings_of(character_set: str) -> tuple[str, ...]:
    """The Python codecs of a Specific Character Set, the initial one first.

    A term we do not know reads as the default repertoire. Values without code extensions stand
    alone (PS3.3 C.12.1.1.2), whatever follows them.
    """
    terms = [_canonical(term.strip(" \0")) for term in character_set.split("\\")]
    if terms[0] in STAND_ALONE_ENCODINGS:
        terms = terms[:1]
    return tuple(python_encoding.get(term, "iso8859") for term in terms)


def is_known(character_set: str) -> bool:
    """Whether every value of a Specific Character Set is a defined term."""
    return all(
        _canonical(term.strip(" \0")) in python_encoding for term in character_set.split("\\")
    )


def _canonical(term: str) -> str:
    if term in python_encoding:
        return term
    # Seen in the field: 'ISO IR 100', 'ISO-IR 100', 'ISO_2022_IR_87'.
    digits = term.upper().replace("-", "_").replace("ISO_2022_IR_", "ISO 2022 IR ")
    return digits.replace("ISO IR", "ISO_IR").replace("ISO_IR_", "ISO_IR ")


def decode_text(raw: bytes, character_set: str, *, strict: bool = False) -> str:
    """The text of a whole value, before it is split at backslashes.

    With `strict`, bytes outside the character set raise CharacterSetProblem; else they become
    U+FFFD, and the default repertoire is read as ISO 8859-1.
    """
    if raw.isascii() and _ESCAPE not in raw:
        return raw.decode("ascii")
    encodings = encodings_of(character_set)
    errors = "strict" if strict else "replace"
    try:
        if _ESCAPE not in raw:
            return raw.decode(_plain(encodings, strict=strict), errors)
        return "".join(
            _decode_fragment(fragment, encodings, strict=strict)
            for fragment in _FRAGMENT.findall(raw)
        )
    except (UnicodeError, LookupError):
        raise CharacterSetProblem(f"bytes outside {character_set or 'ASCII'}") from None


def _plain(encodings: tuple[str, ...], *, strict: bool) -> str:
    return "ascii" if strict and encodings[0] == "iso8859" else encodings[0]


def _decode_fragment(fragment: bytes, encodings: tuple[str, ...], *, strict: bool) -> str:
    errors = "strict" if strict else "replace"
    first = _plain(encodings, strict=strict)
    if not fragment.startswith(_ESCAPE):
        return fragment.decode(first, errors)
    width = 4 if fragment[1:3] in {b"$(", b"$)"} else 3
    encoding = CODES_TO_ENCODINGS.get(fragment[:width], "")
    if encoding != "iso8859" and encoding not in encodings:
        if strict:
            raise CharacterSetProblem("an escape sequence of an undeclared character set")
        return fragment.decode(first, errors)
    if encoding in _SELF_ESCAPING:
        return fragment.decode(encoding, errors)
    body = fragment[width:]
    reset = _RESETS.search(body)
    cut = reset.start() if reset else len(body)
    return body[:cut].decode(encoding, errors) + body[cut:].decode(first, errors)


def encode_text(text: str, character_set: str) -> bytes:
    """The bytes of a whole value; raises CharacterSetProblem when a character does not fit.

    With code extensions each component between delimiters is written in the first declared set
    that has all its characters, and returns to the initial set at its end (PS3.5 6.1.2.5.3).
    """
    if text.isascii() and "\x1b" not in text:
        return text.encode("ascii")
    encodings = encodings_of(character_set)
    if len(encodings) == 1:
        encoded = _encode_plain(text, encodings[0])
    else:
        encoded = b"".join(
            _encode_component(part, encodings) for part in _COMPONENTS.split(text) if part
        )
    if decode_text(encoded, character_set, strict=True) != text:
        raise CharacterSetProblem(f"characters outside {character_set or 'ASCII'}")
    return encoded


def _encode_plain(text: str, encoding: str) -> bytes:
    try:
        encoded = text.encode("ascii" if encoding == "iso8859" else encoding)
    except (UnicodeError, LookupError):
        raise CharacterSetProblem(f"characters outside {encoding}") from None
    if encoding == "shift_jis" and len(encoded) != len(text):
        # ISO_IR 13 is the single-byte part of Shift JIS (JIS X 0201) only.
        raise CharacterSetProblem("characters outside ISO_IR 13")
    return encoded


def _encode_component(text: str, encodings: tuple[str, ...]) -> bytes:
    first = encodings[0]
    for place, encoding in enumerate(encodings):
        try:
            encoded = _encode_plain(text, encoding)
        except CharacterSetProblem:
            continue
        if place == 0:
            return encoded
        if encoding in _SELF_ESCAPING:
            # The codec returns to ASCII, but beside ISO 2022 IR 13 that is not the initial G0 set.
            return encoded.replace(b"\x1b(B", b"\x1b(J") if first == "shift_jis" else encoded
        return ENCODINGS_TO_CODES.get(encoding, b"") + encoded
    raise CharacterSetProblem("characters outside every declared character set")
