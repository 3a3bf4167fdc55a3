"""Synthetic studies: realistic headers, random pixels, nobody's data. The same seed, the same bytes.

Written by hand from PS3.5 and PS3.3, without pydicom and NumPy, so that what the product writes and
what the tests expect have no library in common.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
NATIVE = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
}
MULTIFRAME_GRAYSCALE_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
UID_ROOT = "1.2.826.0.1.3680043.10.1.999"
CREATOR = "ACME IMAGING 1.1"

_LONG_VRS = frozenset(
    {"OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UN", "UR", "UT", "SV", "UV"}
)
_NUL_PADDED = frozenset({"UI", "OB", "UN"})
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}

Value = str | bytes | int | float | Sequence["int | float"] | Sequence["Elements"]
Elements = Mapping[int, tuple[str, "Value"]]


@dataclass(frozen=True, slots=True)
class Synthetic:
    """One object: its data set as it stands on the wire, and what a sender must know of it."""

    data_set: bytes
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str

    def part10(self) -> bytes:
        """The object as a file (PS3.10 7.1)."""
        return file_meta(self) + self.data_set

    def write(self, folder: Path, name: str | None = None) -> Path:
        """Write the file into the folder; the path."""
        path = folder / (name or f"{self.sop_instance_uid}.dcm")
        path.write_bytes(self.part10())
        return path


def instance(
    seed: int,
    *,
    modality: str = "CT",
    rows: int = 64,
    columns: int = 64,
    frames: int = 1,
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
    study: int | None = None,
    changes: Elements | None = None,
    character_set: str = "ISO_IR 100",
) -> Synthetic:
    """One object with about a hundred elements, private groups and sequences among them.

    Objects of the same `study` share study and patient (default: the seed). `changes` adds or
    replaces elements by tag. Encapsulated syntaxes get two fragments a frame (noise, not a codec).
    """
    rng = random.Random(seed)
    study = seed if study is None else study
    header = dict(_header(rng, seed, study, modality, rows, columns, frames, character_set))
    header.update(changes or {})
    encoder = Encoder(transfer_syntax_uid)
    if transfer_syntax_uid in NATIVE:
        header[PIXEL_DATA] = ("OW", rng.randbytes(rows * columns * 2 * frames))
        body = encoder.elements(header)
    else:
        body = encoder.elements(header) + encoder.encapsulated(
            [rng.randbytes(max(2, rows * columns // 4 * 2)) for _ in range(frames)]
        )
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        body = deflate(body)
    return _finished(header, transfer_syntax_uid, body)


def series(count: int, *, seed: int = 1, **options: object) -> Iterator[Synthetic]:
    """`count` objects of one study with seeds of their own; options as for `instance`."""
    for number in range(count):
        yield instance(seed * 1_000_000 + number, study=seed, **options)  # type: ignore[arg-type]


def large_chunks(seed: int, total_bytes: int) -> tuple[Synthetic, Iterator[bytes]]:
    """A multi-frame object of about `total_bytes`: its facts (empty data set), then its chunks.

    Explicit VR Little Endian, 1 MiB a chunk, never whole in memory. The frames repeat one MiB of
    noise with their number in front, so that a misplaced chunk shows.
    """
    rng = random.Random(seed)
    frames = max(1, total_bytes >> 20)
    header = dict(_header(rng, seed, seed, "CT", 1024, 512, frames, "ISO_IR 100"))
    header[0x00080016] = ("UI", MULTIFRAME_GRAYSCALE_WORD)
    encoder = Encoder(EXPLICIT_VR_LITTLE_ENDIAN)
    noise = rng.randbytes((1 << 20) - 4)

    def chunks() -> Iterator[bytes]:
        pixel_header = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, frames << 20)
        yield encoder.elements(header) + pixel_header
        for number in range(frames):
            yield struct.pack("<L", number) + noise

    return _finished(header, EXPLICIT_VR_LITTLE_ENDIAN, b""), chunks()


def write_large(path: Path, seed: int, total_bytes: int) -> Synthetic:
    """Write such an object as a file, chunk by chunk; its facts."""
    facts, chunks = large_chunks(seed, total_bytes)
    with open(path, "wb") as output:
        output.write(file_meta(facts))
        for chunk in chunks:
            output.write(chunk)
        output.flush()
        os.posix_fadvise(output.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return facts


def file_meta(facts: Synthetic) -> bytes:
    """Preamble, DICM and group 0002 (PS3.10 7.1)."""
    encoder = Encoder(EXPLICIT_VR_LITTLE_ENDIAN)
    body = encoder.elements(
        {
            0x00020001: ("OB", b"\0\1"),
            0x00020002: ("UI", facts.sop_class_uid),
            0x00020003: ("UI", facts.sop_instance_uid),
            0x00020010: ("UI", facts.transfer_syntax_uid),
            0x00020012: ("UI", UID_ROOT),
        }
    )
    return bytes(128) + b"DICM" + encoder.elements({0x00020000: ("UL", len(body))}) + body


def deflate(data: bytes) -> bytes:
    """Raw deflate of a data set (PS3.5 A.5), padded to even length."""
    packer = zlib.compressobj(level=6, wbits=-15)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


class Encoder:
    """Elements to bytes in one transfer syntax; encapsulated ones are explicit little endian."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        self._explicit = transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
        self._order = ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"

    def elements(self, elements: Elements) -> bytes:
        """Elements in tag order."""
        return b"".join(self.element(tag, *elements[tag]) for tag in sorted(elements))

    def element(self, tag: int, vr: str, value: Value, length: int | None = None) -> bytes:
        """One element; `length` overrides the true one (for lies and undefined lengths)."""
        raw = self._items(value) if vr == "SQ" else self._raw(vr, value)
        return self.element_header(tag, vr, len(raw) if length is None else length) + raw

    def element_header(self, tag: int, vr: str, length: int) -> bytes:
        """Tag, VR and length."""
        order = self._order
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if not self._explicit:
            return head + struct.pack(order + "L", length)
        if vr in _LONG_VRS:
            return head + vr.encode() + struct.pack(order + "HL", 0, length)
        return head + vr.encode() + struct.pack(order + "H", length)

    def encapsulated(self, frames: Sequence[bytes], fragments: int = 2) -> bytes:
        """Pixel Data as fragments behind an empty Basic Offset Table (PS3.5 A.4)."""
        out = [self.element_header(PIXEL_DATA, "OB", UNDEFINED), self._item(b"")]
        for frame in frames:
            stream = b"\xff\xd8\xff\xe0" + frame + b"\xff\xd9"
            size = max(2, (len(stream) // fragments + 1) & ~1)
            for start in range(0, len(stream), size):
                part = stream[start : start + size]
                out.append(self._item(part + b"\0" * (len(part) % 2)))
        out.append(struct.pack(self._order + "HHL", 0xFFFE, 0xE0DD, 0))
        return b"".join(out)

    def _item(self, content: bytes) -> bytes:
        return struct.pack(self._order + "HHL", 0xFFFE, 0xE000, len(content)) + content

    def _items(self, value: Value) -> bytes:
        assert not isinstance(value, str | bytes | int | float)
        return b"".join(self._item(self.elements(item)) for item in value)  # type: ignore[arg-type]

    def _raw(self, vr: str, value: Value) -> bytes:
        if vr in _NUMBERS:
            values = [value] if isinstance(value, int | float) else list(value)  # type: ignore[arg-type]
            return struct.pack(f"{self._order}{len(values)}{_NUMBERS[vr]}", *values)
        raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
        return raw + (b"\0" if vr in _NUL_PADDED else b" ") * (len(raw) % 2)


def _finished(header: Elements, transfer_syntax_uid: str, body: bytes) -> Synthetic:
    return Synthetic(
        data_set=body,
        transfer_syntax_uid=transfer_syntax_uid,
        sop_class_uid=str(header[0x00080016][1]),
        sop_instance_uid=str(header[0x00080018][1]),
        study_instance_uid=str(header[0x0020000D][1]),
        series_instance_uid=str(header[0x0020000E][1]),
    )


def _header(
    rng: random.Random,
    seed: int,
    study: int,
    modality: str,
    rows: int,
    columns: int,
    frames: int,
    character_set: str,
) -> Iterator[tuple[int, tuple[str, Value]]]:
    yield from _identity(seed, study, modality, character_set)
    yield from _acquisition(rng, seed, modality)
    yield from _private(rng)
    yield from _image(seed, rows, columns, frames)


def _identity(
    seed: int, study: int, modality: str, character_set: str
) -> Iterator[tuple[int, tuple[str, Value]]]:
    people = random.Random(study)
    family = people.choice(("Almeida", "Novak", "Okafor", "Tanaka", "Lindqvist", "Moreau"))
    date, time = f"2026{people.randint(1, 12):02}{people.randint(1, 28):02}", "101530.250000"
    study_uid = f"{UID_ROOT}.2.{study}"
    sop_class = SOP_CLASSES[modality]
    yield 0x00080005, ("CS", character_set)
    yield 0x00080008, ("CS", "ORIGINAL\\PRIMARY\\AXIAL")
    yield 0x00080012, ("DA", date)
    yield 0x00080013, ("TM", time)
    yield 0x00080016, ("UI", sop_class)
    yield 0x00080018, ("UI", f"{UID_ROOT}.4.{study}.{seed}")
    for tag in (0x00080020, 0x00080021, 0x00080022, 0x00080023):
        yield tag, ("DA", date)
    for tag in (0x00080030, 0x00080031, 0x00080032, 0x00080033):
        yield tag, ("TM", time)
    yield 0x00080050, ("SH", f"A{study:07}")
    yield 0x00080060, ("CS", modality)
    yield 0x00080070, ("LO", "ACME Imaging")
    yield 0x00080080, ("LO", "General Hospital")
    yield 0x00080081, ("ST", "1 Hospital Road")
    yield 0x00080090, ("PN", "Referrer^Rita")
    yield 0x00081010, ("SH", f"{modality}1")
    yield 0x00081030, ("LO", people.choice(("CHEST ROUTINE", "HEAD W/O", "RX ABDOMEN")))
    yield 0x0008103E, ("LO", "AXIAL 1.25")
    yield 0x00081040, ("LO", "Radiology")
    yield 0x00081070, ("PN", "Operator^Otto")
    yield 0x00081090, ("LO", "Model 7")
    referenced = {0x00081150: ("UI", sop_class), 0x00081155: ("UI", f"{UID_ROOT}.9.{study}")}
    yield 0x00081110, ("SQ", [referenced])
    yield 0x00081140, ("SQ", [referenced, {**referenced, 0x00081155: ("UI", UID_ROOT)}])
    yield 0x00100010, ("PN", f"{family}^Test{study}")
    yield 0x00100020, ("LO", f"P{study:06}")
    yield 0x00100021, ("LO", "HOSPA")
    yield 0x00100030, ("DA", f"19{people.randint(30, 99)}0704")
    yield 0x00100040, ("CS", people.choice("FMO"))
    yield 0x00101010, ("AS", "054Y")
    yield 0x00101020, ("DS", "1.74")
    yield 0x00101030, ("DS", "71.5")
    yield 0x00104000, ("LT", "Synthetic: nobody's data.")
    yield 0x0020000D, ("UI", study_uid)
    yield 0x0020000E, ("UI", f"{UID_ROOT}.3.{study}")
    yield 0x00200010, ("SH", str(study % 10**8))
    yield 0x00200011, ("IS", "2")
    code = {0x00080100: ("SH", "T-D3000"), 0x00080102: ("SH", "SRT"), 0x00080104: ("LO", "Chest")}
    step = {0x00400007: ("LO", "CHEST"), 0x00400008: ("SQ", [code]), 0x00400009: ("SH", "SPS1")}
    yield 0x00400244, ("DA", date)
    yield 0x00400245, ("TM", time)
    yield 0x00400253, ("SH", "PPS1")
    yield 0x00400275, ("SQ", [step])


def _acquisition(
    rng: random.Random, seed: int, modality: str
) -> Iterator[tuple[int, tuple[str, Value]]]:
    yield 0x00180015, ("CS", "CHEST")
    yield 0x00180050, ("DS", "1.25")
    yield 0x00181000, ("LO", "SN-0042")
    yield 0x00181020, ("LO", "7.1.3")
    yield 0x00181030, ("LO", f"{modality} protocol")
    yield 0x00185100, ("CS", "HFS")
    if modality == "CT":
        yield 0x00180060, ("DS", "120")
        yield 0x00180090, ("DS", "500")
        yield 0x00181100, ("DS", "360")
        yield 0x00181120, ("DS", "0")
        yield 0x00181150, ("IS", "800")
        yield 0x00181151, ("IS", str(rng.randint(80, 400)))
        yield 0x00181210, ("SH", "STANDARD")
        yield 0x00189305, ("FD", 0.8)
        yield 0x00189311, ("FD", 0.984375)
        yield 0x00281052, ("DS", "-1024")
        yield 0x00281053, ("DS", "1")
        yield 0x00281054, ("LO", "HU")
    elif modality == "MR":
        yield 0x00180020, ("CS", "SE")
        yield 0x00180021, ("CS", "SK\\OSP")
        yield 0x00180080, ("DS", "500")
        yield 0x00180081, ("DS", "15.2")
        yield 0x00180083, ("DS", "2")
        yield 0x00180084, ("DS", "63.86")
        yield 0x00180087, ("DS", "1.5")
        yield 0x00181310, ("US", [0, 256, 192, 0])
        yield 0x00181314, ("DS", "90")
    else:
        yield 0x00181004, ("LO", "PLATE-9")
        yield 0x00180060, ("DS", "110")
        yield 0x00181152, ("IS", "4")
        yield 0x00181164, ("DS", "0.2\\0.2")
        yield 0x00181260, ("SH", "IP")
        yield 0x00185101, ("CS", "PA")
    yield 0x00200012, ("IS", "1")
    yield 0x00200013, ("IS", str(seed % 1_000_000 + 1))
    yield 0x00200032, ("DS", f"-158.1\\-179.0\\{seed % 500 * 1.25:.2f}")
    yield 0x00200037, ("DS", "1\\0\\0\\0\\1\\0")
    yield 0x00200052, ("UI", f"{UID_ROOT}.5.{seed // 1_000_000}")
    yield 0x00201041, ("DS", f"{seed % 500 * 1.25:.2f}")


def _private(rng: random.Random) -> Iterator[tuple[int, tuple[str, Value]]]:
    yield 0x00090010, ("LO", CREATOR)
    yield 0x00091001, ("LO", f"unit {rng.randint(1, 99)}")
    yield 0x00091002, ("UN", rng.randbytes(24))
    yield 0x00091003, ("SL", [rng.randint(-9, 9) for _ in range(4)])
    yield 0x00091004, ("FD", [rng.random(), rng.random()])
    nested: Elements = {0x00190010: ("LO", CREATOR), 0x00191001: ("DS", "2.5")}
    yield 0x00190010, ("LO", CREATOR)
    yield 0x00191002, ("SQ", [nested])
    yield 0x00191003, ("OB", rng.randbytes(512))
    yield 0x00290010, ("LO", "ACME CSA HEADER")
    yield 0x00291008, ("CS", "IMAGE NUM 4")
    yield 0x00291010, ("OB", rng.randbytes(2048))


def _image(
    seed: int, rows: int, columns: int, frames: int
) -> Iterator[tuple[int, tuple[str, Value]]]:
    yield 0x00280002, ("US", 1)
    yield 0x00280004, ("CS", "MONOCHROME2")
    if frames > 1:
        yield 0x00280008, ("IS", str(frames))
    yield 0x00280010, ("US", rows)
    yield 0x00280011, ("US", columns)
    yield 0x00280030, ("DS", "0.488281\\0.488281")
    yield 0x00280100, ("US", 16)
    yield 0x00280101, ("US", 12)
    yield 0x00280102, ("US", 11)
    yield 0x00280103, ("US", seed % 2)
    yield 0x00281050, ("DS", "40")
    yield 0x00281051, ("DS", "400")
