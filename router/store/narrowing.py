"""Narrowing: query keys as SQL over the catalogue in memory, which finds all that may match.

A condition may let through too much, never too little: what it cannot say it leaves out, and the
matching of PS3.4 C.2.2.2 looks at every row that is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from router.dicom.matching import RANGE_VRS, WILDCARD_VRS, folded, is_universal
from router.model.catalogue import (
    MODALITIES_IN_STUDY,
    ORIGINAL_PATIENT_ID,
    PATIENT_TAGS,
    STUDY_TAGS,
    Attributes,
)
from router.model.query import PATIENT_ID, STUDY_INSTANCE_UID, DataElement, Identifier

# Attributes with a column of their own: tag, column, whether names are folded in it.
_TAGS: Final = {
    0x00100010: "patient_name",
    0x00100020: "patient_id",
    0x00100021: "issuer",
    0x00100030: "birth_date",
    0x00100040: "sex",
    0x00080020: "study_date",
    0x00080030: "study_time",
    0x00080050: "accession",
    0x00080090: "referring",
    0x00081030: "description",
    0x00200010: "study_id",
    ORIGINAL_PATIENT_ID: "original_patient_id",
}
_NAMES: Final = frozenset({0x00100010, 0x00080090})
_DATES: Final = frozenset({0x00100030, 0x00080020})
_TIME: Final = 0x00080030
_DATE: Final = re.compile(r"\d{8}\Z")
COLUMNS: Final = tuple(_TAGS.values())
_PLAIN_VRS: Final = WILDCARD_VRS - {"PN"} | {"AS"}
# Written otherwise in the text of the attributes, or able to stand for what is.
_ESCAPED: Final = re.compile(r'["\\?\x00-\x1f]')
_MODALITY: Final = "EXISTS (SELECT 1 FROM series s WHERE s.study_uid = study.study_uid AND ({}))"
MAX_TERMS: Final = 200


def column_values(attributes: Attributes) -> tuple[str | None, ...]:
    """The values of COLUMNS; a date that is no plain one is None: it has to be looked at."""
    whole = {ORIGINAL_PATIENT_ID: attributes.get(PATIENT_ID, ""), **attributes}
    return tuple(_column_value(tag, whole.get(tag, "")) for tag in _TAGS)


def _column_value(tag: int, text: str) -> str | None:
    if tag in _DATES:
        return text if not text or _DATE.match(text) else None
    if tag == _TIME:
        return text.replace(":", "")
    return text.casefold() if tag in _NAMES else text


def conditions(keys: Identifier) -> tuple[str, list[str]]:
    """A condition on `study`, and its parameters."""
    parts: list[str] = ["1"]
    parameters: list[str] = []
    for tag, key in keys.items():
        values = [str(value) for value in key.values if str(value) != ""]
        if is_universal(key) or len(values) > MAX_TERMS:
            continue
        if tag == STUDY_INSTANCE_UID:
            parts.append(f"study_uid IN ({', '.join('?' * len(values))})")
            parameters += [value.strip(" \0") for value in values]
        elif tag == MODALITIES_IN_STUDY:
            terms = [_text("s.modality", key.vr, value) for value in values]
            parts.append(_MODALITY.format(_any(terms, parameters)))
        elif tag in _TAGS:
            terms = [_term(_TAGS[tag], key, value) for value in values]
            parts.append(f"({_any(terms, parameters)})")
        elif key.vr in _PLAIN_VRS and tag in STUDY_TAGS | PATIENT_TAGS:
            # Among the attributes as they are written, wherever it stands.
            terms = [_text("attributes", key.vr, value) for value in values]
            if not any(_ESCAPED.search(value) for value in values):
                parts.append(f"({_any(terms, parameters)})")
    return " AND ".join(parts), parameters


def _any(terms: Iterable[tuple[str, list[str]]], parameters: list[str]) -> str:
    texts = []
    for text, values in terms:
        texts.append(text)
        parameters += values
    return " OR ".join(texts)


def _term(column: str, key: DataElement, value: str) -> tuple[str, list[str]]:
    if key.vr == "PN":
        groups = [folded(group) for group in value.split("=")]
        wanted = [f"*{_glob(group)}*" for group in groups if group]
        return " AND ".join([f"{column} GLOB ?"] * len(wanted)) or "1", wanted
    if key.vr == "TM":
        return _time(column, value)
    if key.vr in RANGE_VRS:
        return _date(column, value)
    return _text(column, key.vr, value)


def _date(column: str, value: str) -> tuple[str, list[str]]:
    low, dash, high = value.replace(".", "").strip(" ").partition("-")
    high = high if dash else low
    bounds = [low.ljust(8, "0"), high.ljust(8, "9") if high else "~"]
    return f"({column} IS NULL OR {column} BETWEEN ? AND ?)", bounds


def _time(column: str, value: str) -> tuple[str, list[str]]:
    low, dash, high = value.replace(":", "").strip(" ").partition("-")
    # A short value stands for the beginning of its hour or minute: `10` is not before `1000`.
    bounds = [low.rstrip("0"), f"{high if dash else low}~" if high or not dash else "~"]
    return f"{column} BETWEEN ? AND ?", bounds


def _text(column: str, vr: str, value: str) -> tuple[str, list[str]]:
    plain = value.strip(" \0")
    if vr in WILDCARD_VRS and ("*" in plain or "?" in plain):
        return f"{column} GLOB ?", [f"*{_glob(plain)}*"]
    return f"instr({column}, ?) > 0", [plain]


def _glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")
