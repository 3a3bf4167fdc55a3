"""Looking: whether a station that was sent objects has them, by a search (C-FIND, QIDO-RS).

Series by series as the station itself lists them, so that it may have put an object into another
series than we did. A list that is not whole says nothing of what is not in it: that is asked for by
its UID.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.errors import DeliveryError, Unreachable
from router.model.commitment import COMMITTED, Reference
from router.model.query import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Identifier,
    Level,
    Query,
)
from router.model.status import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE
from router.peers.search import Searchable

MAX_SERIES: Final = 10_000
MAX_OBJECTS: Final = 100_000
_NO_SUCH_RESOURCE: Final = frozenset({404, 410})


def look_for(
    peer: Searchable,
    studies: Mapping[Reference, str],
    seconds: float,
    clock: Clock,
    wish_to_end: Callable[[], bool],
) -> dict[Reference, int]:
    """Of each object in the study it was sent in: COMMITTED, or why not (PS3.3 C.14.1.1).

    Raises a DeliveryError where the station cannot be searched or did not answer in so many seconds.
    """
    look = _Look(peer, clock, clock.monotonic() + seconds, wish_to_end)
    by_study: dict[str, list[Reference]] = defaultdict(list)
    for reference, study in studies.items():
        by_study[study].append(reference)
    found: dict[Reference, int] = {}
    for study, references in by_study.items():
        classes = look.classes(study, {one.sop_instance_uid for one in references})
        found |= {one: _verdict(one, classes.get(one.sop_instance_uid)) for one in references}
    return found


def _verdict(reference: Reference, sop_class_uid: str | None) -> int:
    if sop_class_uid is None:
        return NO_SUCH_INSTANCE
    # Not every server tells the class of what it lists.
    is_same = sop_class_uid in ("", reference.sop_class_uid)
    return COMMITTED if is_same else CLASS_INSTANCE_CONFLICT


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a station, with the time it may take."""

    peer: Searchable
    clock: Clock
    ends_at: float
    wish_to_end: Callable[[], bool]

    def classes(self, study: str, wanted: set[str]) -> dict[str, str]:
        """SOP class UID by SOP instance UID of those that the station has in the study."""
        found: dict[str, str] = {}
        above = {STUDY_INSTANCE_UID: study}
        all_series, is_whole = self._found("SERIES", above, (SERIES_INSTANCE_UID,), MAX_SERIES)
        for series in _texts(all_series, SERIES_INSTANCE_UID):
            found |= self._in_series({**above, SERIES_INSTANCE_UID: series}, wanted - set(found))
            if wanted <= set(found):
                return found
        if not is_whole:
            raise DeliveryError("its list of the series of a study is not whole")
        return found

    def _in_series(self, above: Mapping[int, str], wanted: set[str]) -> dict[str, str]:
        asked = (SOP_INSTANCE_UID, SOP_CLASS_UID)
        objects, is_whole = self._found("IMAGE", above, asked, MAX_OBJECTS)
        found = _classes(objects, wanted)
        for uid in () if is_whole else wanted - set(found):
            exactly = {**above, SOP_INSTANCE_UID: uid}
            found |= _classes(self._found("IMAGE", exactly, (SOP_CLASS_UID,), 1)[0], wanted)
        return found

    def _found(
        self, level: Level, keys: Mapping[int, str], asked: tuple[int, ...], limit: int
    ) -> tuple[list[Identifier], bool]:
        """The answers, and whether they are all there are."""
        left = self.ends_at - self.clock.monotonic()
        if left <= 0:
            raise Unreachable("the search was not over in time")
        elements = {tag: DataElement("UI", (uid,)) for tag, uid in keys.items()}
        query = Query(level, {**elements, **dict.fromkeys(asked, DataElement("UI"))}, limit, left)
        search = self.peer.find(query, self.wish_to_end)
        try:
            answers = list(search)
        except DeliveryError as error:
            if error.status in _NO_SUCH_RESOURCE:  # of a study it does not know
                return [], True
            raise
        if self.wish_to_end():
            raise Unreachable("the search was broken off")
        return answers, not search.ending.is_truncated


def _classes(objects: list[Identifier], wanted: set[str]) -> dict[str, str]:
    return {
        uid: one[SOP_CLASS_UID].text.strip(" \0") if SOP_CLASS_UID in one else ""
        for one in objects
        for uid in _texts([one], SOP_INSTANCE_UID)
        if uid in wanted
    }


def _texts(answers: list[Identifier], tag: int) -> Iterator[str]:
    found = (one[tag].text.strip(" \0") for one in answers if tag in one)
    return (text for text in found if text)
