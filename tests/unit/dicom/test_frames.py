"""Where frames lie in pixel data, native and encapsulated; what cannot be told apart is said."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.frames import PixelFacts, frame_stretches, image_type_of
from router.errors import BadDataset

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
FACTS = PixelFacts(rows=2, columns=3, samples=1, bits_allocated=16, frames=4)


def item(data: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


def encapsulated(*items: bytes, end: bytes = b"\xfe\xff\xdd\xe0\0\0\0\0") -> bytes:
    return b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"".join(map(item, items)) + end


def read_frames(data: bytes, syntax: str, frames: int) -> list[bytes]:
    whole = b"header" + data
    facts = PixelFacts(2, 3, 1, 16, frames)
    found = frame_stretches(lambda at, size: whole[at : at + size], 6, len(whole), syntax, facts)
    return [b"".join(whole[at : at + size] for at, size in one) for one in found]


@pytest.mark.parametrize(
    ("syntax", "head"),
    [(EXPLICIT, b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", 48)),
     (IMPLICIT, b"\xe0\x7f\x10\x00" + struct.pack("<I", 48))],
)  # fmt: skip
def test_native_frames_are_stretches_of_equal_length(syntax: str, head: bytes) -> None:
    pixels = bytes(range(48))
    expected = [pixels[at : at + 12] for at in range(0, 48, 12)]
    assert read_frames(head + pixels, syntax, 4) == expected
    with pytest.raises(BadDataset, match="shorter"):
        read_frames(head + pixels, syntax, 5)


def test_one_fragment_a_frame_and_one_frame_of_many() -> None:
    assert read_frames(encapsulated(b"", b"aa", b"bb", b"cc"), JPEG, 3) == [b"aa", b"bb", b"cc"]
    assert read_frames(encapsulated(b"", b"aa", b"bb", b"cc"), JPEG, 1) == [b"aabbcc"]


def test_the_offset_table_says_which_fragments_are_of_which_frame() -> None:
    table = struct.pack("<2I", 0, 20)
    assert read_frames(encapsulated(table, b"aa", b"bb", b"cc"), JPEG, 2) == [b"aabb", b"cc"]
    with pytest.raises(BadDataset, match="which frame"):
        read_frames(encapsulated(b"", b"aa", b"bb", b"cc"), JPEG, 2)


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (b"", EXPLICIT),
        (b"\x10\x00\x10\x00LO\x02\0AB", EXPLICIT),
        (encapsulated(b"", b"aa"), BIG),
        (encapsulated(b"", b"aa", end=b""), JPEG),
        (encapsulated(b"")[:-8] + b"\xfe\xff\x00\xe0\xff\xff\xff\x7f", JPEG),
    ],
)
def test_what_has_no_frames_to_give_is_said(data: bytes, syntax: str) -> None:
    with pytest.raises(BadDataset):
        read_frames(data, syntax, 1)


@given(st.binary(max_size=200), st.integers(1, 5))
def test_whatever_the_bytes_are_it_ends_in_frames_or_in_an_error(data: bytes, frames: int) -> None:
    for head in (b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff", b"\xe0\x7f\x10\x00OW\0\0\x10\0\0\0"):
        try:
            found = read_frames(head + data, JPEG, frames)
        except BadDataset:
            continue
        assert len(found) == frames


def test_media_types_are_those_of_the_standard() -> None:
    assert image_type_of(EXPLICIT) == "application/octet-stream"
    assert image_type_of(JPEG) == "image/jpeg"
    assert image_type_of("1.2.840.10008.1.2.5") == "image/dicom-rle"
    assert image_type_of("1.2.3.4") == "application/octet-stream"
    assert FACTS.frame_bytes == 12
    with pytest.raises(BadDataset):
        _ = PixelFacts(1, 3, 1, 1, 2).frame_bytes
