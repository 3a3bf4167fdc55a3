"""What a pretend cloud keeps: multipart bodies taken apart as they arrive, parts never in memory.

Behaves as a strict STOW-RS server (PS3.18 10.5): each part must be exactly `application/dicom`,
required attributes must be there, a UID is stored once.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from router.dicom.header import HeaderReader
from router.errors import BadDataset

_BLOCK_BYTES: Final = 64 * 1024
_MAX_HEADER_BYTES: Final = 8192
_META_START: Final = 132
_MAX_META_BYTES: Final = 8192
_TRANSFER_SYNTAX: Final = b"\x02\x00\x10\x00UI"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E

VALIDATION_FAILED: Final = 43264
ALREADY_STORED: Final = 45070
ENCODING_WARNING: Final = 45063


class BadRequest(Exception):
    """The multipart body is not what it must be; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance the cloud holds. Digests are SHA-256; `path` is None unless files are kept."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    length: int
    digest: str
    data_set_digest: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class Received:
    """One part as it arrived: an instance, or None and why it is none."""

    instance: Stored | None
    reason: int = 0


class Reader(Protocol):
    """Where a body is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


def received_parts(
    source: Reader, length: int, boundary: bytes, folder: Path | None
) -> Iterator[Received]:
    """The parts of a multipart/related body of `length` bytes, one after another.

    Raises BadRequest for a wrong part header (415) or wrong framing (400).
    """
    stream = _Stream(source, length)
    delimiter = b"--" + boundary
    if stream.through(delimiter) is None:
        raise BadRequest(400, "no boundary in the body")
    while True:
        ending = stream.take(2)
        if ending == b"--":
            return
        if ending != b"\r\n":
            raise BadRequest(400, "a boundary that does not end its line")
        _check_header(stream)
        sink = _Sink(folder)
        try:
            complete = stream.copy(b"\r\n" + delimiter, sink)
        finally:
            sink.close()
        yield sink.received()
        if not complete:
            return


def _check_header(stream: _Stream) -> None:
    header = stream.through(b"\r\n\r\n")
    if header is None or len(header) > _MAX_HEADER_BYTES:
        raise BadRequest(400, "a part without end of header")
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type" and value.strip() != b"application/dicom":
            raise BadRequest(415, "a part that is not application/dicom")


class _Stream:
    """A body of known length, searched without being held."""

    def __init__(self, source: Reader, length: int) -> None:
        self._source = source
        self._left = length
        self._held = bytearray()

    def _more(self) -> bool:
        if not self._left:
            return False
        data = self._source.read(min(_BLOCK_BYTES, self._left))
        self._left = self._left - len(data) if data else 0
        self._held += data
        return bool(data)

    def take(self, count: int) -> bytes:
        while len(self._held) < count and self._more():
            pass
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def through(self, mark: bytes) -> bytes | None:
        """What comes before the mark, which is passed; None when it is not within bounds."""
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > 2 * _MAX_HEADER_BYTES or not self._more():
                return None
        found = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return found

    def copy(self, mark: bytes, sink: _Sink) -> bool:
        """Everything up to the mark into the sink; false when the body ends before it."""
        while (at := self._held.find(mark)) < 0:
            keep = len(mark) - 1
            sink.write(bytes(self._held[:-keep]))
            del self._held[:-keep]
            if not self._more():
                return False
        sink.write(bytes(self._held[:at]))
        del self._held[: at + len(mark)]
        return True


class _Sink:
    """One part while it arrives: digests, the header, and the file if files are kept."""

    def __init__(self, folder: Path | None) -> None:
        self._digest = hashlib.sha256()
        self._data_set_digest = hashlib.sha256()
        self._length = 0
        self._start = b""
        self._header: HeaderReader | None = None
        self._transfer_syntax_uid = ""
        self._bad = False
        self._path = folder / f"{secrets.token_hex(16)}.dcm" if folder is not None else None
        self._file: BinaryIO | None = self._path.open("wb") if self._path is not None else None

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._length += len(data)
        if self._file is not None:
            self._file.write(data)
        if self._header is None and not self._bad:
            self._start += data
            data = self._after_meta()
        if self._header is not None and data:
            self._data_set_digest.update(data)
            if not self._bad:
                try:
                    self._header.feed(data)
                except BadDataset:
                    self._bad = True

    def _after_meta(self) -> bytes:
        """The bytes of the data set once the meta information is complete."""
        start = self._start
        if len(start) < _META_START + 12:
            return b""
        end = _META_START + 12 + int(struct.unpack_from("<I", start, _META_START + 8)[0])
        found = start.find(_TRANSFER_SYNTAX, _META_START)
        if start[128:132] != b"DICM" or end > _MAX_META_BYTES:
            self._bad = True
            return b""
        if len(start) < end:
            return b""
        if not 0 <= found < end - 8:
            self._bad = True
            return b""
        length = int(struct.unpack_from("<H", start, found + 6)[0])
        uid = start[found + 8 : found + 8 + length]
        self._transfer_syntax_uid = uid.decode("ascii", "replace").strip("\0 ")
        self._header = HeaderReader(self._transfer_syntax_uid, ())
        self._start = b""
        return start[end:]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def discard(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def received(self) -> Received:
        uids = self._uids()
        if uids is None:
            self.discard()
            return Received(None, VALIDATION_FAILED)
        stored = Stored(
            uids[0],
            uids[1],
            uids[2],
            uids[3],
            self._transfer_syntax_uid,
            self._length,
            self._digest.hexdigest(),
            self._data_set_digest.hexdigest(),
            self._path,
        )
        warning = ENCODING_WARNING if self._transfer_syntax_uid == _IMPLICIT else 0
        return Received(stored, warning)

    def _uids(self) -> tuple[str, ...] | None:
        """SOP class, SOP instance, study and series UID of a whole data set, else None."""
        if self._header is None or self._bad:
            return None
        try:
            self._header.finish()
        except BadDataset:
            return None
        header = self._header
        uids = tuple(header.text(tag) for tag in (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES))
        return uids if all(uids) else None
