"""Having a DICOM station send to us by C-MOVE, study root (PS3.4 C.6.2.2).

The objects come on associations of the station's own, through our listener like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from router.clock import Clock
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.dicomweb.words import scrubbed
from router.dimse.client import ClientAssociation
from router.dimse.move import STUDY_ROOT_MOVE, move
from router.dimse.operation import Operation
from router.errors import Busy, DeliveryError, Rejected
from router.model.query import (
    QUERY_RETRIEVE_LEVEL,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    MoveProgress,
    Retrieval,
)
from router.model.station import Station
from router.model.status import describe

# Ended, well or with losses that are counted: success, warning, cancelled.
ENDED: Final = frozenset({0x0000, 0xB000, 0xFE00})
_PENDING: Final = 0xFF00
_UNKNOWN_DESTINATION: Final = 0xA801
_SYNTAXES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

Connected = Callable[[Sequence[tuple[str, str]], float], ClientAssociation]


def moved_from(
    station: Station,
    connected: Connected,
    wanted: Retrieval,
    destination: str,
    wish_to_cancel: Callable[[], bool],
    clock: Clock,
) -> Iterator[MoveProgress]:
    """The station's answers, the final one last. Raises a DeliveryError with its words otherwise.

    A station need not answer before it has sent everything, so only the whole is bounded.
    """
    keys = {
        QUERY_RETRIEVE_LEVEL: DataElement("CS", ("STUDY",)),
        STUDY_INSTANCE_UID: DataElement("UI", (wanted.study_instance_uid,)),
    }
    if wanted.series_instance_uid:
        keys[QUERY_RETRIEVE_LEVEL] = DataElement("CS", ("SERIES",))
        keys[SERIES_INSTANCE_UID] = DataElement("UI", (wanted.series_instance_uid,))
    if wanted.sop_instance_uid:
        keys[QUERY_RETRIEVE_LEVEL] = DataElement("CS", ("IMAGE",))
        keys[SOP_INSTANCE_UID] = DataElement("UI", (wanted.sop_instance_uid,))
    seconds = min(station.limits.timeout_seconds, wanted.deadline_seconds)
    with connected([(STUDY_ROOT_MOVE, syntax) for syntax in _SYNTAXES], seconds) as association:
        operation = Operation(
            association,
            clock,
            answer_seconds=wanted.deadline_seconds,
            deadline_seconds=wanted.deadline_seconds,
            wish_to_cancel=wish_to_cancel,
        )
        for progress in move(operation, keys, destination):
            if progress.status not in ENDED and progress.status != _PENDING:
                raise _failure(progress, destination)
            yield progress


def _failure(progress: MoveProgress, destination: str) -> DeliveryError:
    status = progress.status
    words = f"C-MOVE: {describe(status)}"
    if progress.comment:
        words = f"{words}: {scrubbed(progress.comment, 64)}"
    if status == _UNKNOWN_DESTINATION:
        return Rejected(f"{words}; enter {destination} there, with the router's host and port")
    if progress.failed:
        words = f"{words}; {progress.failed} failed, {progress.completed or 0} were sent"
    if status >> 8 == 0xA7:
        return Busy(words)
    return Rejected(words) if status >> 8 == 0xA9 or status >> 8 == 1 else DeliveryError(words)
