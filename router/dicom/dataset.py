"""An editable data set: attributes read and changed by path, everything else left as it lies.

Parsed lazily from random access; values are read when they are asked for, and large ones never.
Every failure of an edit is MorphFailed, and its message holds no value. Text that does not fit the
declared character set converts the whole data set to UTF-8 (ISO_IR 192); nothing is ever replaced
by a question mark (PS3.5 6.1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Final

from router.dicom.charset import UTF_8, is_known
from router.dicom.elements import Element, ElementReader, Limits, RandomAccess, coding_of
from router.dicom.nested import Surroundings, resolve_vr
from router.dicom.originals import encoded_header, originals, restore
from router.dicom.recode import recode
from router.dicom.remaining_identifiers import Dates, Finding, remaining
from router.dicom.splice import Piece, pieces_of
from router.dicom.tags import format_tag
from router.dicom.transfer_syntax import layout_of
from router.dicom.tree import SURROUNDING, NewElement, Node, OpenSequence
from router.dicom.values import (
    SINGLE_VALUE_VRS,
    Attribute,
    RepertoireProblem,
    Value,
    ValueProblem,
    encode,
)
from router.dicom.walk import Judge, judge_all
from router.dicom.wanted import CHARACTER_SET
from router.errors import BadDataset, MorphFailed
from router.model.path import ALL_ITEMS, Path, PathStep

_DEFAULT_LIMITS: Final = Limits()
_MAX_SEEN_BYTES: Final = 4 * 1024 * 1024


class EditableDataSet:
    """One data set of `length` bytes behind `read(offset, length)`, in its transfer syntax.

    A deflated one is given inflated. `default_character_set` is assumed where none is declared.
    Raises MorphFailed when the bytes are no data set.
    """

    def __init__(
        self,
        read: RandomAccess,
        length: int,
        transfer_syntax_uid: str,
        *,
        default_character_set: str = "",
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._read = read
        self._length = length
        self._limits = limits
        self._transfer_syntax_uid = transfer_syntax_uid
        self._default = default_character_set
        self._layout = layout_of(transfer_syntax_uid)
        coding = coding_of(self._layout)
        with _as_morph_failure():
            self._top = Node(ElementReader(read, length, limits), coding, span=(0, length))

    @property
    def character_set(self) -> str:
        """Specific Character Set in force at the top, '' for the default repertoire."""
        return self._top.declared_character_set() or self._default

    @property
    def declares_character_set(self) -> bool:
        """Whether Specific Character Set is there and not empty."""
        return self._top.declared_character_set() is not None

    def original(self) -> EditableDataSet:
        """The data set as it came, whatever edits did to this one."""
        return EditableDataSet(
            self._read,
            self._length,
            self._transfer_syntax_uid,
            default_character_set=self._default,
            limits=self._limits,
        )

    def touched(self, original: EditableDataSet) -> frozenset[int]:
        """Tags at the top that may read otherwise than they did: those edited, or all there are.

        All, where what the reading of others depends on was edited.
        """
        before, after = frozenset(original.tags()), frozenset(self.tags())
        edited = {entry.tag for entry in self._top.entries if not isinstance(entry, Element)}
        found = (before ^ after) | edited
        if found.isdisjoint(SURROUNDING) and not any(map(_is_private_creator, found)):
            return found
        return before | after

    @property
    def is_changed(self) -> bool:
        """Whether any edit changed anything."""
        return self._top.is_changed

    def uid(self, tag: int) -> str:
        """The UID an attribute at the top holds; '' when it is absent or has no value."""
        entry = self._top.find(tag)
        if entry is None:
            return ""
        with _as_morph_failure():
            text = self._top.raw(entry).decode("latin-1")
        return text.split("\\")[0].strip(" \0")

    def span(self, tag: int) -> tuple[int, int] | None:
        """From where to where an attribute at the top lies in the bytes as they came.

        None where it is absent or was edited.
        """
        entry = self._top.find(tag)
        return (entry.start, entry.end) if isinstance(entry, Element) else None

    def contains(self, tag: int, some: bytes) -> bool:
        """Whether these bytes are among the first 4 MiB of an attribute as it came."""
        span = self.span(tag)
        if span is None:
            return False
        return some in self._read(span[0], min(span[1] - span[0], _MAX_SEEN_BYTES))

    def pieces(self) -> list[Piece]:
        """The data set as it is now; see `router.dicom.splice`."""
        return pieces_of(self._top, self._length)

    def get(self, path: Path) -> Attribute | None:
        """The attribute: None when absent, no values when empty; `[*]` gives those of all items."""
        first: Attribute | None = None
        values: list[Value] = []
        with _as_morph_failure():
            for node, tag in self._targets(path):
                step = path.steps[-1]
                entry = node.find(tag)
                if entry is None:
                    continue
                if step.item is not None and not self._items(node, tag, step):
                    continue
                found = node.attribute(entry, step.creator, node.surroundings(self._default))
                first = first or found
                values.extend(found.values)
        return None if first is None else Attribute(first.tag, first.vr, tuple(values))

    def exists(self, path: Path) -> bool:
        """Whether the attribute, or the item the path ends in, is there."""
        with _as_morph_failure():
            for node, tag in self._targets(path):
                step = path.steps[-1]
                if step.item is not None:
                    if self._items(node, tag, step):
                        return True
                elif node.find(tag) is not None:
                    return True
        return False

    def set(self, path: Path, values: Sequence[Value] | Value) -> None:
        """Give the attribute these values; it, its items and private creators are added if absent.

        `[*]` sets it in every item there is. A text with backslashes is taken as several values
        where the VR has several. Raises MorphFailed for values the VR does not allow.
        """
        many = (values,) if isinstance(values, str | int | float) else tuple(values)
        if path.steps[-1].item is not None:
            raise MorphFailed(f"{path.text} names an item, which has no value")
        with _as_morph_failure(path):
            if path.steps[-1].tag == CHARACTER_SET:
                self.convert_character_set("\\".join(map(str, many)))
                return
            for node, tag in self._targets(path, create=True):
                self._set(node, tag, path.steps[-1], many)

    def blank(self, path: Path) -> None:
        """Leave the attribute without a value; nothing happens when it is absent."""
        if path.steps[-1].item is not None:
            raise MorphFailed(f"{path.text} names an item, which has no value")
        with _as_morph_failure(path):
            if path.steps[-1].tag == CHARACTER_SET:
                self.convert_character_set("")
                return
            for node, tag in self._targets(path):
                entry = node.find(tag)
                if entry is not None:
                    vr = resolve_vr(entry.vr, tag, path.steps[-1].creator, is_signed=False)
                    node.put(NewElement(tag, vr, b""))

    def remove(self, path: Path) -> None:
        """Remove the attribute or item; a private creator left without elements goes too."""
        with _as_morph_failure(path):
            step = path.steps[-1]
            if step.tag == CHARACTER_SET:
                self.convert_character_set("")
                return
            for node, tag in self._targets(path):
                if step.item is None:
                    node.drop(tag)
                    continue
                gone = self._items(node, tag, step)
                entry = node.find(tag)
                if gone and isinstance(entry, OpenSequence):
                    entry.items = [item for item in entry.items if item not in gone]
                    entry.is_changed = True
                    node.touch(tag)

    def convert_character_set(self, character_set: str) -> None:
        """Bring all text to another character set and declare it.

        Raises MorphFailed when a text does not fit, or the character set is none (PS3.3 C.12.1.1.2).
        """
        if not is_known(character_set):
            raise MorphFailed("no defined term of Specific Character Set")
        with _as_morph_failure():
            recode(self._top, character_set, self._default)

    def judge_all(self, judge: Judge) -> None:
        """Do with each element, at any depth, as `judge(tag, VR, private creator)` says.

        New bytes must be padded and in the character set of the object.
        """
        with _as_morph_failure():
            judge_all(self._top, self._default, judge)

    def remaining_identifiers(
        self, *, uids_may_stay: bool, dates: Dates, kept_tags: frozenset[int]
    ) -> list[Finding]:
        """What the object as it came says of the patient that it still says now."""
        return remaining(
            self.encoded_header(original=True),
            self.encoded_header(),
            self._layout,
            default_character_set=self._default,
            uids_may_stay=uids_may_stay,
            dates=dates,
            kept_tags=kept_tags,
        )

    def encoded_header(self, *, original: bool = False) -> bytes:
        """The object in its coding without its pixels, as it is now or as it came."""
        with _as_morph_failure():
            return encoded_header(self._top, self._length, original=original)

    def remove_at_top(self, tags: Collection[int]) -> None:
        """Remove these attributes at the top, whatever they are."""
        self._top.drop_all(frozenset(tags))

    def originals(self) -> list[tuple[int, str, bytes]]:
        """(tag, VR, bytes) as they came, of what edits changed or removed at the top, in order."""
        with _as_morph_failure():
            return originals(self._top, self._length)

    def restore(self, tags: Collection[int]) -> None:
        """Give attributes at the top back what they had when the object came; absent ones go."""
        with _as_morph_failure():
            restore(self._top, self._length, tags, self._default)

    def put_raw(self, path: Path, elements: Sequence[tuple[int, str, bytes]]) -> None:
        """Put elements, as bytes in the coding of the object, into the item a path ends in."""
        with _as_morph_failure(path):
            for node in self._step_to_item(path):
                for tag, vr, raw in elements:
                    node.put(NewElement(tag, vr, raw))

    def tags(self) -> tuple[int, ...]:
        """The tags at the top, in order."""
        return tuple(entry.tag for entry in self._top.entries)

    def _targets(self, path: Path, *, create: bool = False) -> list[tuple[Node, int]]:
        """The data sets a path leads to, with the tag its last step has there."""
        nodes = [self._top]
        for step in path.steps[:-1]:
            nodes = [item for node in nodes for item in self._step(node, step, create=create)]
        found: list[tuple[Node, int]] = []
        for node in nodes:
            tag = self._tag(node, path.steps[-1], create=create)
            if tag is not None:
                found.append((node, tag))
        return found

    def _step_to_item(self, path: Path) -> list[Node]:
        nodes = [self._top]
        for step in path.steps:
            nodes = [item for node in nodes for item in self._step(node, step, create=True)]
        return nodes

    def _tag(self, node: Node, step: PathStep, *, create: bool) -> int | None:
        return node.tag_of(step, self.character_set if step.creator else "", create=create)

    def _step(self, node: Node, step: PathStep, *, create: bool) -> list[Node]:
        tag = self._tag(node, step, create=create)
        if tag is None:
            return []
        entry = node.find(tag)
        if create and step.item != ALL_ITEMS:
            if entry is None:
                node.put(OpenSequence(tag, "SQ", None))
                entry = node.find(tag)
            assert entry is not None
            sequence = node.open(entry, step.creator)
            if sequence is None:
                raise MorphFailed(f"{format_tag(tag)} is no sequence")
            if step.item == len(sequence.items):
                return [node.add_item(sequence)]
            if step.item is None or step.item > len(sequence.items):
                raise MorphFailed(f"{format_tag(tag)} has no item {step.item}")
        return self._items(node, tag, step)

    def _items(self, node: Node, tag: int, step: PathStep) -> list[Node]:
        entry = node.find(tag)
        sequence = node.open(entry, step.creator) if entry is not None else None
        if sequence is None or step.item is None:
            return []
        if step.item == ALL_ITEMS:
            return list(sequence.items)
        return sequence.items[step.item : step.item + 1]

    def _set(self, node: Node, tag: int, step: PathStep, values: tuple[Value, ...]) -> None:
        entry = node.find(tag)
        around = node.surroundings(self._default)
        vr = resolve_vr(entry.vr if entry else "", tag, step.creator, is_signed=around.is_signed)
        if vr == "UN" and all(isinstance(value, str) for value in values):
            vr = "LO"
        if vr not in SINGLE_VALUE_VRS and len(values) == 1 and isinstance(values[0], str):
            values = tuple(values[0].split("\\")) if values[0] else ()
        try:
            raw = encode(vr, values, around.layout, around.character_set)
        except RepertoireProblem:
            recode(self._top, UTF_8, self._default)
            around = Surroundings(around.coding, UTF_8, around.is_signed)
            raw = encode(vr, values, around.layout, UTF_8)
        if (
            isinstance(entry, NewElement | Element)
            and entry.vr in {vr, ""}
            and node.raw(entry) == raw
        ):
            return
        node.put(NewElement(tag, vr, raw))
        if self._default and not raw.isascii() and self._top.declared_character_set() is None:
            # What was only assumed so far must be said once we write such text ourselves.
            declared = encode("CS", self._default.split("\\"), around.layout, "")
            self._top.put(NewElement(CHARACTER_SET, "CS", declared))


def _is_private_creator(tag: int) -> bool:
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF


class _as_morph_failure:  # noqa: N801 - reads as the statement it is
    """What goes wrong inside an edit is MorphFailed, naming the path and no value."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(problem, BadDataset | ValueProblem):
            where = f"{self._path.text}: " if self._path is not None else ""
            raise MorphFailed(f"{where}{problem}") from None
