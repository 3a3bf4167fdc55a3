"""Verdict: whether an instance that a station asks about is kept where it was owed. Pure.

A modality deletes what is committed, so holding it here never counts. Every station with `commit`
that it is owed to must have committed to keep it, under whatever UIDs it was sent there. Where none
of those gets it under its own UIDs, all that do must have acknowledged it: a copy with other UIDs is
one only where the station was asked for it by those UIDs. A copy without its patient, or one compressed
with loss, is none of what the modality would delete, and a folder keeps nothing: what took the file may
have gone on with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Final

from router.model.commitment import COMMITTED, Reference
from router.model.delivery import Disposition, State
from router.model.recipe import transfer_syntax_of
from router.model.status import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE
from router.pixels.syntaxes import is_lossy
from router.store.commitments import Held, Owing

# An accepted instance is in the ledger within moments; until then it is not said to be unknown.
UNKNOWN_SECONDS: Final = 10.0
VERIFY_SECONDS: Final = 7 * 86400.0
_OPEN: Final = frozenset({State.QUEUED, State.SENDING, State.SENT})
_OTHER_PATIENT: Final = frozenset({"deidentify"})
_OTHER_UIDS: Final = frozenset({"remap_uids"})


def verdict(
    reference: Reference,
    held: Held | None,
    committing: Collection[str],
    waited_seconds: float,
    folders: Collection[str] = (),
) -> int | None:
    """COMMITTED, a Failure Reason (PS3.3 C.14.1.1), or None while it is not decided."""
    if held is None:
        return NO_SUCH_INSTANCE if waited_seconds >= UNKNOWN_SECONDS else None
    if held.sop_class_uid != reference.sop_class_uid:
        return CLASS_INSTANCE_CONFLICT
    if held.disposition is not Disposition.ROUTED:
        return PROCESSING_FAILURE
    # What moved on is owed, and counts, where it went.
    owed = [one for one in held.owed if one.station not in folders and one.state is not State.MOVED]
    deciding = _deciding(owed, committing).values()
    states = {one.state for one in deciding}
    if states == {State.DELIVERED}:
        return COMMITTED
    if not states or states - _OPEN - {State.DELIVERED} or waited_seconds >= VERIFY_SECONDS:
        told = (one.failure_reason for one in deciding if one.state is State.DEAD)
        return next(filter(None, told), PROCESSING_FAILURE)
    return None


def _deciding(owed: Iterable[Owing], committing: Collection[str]) -> dict[str, Owing]:
    """By station the delivery that counts, of those stations that have to have the instance."""
    copies = [(one, _steps(one)) for one in owed]
    copies = [
        (one, steps) for one, steps in copies if not (steps & _OTHER_PATIENT or _is_lossy(one))
    ]
    whole = _best(one for one, steps in copies if not steps & _OTHER_UIDS)
    mapped = _best(one for one, steps in copies if steps & _OTHER_UIDS)
    must = {name: one for name, one in (mapped | whole).items() if name in committing}
    return must if must.keys() & whole.keys() else must | whole


def _best(owed: Iterable[Owing]) -> dict[str, Owing]:
    """By station what counts: delivered once is delivered, else what is still open."""
    found: dict[str, Owing] = {}
    for one in owed:
        before = found.get(one.station)
        if before is None or _rank(one.state) > _rank(before.state):
            found[one.station] = one
    return found


def _rank(state: State) -> int:
    return 2 if state is State.DELIVERED else state in _OPEN


def _steps(one: Owing) -> set[str]:
    """The names of the steps of its recipe."""
    return {step[0] for step in json.loads(one.steps)}


def _is_lossy(one: Owing) -> bool:
    """Whether it leaves compressed with loss, as another object than the modality would delete."""
    declared = transfer_syntax_of(one.steps)
    return bool(declared) and is_lossy(declared)
