"""Verdict: whether an instance that a station asks about is kept where it was owed. Pure.

A modality deletes what is committed, so holding it here never counts. The stations with `commit: true`
it is owed to decide, all of them, by their own commitment; where there are none, all it is owed to
must have acknowledged it. A copy under another identity is no copy of what the modality would delete.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Final

from router.model.commitment import COMMITTED, Reference
from router.model.delivery import Disposition, State
from router.model.status import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE
from router.store.commitments import Held, Owing

# An accepted instance is in the ledger within moments; until then it is not said to be unknown.
UNKNOWN_SECONDS: Final = 10.0
VERIFY_SECONDS: Final = 7 * 86400.0
_OPEN: Final = frozenset({State.QUEUED, State.SENDING, State.SENT})
_OTHER_IDENTITY: Final = frozenset({"deidentify", "remap_uids"})


def verdict(
    reference: Reference, held: Held | None, committing: Collection[str], waited_seconds: float
) -> int | None:
    """COMMITTED, a Failure Reason (PS3.3 C.14.1.1), or None while it is not decided."""
    if held is None:
        return NO_SUCH_INSTANCE if waited_seconds >= UNKNOWN_SECONDS else None
    if held.sop_class_uid != reference.sop_class_uid:
        return CLASS_INSTANCE_CONFLICT
    if held.disposition is not Disposition.ROUTED:
        return PROCESSING_FAILURE
    # What moved on is owed, and counts, where it went.
    owing = [one for one in held.owed if one.state is not State.MOVED]
    owed = _best([one for one in owing if _keeps_identity(one.steps)])
    deciding = {name: state for name, state in owed.items() if name in committing} or owed
    states = set(deciding.values())
    if states == {State.DELIVERED}:
        return COMMITTED
    if not states or states - _OPEN - {State.DELIVERED} or waited_seconds >= VERIFY_SECONDS:
        return PROCESSING_FAILURE
    return None


def _best(owed: Iterable[Owing]) -> dict[str, State]:
    """By station the state that counts: delivered once is delivered, else what is still open."""
    found: dict[str, State] = {}
    for one in owed:
        before = found.get(one.station)
        if before is None or _rank(one.state) > _rank(before):
            found[one.station] = one.state
    return found


def _rank(state: State) -> int:
    return 2 if state is State.DELIVERED else state in _OPEN


def _keeps_identity(steps: str) -> bool:
    """Whether a recipe leaves the object what it was: its UIDs and its patient."""
    return not any(step[0] in _OTHER_IDENTITY for step in json.loads(steps))
