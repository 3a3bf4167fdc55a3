"""Values that say nothing and are valid for their VR (PS3.5 6.2), and texts cleaned of what tells.

Texts are plain ASCII, so that they fit any character set; numbers are given in either byte order.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_TEXT: Final = b"REMOVED "
_DUMMIES: Final = {
    "AE": b"REMOVED ",
    "AS": b"000D",
    "CS": b"REMOVED ",
    "DA": b"19000101",
    "DS": b"0 ",
    "DT": b"19000101000000",
    "IS": b"0 ",
    "PN": b"Removed ",
    "TM": b"000000",
    "UR": b"urn:removed ",
    "LO": _TEXT,
    "LT": _TEXT,
    "SH": _TEXT,
    "ST": _TEXT,
    "UC": _TEXT,
    "UT": _TEXT,
}
_NUMBER_BYTES: Final = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2}
_WORD: Final = re.compile(r"[^\s,;:/\\^=()\[\]]+")
_LONG_NUMBER: Final = re.compile(r"\d{3}")


def dummy(vr: str) -> bytes:
    """A padded value of the VR; empty for sequences and bulk."""
    size = _NUMBER_BYTES.get(vr, 0)
    return _DUMMIES.get(vr, bytes(size))


def cleaned(text: str, identifiers: Collection[str]) -> str:
    """A descriptor without the words that may tell who it is.

    Gone are words that hold an identifier of the object (folded), three digits in a row, or an @.
    """
    kept = [word for word in _WORD.findall(text) if not _tells(word, identifiers)]
    return " ".join(kept)


def _tells(word: str, identifiers: Collection[str]) -> bool:
    folded = word.casefold()
    return (
        "@" in word
        or _LONG_NUMBER.search(word) is not None
        or any(identifier in folded for identifier in identifiers)
    )
