"""How a station's C-STORE answer is read: one table, total over all statuses (PS3.4 B.2.3).

Every one of the 65,536 statuses, and no status at all, has exactly one result. `attempt_limit` says
how often a RETRY may be tried before the delivery is dead.
"""

from __future__ import annotations

from typing import Final

from router.model.delivery import Outcome, Result
from router.model.station import StationKind
from router.model.status import describe

_DELIVERED: Final = frozenset({0x0000, 0x0001, 0x0107, 0x0111, 0x0116})
_DEAD: Final = frozenset({0x0105, 0x0106, 0x0115, 0x0117, 0x0119, 0x0120, 0x0121, 0x0122})
_BY_AGE_ONLY: Final = frozenset(
    # What servers say while they recover.
    {408, 425, 500, 502, 504, 0x0213, 0xB00F, 0xFE00}
)
_LIMITS: Final = {400: 2, 409: 5, 0x0000: 5, 0x0110: 5, 0xA77A: 8, 0xC211: 5}
# A 2xx that does not name the object: some servers will never name this one.
_DICOMWEB_LIMITS: Final = {0x0110: 8, 200: 8, 202: 8, 204: 8}
_LIMIT_OF_UNKNOWN: Final = 3

# dcm4chee answers these inside the range for exhausted resources (protocols 6.2).
_DCM4CHEE: Final = range(0xA770, 0xA77C)
_DCM4CHEE_HAS_IT: Final = frozenset({0xA770, 0xA774})
_DCM4CHEE_LATER: Final = 0xA77A


def dimse_outcome(status: int | None, profile: str = "generic") -> Result:
    """What a C-STORE status says of the delivery; None is an answer without status.

    Total: warnings are delivered and never sent again, 0xA7xx slows the station, 0x0124 holds it,
    0xA9xx and 0xCxxx are dead, what no table knows is retried.
    """
    if status is None:
        return Result.RETRY
    if status in _DELIVERED or status >> 12 == 0xB:
        return Result.DELIVERED
    if status in _DCM4CHEE and profile == "dcm4chee":
        if status in _DCM4CHEE_HAS_IT:
            return Result.DELIVERED
        return Result.RETRY if status == _DCM4CHEE_LATER else Result.DEAD
    if status >> 8 == 0xA7:
        return Result.BUSY
    if status == 0x0124:
        return Result.HOLD
    if status == 0xC211:  # a pynetdicom peer whose handler crashed, not a word about the object
        return Result.RETRY
    if status in _DEAD or status >> 8 == 0xA9 or status >> 12 == 0xC:
        return Result.DEAD
    return Result.RETRY


def attempt_limit(status: int | None, kind: StationKind = "dicom") -> int | None:
    """How many attempts a RETRY with this status is worth; None: only its age ends it.

    `status` is `Outcome.status`: a DIMSE status or failure reason, or an HTTP status, which do not
    meet: no DIMSE status is defined between 0x0124 and 0x0210.
    """
    if status is None or status in _BY_AGE_ONLY:
        return None
    if kind == "dicomweb" and status in _DICOMWEB_LIMITS:
        return _DICOMWEB_LIMITS[status]
    return _LIMITS.get(status, _LIMIT_OF_UNKNOWN)


def within_limit(outcome: Outcome, attempts: int, kind: StationKind = "dicom") -> Outcome:
    """The outcome, or DEAD in its place when `attempts`, this one included, reach the limit."""
    limit = attempt_limit(outcome.status, kind)
    if outcome.result is not Result.RETRY or limit is None or attempts < limit:
        return outcome
    message = f"{outcome.message} (after {attempts} attempts)"
    return Outcome(outcome.delivery_id, Result.DEAD, message, outcome.status)


def dimse_answer(
    delivery_id: int, status: int | None, comment: str = "", profile: str = "generic"
) -> Outcome:
    """The outcome of one C-STORE answer. `comment` is its Error Comment (0000,0902), scrubbed."""
    words = "answered without a status" if status is None else describe(status)
    message = f"{words}: {comment}" if comment else words
    return Outcome(delivery_id, dimse_outcome(status, profile), message, status)
