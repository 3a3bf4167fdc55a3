"""Conversion of all text of a data set to another character set, without loss.

Every text value, in nested items too, is decoded strictly and encoded anew, values that are plain
ASCII excepted; character sets declared inside items become redundant and are removed
(PS3.5 6.1.2.3). Text that cannot be carried over unharmed raises MorphFailed.
"""

from __future__ import annotations

from router.dicom.charset import CharacterSetProblem, decode_text, encode_text
from router.dicom.elements import FRAGMENT_VRS, Element
from router.dicom.nested import Surroundings, resolve_vr
from router.dicom.tags import format_tag
from router.dicom.tree import NewElement, Node, OpenSequence
from router.dicom.values import CHARACTER_SET_VRS
from router.dicom.wanted import CHARACTER_SET
from router.errors import MorphFailed


def recode(top: Node, target: str, default_character_set: str) -> None:
    """Bring the tree to the character set `target` and declare it."""
    changes: list[tuple[Node, NewElement]] = []
    nodes: list[Node] = []
    pending = [top]
    while pending:
        node = pending.pop()
        nodes.append(node)
        around = node.surroundings(default_character_set)
        creators = private_creators(node, around)
        for entry in tuple(node.entries):
            block = (entry.tag >> 16, (entry.tag >> 8) & 0xFF)
            creator = creators.get(block) if entry.tag & 0x10000 else None
            sequence = _enter(node, entry, creator)
            if sequence is not None:
                pending.extend(sequence.items)
                continue
            fresh = _recoded(node, entry, creator, around, target)
            if fresh is not None:
                changes.append((node, fresh))
    for node, fresh in changes:
        node.put(fresh)
    for node in nodes[1:]:
        node.drop(CHARACTER_SET)
    if target:
        raw = target.encode("ascii")
        top.put(NewElement(CHARACTER_SET, "CS", raw + b" " * (len(raw) % 2)))
    else:
        top.drop(CHARACTER_SET)


def private_creators(node: Node, around: Surroundings) -> dict[tuple[int, int], str]:
    """(group, block) to private creator, of one data set."""
    found: dict[tuple[int, int], str] = {}
    for entry in node.entries:
        number = entry.tag & 0xFFFF
        if entry.tag & 0x10000 and 0x10 <= number <= 0xFF:
            values = node.attribute(entry, None, around).values
            found[entry.tag >> 16, number] = str(values[0]) if values else ""
    return found


def _enter(
    node: Node, entry: Element | NewElement | OpenSequence, creator: str | None
) -> OpenSequence | None:
    if isinstance(entry, Element) and entry.vr in FRAGMENT_VRS:
        return None
    return node.open(entry, creator)


def _recoded(
    node: Node,
    entry: Element | NewElement | OpenSequence,
    creator: str | None,
    around: Surroundings,
    target: str,
) -> NewElement | None:
    vr = resolve_vr(entry.vr, entry.tag, creator, is_signed=False)
    if vr not in CHARACTER_SET_VRS:
        return None
    raw = node.raw(entry)
    if raw.isascii() and b"\x1b" not in raw:
        return None
    try:
        text = decode_text(raw, around.character_set, strict=True)
        fresh = encode_text(text.rstrip(" \0"), target)
    except CharacterSetProblem as problem:
        raise MorphFailed(f"{format_tag(entry.tag)} cannot be converted: {problem}") from None
    return NewElement(entry.tag, vr, fresh + b" " * (len(fresh) % 2))
