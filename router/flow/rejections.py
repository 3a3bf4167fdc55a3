"""Rejections: whether an arriving Key Object Selection document rejects others, and which.

Only such documents pay for it: their title and their references are read from the header that
passes, bounded like all of it. A note whose references cannot be read is kept and quarantined: it
must not travel as an ordinary object, and it must not be lost.
"""

from __future__ import annotations

from functools import lru_cache

from router.dicom.header import HeaderReader
from router.dicom.key_object import PATHS, named_by, title_of
from router.errors import BadDataset
from router.model.path import Path
from router.model.plan import Plan
from router.model.rejection import KEY_OBJECT_SELECTION, TITLES, Rejection


def wanted(plan: Plan, sop_class_uid: str) -> frozenset[Path]:
    """What is to be kept of the header; `sop_class_uid` is '' where only the data set says it."""
    if sop_class_uid and sop_class_uid != KEY_OBJECT_SELECTION:
        return plan.needs
    return _with_references(plan.needs)


@lru_cache(maxsize=8)
def _with_references(needs: frozenset[Path]) -> frozenset[Path]:
    return needs | PATHS


def rejection_of(plan: Plan, source_station: str | None, header: HeaderReader) -> Rejection | None:
    """What a Key Object Selection document rejects; None when it is no rejection note.

    Raises BadDataset when it is one, or may be one, and cannot be read.
    """
    code, scheme = title_of(header)
    if code not in TITLES or scheme != "DCM":
        return None
    named = named_by(header)
    if not named:
        raise BadDataset("the rejection note names no object that can be read")
    stations = [one for one in plan.stations.values() if one.send and one.name != source_station]
    return Rejection(
        code,
        named,
        tuple(one.name for one in stations if one.iocm),
        tuple(one.name for one in stations if one.cancel_unsent == "all"),
    )
