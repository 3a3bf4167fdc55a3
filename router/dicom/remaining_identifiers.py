"""A second pair of eyes: which identifiers of an object are still in what is about to leave.

It shares nothing with the code that removes: both headers are read anew by pydicom, and the new one
is searched, as bytes and element by element, for what the old one says of the patient: names in
every order and encoding, IDs, accession numbers, dates, UIDs. Words of names and IDs under four
characters are common words and are not looked for; those under six only as whole words in texts, so
that a Patient ID of 1250 is not found in a slice thickness. What cannot be read is a finding.
Findings name a kind and a tag, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, Literal

from pydicom import config as _pydicom_config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from router.dicom.transfer_syntax import Layout

Dates = Literal["removed", "modified", "kept"]
ID_TAGS: Final = frozenset(
    {
        *(0x00100020, 0x00100030, 0x00101000, 0x00101005, 0x00101060, 0x00101040, 0x00102154),
        *(0x00080050, 0x00401001, 0x00380010, 0x00402016, 0x00402017, 0x00101090, 0x00100050),
    }
)
SHORTEST_WORD: Final = 4
SHORTEST_IN_BYTES: Final = 6
_TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR", "AE", "UN"})
_DATES: Final = frozenset({"DA", "DT"})
_TOLD_BY_TAG: Final = frozenset({"DA", "DT", "PN", "UI"})
_BIRTH_DATE: Final = 0x00100030
_NO_DATE: Final = "19000101"  # what stands where a date was removed
_ENCODINGS: Final = (
    *("utf-8", "latin-1", "iso8859_2", "iso8859_5", "iso8859_7", "euc_kr", "shift_jis"),
    *("iso2022_jp", "gb18030", "utf-16-le", "utf-16-be"),
)
_BOUNDARY: Final = rb"(?<![0-9A-Za-z.])%s(?![0-9A-Za-z])"
_HEADER: Final = "the encoded header"
_WELL_KNOWN: Final = "1.2.840.10008."
_SPACES: Final = re.compile(r"[\s^=]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One identifier that is still there: its kind, and where (a tag, or `the encoded header`)."""

    kind: str
    where: str


@dataclass(slots=True)
class _Known:
    """What the original says: whole texts and words of names, IDs, dates (YYYYMMDD), UIDs."""

    names: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)


def remaining(
    original: bytes,
    outgoing: bytes,
    layout: Layout,
    *,
    default_character_set: str = "",
    uids_may_stay: bool = False,
    dates: Dates = "removed",
    kept_tags: frozenset[int] = frozenset(),
) -> list[Finding]:
    """The identifiers of the first header (without pixels) that the second still holds.

    `kept_tags` are attributes that say nothing of the patient, or were to be kept: their values are
    not looked for. `dates` says what was promised of them; names, IDs and the birth date may never
    stay. Dates that were moved may fall on another one of the object, so those are looked for in
    texts only.
    """
    try:
        before = _read(original, layout, default_character_set)
        known = _known(before, kept_tags)
        after = _read(outgoing, layout, default_character_set)
        found = [*_in_elements(known, after, dates)]
    except Exception as error:  # noqa: BLE001 - parser boundary: what cannot be read must not leave
        return [Finding(f"part that cannot be read ({type(error).__name__})", _HEADER)]
    days = known.dates if dates == "removed" else set()
    if dates == "kept":
        days = _birth_dates(before)
    found += _in_bytes("date", _date_forms(days), outgoing)
    if not uids_may_stay:
        found += _in_bytes("UID", (uid.encode() for uid in known.uids), outgoing)
    texts = (one for one in known.names | known.ids if len(one) >= SHORTEST_IN_BYTES)
    found += _in_bytes("name or ID", _encoded(texts), outgoing)
    return found


def _read(header: bytes, layout: Layout, default_character_set: str) -> Dataset:
    with _pydicom_config.disable_value_validation():
        data_set = read_dataset(
            BytesIO(header), not layout.explicit_vr, layout.little_endian, bytelength=len(header)
        )
        if "SpecificCharacterSet" not in data_set and default_character_set:
            data_set.SpecificCharacterSet = default_character_set.split("\\")
        data_set.decode()
        for element in data_set.iterall():
            _values(element)
    return data_set


def _values(element: DataElement | None) -> list[object]:
    if element is None or element.value is None or element.VR == "SQ":
        return []
    value = element.value
    return list(value) if isinstance(value, list | tuple) or element.VM > 1 else [value]


def _own_vr(element: DataElement) -> str:
    """The VR of what identifies is that of its tag, whatever VR it was written under."""
    own = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else ""
    return own if own in _TOLD_BY_TAG else element.VR


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _birth_dates(data_set: Dataset) -> set[str]:
    """When the patient was born, unless something that may be told happened on that day."""
    born: set[str] = set()
    others: set[str] = {"", _NO_DATE}
    for element in data_set.iterall():
        if _own_vr(element) in _DATES:
            days = {_text(value)[:8] for value in _values(element)}
            (born if element.tag == _BIRTH_DATE else others).update(days)
    return born - others


def _known(data_set: Dataset, kept_tags: frozenset[int]) -> _Known:
    known = _Known()
    for element in data_set.iterall():
        vr = _own_vr(element)
        for value in _values(element):
            text = _text(value).strip(" \0")
            if not text:
                continue
            if vr == "PN":
                _add_name(known, text)
            elif element.tag in kept_tags:
                continue
            elif element.tag in ID_TAGS and vr not in _DATES:
                if len(text) >= SHORTEST_WORD:
                    known.ids.add(text.casefold())
            elif vr in _DATES and text[:8].isdigit() and len(text) >= 8:
                known.dates.add(text[:8])
            elif vr == "UI" and "." in text and not text.startswith(_WELL_KNOWN):
                known.uids.add(text)
    known.dates.discard(_NO_DATE)
    return known


def _add_name(known: _Known, text: str) -> None:
    for group in text.split("="):
        parts = [part for part in _SPACES.split(group.casefold()) if part]
        known.words.update(
            part for part in parts if len(part) >= SHORTEST_WORD or not part.isascii()
        )
        if len(parts) > 1:
            for order in (parts, parts[::-1]):
                known.names.update(between.join(order) for between in ("^", " ", ", ", ",", ""))


def _in_elements(known: _Known, data_set: Dataset, dates: Dates) -> Iterator[Finding]:
    """Whole words in texts: words of names, IDs of any length, and dates."""
    days = () if dates == "kept" else (form.decode() for form in _date_forms(known.dates))
    wanted = known.words | known.ids | set(days)
    for element in data_set.iterall():
        if element.VR not in _TEXTS:
            continue
        for value in _values(element):
            folded = _text(value).casefold()
            if folded.strip() in {"removed", ""}:
                continue
            for one in wanted:
                if one in folded and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", folded):
                    kind = "ID" if one in known.ids else "name" if one in known.words else "date"
                    yield Finding(kind, f"({element.tag.group:04X},{element.tag.element:04X})")
                    break


def _in_bytes(kind: str, forms: Iterable[bytes], outgoing: bytes) -> Iterator[Finding]:
    folded = outgoing.lower()
    for form in set(forms):
        if form in folded and re.search(_BOUNDARY % re.escape(form), folded):
            yield Finding(kind, _HEADER)
            return


def _date_forms(dates: Iterable[str]) -> Iterator[bytes]:
    for day in dates:
        year, month, rest = day[:4], day[4:6], day[6:8]
        for between in ("", "-", ".", "/"):
            yield between.join((year, month, rest)).encode("ascii", "replace")
            if between:
                yield between.join((rest, month, year)).encode("ascii", "replace")


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    for text in texts:
        for encoding in _ENCODINGS:
            try:
                yield text.encode(encoding).lower()
            except (UnicodeError, LookupError):
                continue
