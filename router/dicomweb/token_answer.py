"""What a token endpoint answered (RFC 6749 5): a token with a sane life, or an error of ours.

Nothing the endpoint says is repeated but the error codes of the RFC: some echo the request.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from router.clock import Clock
from router.dicomweb.outcome import HttpAnswer, retry_after_seconds
from router.errors import Busy, DeliveryError, Rejected, Unreachable

_EXPIRED_BELOW_SECONDS: Final = 60.0
_REFRESH_BELOW_SECONDS: Final = 300.0
_LONGEST_LIFE_SECONDS: Final = 86400.0
_LIFE_WHEN_UNTOLD_SECONDS: Final = 300.0
_MAX_TOKEN_LENGTH: Final = 16 * 1024
_ERROR_CODES: Final = frozenset(  # RFC 6749 5.2
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_resource",
    }
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, when it was fetched and when it ends, in monotonic seconds."""

    text: str
    fetched_at: float
    ends_at: float

    def left(self, now: float) -> float:
        """Seconds until it ends."""
        return self.ends_at - now

    def is_good(self, now: float, for_seconds: float) -> bool:
        """Whether it may be used: a minute is left, and as much as its life allows."""
        needed = min(for_seconds, (self.ends_at - self.fetched_at) / 2)
        return self.left(now) >= max(_EXPIRED_BELOW_SECONDS, needed)

    def is_due(self, now: float) -> bool:
        """Less than five minutes are left, or a tenth of a life shorter than fifty."""
        tenth = (self.ends_at - self.fetched_at) / 10
        return self.left(now) < min(_REFRESH_BELOW_SECONDS, max(_EXPIRED_BELOW_SECONDS, tenth))


def read_token(answer: HttpAnswer, clock: Clock) -> Token:
    """The token of this answer; raises Rejected, Busy or Unreachable when it holds none."""
    if answer.status != 200:
        raise _refusal(answer, clock.now())
    found = _json_object(answer.body)
    text = found.get("access_token")
    if not isinstance(text, str) or not _is_token(text):
        raise Unreachable("no token: the token endpoint answered 200 without one", 200)
    now = clock.monotonic()
    return Token(text, now, now + _life_seconds(found.get("expires_in")))


def _is_token(text: str) -> bool:
    # it goes into a header: only visible ASCII
    return 0 < len(text) <= _MAX_TOKEN_LENGTH and all("!" <= c <= "~" for c in text)


def _refusal(answer: HttpAnswer, now: float) -> DeliveryError:
    status = answer.status
    code = _json_object(answer.body).get("error")
    why = f" ({code})" if isinstance(code, str) and code in _ERROR_CODES else ""
    message = f"no token: the token endpoint answered {status}{why}"
    wait = retry_after_seconds(answer.retry_after, now)
    if status in (429, 503):
        return Busy(message, status, wait)
    if status // 100 in (3, 4) and status not in (408, 425):
        return Rejected(message, status)
    return Unreachable(message, status, wait)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _life_seconds(expires_in: object) -> float:
    """Seconds a token lives by `expires_in`; a day at most, five minutes when it says nothing."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return _LIFE_WHEN_UNTOLD_SECONDS
    if math.isnan(seconds):
        return _LIFE_WHEN_UNTOLD_SECONDS
    return min(max(seconds, 0.0), _LONGEST_LIFE_SECONDS)
