"""Query: what is searched for, in one shape for C-FIND and QIDO-RS (PS3.4 C, PS3.18 10.6).

An identifier is a small data set, decoded whole: tag to element, sequences as identifiers within.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]


@dataclass(frozen=True, slots=True)
class DataElement:
    """One element: text, numbers or, of a sequence, items; no values where it is empty."""

    vr: str
    values: tuple[str | int | float | Identifier, ...] = ()

    @property
    def text(self) -> str:
        """The values as text, joined by a backslash; '' for a sequence."""
        return "\\".join(str(one) for one in self.values if not isinstance(one, Mapping))

    @property
    def items(self) -> tuple[Identifier, ...]:
        """The items of a sequence."""
        return tuple(one for one in self.values if isinstance(one, Mapping))


Identifier = Mapping[int, DataElement]

SPECIFIC_CHARACTER_SET: Final = 0x00080005
QUERY_RETRIEVE_LEVEL: Final = 0x00080052
RETRIEVE_AE_TITLE: Final = 0x00080054
PATIENT_ID: Final = 0x00100020
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018

UNIQUE_KEYS: Final[Mapping[Level, int]] = {
    "PATIENT": PATIENT_ID,
    "STUDY": STUDY_INSTANCE_UID,
    "SERIES": SERIES_INSTANCE_UID,
    "IMAGE": SOP_INSTANCE_UID,
}


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level of the study root model.

    `keys` are matched where they have values and asked for where they have none; the level and the
    character set are not among them. `limit` is the most answers wanted, `deadline_seconds` the
    time the whole may take.
    """

    level: Level
    keys: Identifier
    limit: int
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a search ended: `is_truncated` says that there may be more than was given.

    `words` are for people: the station's own status, or why it was cut short.
    `unsupported` are keys the station did not search by or does not know.
    """

    is_truncated: bool
    words: str
    unsupported: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """One answer to C-MOVE: status, comment, and the counts the peer gave, None where it gave none.

    `failed_uids` are the instances it names as failed, in its last answer.
    """

    status: int
    comment: str
    remaining: int | None
    completed: int | None
    failed: int | None
    warnings: int | None
    failed_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectName:
    """One object at its place in study and series."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a station is asked to send to us, and how long the whole may take."""

    study_instance_uid: str
    series_instance_uid: str
    deadline_seconds: float
    sop_instance_uid: str = ""
