"""Which transfer syntaxes can be decoded and written, by which installed library (PS3.5 A.4).

Nothing is imported to find out. Lossy are those that may have lost something: JPEG 2000 and HTJ2K in
their general forms count as lossy although they need not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Final

from router.dicom.transfer_syntax import layout_of
from router.dicom.uid_names import shown_uid

EXTRA: Final = "the extra 'pixel' is not installed (pip install 'dicom-router[pixel]')"
_NEEDED: Final = ("numpy", "PIL")


@dataclass(frozen=True, slots=True)
class CodedSyntax:
    """A compressed transfer syntax: the modules that decode and encode it ('' for none).

    `method` is its Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1), '' where it is lossless.
    """

    uid: str
    decoder: str
    encoder: str = ""
    method: str = ""

    @property
    def is_lossy(self) -> bool:
        """Whether decoding may not give back what was encoded."""
        return bool(self.method)


_CODED: Final = {
    one.uid: one
    for one in (
        CodedSyntax("1.2.840.10008.1.2.4.50", "PIL", method="ISO_10918_1"),
        CodedSyntax("1.2.840.10008.1.2.4.51", "PIL", method="ISO_10918_1"),
        CodedSyntax("1.2.840.10008.1.2.4.57", "gdcm"),
        CodedSyntax("1.2.840.10008.1.2.4.70", "gdcm"),
        CodedSyntax("1.2.840.10008.1.2.4.80", "jpeg_ls", "jpeg_ls"),
        CodedSyntax("1.2.840.10008.1.2.4.81", "jpeg_ls", "jpeg_ls", "ISO_14495_1"),
        CodedSyntax("1.2.840.10008.1.2.4.90", "openjpeg", "openjpeg"),
        CodedSyntax("1.2.840.10008.1.2.4.91", "openjpeg", "openjpeg", "ISO_15444_1"),
        CodedSyntax("1.2.840.10008.1.2.4.201", "openjpeg"),
        CodedSyntax("1.2.840.10008.1.2.4.202", "openjpeg"),
        CodedSyntax("1.2.840.10008.1.2.4.203", "openjpeg", method="ISO_15444_15"),
        CodedSyntax("1.2.840.10008.1.2.5", "rle", "rle"),
    )
}
CODED: Final = tuple(_CODED.values())


@lru_cache(maxsize=64)
def _is_there(module: str) -> bool:
    return find_spec(module) is not None


def is_installed() -> bool:
    """Whether the extra is there, as far as everything needs it."""
    return all(map(_is_there, _NEEDED))


def is_lossy(uid: str) -> bool:
    """Whether what this syntax holds may have lost something; so with every one we do not know."""
    return layout_of(uid).encapsulated and not (uid in _CODED and not _CODED[uid].is_lossy)


def lossy_method(uid: str) -> str:
    """Its Lossy Image Compression Method; '' where there is none, or none is known."""
    return _CODED[uid].method if uid in _CODED else ""


def can_write(uid: str) -> bool:
    """Whether frames can be written in this compressed syntax, once the extra is installed."""
    return uid in _CODED and bool(_CODED[uid].encoder)


def obstacle(source_uid: str, target_uid: str) -> str:
    """Why pixels of one syntax cannot be brought into another here; '' where they can."""
    source, target = layout_of(source_uid), layout_of(target_uid)
    modules = list(_NEEDED)
    if source.encapsulated:
        if source_uid not in _CODED:
            return f"there is no decoder for {shown_uid(source_uid)}"
        modules.append(_CODED[source_uid].decoder)
    if target.encapsulated:
        if not can_write(target_uid):
            return f"there is no encoder for {shown_uid(target_uid)}"
        modules.append(_CODED[target_uid].encoder)
    elif not target.little_endian:
        return f"nothing is written in {shown_uid(target_uid)}"
    return "" if all(map(_is_there, modules)) else EXTRA
