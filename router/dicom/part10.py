"""DICOM files: preamble, prefix and file meta information (PS3.10 7.1), written and read.

What we write is the same for the same arguments, byte for byte, with a preamble of zeros. What we
read may lack preamble, prefix or meta information; then the transfer syntax is guessed from the
first element. Reading is bounded to MAX_META_BYTES; a file that is no DICOM raises BadDataset.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from router.dicom.elements import EXPLICIT, IMPLICIT, ElementReader
from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    layout_of,
)
from router.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from router.errors import BadDataset

MAX_META_BYTES: Final = 1024 * 1024
_START_BYTES: Final = 2048
_PREAMBLE_BYTES: Final = 128
_PREFIX: Final = b"DICM"
_SOP_CLASS: Final = 0x00020002
_SOP_INSTANCE: Final = 0x00020003
_TRANSFER_SYNTAX: Final = 0x00020010


@dataclass(frozen=True, slots=True)
class Part10File:
    """What the meta information says ('' where it is silent) and where the data set begins."""

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    data_set_offset: int


def file_meta(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
) -> bytes:
    """Everything of a file before its data set: preamble, prefix, group 0002 (PS3.10 7.1)."""
    elements = [
        _element(0x0001, b"OB", b"\0\1"),
        _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae_title:
        elements.append(_element(0x0016, b"AE", source_ae_title.encode("ascii")))
    group = b"".join(elements)
    length = _element(0x0000, b"UL", struct.pack("<I", len(group)))
    return bytes(_PREAMBLE_BYTES) + _PREFIX + length + group


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    if vr == b"OB":
        return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def open_part10(path: str | os.PathLike[str]) -> Part10File:
    """The meta information of a file. Raises BadDataset, or OSError from the file system."""
    with open(path, "rb") as file:
        start = file.read(MAX_META_BYTES)
    return read_part10(start)


def read_part10(start: bytes) -> Part10File:
    """The same from the first MAX_META_BYTES of a file."""
    offset = 0
    if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _PREFIX:
        offset = _PREAMBLE_BYTES + 4
    elif start[:4] == _PREFIX:
        offset = 4
    texts, offset = _read_group_2(start, offset)
    transfer_syntax_uid = texts.get(_TRANSFER_SYNTAX) or _guess(start[offset : offset + 8])
    return Part10File(
        transfer_syntax_uid, texts.get(_SOP_CLASS, ""), texts.get(_SOP_INSTANCE, ""), offset
    )


@dataclass(frozen=True, slots=True)
class Part10Stream:
    """A file that is read as it comes: its meta information, and its data set, once."""

    meta: Part10File
    chunks: Iterator[memoryview]


def read_part10_stream(chunks: Iterable[bytes]) -> Part10Stream:
    """Read the meta information. Raises BadDataset; and what `chunks` raises, also later.

    A deflated data set of odd length gets the byte that files often lack (PS3.5 A.5).
    """
    coming = iter(chunks)
    start = bytearray()
    wanted = _START_BYTES
    while True:
        while len(start) < wanted and (chunk := next(coming, b"")):
            start += chunk
        is_all = len(start) < wanted or wanted >= MAX_META_BYTES
        try:
            meta = read_part10(bytes(start[:MAX_META_BYTES]))
        except BadDataset:
            if is_all:
                raise
        else:
            # A whole element header behind it shows that group 0002 ended there.
            if is_all or meta.data_set_offset + 8 <= len(start):
                return Part10Stream(meta, _data_set(meta, start, coming))
        wanted *= 8


def _data_set(meta: Part10File, start: bytearray, rest: Iterator[bytes]) -> Iterator[memoryview]:
    length = 0
    for chunk in itertools.chain((bytes(start[meta.data_set_offset :]),), rest):
        length += len(chunk)
        yield memoryview(chunk)
    if length % 2 and layout_of(meta.transfer_syntax_uid).deflated:
        yield memoryview(b"\0")


def _read_group_2(start: bytes, offset: int) -> tuple[dict[int, str], int]:
    reader = ElementReader(lambda at, size: start[at : at + size], len(start))
    # A few writers use Implicit VR even here; the group length element tells.
    coding = IMPLICIT if start[offset + 4 : offset + 8] == b"\4\0\0\0" else EXPLICIT
    texts: dict[int, str] = {}
    # The stated group length is often wrong, so the group ends where another begins.
    while start[offset : offset + 2] == b"\2\0":
        tag, _, value_start, length = reader.header(offset, len(start), coding)
        if value_start + length > len(start):
            raise BadDataset("the file meta information is longer than it may be")
        if tag in {_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX}:
            raw = start[value_start : value_start + length]
            texts[tag] = raw.decode("latin-1").strip(" \0")
        offset = value_start + length
    return texts, offset


def _guess(first: bytes) -> str:
    """The transfer syntax of a data set, from the first element header."""
    if len(first) < 8:
        if first:
            raise BadDataset("no DICOM file: too short")
        return IMPLICIT_VR_LITTLE_ENDIAN
    has_vr = first[4:6].isalpha() and first[4:6].isupper()
    group, length = struct.unpack("<H2xI", first)
    if has_vr and first[0] == 0 and first[1] != 0:
        return EXPLICIT_VR_BIG_ENDIAN
    if has_vr:
        return EXPLICIT_VR_LITTLE_ENDIAN
    if group > 0x0020 or length > MAX_META_BYTES:
        raise BadDataset("no DICOM file: neither a prefix nor a first element")
    return IMPLICIT_VR_LITTLE_ENDIAN
