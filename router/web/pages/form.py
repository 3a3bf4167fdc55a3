"""Forms as browsers send them: urlencoded, or multipart/form-data with files (RFC 7578).

Bounded by whoever read the body; nothing is written anywhere. Raises ValueError for what is neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

MOST_FIELDS: Final = 200
_NAME: Final = re.compile(rb'name="([^"\r\n]*)"')
_BOUNDARY: Final = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=?-]{1,70})"?')


@dataclass(frozen=True, slots=True)
class Form:
    """Texts by name, each with all its values, and the content of files by name."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The first value, '' where there is none."""
        return self.texts.get(name, ("",))[0].strip()

    def all(self, name: str) -> tuple[str, ...]:
        """Every value."""
        return self.texts.get(name, ())


def parse_form(content_type: str, body: bytes) -> Form:
    """The form in a body. Raises ValueError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        return Form(_grouped(pairs))
    found = _BOUNDARY.search(content_type)
    if kind != "multipart/form-data" or found is None:
        raise ValueError("this is no form")
    return _multipart(found.group(1).encode(), body)


def _multipart(boundary: bytes, body: bytes) -> Form:
    pairs: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    delimiter = b"\r\n--" + boundary
    # As if a line had ended before the first delimiter: then all of them look alike.
    parts = (b"\r\n" + body).split(delimiter, MOST_FIELDS)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise ValueError("the form does not end")
    for part in parts[1:-1]:
        header, blank, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(header)
        if not blank or name is None:
            raise ValueError("a part of the form has no name")
        if b'filename="' in header:
            files[name.group(1).decode()] = content
        else:
            pairs.append((name.group(1).decode(), content.decode()))
    return Form(_grouped(pairs), files)


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        grouped[name] = (*grouped.get(name, ()), value)
    return grouped
