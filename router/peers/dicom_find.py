"""Searching a DICOM station by C-FIND, study root (PS3.4 C.6.2)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final

from router.clock import Clock
from router.dicom.charset import UTF_8
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.dicomweb.words import scrubbed
from router.dimse.client import ClientAssociation
from router.dimse.find import PENDING_WITH_UNSUPPORTED_KEYS, STUDY_ROOT_FIND, Find
from router.dimse.operation import Operation
from router.errors import Busy, DeliveryError, Rejected
from router.model.query import UNIQUE_KEYS, Ending, Identifier, Level, Query
from router.model.station import Station
from router.model.status import describe

LIMIT_REACHED: Final = 0xB001
CANCELLED: Final = 0xFE00
_SYNTAXES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_ABOVE: Final[dict[Level, tuple[Level, ...]]] = {
    "PATIENT": (),
    "STUDY": (),
    "SERIES": ("STUDY",),
    "IMAGE": ("STUDY", "SERIES"),
}

Connected = Callable[[Sequence[tuple[str, str]], float], ClientAssociation]


def found_at(
    station: Station,
    connected: Connected,
    query: Query,
    wish_to_cancel: Callable[[], bool],
    clock: Clock,
) -> Generator[Identifier, None, Ending]:
    """The answers of the station. Raises Rejected or Busy with its status when it refuses."""
    for level in _ABOVE[query.level]:
        key = query.keys.get(UNIQUE_KEYS[level])
        if key is None or not key.text:
            raise Rejected(
                f"a search for {query.level} needs the UID of one {level.lower()} (PS3.4 C.6.2)"
            )
    seconds = min(station.limits.timeout_seconds, query.deadline_seconds)
    association = connected([(STUDY_ROOT_FIND, syntax) for syntax in _SYNTAXES], seconds)
    with association:
        operation = Operation(
            association,
            clock,
            answer_seconds=station.limits.timeout_seconds,
            deadline_seconds=query.deadline_seconds,
            wish_to_cancel=wish_to_cancel,
        )
        find = Find(operation, station.character_set or UTF_8)
        seen: set[int] = set()
        given = 0
        says_unsupported = False
        for answer in find.answers(query):
            if answer.identifier is not None:
                given += 1
                seen.update(answer.identifier)
                says_unsupported |= answer.status == PENDING_WITH_UNSUPPORTED_KEYS
                yield answer.identifier
    unsupported = frozenset(query.keys) - seen if given else frozenset()
    return _ending(operation, find, unsupported, says_unsupported=says_unsupported)


def _ending(
    operation: Operation, find: Find, unsupported: frozenset[int], *, says_unsupported: bool
) -> Ending:
    last = find.last
    if last is None:
        return Ending(True, "cancelled; the station did not stop, we hung up", unsupported)
    words = describe(last.status)
    if last.comment:
        words = f"{words}: {scrubbed(last.comment, 64)}"
    if last.status in (0x0000, CANCELLED, LIMIT_REACHED):
        if says_unsupported and not unsupported:
            words = f"{words}; it did not search by every key"
        truncated = operation.is_cancelled or last.status != 0
        return Ending(truncated, words, unsupported)
    if last.status >> 8 == 0xA7:
        raise Busy(f"C-FIND: {words}")
    if last.status >> 8 == 0xA9 or last.status == 0x0122:
        raise Rejected(f"C-FIND: {words}")
    raise DeliveryError(f"C-FIND: {words}")
