"""An HTTP answer to a STOW-RS request, read as one verdict for each instance that was sent.

Total: every status from 100 up and every body gives each instance exactly one verdict. Where the
answer holds a data set (PS3.18 10.5.3, PS3.18 I.2), it alone decides, by instance; the status line
decides only where there is none. `Verdict.again` asks for the instance to be sent once more with
fewer others before anything is concluded; it is never set for an instance that was sent alone.
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from router.dicomweb.store_response import StoreResponse, parse
from router.dicomweb.words import scrubbed
from router.errors import Busy, DeliveryError, Rejected
from router.model.delivery import Result
from router.model.plug import Profile
from router.model.status import describe

_LATER_SECONDS: Final = 30.0
_LONGEST_WAIT_SECONDS: Final = 3600.0

_SLOW_DOWN: Final = frozenset({424, 429, 503, 507})
_TRY_AGAIN: Final = frozenset({408, 425})
# These refuse the caller or the address, whatever the object: someone must act.
_REFUSES_US: Final = frozenset({401, 403, 404, 405, 407, 411, 421, 426, 431, 511})
_HAS_DATA_SET: Final = frozenset({400, 409, 500})


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, media type, body (capped by who read it), and the Retry-After header as it came."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answer says of one instance. `status` is its failure reason, or the HTTP status.

    `again`: "alone" to send it by itself, "halved" to send its batch in two halves.
    """

    result: Result
    message: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None
    again: Literal["no", "alone", "halved"] = "no"
    about_station: bool = False


def holds_data_set(answer: HttpAnswer) -> bool:
    """Whether the answer holds a store response, which makes its status line unimportant."""
    return _data_set(answer) is not None


def read_answer(
    sent: Sequence[str], answer: HttpAnswer, profile: Profile, now: float
) -> tuple[Verdict, ...]:
    """One verdict for each SOP Instance UID of `sent`, in its order. `now` is seconds since epoch.

    The UIDs of `sent` are distinct; there is at least one.
    """
    response = _data_set(answer)
    if response is None:
        return (_by_status(answer, len(sent), now),) * len(sent)
    return _by_instance(sent, response, answer.status, profile)


def _data_set(answer: HttpAnswer) -> StoreResponse | None:
    if answer.status // 100 != 2 and answer.status not in _HAS_DATA_SET:
        return None
    return parse(answer.body)


def _by_status(answer: HttpAnswer, count: int, now: float) -> Verdict:
    status = answer.status
    message = answer_words(answer)
    if status // 100 == 2:
        message = f"HTTP {status} without a readable account of what was stored"
    if status in _SLOW_DOWN:
        wait = retry_after_seconds(answer.retry_after, now)
        return Verdict(Result.BUSY, message, status, wait, about_station=True)
    if status in _REFUSES_US or status // 100 == 3:
        return Verdict(Result.HOLD, message, status, about_station=True)
    if status // 100 != 4 or status in _TRY_AGAIN:
        wait = retry_after_seconds(answer.retry_after, now)
        return Verdict(Result.RETRY, message, status, wait)
    if count > 1:  # one of them may be the reason: the others must not suffer for it
        return Verdict(Result.RETRY, message, status, again="halved")
    # 400 is also what some servers say of a connection they lost; 409 without a body says nothing
    bounded = status in (400, 409)
    return Verdict(Result.RETRY if bounded else Result.DEAD, message, status)


def refusal(answer: HttpAnswer, words: str) -> DeliveryError:
    """What an answer to a question says of us or the station, where it is none of success."""
    if answer.status in (408, 424, 425, 429, 500, 502, 503, 504):
        return Busy(words, answer.status)
    if answer.status // 100 == 4:
        return Rejected(words, answer.status)
    return DeliveryError(words, answer.status)


def answer_words(answer: HttpAnswer) -> str:
    """The answer in a few words for people: its status, and what its text says, scrubbed."""
    said = ""
    if not answer.content_type.lower().startswith(("image/", "multipart/", "application/dicom")):
        said = scrubbed(answer.body[:4096].decode("utf-8", "replace"))
    return f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"


def _by_instance(
    sent: Sequence[str], response: StoreResponse, status: int, profile: Profile
) -> tuple[Verdict, ...]:
    def of_failure(reason: int | None) -> Verdict:
        return item_verdict(reason, profile)

    known: dict[str, Verdict] = {}
    for uid, warning in response.stored.items():
        note = "" if warning is None else f"stored with warning {describe(warning)}"
        known[uid] = Verdict(Result.DELIVERED, note, warning or status)
    for uid, reason in response.failed.items():
        verdict = of_failure(reason)
        if uid in known and verdict.result is not Result.DELIVERED:
            verdict = Verdict(Result.RETRY, "named as stored and as failed", status, again="alone")
        known[uid] = verdict
    unnamed = tuple(uid for uid in sent if uid not in known)
    known.update(_of_unnamed(unnamed, response, status, of_failure))
    if len(sent) == 1 and known[sent[0]].again != "no":
        alone = known[sent[0]]
        return (Verdict(alone.result, alone.message, alone.status),)
    return tuple(known[uid] for uid in sent)


def _of_unnamed(
    unnamed: Sequence[str],
    response: StoreResponse,
    status: int,
    of_failure: Callable[[int | None], Verdict],
) -> dict[str, Verdict]:
    # Failures without a UID belong to what is left over, when the counts leave no doubt.
    reasons = response.failed_unnamed
    same_reason = len(set(reasons)) == 1
    if unnamed and len(reasons) == len(unnamed) and same_reason:
        return dict.fromkeys(unnamed, of_failure(reasons[0]))
    unknown = Verdict(
        Result.RETRY, f"HTTP {status}: the answer does not name it", status, again="alone"
    )
    return dict.fromkeys(unnamed, unknown)


def item_verdict(reason: int | None, profile: Profile) -> Verdict:
    """What a Failure Reason (0008,1197) says of its instance (PS3.18 I.2.2); total."""
    if not reason:
        return Verdict(Result.RETRY, "failed without a reason", 0)
    words = f"failure reason {describe(reason)}"
    if reason in profile.delivered_codes:
        return Verdict(Result.DELIVERED, f"it was there already ({words})", reason)
    if reason in profile.later_codes:
        return Verdict(Result.RETRY, words, reason, _LATER_SECONDS)
    if reason in profile.permanent_codes:
        return Verdict(Result.DEAD, words, reason)
    if reason >> 8 == 0xA7:
        return Verdict(Result.BUSY, words, reason)
    if reason == 0x0124:
        return Verdict(Result.HOLD, words, reason)
    permanent = reason >> 8 == 0xA9 or reason >> 12 in (0xB, 0xC) or reason == 0x0122
    return Verdict(Result.DEAD if permanent else Result.RETRY, words, reason)


def retry_after_seconds(text: str, now: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 10.2.3), at most an hour; None without meaning."""
    text = text.strip()[:64]
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    if math.isnan(seconds) or seconds <= 0.0:
        return None
    return min(seconds, _LONGEST_WAIT_SECONDS)
