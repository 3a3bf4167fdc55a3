"""Elements by hand in any uncompressed coding, lengths as one likes them, lies included.

Independent of the product and of pydicom: PS3.5 7.1 (elements), 7.5 (sequences), A.4 (fragments).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED)
UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes bytes in one transfer syntax; deflated ones are to be passed through `finished`."""

    syntax: str

    @property
    def order(self) -> str:
        """The byte order, for struct."""
        return ">" if self.syntax == BIG else "<"

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """Tag, VR and length."""
        start = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if self.syntax == IMPLICIT:
            return start + struct.pack("<I", length)
        if vr in _LONG_VRS:
            return start + vr.encode() + struct.pack(f"{self.order}HI", 0, length)
        return start + vr.encode() + struct.pack(f"{self.order}H", length)

    def element(self, tag: int, vr: str, value: bytes | str, length: int | None = None) -> bytes:
        """One element; `length` overrides the true one."""
        raw = value if isinstance(value, bytes) else value.encode()
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2) if isinstance(value, str) else b""
        return self.header(tag, vr, len(raw) if length is None else length) + raw

    def numbers(self, tag: int, vr: str, code: str, *values: float) -> bytes:
        """One element of numbers with this struct code."""
        return self.element(tag, vr, struct.pack(f"{self.order}{len(values)}{code}", *values))

    def delimiter(self, element: int, length: int = 0) -> bytes:
        """An item or delimiter: (FFFE,E000), (FFFE,E00D), (FFFE,E0DD)."""
        return struct.pack(f"{self.order}HHI", 0xFFFE, element, length)

    def item(self, *elements: bytes, undefined: bool = False) -> bytes:
        """One item of a sequence, or one fragment."""
        body = b"".join(elements)
        if undefined:
            return self.delimiter(0xE000, UNDEFINED) + body + self.delimiter(0xE00D)
        return self.delimiter(0xE000, len(body)) + body

    def sequence(self, tag: int, *items: bytes, undefined: bool = False, vr: str = "SQ") -> bytes:
        """One sequence of items, or an element of fragments."""
        body = b"".join(items)
        if undefined:
            return self.header(tag, vr, UNDEFINED) + body + self.delimiter(0xE0DD)
        return self.header(tag, vr, len(body)) + body

    def finished(self, *elements: bytes) -> bytes:
        """The data set as it is sent in this transfer syntax."""
        raw = b"".join(elements)
        if self.syntax != DEFLATED:
            return raw
        stream = zlib.compressobj(wbits=-15)
        packed = stream.compress(raw) + stream.flush()
        return packed + b"\0" * (len(packed) % 2)
