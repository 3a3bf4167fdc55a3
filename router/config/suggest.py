"""Did you mean: the nearest known word, and how it is offered."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MAX_LISTED = 8


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near. Upper and lower case are alike."""
    if len(word) > 100:
        return None
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = word.lower().replace("-", "_")
    if wanted in by_lower:
        return by_lower[wanted]
    found = get_close_matches(word.lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'pacs'?`, or the words there are, when they are few."""
    options = sorted(known)
    best = nearest(word, options)
    if best is not None:
        return f"did you mean '{best}'?"
    return f"one of: {', '.join(options)}" if 0 < len(options) <= _MAX_LISTED else ""
