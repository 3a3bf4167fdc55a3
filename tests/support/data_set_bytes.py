"""The raw data set of a Part 10 file, and what its meta information says. No library, no guessing."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20
_META_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class MetaInformation:
    """Group 0002 of a file (PS3.10 7.1), and where its data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int


def meta_information(path: Path) -> MetaInformation:
    """Read group 0002; ValueError when the file has none."""
    with open(path, "rb") as source:
        data = source.read(_META_LIMIT)
    if data[128:132] != b"DICM":
        raise ValueError(f"{path.name} is no Part 10 file")
    values: dict[int, str] = {}
    at = 132
    while at + 8 <= len(data):
        group, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        if group != 2:
            break
        at += 8
        if vr in (b"OB", b"UN", b"UT"):
            length = struct.unpack_from("<L", data, at)[0]
            at += 4
        values[element] = data[at : at + length].decode("latin-1").rstrip("\0 ")
        at += length
    return MetaInformation(values.get(2, ""), values.get(3, ""), values.get(0x10, ""), at)


def data_set_bytes(path: Path) -> bytes:
    """Every byte behind the meta information."""
    return path.read_bytes()[meta_information(path).offset :]


def data_set_digest(path: Path) -> str:
    """SHA-256 of every byte behind the meta information, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        source.seek(meta_information(path).offset)
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
