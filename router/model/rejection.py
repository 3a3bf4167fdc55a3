"""Rejection: what a rejection note says of other objects, and what that means here (IHE IOCM).

A rejection note is a Key Object Selection document (PS3.3 A.35.4) whose title is one of four codes
of PS3.16 CID 7010. Any other title, private ones that revoke a rejection included, makes an ordinary
object of it. Which code means what is a table here, so that ledger and pages say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
NOTE: Final = "note"
"""`withheld` of a rejection note itself: it goes to the stations that want it, not to who asks."""

TITLES: Final = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
QUALITY: Final = "113001"
RETENTION: Final = "113039"
# Not handed out any more, whoever asks.
HIDING: Final = frozenset({"113037", "113038", RETENTION})
# Nothing that waits is sent any more, to anyone.
CANCELLING: Final = frozenset({"113037", "113038"})
# What arrives after the note is kept apart. A retention that ended says nothing of the object.
REFUSED_LATER: Final = frozenset({QUALITY, *CANCELLING})


@dataclass(frozen=True, slots=True)
class Rejection:
    """What one note says. `references` are SOP Instance UIDs as the note names them.

    `stations` want rejection notes, `cancel_unsent` want nothing sent that was rejected for quality:
    both as the plan had it when the note was accepted, without the station it came from.
    """

    code: str
    references: tuple[str, ...]
    stations: tuple[str, ...] = ()
    cancel_unsent: tuple[str, ...] = ()


def title(code: str) -> str:
    """The code with its meaning, for people."""
    return f"{code} {TITLES.get(code, '')}".rstrip()
