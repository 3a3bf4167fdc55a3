"""A path to an attribute: the address that match, morph and the header reader share.

`PatientID`, `(0009,[ACME],01)`, `RequestAttributesSequence[*].ScheduledProcedureStepID`. Text is
turned into paths by `router.dicom.tags.parse_path`, which knows the dictionary; here are only the
values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALL_ITEMS: Final = -1


@dataclass(frozen=True, slots=True)
class PathStep:
    """One attribute in one data set.

    `tag` is 0xggggeeee. With `creator`, only the group and the low byte of the element count: the
    block is found by the private creator (PS3.5 7.8.1). `item` is None for the attribute itself,
    an index from 0, or ALL_ITEMS for any item of the sequence.
    """

    tag: int
    creator: str | None = None
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from the top of the data set; all but the last name sequence items."""

    steps: tuple[PathStep, ...]
    text: str

    @property
    def top_tag(self) -> int:
        """The tag of the first step, as it is written (for private ones the low byte only)."""
        return self.steps[0].tag

    @property
    def is_plain(self) -> bool:
        """A standard attribute at the top of the data set: the fast case."""
        return len(self.steps) == 1 and self.steps[0].creator is None
