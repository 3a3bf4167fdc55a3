"""multipart/related in: part by part, as the bytes come, in memory that does not grow (RFC 2046 5.1).

A body counts as whole only with its closing boundary (PS3.18 8.6.1.2): what ends earlier, or is no
multipart, raises BrokenBody at the place where that shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from typing import Final

from router.errors import RouterError

MAX_HEADERS_BYTES: Final = 16 * 1024
_MAX_BOUNDARY_CHARACTERS: Final = 70
_END_OF_HEADERS: Final = b"\r\n\r\n"


class BrokenBody(RouterError):
    """The body is no multipart, or not a whole one."""

    scope = "association"
    http_status = 400


class IncomingPart:
    """One part: its headers, names in lower case, and its bytes, which can be had once."""

    def __init__(self, headers: Mapping[str, str], chunks: Iterator[bytes]) -> None:
        self.headers = headers
        self.chunks = chunks

    @property
    def media_type(self) -> str:
        """In lower case and without parameters, such as `application/dicom`."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def parts(content_type: str, body: Iterable[bytes]) -> Iterator[IncomingPart]:
    """The parts of a body; what is not read of one is passed over when the next is asked for."""
    reader = _Reader(boundary_of(content_type), iter(body))
    while reader.next_part():
        part = IncomingPart(reader.headers(), reader.content())
        yield part
        for _ in part.chunks:
            pass


def boundary_of(content_type: str) -> bytes:
    """The boundary a Content-Type names. Raises BrokenBody where it is none of multipart/related."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise BrokenBody("the body is no multipart/related with a boundary")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_CHARACTERS or not boundary.isascii():
        raise BrokenBody("the boundary is none that RFC 2046 permits")
    return boundary.encode("ascii")


class _Reader:
    """The bytes between boundaries. The buffer holds one chunk and the rest of the one before."""

    def __init__(self, boundary: bytes, body: Iterator[bytes]) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._body = body
        # A boundary at the very start has no line before it.
        self._buffer = bytearray(b"\r\n")
        self._begun = False

    def next_part(self) -> bool:
        """Go behind the next boundary; whether it opens a part. The first one may follow a preamble."""
        if not self._begun:
            self._begun = True
            for _ in self.content():
                pass
        while len(self._buffer) < 2:
            self._more()
        if self._buffer.startswith(b"--"):
            return False
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more_of_headers()
        if bytes(self._buffer[:end]).strip(b" \t"):
            raise BrokenBody("a boundary is followed by other characters")
        del self._buffer[:end]
        return True

    def headers(self) -> dict[str, str]:
        """The headers of the part; the buffer begins with the line break before them."""
        while (end := self._buffer.find(_END_OF_HEADERS)) < 0:
            self._more_of_headers()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + len(_END_OF_HEADERS)]
        pairs = (line.partition(":") for line in lines if line)
        # A part without content begins with the boundary: its line break was the headers' own.
        boundary = self._delimiter[2:]
        while len(self._buffer) < len(boundary) and boundary.startswith(bytes(self._buffer)):
            self._more()
        if self._buffer.startswith(boundary):
            self._buffer[:0] = b"\r\n"
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    def content(self) -> Iterator[bytes]:
        """The bytes up to the next boundary, which is taken out of the buffer."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > keep:
                settled = bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
                yield settled
            self._more()
        if at:
            yield bytes(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]

    def _more(self) -> None:
        chunk = next(self._body, None)
        if chunk is None:
            raise BrokenBody("the body ended before its closing boundary")
        self._buffer += chunk

    def _more_of_headers(self) -> None:
        if len(self._buffer) > MAX_HEADERS_BYTES:
            raise BrokenBody("the headers of a part are too long")
        self._more()
