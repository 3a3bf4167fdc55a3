"""Did you mean: the nearest known word, and how it is offered."""

from __future__ import annotations

from collections.abc import Iterable

from router.model.words import meant

_MAX_LISTED = 10
_MAX_OFFERED = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near. Upper and lower case are alike."""
    return next(iter(meant(word, known)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'pacs'?`, or the words there are, when they are few."""
    options = sorted(known)
    found = meant(word, options)[:_MAX_OFFERED]
    if found:
        return f"did you mean {' or '.join(repr(each) for each in found)}?"
    return f"one of: {', '.join(options)}" if 0 < len(options) <= _MAX_LISTED else ""
