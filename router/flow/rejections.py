"""Rejections: whether an arriving Key Object Selection document rejects others, and which.

Only such documents pay for it: their title and their references are read from the header that
passes, bounded like all of it. A note whose references cannot be read is kept and quarantined: it
must not travel as an ordinary object, and it must not be lost.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from router.dicom.header import HeaderReader
from router.dicom.key_object import PATHS, named_by, title_of
from router.errors import BadDataset
from router.model.delivery import Disposition
from router.model.path import Path
from router.model.plan import Plan
from router.model.rejection import KEY_OBJECT_SELECTION, RETENTION, TITLES, Rejection
from router.model.rule import Decision


def wanted(plan: Plan, sop_class_uid: str) -> frozenset[Path]:
    """What is to be kept of the header; `sop_class_uid` is '' where only the data set says it."""
    if sop_class_uid and sop_class_uid != KEY_OBJECT_SELECTION:
        return plan.needs
    return _with_references(plan.needs)


@lru_cache(maxsize=8)
def _with_references(needs: frozenset[Path]) -> frozenset[Path]:
    return needs | PATHS


def as_note(
    plan: Plan, decision: Decision, source_station: str | None, header: HeaderReader
) -> Decision:
    """The decision about a Key Object Selection document, with what it rejects if it is a note.

    A rule may refuse a note; that no rule takes it means nothing. Of what rules owe, only stations
    that want notes are left, each of a `first_of` that does: where else it goes is known to the ledger alone. A note that cannot be
    routed is quarantined, and says what it says. Raises BadDataset when it is one and cannot be read.
    """
    code, scheme = title_of(header)
    is_refused = decision.refusal is not None and decision.disposition is not Disposition.UNMATCHED
    if code not in TITLES or scheme != "DCM" or is_refused:
        return decision
    named = named_by(header)
    if not named:
        raise BadDataset("the rejection note names no object that can be read")
    others = [one for one in plan.stations.values() if one.send and one.name != source_station]
    wanting = tuple(one.name for one in others if one.iocm and code != RETENTION)
    kept_clean = tuple(one.name for one in others if one.cancel_unsent == "all")
    is_quarantined = decision.disposition is Disposition.QUARANTINED
    return replace(
        decision,
        disposition=Disposition.QUARANTINED if is_quarantined else Disposition.ROUTED,
        owed=tuple(
            each for one in decision.owed for each in one.alternatives if each.station in wanting
        ),
        refusal=None,
        rejection=Rejection(code, named, wanting, kept_clean),
    )
