"""Every element of an editable data set, at any depth, under one hand.

`rewrite` gives values new bytes, `remove_where` takes elements away. Sequences are entered, those
that hide in UN of undefined length too; bulk values are passed over unread. Private elements come
with their creator. Raises BadDataset where the bytes of a sequence are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from router.dicom.elements import FRAGMENT_VRS, Element
from router.dicom.nested import resolve_vr
from router.dicom.recode import private_creators
from router.dicom.tree import Entry, NewElement, Node, OpenSequence

# (tag, VR, creator of a private element or None): whether the element goes.
Unwanted = Callable[[int, str, str | None], bool]
# (tag, bytes of the value): its new bytes, padded, or None to leave it.
Change = Callable[[int, bytes], bytes | None]


def rewrite(top: Node, default_character_set: str, vrs: frozenset[str], change: Change) -> None:
    """Give each value of these VRs what `change` makes of it."""
    pending = [top]
    while pending:
        node = pending.pop()
        for entry, vr, creator in _entries(node, default_character_set):
            sequence = _entered(node, entry, creator)
            if sequence is not None:
                pending.extend(sequence.items)
            elif vr in vrs:
                fresh = change(entry.tag, node.raw(entry))
                if fresh is not None:
                    node.put(NewElement(entry.tag, vr, fresh))


def remove_where(top: Node, default_character_set: str, unwanted: Unwanted) -> None:
    """Remove each element that is unwanted, and look inside those sequences that stay."""
    pending = [top]
    while pending:
        node = pending.pop()
        gone: set[int] = set()
        for entry, vr, creator in _entries(node, default_character_set):
            if unwanted(entry.tag, vr, creator):
                gone.add(entry.tag)
                continue
            sequence = _entered(node, entry, creator)
            if sequence is not None:
                pending.extend(sequence.items)
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
        yield (
            entry,
            resolve_vr(entry.vr, entry.tag, None if is_creator else creator, is_signed=False),
            creator,
        )


def _entered(node: Node, entry: Entry, creator: str | None) -> OpenSequence | None:
    if isinstance(entry, NewElement) or (isinstance(entry, Element) and entry.vr in FRAGMENT_VRS):
        return None
    return node.open(entry, creator)


def originals(top: Node, length: int) -> list[tuple[int, str, bytes]]:
    """(tag, VR, bytes of the value) as they came, of what was changed or removed at the top."""
    found: list[tuple[int, str, bytes]] = []
    for element in top.reader.elements(0, length, top.coding):
        now = top.find(element.tag)
        if now is element or now == element or element.tag & 0xFFFF == 0:
            continue
        if isinstance(now, OpenSequence) and not now.is_changed:
            continue
        raw = top.reader.value(element)
        if isinstance(now, NewElement) and now.value == raw:
            continue
        found.append((element.tag, element.vr, raw))
    return found
