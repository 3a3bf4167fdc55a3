"""What `explain --instance` says of storage commitment: who asked about it, and what was answered."""

from __future__ import annotations

from typing import Any

from router.cli.common import iso_time
from router.clock import Clock
from router.model.commitment import COMMITTED, reason_words
from router.model.plan import Plan
from router.serve.places import Places
from router.store.commitments import AskedOf, CommitmentBook

_STATES = {
    "verifying": "not all of it is decided",
    "reporting": "the report is on its way",
    "reported": "reported",
    "given_up": "the station never took the report",
    "cancelled": "nothing is reported",
}


def commitments_of(plan: Plan, sop_instance_uid: str) -> tuple[AskedOf, ...]:
    """What stations asked about an instance, oldest first. Raises StoreDown."""
    book = CommitmentBook.open(Places(plan.router.data_dir).ledger, Clock(), read_only=True)
    try:
        return book.asked_of(sop_instance_uid)
    finally:
        book.close()


def commitment_json(one: AskedOf) -> dict[str, Any]:
    """One transaction as far as it is about the instance."""
    return {
        "station": one.station,
        "transaction_uid": one.transaction_uid,
        "asked_at": iso_time(one.asked_at),
        "committed": None if one.failure_reason is None else one.failure_reason == COMMITTED,
        "failure_reason": one.failure_reason or None,
        "state": one.state,
        "attempts": one.attempts,
        "answer": one.last_error,
    }


def commitment_line(one: AskedOf) -> str:
    """The same for people."""
    answer = "not decided yet"
    if one.failure_reason is not None:
        is_kept = one.failure_reason == COMMITTED
        answer = "committed" if is_kept else f"not committed: {reason_words(one.failure_reason)}"
    error = f" ({one.last_error})" if one.last_error else ""
    when = iso_time(one.asked_at)
    return f"commitment asked by {one.station} {when}: {answer}; {_STATES[one.state]}{error}"
