"""The walk over a data set as it arrives: the hot loop behind `router.dicom.header`.

One position, one stack of open undefined lengths, no object per element. Defined lengths are
skipped unread; only undefined lengths are entered, because nothing else tells where they end
(PS3.5 7.5). Raises BadDataset only.
"""

from __future__ import annotations

import struct
from typing import Final

from router.dicom.elements import (
    FRAGMENT_VRS,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Coding,
    Limits,
)
from router.dicom.wanted import KEEP, PIXELS, WantedKeys
from router.errors import BadDataset

Kept = dict[int, tuple[str, bytes]]

_ELEMENTS: Final = 0
_ITEMS: Final = 1
_FRAGMENTS: Final = 2
_SMALL_BYTES: Final = 256
_SMALL_ROOM: Final = 256 * 1024
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Form:
    """How element headers are taken apart in one coding."""

    __slots__ = ("item", "length", "long_vrs", "short_vrs", "unpack", "vr_names")

    def __init__(self, coding: Coding) -> None:
        order = "<" if coding.little_endian else ">"
        self.unpack = struct.Struct(order + ("IHH" if coding.explicit_vr else "II")).unpack_from
        self.item = struct.Struct(order + "II").unpack_from
        self.length = struct.Struct(order + "I").unpack_from
        code = struct.Struct(order + "H").unpack
        self.short_vrs = frozenset(code(vr.encode())[0] for vr in SHORT_VRS)
        # Two capital letters that are no VR of ours are a VR of a later edition: the long form.
        pairs = [first + second for first in _CAPITALS for second in _CAPITALS]
        self.vr_names = {code(pair.encode())[0]: pair for pair in pairs}
        self.long_vrs = frozenset(self.vr_names) - self.short_vrs


_FORMS: Final = {
    Coding(explicit, little): _Form(Coding(explicit, little))
    for explicit in (True, False)
    for little in (True, False)
}


class Scanner:
    """Feeds on stretches of bytes; `kept` maps tags to (VR or '', value bytes).

    A wanted sequence is kept as the bytes of its items. What is longer than the limits allow is
    kept as an empty value.
    """

    def __init__(self, coding: Coding, keys: WantedKeys, limits: Limits) -> None:
        self.kept: Kept = {}
        self.header_length: int | None = None
        self._limits = limits
        self._keys = keys
        self._actions = keys.top
        self._coding = coding
        self._form = _FORMS[coding]
        self._mode = _ELEMENTS
        self._stack: list[tuple[int, Coding]] = []
        self._fed = 0
        self._next = 0
        self._base = 0
        self._tail = b""
        self._elements = self._items = self._fragments = 0
        self._kept_bytes = 0
        self._last_key = 0
        # A value under way: its tag, VR and bytes; `_recorded_to` only for undefined lengths.
        self._open: tuple[int, str, bytearray] | None = None
        self._recorded_to: int | None = None

    def feed(self, view: memoryview | bytes) -> None:
        """The next stretch."""
        self._fed += len(view)
        if self._tail:
            view = b"".join((self._tail, view))
            self._tail = b""
        end = len(view)
        base = self._base = self._fed - end
        at = self._next - base
        if self._open is not None and self._recorded_to is None:
            self._open[2].extend(view[: min(at, end)])
            if at <= end:
                self._close_value()
        while at <= end - 8:
            mode, depth = self._mode, len(self._stack)
            at = (self._scan_elements if mode == _ELEMENTS else self._scan_items)(view, at, end)
            self._check_limits()
            if mode == self._mode and depth == len(self._stack):
                break
        self._next = base + at
        if self._recorded_to is not None:
            self._record(view, min(at, end))
        if at < end:
            self._tail = bytes(view[at:])

    def finish(self) -> None:
        """No more bytes come."""
        if self._stack:
            raise BadDataset("the data set ends inside a sequence or item of undefined length")
        if self._next > self._fed:
            raise BadDataset("a length points past the end of the data set")
        if self._tail:
            raise BadDataset("the data set ends inside an element header")

    def is_past(self, tag: int) -> bool:
        """Whether Pixel Data, or an element at the top behind this tag, was seen."""
        last = self._last_key
        if self._coding.little_endian:
            last = ((last & 0xFFFF) << 16) | (last >> 16)
        return self.header_length is not None or (not self._stack and tag < last < ITEM)

    def _scan_elements(self, view: memoryview | bytes, at: int, end: int) -> int:
        """Pass over elements until something opens or closes, or the bytes run out."""
        form, actions = self._form, self._actions
        explicit = self._coding.explicit_vr
        unpack, short_vrs, long_vrs = form.unpack, form.short_vrs, form.long_vrs
        names, kept, is_little = form.vr_names, self.kept, self._coding.little_endian
        last, count, key = end - 8, 0, self._last_key
        # What is this small is kept without asking, while all of it together fits.
        small = _SMALL_BYTES if self._may_keep(_SMALL_ROOM) else -1
        find = actions.get
        while at <= last:
            if explicit:
                key, vr, length = unpack(view, at)
                if vr in short_vrs and key not in actions:
                    # The most common element by far: nobody asks for it, and its length is known.
                    at += 8 + length
                    count += 1
                    continue
                body = at + 8
                if vr not in short_vrs and vr in long_vrs:
                    if at + 12 > end:
                        break
                    length = form.length(view, body)[0]
                    body = at + 12
            else:
                key, length = unpack(view, at)
                body = at + 8
            count += 1
            action = find(key)
            if length != UNDEFINED:
                if action is None:
                    at = body + length
                    continue
                if action == KEEP and length <= small and body + length <= end:
                    tag = ((key & 0xFFFF) << 16) | (key >> 16) if is_little else key
                    after = body + length
                    kept[tag] = (names.get(vr, "??") if explicit else "", bytes(view[body:after]))
                    self._kept_bytes += length
                    at = after
                    continue
            depth = len(self._stack)
            at = self._special(view, at, (body, length), action, key)
            if depth != len(self._stack):
                break
        self._elements += count
        self._last_key = key
        return at

    def _special(
        self,
        view: memoryview | bytes,
        at: int,
        value: tuple[int, int],
        action: int | None,
        key: int,
    ) -> int:
        """One element that is more than bytes to skip; gives where the next begins."""
        body, length = value
        tag = ((key & 0xFFFF) << 16) | (key >> 16) if self._coding.little_endian else key
        if tag >> 16 == 0xFFFE:
            return self._delimiter(tag, at)
        vr = bytes(view[at + 4 : at + 6]).decode("latin-1") if self._coding.explicit_vr else ""
        if action == PIXELS and self.header_length is None:
            self.header_length = self._base + at
        if action == KEEP:
            self._keep(view, tag, vr, body, length)
        if length != UNDEFINED:
            return body + length
        is_bulk = tag == PIXEL_DATA or vr in FRAGMENT_VRS
        self._push(_FRAGMENTS if is_bulk else _ITEMS, self._coding.inside(vr))
        return body

    def _delimiter(self, tag: int, at: int) -> int:
        if tag == ITEM:
            raise BadDataset("an item outside a sequence")
        if self._stack:
            if tag != ITEM_END:
                raise BadDataset("a sequence ends inside an item")
            self._pop()
        # At the top a stray delimiter is passed over, as other readers do.
        return at + 8

    def _scan_items(self, view: memoryview | bytes, at: int, end: int) -> int:
        """Pass over items or fragments until one opens or the sequence closes."""
        unpack = self._form.item
        is_little = self._coding.little_endian
        item = 0xE000FFFE if is_little else ITEM
        last, count, start = end - 8, 0, at
        in_fragments = self._mode == _FRAGMENTS
        while at <= last:
            key, length = unpack(view, at)
            if key != item:
                if key != (0xE0DDFFFE if is_little else SEQUENCE_END):
                    raise BadDataset("something else where an item belongs")
                self._pop()
                if not self._stack and self._recorded_to is not None:
                    self._record(view, at)
                    self._recorded_to = None
                    self._close_value()
                at += 8
                break
            count += 1
            if length == UNDEFINED:
                if in_fragments:
                    raise BadDataset("a fragment of undefined length")
                at += 8
                self._push(_ELEMENTS, self._coding)
                break
            at += 8 + length
        if start == at:
            return at
        if in_fragments:
            self._fragments += count
        else:
            self._items += count
        return at

    def _push(self, mode: int, coding: Coding) -> None:
        self._stack.append((self._mode, self._coding))
        if len(self._stack) > 2 * self._limits.max_depth:
            raise BadDataset(f"sequences nested deeper than {self._limits.max_depth}")
        self._enter(mode, coding)

    def _pop(self) -> None:
        self._enter(*self._stack.pop())

    def _enter(self, mode: int, coding: Coding) -> None:
        self._mode, self._coding = mode, coding
        self._form = _FORMS[coding]
        self._actions = self._keys.nested if self._stack else self._keys.top

    def _check_limits(self) -> None:
        limits = self._limits
        if self._elements > limits.max_elements:
            raise BadDataset(f"more than {limits.max_elements} elements")
        if self._items > limits.max_items:
            raise BadDataset(f"more than {limits.max_items} items")
        if self._fragments > limits.max_fragments:
            raise BadDataset(f"more than {limits.max_fragments} fragments")

    def _keep(self, view: memoryview | bytes, tag: int, vr: str, body: int, length: int) -> None:
        if length == UNDEFINED:
            if self._stack:
                return
            self._open = (tag, vr, bytearray())
            self._recorded_to = self._base + body
        elif not self._may_keep(length):
            self.kept[tag] = (vr, b"")
        else:
            value = bytes(view[body : body + length])
            if len(value) == length:
                self.kept[tag] = (vr, value)
                self._kept_bytes += length
            else:
                self._open = (tag, vr, bytearray(value))

    def _may_keep(self, length: int) -> bool:
        limits = self._limits
        return (
            length <= limits.max_value_bytes and self._kept_bytes + length <= limits.max_kept_bytes
        )

    def _close_value(self) -> None:
        assert self._open is not None
        tag, vr, value = self._open
        self._open = None
        self.kept[tag] = (vr, bytes(value))
        self._kept_bytes += len(value)

    def _record(self, view: memoryview | bytes, to: int) -> None:
        """Copy what was passed of a wanted sequence of undefined length."""
        assert self._open is not None
        assert self._recorded_to is not None
        value = self._open[2]
        start = self._recorded_to - self._base
        if start < to:
            self._recorded_to += to - start
            if self._may_keep(len(value) + to - start):
                value.extend(view[start:to])
            else:
                # Too long: it stays open but empty, and nothing more fits.
                self._open = (self._open[0], self._open[1], bytearray())
                self._kept_bytes = self._limits.max_kept_bytes
