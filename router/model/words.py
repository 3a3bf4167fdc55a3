"""Which known word was meant: a slip of one letter first, then likeness."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def is_one_slip(word: str, known: str) -> bool:
    """Whether one letter was left out, put in, replaced, or exchanged with its neighbour."""
    if abs(len(word) - len(known)) > 1 or word == known:
        return False
    start = 0
    while start < min(len(word), len(known)) and word[start] == known[start]:
        start += 1
    rest, other = word[start:], known[start:]
    return (
        rest[1:] == other
        or rest == other[1:]
        or rest[1:] == other[1:]
        or (rest[:2] == other[1::-1] and rest[2:] == other[2:])
    )


def meant(word: str, known: Iterable[str]) -> list[str]:
    """The known words one slip away, else the most alike, if any. Upper and lower case are alike."""
    if len(word) > 100:
        return []
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = word.lower().replace("-", "_")
    if wanted in by_lower:
        return [by_lower[wanted]]
    lower = word.lower()
    slips = [candidate for candidate in by_lower if is_one_slip(lower, candidate)]
    return [by_lower[name] for name in slips or get_close_matches(lower, by_lower, 1, 0.6)]
