"""The tree behind an editable data set: untouched elements by position, changed ones by value.

A node is one data set: the top, or an item that an edit went into. Its entries stay in the order
they were found; new ones are put in tag order. Whoever changes an entry calls `touch`, which marks
the way up, and drops the group lengths that no longer hold (PS3.5 7.2).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from router.dicom.elements import EXPLICIT, Coding, Element, ElementReader, Item
from router.dicom.nested import SIGNED, Surroundings, attribute_of, resolve_vr
from router.dicom.values import BULK_VRS, Attribute, decode
from router.dicom.wanted import CHARACTER_SET, PIXEL_REPRESENTATION
from router.errors import MorphFailed
from router.model.path import PathStep

SURROUNDING: Final = frozenset({CHARACTER_SET, PIXEL_REPRESENTATION})
_FIRST_BLOCK: Final = 0x10
_LAST_BLOCK: Final = 0xFF


@dataclass(slots=True)
class NewElement:
    """An element with a new value."""

    tag: int
    vr: str
    value: bytes


@dataclass(slots=True)
class OpenSequence:
    """A sequence that was entered; `source` is where it lay, None for a new one."""

    tag: int
    vr: str
    source: Element | None
    items: list[Node] = field(default_factory=list)
    is_changed: bool = False


Entry = Element | NewElement | OpenSequence


class Node:
    """One data set of the tree; `source` is the item it was, None for the top and for new items."""

    __slots__ = (
        "_around",
        "_by_tag",
        "_entries",
        "coding",
        "is_changed",
        "parent",
        "reader",
        "source",
    )

    def __init__(
        self,
        reader: ElementReader,
        coding: Coding,
        *,
        parent: tuple[Node, OpenSequence] | None = None,
        source: Item | None = None,
        span: tuple[int, int] = (0, 0),
    ) -> None:
        self.reader = reader
        self.coding = coding
        self.parent = parent
        self.source = source
        self.is_changed = source is None and parent is not None
        self._entries: list[Entry] = [*reader.elements(*span, coding)]
        # Made when it is first asked for, and given up with every change of the entries.
        self._by_tag: dict[int, Entry] | None = None
        self._around: tuple[str, Surroundings] | None = None

    @property
    def entries(self) -> list[Entry]:
        """The entries in their order; to change them assign a new list, or `put` and `drop`."""
        return self._entries

    @entries.setter
    def entries(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._by_tag = None

    def touch(self, tag: int) -> None:
        """Note that the entry of this tag changed, came or went."""
        node: Node = self
        while True:
            node.is_changed = True
            if tag in SURROUNDING:
                node._around = None
            group_length = tag & 0xFFFF0000
            if node.find(group_length) is not None:
                node.entries = [entry for entry in node.entries if entry.tag != group_length]
            if node.parent is None:
                return
            node, sequence = node.parent
            sequence.is_changed = True
            tag = sequence.tag

    def find(self, tag: int) -> Entry | None:
        """The entry of a tag; the last where a tag is repeated, as readers keep that one."""
        found = self._by_tag
        if found is None:
            found = self._by_tag = {entry.tag: entry for entry in self.entries}
        return found.get(tag)

    def put(self, entry: Entry) -> None:
        """Replace the entries of the tag, or insert in tag order."""
        old = self.find(entry.tag)
        known = self._by_tag
        if old is not None and known is not None and len(known) == len(self._entries):
            self._entries[self._place(old)] = known[entry.tag] = entry
        else:
            self._put_anywhere(entry)
        self.touch(entry.tag)

    def _put_anywhere(self, entry: Entry) -> None:
        """As `put`, for a tag that is absent, or where tags are repeated."""
        places = [place for place, old in enumerate(self._entries) if old.tag == entry.tag]
        if places:
            self._entries[places[0]] = entry
            for place in reversed(places[1:]):
                del self._entries[place]
        else:
            following = (p for p, old in enumerate(self._entries) if old.tag > entry.tag)
            self._entries.insert(next(following, len(self._entries)), entry)
        self._by_tag = None

    def drop(self, tag: int) -> None:
        """Remove the entries of a tag, and the creator of a private block left empty."""
        kept = [entry for entry in self.entries if entry.tag != tag]
        if len(kept) == len(self.entries):
            return
        self.entries = kept
        self.touch(tag)
        group, block = tag >> 16, (tag >> 8) & 0xFF
        if group & 1 and block >= _FIRST_BLOCK:
            first = (group << 16) | (block << 8)
            if not any(first <= entry.tag <= first | 0xFF for entry in self.entries):
                self.entries = [e for e in self.entries if e.tag != (group << 16) | block]

    def drop_all(self, tags: Collection[int]) -> None:
        """Remove the entries of these tags. Private creators stay unless they are among them."""
        kept = [entry for entry in self.entries if entry.tag not in tags]
        if len(kept) == len(self.entries):
            return
        self.entries = kept
        self._around = None
        for group_length in {tag & 0xFFFF0000 for tag in tags}:
            self.touch(group_length)

    def surroundings(self, default_character_set: str) -> Surroundings:
        """How values in this node are read: what it says itself, else what is around it."""
        if self._around is not None and self._around[0] == default_character_set:
            return self._around[1]
        around = self._surroundings(default_character_set)
        if self.parent is None:
            self._around = (default_character_set, around)
        return around

    def _surroundings(self, default_character_set: str) -> Surroundings:
        character_set: str | None = None
        is_signed: bool | None = None
        node: Node | None = self
        while node is not None:
            if character_set is None:
                character_set = node.declared_character_set()
            signed = node.find(PIXEL_REPRESENTATION)
            if is_signed is None and signed is not None:
                is_signed = node.raw(signed)[:2] in SIGNED
            node = node.parent[0] if node.parent else None
        if character_set is None:
            character_set = default_character_set
        return Surroundings(self.coding, character_set, bool(is_signed))

    def declared_character_set(self) -> str | None:
        """Specific Character Set of this node; None when absent or empty."""
        entry = self.find(CHARACTER_SET)
        if entry is None:
            return None
        return _character_set(self.raw(entry)) or None

    def raw(self, entry: Entry) -> bytes:
        """The value's bytes; b'' for an entered sequence. Raises BadDataset when too long."""
        if isinstance(entry, NewElement):
            return entry.value
        return b"" if isinstance(entry, OpenSequence) else self.reader.value(entry)

    def attribute(self, entry: Entry, creator: str | None, around: Surroundings) -> Attribute:
        """The decoded attribute of an entry."""
        vr = resolve_vr(entry.vr, entry.tag, creator, is_signed=around.is_signed)
        if isinstance(entry, OpenSequence) or vr in BULK_VRS:
            return Attribute(entry.tag, vr, ())
        return attribute_of(entry.tag, entry.vr, self.raw(entry), creator, around)

    def open(self, entry: Entry, creator: str | None) -> OpenSequence | None:
        """The sequence of an entry, entered; None when it is no sequence."""
        if isinstance(entry, OpenSequence):
            return entry
        vr = resolve_vr(entry.vr, entry.tag, creator, is_signed=False)
        is_sequence = vr == "SQ" or (isinstance(entry, Element) and entry.undefined and vr == "UN")
        if not is_sequence:
            return None
        source = entry if isinstance(entry, Element) else None
        opened = OpenSequence(entry.tag, entry.vr or "SQ", source)
        if source is not None:
            coding = self.coding.inside(source.vr)
            opened.items = [
                Node(
                    self.reader,
                    coding,
                    parent=(self, opened),
                    source=item,
                    span=(item.body_start, item.body_end),
                )
                for item in self.reader.items(source, coding)
            ]
        self._entries[self._place(entry)] = opened
        self._by_tag = None
        return opened

    def _place(self, entry: Entry) -> int:
        return next(place for place, old in enumerate(self.entries) if old is entry)

    def add_item(self, sequence: OpenSequence) -> Node:
        """A new, empty item at the end of a sequence."""
        node = Node(self.reader, self.coding.inside(sequence.vr), parent=(self, sequence))
        sequence.items.append(node)
        sequence.is_changed = True
        self.touch(sequence.tag)
        return node

    def tag_of(self, step: PathStep, character_set: str, *, create: bool = False) -> int | None:
        """The tag a step names here; for private ones through their creator (PS3.5 7.8.1).

        None when the creator is absent. With `create` its block is added; raises MorphFailed when
        the group has no free block.
        """
        if step.creator is None:
            return step.tag
        group = step.tag >> 16
        around = Surroundings(self.coding, character_set)
        used: set[int] = set()
        for entry in self.entries:
            number = entry.tag & 0xFFFF
            if entry.tag >> 16 != group or number < _FIRST_BLOCK:
                continue
            used.add(number >> 8 or number)
            if number <= _LAST_BLOCK and not isinstance(entry, OpenSequence):
                named = attribute_of(entry.tag, entry.vr, self.raw(entry), None, around)
                if named.values == (step.creator,):
                    return (group << 16) | (number << 8) | (step.tag & 0xFF)
        if not create:
            return None
        free = next((b for b in range(_FIRST_BLOCK, _LAST_BLOCK + 1) if b not in used), None)
        if free is None:
            raise MorphFailed(f"group {group:04X} has no free private block")
        if not step.creator.isascii():
            raise MorphFailed("a private creator to be added is plain ASCII")
        creator = step.creator.encode("ascii")
        self.put(NewElement((group << 16) | free, "LO", creator + b" " * (len(creator) % 2)))
        return (group << 16) | (free << 8) | (step.tag & 0xFF)


@lru_cache(maxsize=64)
def _character_set(raw: bytes) -> str:
    """Specific Character Set from its bytes: the same few in all objects of a site."""
    values = decode("CS", raw, Surroundings(EXPLICIT, "").layout, "")
    return "\\".join(map(str, values))
