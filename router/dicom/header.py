"""Reads the header of a data set while it arrives, and checks the shape of all of it.

Fed successive stretches of bytes, in any division, it walks every element at the top of the data
set to its end, by length, and keeps copies of the wanted values only. All memory is bounded by
`Limits` whatever comes in; bytes that are no data set raise BadDataset and nothing else (PS3.5 7).
Deflated data sets are inflated as far as the header goes, not further (PS3.5 A.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from router.dicom.elements import Limits, coding_of
from router.dicom.inflate import Inflater
from router.dicom.nested import find_attribute
from router.dicom.scan import Scanner
from router.dicom.tags import all_vrs_for
from router.dicom.transfer_syntax import layout_of
from router.dicom.values import KNOWN_VRS, Attribute, decode
from router.dicom.wanted import CHARACTER_SET, compile_wanted
from router.errors import BadDataset
from router.model.path import Path

HeaderLimits = Limits
_DEFAULT_LIMITS: Final = Limits()
_PLAIN_VRS: Final = KNOWN_VRS - {"UN"}


class HeaderReader:
    """The header of one data set; `wanted` are the paths that `get` may be asked for.

    Always kept, for `text`: character set, SOP class, SOP instance, study and series UID, Modality,
    Patient ID, its issuer and the accession number. `default_character_set` is assumed when the
    data set declares none.
    """

    def __init__(
        self,
        transfer_syntax_uid: str,
        wanted: Iterable[Path] = (),
        *,
        limits: HeaderLimits = _DEFAULT_LIMITS,
        default_character_set: str = "",
    ) -> None:
        layout = layout_of(transfer_syntax_uid)
        self._layout = layout
        self._default_character_set = default_character_set
        self._character_set: str | None = None
        self._keys = compile_wanted(frozenset(wanted), layout.little_endian)
        self._scanner = Scanner(coding_of(layout), self._keys, limits)
        self._inflater: Inflater | None = None
        self._raw_length = 0
        if layout.deflated:
            self._inflater = Inflater(limits.max_inflated_bytes, limits.max_inflate_ratio)
        self._header_is_done = False

    def feed(self, view: memoryview | bytes) -> None:
        """The next stretch of the data set; the view is not kept. Raises BadDataset."""
        self._raw_length += len(view)
        if self._inflater is None:
            self._scanner.feed(view)
        elif not self._header_is_done:
            for piece in self._inflater.pieces(view):
                self._scanner.feed(piece)
                if self._scanner.is_past(self._keys.highest_tag):
                    self._header_is_done = True
                    return

    def finish(self) -> None:
        """Everything was fed. Raises BadDataset when it is truncated or its lengths lie.

        Of a deflated data set only the inflated part is checked.
        """
        if self._inflater is None:
            self._scanner.finish()
        elif not self._header_is_done:
            if self._raw_length and not self._inflater.is_complete:
                raise BadDataset("the deflated data set ends early")
            self._scanner.finish()

    @property
    def is_past_wanted(self) -> bool:
        """Whether nothing that is fed from here on can be kept."""
        return self._header_is_done or self._scanner.is_past(self._keys.highest_tag)

    @property
    def header_length(self) -> int:
        """The offset of Pixel Data as received; the whole length when there is none.

        A deflated data set cannot be cut, so it counts as header entirely.
        """
        found = self._scanner.header_length
        return self._raw_length if found is None or self._inflater is not None else found

    @property
    def data_set_length(self) -> int:
        """Bytes fed so far."""
        return self._raw_length

    @property
    def character_set(self) -> str:
        """Specific Character Set as declared, else the default given."""
        if self._character_set is None:
            raw = self._scanner.kept.get(CHARACTER_SET)
            values = decode("CS", raw[1], self._layout, "") if raw is not None else ()
            self._character_set = "\\".join(map(str, values)) or self._default_character_set
        return self._character_set

    def text(self, tag: int) -> str:
        """The text of one of the attributes always kept; '' when it is absent or empty."""
        kept = self._scanner.kept.get(tag)
        if kept is None:
            return ""
        raw = kept[1]
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii").strip(" \0")
        return "\\".join(map(str, decode("LO", raw, self._layout, self.character_set))).strip(" ")

    def get(self, path: Path) -> Attribute | None:
        """The attribute at a wanted path: None when absent, no values when empty.

        `[*]` gives the values of all items together. Values longer than the limit count as empty.
        Raises BadDataset when the bytes of a wanted sequence are no sequence.
        """
        step = path.steps[0]
        if path.is_plain and step.item is None:
            kept = self._scanner.kept.get(step.tag)
            if kept is None:
                return None
            vr = kept[0]
            if not vr and len(choices := all_vrs_for(step.tag)) == 1:
                vr = choices[0]
            if vr in _PLAIN_VRS:
                return Attribute(
                    step.tag, vr, decode(vr, kept[1], self._layout, self.character_set)
                )
        return find_attribute(self._scanner.kept, path, coding_of(self._layout), self.character_set)
