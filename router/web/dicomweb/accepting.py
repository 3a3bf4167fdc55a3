"""Accept headers of DICOMweb: which of what we can give the client takes (PS3.18 8.3.3, 8.7.5).

Media types are compared without case; `type` and `transfer-syntax` are read quoted or bare, and a
wildcard stands for anything. A request without the header takes anything (RFC 9110 12.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
RELATED: Final = "multipart/related"
ANY_SYNTAX: Final = "*"
_MAX_ENTRIES: Final = 100
_ENTRIES: Final = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_PARAMETERS: Final = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')


@dataclass(frozen=True, slots=True)
class Accepted:
    """One entry: the type of a part, whether in a multipart, the transfer syntax ('' for none)."""

    media_type: str
    is_multipart: bool
    transfer_syntax_uid: str
    quality: float

    def meets(self, media_type: str) -> bool:
        """Whether it takes this media type."""
        family, _, rest = self.media_type.partition("/")
        is_family = rest == "*" and media_type.startswith(f"{family}/")
        return is_family or self.media_type in (media_type, "*/*")


def accepted(header: str | None) -> tuple[Accepted, ...]:
    """The entries of an Accept header, the best first."""
    if header is None or not header.strip():
        return (Accepted("*/*", is_multipart=False, transfer_syntax_uid="", quality=1.0),)
    found = [_entry(text) for text in _ENTRIES.split(header)[:_MAX_ENTRIES] if text.strip()]
    wanted = [one for one in found if one.quality > 0]
    return tuple(sorted(wanted, key=lambda one: -one.quality))


def takes_json(header: str | None) -> bool:
    """Whether DICOM JSON may be answered."""
    types = {one.media_type for one in accepted(header) if not one.is_multipart}
    return not types.isdisjoint({DICOM_JSON, JSON, "application/*", "*/*"})


def _entry(text: str) -> Accepted:
    media_type, *parameters = _PARAMETERS.split(text)
    named: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        named[name.strip().lower()] = value.strip().strip('"')
    kind = media_type.strip().lower()
    is_multipart = kind == RELATED
    if is_multipart:
        kind = named.get("type", "*/*").lower()
    return Accepted(
        kind, is_multipart, named.get("transfer-syntax", ""), _quality(named.get("q", "1"))
    )


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def all_that(
    header: str | None, media_types: Iterable[str], *, multipart: Iterable[bool] = (True, False)
) -> tuple[Accepted, ...]:
    """The entries that one of these media types meets, in one of these forms, the best first."""
    kinds, forms = tuple(media_types), frozenset(multipart)
    return tuple(
        one
        for one in accepted(header)
        if (one.is_multipart in forms or one.media_type == "*/*") and any(map(one.meets, kinds))
    )


def first_that(
    header: str | None, media_types: Iterable[str], *, multipart: Iterable[bool] = (True, False)
) -> Accepted | None:
    """The best of them."""
    return next(iter(all_that(header, media_types, multipart=multipart)), None)
