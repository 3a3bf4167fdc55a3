"""The words of the pages, in each language: one catalogue, every text in all of them.

`texts.json` holds, by key, one text for each language; `{name}` is filled in.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any, Final

LANGUAGES: Final = {"en": "English", "pt-BR": "Português (Brasil)"}


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, str]]:
    """Every text by key and language."""
    file = resources.files("router.web.pages").joinpath("texts.json")
    found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def say(language: str, key: str, **values: Any) -> str:
    """The text of a key. Raises KeyError for a key that is none: a test finds those."""
    text = catalogue()[key][language]
    return text.format(**values) if values else text


def word(language: str, kind: str, value: str) -> str:
    """A word of ours as people read it, such as a status; what has no text of its own stays."""
    known = catalogue().get(f"{kind}.{value}")
    return known[language] if known else value


def chosen(cookie: str, accepted: str) -> str:
    """The language somebody chose, or the first of the browser's that we speak (RFC 9110 12.5.4)."""
    if cookie in LANGUAGES:
        return cookie
    weighed: list[tuple[float, str]] = []
    for part in accepted[:500].split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), name.lower()))
        except ValueError:
            continue
    for _, name in sorted(weighed, key=lambda one: one[0]):
        if name.startswith("pt"):
            return "pt-BR"
        if name.startswith("en"):
            return "en"
    return "en"
