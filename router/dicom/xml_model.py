"""DICOM JSON members as a Native DICOM Model, the XML of PS3.19 A.1.

Both are forms of one model (PS3.18 annex F), so whatever gives JSON gives XML by this. Characters
that XML has no place for are left out. Private attributes are named by their creator, with a tag
whose block is 00 (PS3.19 table A.1.5-2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from router.dicom.tags import keyword_for

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_IMPOSSIBLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_FIRST_BLOCK: Final = 0x10


def to_xml(members: Mapping[str, Any]) -> bytes:
    """The document of one data set, given as its JSON members."""
    return f"{_HEAD}{''.join(_attributes(members))}</NativeDicomModel>\n".encode()


def _attributes(members: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(members):
        member = members[key]
        yield f"<DicomAttribute {_named(key, members)} vr={quoteattr(member['vr'])}>"
        if "BulkDataURI" in member:
            yield f"<BulkData uri={quoteattr(_IMPOSSIBLE.sub('', member['BulkDataURI']))}/>"
        elif "InlineBinary" in member:
            yield f"<InlineBinary>{_text(member['InlineBinary'])}</InlineBinary>"
        for number, value in enumerate(member.get("Value", ()), 1):
            yield from _value(member["vr"], number, value)
        yield "</DicomAttribute>"


def _named(key: str, members: Mapping[str, Any]) -> str:
    tag = int(key, 16)
    block = (tag >> 8) & 0xFF
    if tag & 0x10000 and block >= _FIRST_BLOCK:
        (creator, *_) = members.get(f"{tag >> 16:04X}{block:04X}", {}).get("Value") or ("",)
        if name := _IMPOSSIBLE.sub("", str(creator)):
            return f'tag="{tag & 0xFFFF00FF:08X}" privateCreator={quoteattr(name)}'
    keyword = keyword_for(tag)
    return f'tag="{key}" keyword="{keyword}"' if keyword else f'tag="{key}"'


def _value(vr: str, number: int, value: Any) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value or {})
        yield "</Item>"
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        for group in _GROUPS:
            if isinstance(value, dict) and value.get(group):
                yield f"<{group}>{''.join(_name(value[group]))}</{group}>"
        yield "</PersonName>"
    elif value is not None:
        yield f'<Value number="{number}">{_text(value)}</Value>'


def _name(text: str) -> Iterator[str]:
    for part, value in zip(_PARTS, text.split("^"), strict=False):
        if value:
            yield f"<{part}>{_text(value)}</{part}>"


def _text(value: Any) -> str:
    # A bare carriage return would be read as a line feed (XML 1.0 2.11).
    return escape(_IMPOSSIBLE.sub("", str(value)), {"\r": "&#13;"})
