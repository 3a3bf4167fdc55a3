"""Settle: what one outcome means for its delivery. Pure; the table of reliability 8.6 ends here.

A try that failed for the object's sake uses an attempt and waits first × factorⁿ seconds, jittered,
up to the station's maximum; it dies after `give_up`, or sooner where the peer's answer is known to
stay. A try that failed for the station's sake uses none: the station's pace holds it back.

An object that was told 0xA7xx itself goes behind those that were not: some servers (Orthanc) say so
of an object they cannot read, and for ever. Where the station took others just before, it uses an
attempt, waits as above, and its age ends it.
"""

from __future__ import annotations

from router.clock import Clock
from router.model.delivery import Leased, Outcome, Result, State
from router.model.station import Station
from router.peers.status import attempt_limit
from router.store.ledger import Settlement

LEAST_ATTEMPTS = 3
BEHIND_SECONDS = 2.0
# The pauses double, so the objects before it and their pauses are over by then: some ten of them.
BEHIND_OTHERS_SECONDS, BEHIND_PAUSES = 60.0, 4.0


def settle(
    outcome: Outcome,
    leased: Leased,
    station: Station,
    clock: Clock,
    *,
    takes_others: bool = False,
    others_wait: bool = False,
    pause_seconds: float = 0.0,
) -> Settlement:
    """The row a delivery gets for this outcome.

    `takes_others` says that the station asked for no patience until now, `others_wait` that more is
    queued for it, `pause_seconds` how long it is left alone.
    """
    if outcome.result is Result.DELIVERED:
        state = State.SENT if station.commit else State.DELIVERED
        return Settlement(outcome, None, state, count_attempt=True)
    if outcome.result is Result.DEAD:
        return Settlement(outcome, None, State.DEAD, count_attempt=True)
    if outcome.result is Result.QUARANTINED:
        return Settlement(outcome, None, State.QUARANTINED, count_attempt=True)
    if outcome.result is Result.RETRY:
        limit = attempt_limit(outcome.status, station.kind)
        return _again(outcome, leased, station, clock, limit)
    if not outcome.is_told_busy:
        return Settlement(outcome, clock.now(), State.QUEUED, count_attempt=False)
    if takes_others:
        return _again(outcome, leased, station, clock, None, pause_seconds)
    behind_seconds = BEHIND_SECONDS
    if others_wait:
        longest = max(BEHIND_OTHERS_SECONDS, BEHIND_PAUSES * pause_seconds)
        behind_seconds = min(station.retry.max_seconds, longest)
    due_at = clock.now() + pause_seconds + behind_seconds
    return Settlement(outcome, due_at, State.QUEUED, count_attempt=False)


def _again(
    outcome: Outcome,
    leased: Leased,
    station: Station,
    clock: Clock,
    limit: int | None,
    pause_seconds: float = 0.0,
) -> Settlement:
    """Later and later, until its time or `limit` is used up."""
    retry = station.retry
    attempts = leased.attempts + 1
    # Not by age alone: a wall clock that was set forward must not kill what was hardly tried.
    aged = clock.now() - leased.created_at > retry.give_up_seconds
    expired = aged and attempts >= LEAST_ATTEMPTS
    if expired or (limit is not None and attempts >= limit):
        return Settlement(outcome, None, State.DEAD, count_attempt=True)
    delay = min(retry.max_seconds, retry.first_seconds * retry.factor ** min(attempts - 1, 60))
    due_at = clock.now() + pause_seconds + clock.jitter(delay * 0.5, delay)
    return Settlement(outcome, due_at, State.QUEUED, count_attempt=True)
