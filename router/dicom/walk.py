"""Every element of an editable data set, at any depth, under one hand.

A judge is asked about each element, with its VR and, for a private one, its creator: leave it (a
sequence is then entered), remove it, or give its value new bytes. Sequences that hide in UN of
undefined length are entered too, bulk values are passed over unread. UIDs, dates and times are shown
under their own VR, whatever VR they came under. Raises BadDataset where the bytes of a sequence are
none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from router.dicom.elements import FRAGMENT_VRS, Element
from router.dicom.nested import resolve_vr
from router.dicom.recode import private_creators
from router.dicom.tags import all_vrs_for
from router.dicom.tree import Entry, NewElement, Node, OpenSequence

REMOVE: Final = "remove"
# The bytes of a value to its new bytes, padded; None leaves it.
Change = Callable[[bytes], bytes | None]
# None: leave it. A sequence whose value is changed becomes what the change gives for b"".
Verdict = Literal["remove"] | Change | None
Judge = Callable[[int, str, str | None], Verdict]
# A wrong VR must not hide what de-identification maps and moves.
_TOLD_BY_TAG: Final = frozenset({("UI",), ("DA",), ("DT",), ("TM",)})


def judge_all(top: Node, default_character_set: str, judge: Judge) -> None:
    """Do with each element as the judge says."""
    pending = [top]
    while pending:
        node = pending.pop()
        gone: set[int] = set()
        for entry, vr, creator in _entries(node, default_character_set):
            verdict = judge(entry.tag, vr, creator)
            if verdict == REMOVE:
                gone.add(entry.tag)
            elif verdict is None:
                sequence = _entered(node, entry, creator)
                if sequence is not None:
                    pending.extend(sequence.items)
            elif callable(verdict):
                fresh = verdict(b"" if vr == "SQ" or vr in FRAGMENT_VRS else node.raw(entry))
                if fresh is not None:
                    node.put(NewElement(entry.tag, vr, fresh))
        node.drop_all(gone)


def _entries(node: Node, default_character_set: str) -> Iterator[tuple[Entry, str, str | None]]:
    creators = private_creators(node, node.surroundings(default_character_set))
    for entry in tuple(node.entries):
        creator = None
        if entry.tag & 0x10000:
            group, number = entry.tag >> 16, entry.tag & 0xFFFF
            block = number >> 8 if number > 0xFF else number
            creator = creators.get((group, block))
        is_creator = entry.tag & 0x1FF00 == 0x10000
        yield entry, _vr(entry, None if is_creator else creator), creator


def _vr(entry: Entry, creator: str | None) -> str:
    vr = resolve_vr(entry.vr, entry.tag, creator, is_signed=False)
    own = all_vrs_for(entry.tag, creator)
    return own[0] if own in _TOLD_BY_TAG and vr != "SQ" else vr


def _entered(node: Node, entry: Entry, creator: str | None) -> OpenSequence | None:
    if isinstance(entry, NewElement) or (isinstance(entry, Element) and entry.vr in FRAGMENT_VRS):
        return None
    return node.open(entry, creator)
