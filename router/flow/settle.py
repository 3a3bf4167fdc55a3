"""Settle: what one outcome means for its delivery. Pure; the table of reliability 8.6 ends here.

A try that failed for the object's sake uses an attempt and waits first × factorⁿ seconds, jittered,
up to the station's maximum; it dies after `give_up`, or sooner where the peer's answer is known to
stay. A try that failed for the station's sake uses none: the station's pace holds it back.
"""

from __future__ import annotations

from router.clock import Clock
from router.model.delivery import Leased, Outcome, Result, State
from router.model.station import Station
from router.peers.status import attempt_limit
from router.store.ledger import Settlement

LEAST_ATTEMPTS = 3


def settle(outcome: Outcome, leased: Leased, station: Station, clock: Clock) -> Settlement:
    """The row a delivery gets for this outcome."""
    if outcome.result is Result.DELIVERED:
        state = State.SENT if station.commit else State.DELIVERED
        return Settlement(outcome, None, state, count_attempt=True)
    if outcome.result is Result.DEAD:
        return Settlement(outcome, None, State.DEAD, count_attempt=True)
    if outcome.result is Result.QUARANTINED:
        return Settlement(outcome, None, State.QUARANTINED, count_attempt=True)
    if outcome.result is not Result.RETRY:
        return Settlement(outcome, clock.now(), State.QUEUED, count_attempt=False)
    retry = station.retry
    attempts = leased.attempts + 1
    limit = attempt_limit(outcome.status, station.kind)
    # Not by age alone: a wall clock that was set forward must not kill what was hardly tried.
    aged = clock.now() - leased.created_at > retry.give_up_seconds
    expired = aged and attempts >= LEAST_ATTEMPTS
    if expired or (limit is not None and attempts >= limit):
        return Settlement(outcome, None, State.DEAD, count_attempt=True)
    delay = min(retry.max_seconds, retry.first_seconds * retry.factor ** min(attempts - 1, 60))
    due_at = clock.now() + clock.jitter(delay * 0.5, delay)
    return Settlement(outcome, due_at, State.QUEUED, count_attempt=True)
