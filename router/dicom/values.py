"""Element values to Python and back, by VR (PS3.5 6.2).

Text VRs (DS, IS, DA, TM, UI among them) are str without padding, binary numbers int or float, AT
is 'GGGGEEEE'. Sequences and bulk VRs have no values here. Decoding never fails: it takes what is
there. Encoding checks length, form and repertoire, and raises ValueProblem.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.valuerep import format_number_as_ds

from router.dicom.charset import CharacterSetProblem, decode_text, encode_text
from router.dicom.transfer_syntax import Layout

Value = str | int | float

CHARACTER_SET_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
SINGLE_VALUE_VRS: Final = frozenset({"LT", "ST", "UR", "UT"})
BULK_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})
TEXT_VRS: Final = CHARACTER_SET_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
KNOWN_VRS: Final = TEXT_VRS | BULK_VRS | {"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}
_BOTH_ENDS_VRS: Final = frozenset({"AE", "CS", "DS", "IS", "UI"})
_NUMBERS: Final = {
    "FD": "d",
    "FL": "f",
    "SL": "i",
    "SS": "h",
    "SV": "q",
    "UL": "I",
    "US": "H",
    "UV": "Q",
}
_MAX_CHARACTERS: Final = {"LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "PN": 64}
_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?\Z")
_FORMS: Final = {
    "AE": re.compile(r"[ -\[\]-~]{0,16}\Z"),
    "AS": re.compile(r"([0-9]{3}[DWMY])?\Z"),
    "CS": re.compile(r"[A-Z0-9 _]{0,16}\Z"),
    "DA": re.compile(r"([0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01]))?\Z"),
    "DS": re.compile(r"(?=.{0,16}\Z)( *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *)?\Z"),
    "DT": re.compile(
        r"([0-9]{4}((0[1-9]|1[0-2])((0[1-9]|[12][0-9]|3[01])(([01][0-9]|2[0-3])"
        r"([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?)?)?)?([+-][0-9]{4})?)?\Z"
    ),
    "IS": re.compile(r"(?=.{0,12}\Z)( *[+-]?[0-9]+ *)?\Z"),
    "TM": re.compile(r"(([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?)?\Z"),
    "UI": re.compile(r"(?=.{0,64}\Z)((0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*)?\Z"),
    "UR": re.compile(r"[!-\[\]-~]*\Z"),
}


class ValueProblem(ValueError):
    """A value its VR does not allow; the message never repeats the value."""


class RepertoireProblem(ValueProblem):
    """Text outside the character set in force; another character set would take it."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute with its decoded values; no values when it is empty, a sequence or bulk."""

    tag: int
    vr: str
    values: tuple[Value, ...]


def decode(vr: str, raw: bytes, layout: Layout, charset: str) -> tuple[Value, ...]:
    """The values in the bytes of one element; see the module for their types."""
    if vr in TEXT_VRS:
        return _decode_text(vr, raw, charset)
    order = "<" if layout.little_endian else ">"
    code = _NUMBERS.get(vr)
    if code is not None:
        count = len(raw) // struct.calcsize("<" + code)
        return struct.unpack_from(f"{order}{count}{code}", raw)
    if vr == "AT":
        count = len(raw) // 4
        halves = struct.unpack_from(f"{order}{2 * count}H", raw)
        return tuple(f"{halves[i]:04X}{halves[i + 1]:04X}" for i in range(0, 2 * count, 2))
    return ()


def _decode_text(vr: str, raw: bytes, charset: str) -> tuple[Value, ...]:
    if vr in CHARACTER_SET_VRS:
        text = decode_text(raw, charset)
    else:
        text = raw.decode("latin-1")
    text = text.rstrip(" \0")
    if not text:
        return ()
    if vr in SINGLE_VALUE_VRS:
        return (text,)
    if vr in _BOTH_ENDS_VRS:
        return tuple(part.strip(" \0") for part in text.split("\\"))
    return tuple(part.rstrip(" \0") for part in text.split("\\"))


def encode(vr: str, values: Sequence[Value], layout: Layout, charset: str) -> bytes:
    """The bytes of one element, padded to even length.

    Raises ValueProblem for values the VR does not allow, RepertoireProblem (one of them) for text
    outside the character set.
    """
    if not values:
        return b""
    if vr in TEXT_VRS:
        return _encode_text(vr, values, charset)
    order = "<" if layout.little_endian else ">"
    try:
        if vr in _NUMBERS:
            convert = float if vr in {"FD", "FL"} else int
            return struct.pack(
                f"{order}{len(values)}{_NUMBERS[vr]}", *(convert(value) for value in values)
            )
        if vr == "AT":
            tags = [_tag_number(value) for value in values]
            return b"".join(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    except (ValueError, OverflowError, struct.error):
        raise ValueProblem(f"not a value of VR {vr}") from None
    raise ValueProblem(f"VR {vr} cannot be set from text or numbers")


def _tag_number(value: Value) -> int:
    if not isinstance(value, int):
        digits = _TAG.match(str(value))
        if digits is None:
            raise ValueProblem("not a tag")
        return int(digits[1] + digits[2], 16)
    if not 0 <= value <= 0xFFFFFFFF:
        raise ValueProblem("not a tag")
    return value


def _encode_text(vr: str, values: Sequence[Value], charset: str) -> bytes:
    texts = [_as_text(vr, value) for value in values]
    if vr in SINGLE_VALUE_VRS:
        if len(texts) > 1:
            raise ValueProblem(f"VR {vr} holds one value")
    elif any("\\" in text for text in texts):
        raise ValueProblem(f"a backslash inside one value of VR {vr}")
    for text in texts:
        _check_form(vr, text)
    try:
        encoded = encode_text("\\".join(texts), charset if vr in CHARACTER_SET_VRS else "")
    except CharacterSetProblem:
        if vr in CHARACTER_SET_VRS:
            raise RepertoireProblem("text outside the character set of the object") from None
        raise ValueProblem(f"VR {vr} takes ASCII only") from None
    if len(encoded) % 2:
        encoded += b"\0" if vr == "UI" else b" "
    return encoded


def _as_text(vr: str, value: Value) -> str:
    if isinstance(value, str):
        return value
    if vr == "DS" and isinstance(value, float):
        try:
            return format_number_as_ds(value)
        except ValueError:
            raise ValueProblem("not a value of VR DS") from None
    return str(value)


def _check_form(vr: str, text: str) -> None:
    form = _FORMS.get(vr)
    if form is not None:
        if not form.match(text):
            raise ValueProblem(f"not a value of VR {vr}")
        if vr == "IS" and text.strip() and not -(2**31) <= int(text) < 2**31:
            raise ValueProblem("VR IS holds 32-bit numbers")
        return
    limit = _MAX_CHARACTERS.get(vr)
    parts = text.split("=") if vr == "PN" else [text]
    if vr == "PN" and len(parts) > 3:
        raise ValueProblem("a person name has at most three component groups")
    if limit is not None and any(len(part) > limit for part in parts):
        raise ValueProblem(f"VR {vr} holds at most {limit} characters")
    allowed = "\t\n\f\r\x1b" if vr in {"LT", "ST", "UT"} else "\x1b"
    if not text.isprintable() and any(ord(one) < 0x20 and one not in allowed for one in text):
        raise ValueProblem(f"a control character in VR {vr}")
