"""Hostile data sets: only BadDataset, in bounded time and memory (reliability M16, F14)."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicom.header import HeaderReader
from router.dicom.outgoing import can_convert, prepare
from router.dicom.part10 import read_part10
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.errors import BadDataset, MorphFailed, Undeliverable
from tests.support.dicom_strategies import data_sets, written

MIB = 1024 * 1024
SYNTAXES = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.50",
)
WANTED = tuple(
    parse_path(text)
    for text in (
        "PatientID",
        "StudyDescription",
        "SmallestImagePixelValue",
        "RequestAttributesSequence[*].PatientID",
        "RequestAttributesSequence[0].RequestAttributesSequence[1].PatientID",
        "0009,[ACME],01",
    )
)
SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
PATIENT_ID = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 4) + b"1234"


def read(raw: bytes, syntax: str, piece: int = 16384) -> HeaderReader:
    reader = HeaderReader(syntax, WANTED)
    view = memoryview(raw)
    for start in range(0, len(raw), piece):
        reader.feed(view[start : start + piece])
    reader.finish()
    for path in WANTED:
        reader.get(path)
    reader.text(0x00100020)
    return reader


def refused(
    raw: bytes, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, *, seconds: float, mebibytes: float
):
    """The BadDataset that comes of the bytes, within the bounds."""
    started = time.perf_counter()
    with pytest.raises(BadDataset) as caught:
        read(raw, syntax)
    assert time.perf_counter() - started < seconds
    tracemalloc.start()
    try:
        with pytest.raises(BadDataset):
            read(raw, syntax)
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()
    return caught.value


def test_F14_300_nested_sequences():
    raw = (SEQUENCE + ITEM) * 300 + (ITEM_END + SEQUENCE_END) * 300
    assert refused(raw, seconds=0.5, mebibytes=1).status == 0xC000
    with pytest.raises(BadDataset, match="deeper"):
        HeaderReader(EXPLICIT_VR_LITTLE_ENDIAN).feed(raw)


def test_F14_300_nested_sequences_of_defined_length_are_passed_over_unopened():
    raw = b""
    for _ in range(300):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(raw)) + raw
        raw = struct.pack("<HH2sHI", 0x0032, 0x1064, b"SQ", 0, len(item)) + item
    reader = read(raw + PATIENT_ID, EXPLICIT_VR_LITTLE_ENDIAN)
    assert reader.text(0x00100020) == "1234"


def test_F14_300_nested_sequences_cannot_be_converted():
    raw = b""
    for _ in range(300):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(raw)) + raw
        raw = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, len(item)) + item
    with pytest.raises(Undeliverable):
        sent(raw, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, None)


def test_F14_8_mb_of_empty_items():
    raw = SEQUENCE + EMPTY_ITEM * MIB + SEQUENCE_END
    assert refused(raw, seconds=5, mebibytes=12).status == 0xC000


def test_F14_8_mb_of_open_empty_items():
    raw = SEQUENCE + (ITEM + ITEM_END) * (MIB // 2) + SEQUENCE_END
    assert refused(raw, seconds=5, mebibytes=12).status == 0xC000


def test_F14_8_mb_of_empty_elements():
    raw = struct.pack("<HH2sH", 0x0010, 0x4000, b"LT", 0) * MIB
    assert refused(raw, seconds=5, mebibytes=2).status == 0xC000


def test_F14_deflate_bomb_of_400_kb():
    stream = zlib.compressobj(9, wbits=-15)
    raw = stream.compress(PATIENT_ID)
    raw += b"".join(stream.compress(bytes(MIB)) for _ in range(400)) + stream.flush()
    assert len(raw) > 390_000
    problem = refused(raw, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, seconds=3, mebibytes=4)
    assert problem.status in {0xA900, 0xC000}


def test_F14_deflate_bomb_behind_the_header_is_not_inflated():
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 200 * MIB)
    stream = zlib.compressobj(9, wbits=-15)
    raw = stream.compress(PATIENT_ID + pixels)
    raw += b"".join(stream.compress(bytes(MIB)) for _ in range(200)) + stream.flush()
    tracemalloc.start()
    try:
        reader = read(raw, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()
    assert reader.text(0x00100020) == "1234"
    with pytest.raises(Undeliverable):
        sent(raw, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, None)


def test_F14_a_length_of_0xfffffffe():
    raw = PATIENT_ID + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFFE) + bytes(100)
    assert refused(raw, seconds=0.5, mebibytes=1).status == 0xC000


def test_F14_a_wanted_length_of_0xfffffffe_allocates_nothing():
    raw = struct.pack("<HHI", 0x0010, 0x0020, 0xFFFFFFFE) + bytes(100)
    assert refused(raw, IMPLICIT_VR_LITTLE_ENDIAN, seconds=0.5, mebibytes=1).status == 0xC000


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 11, 13, 20, 25])
def test_F14_truncated(cut):
    raw = PATIENT_ID + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 14) + bytes(14)
    assert refused(raw[:-cut], seconds=0.5, mebibytes=1).status == 0xC000


def test_F14_a_value_larger_than_kept_is_present_without_values():
    raw = struct.pack("<HHI", 0x0010, 0x0020, 2 * MIB) + b"A" * (2 * MIB)
    attribute = read(raw, IMPLICIT_VR_LITTLE_ENDIAN).get(WANTED[0])
    assert attribute is not None
    assert attribute.values == ()


def test_F14_memory_is_bounded_for_many_large_wanted_values():
    paths = [parse_path(f"0009,[ACME],{low:02X}") for low in range(0x20)]
    element = b"".join(
        struct.pack("<HHI", 0x0009, 0x1000 | low, 1000 * 1024) + bytes(1000 * 1024)
        for low in range(0x20)
    )
    tracemalloc.start()
    try:
        reader = HeaderReader(IMPLICIT_VR_LITTLE_ENDIAN, paths)
        before = tracemalloc.get_traced_memory()[0]
        for start in range(0, len(element), 65536):
            reader.feed(element[start : start + 65536])
        assert tracemalloc.get_traced_memory()[1] - before < 12 * MIB
    finally:
        tracemalloc.stop()


def sent(raw: bytes, source: str, target: str, edit) -> bytes:
    outgoing = prepare(
        lambda offset, size: raw[offset : offset + size],
        len(raw), source, target, edit, ("1.2", "1.3", "1.4"),
    )  # fmt: skip
    return b"".join(outgoing.chunks())


def attack(raw: bytes, syntax: str) -> None:
    """Everything that is ever done with received bytes."""
    started = time.perf_counter()
    try:
        read(raw, syntax, 100)
    except BadDataset:
        pass

    def edit(data_set):
        data_set.set(WANTED[0], "NEW")
        for path in WANTED:
            data_set.get(path)
        data_set.set(WANTED[3], "NESTED")
        data_set.convert_character_set("ISO_IR 192")

    for target in SYNTAXES[:2]:
        for change in (None, edit):
            if can_convert(syntax, target):
                try:
                    sent(raw, syntax, target, change)
                except (MorphFailed, Undeliverable):
                    pass
    try:
        read_part10(raw)
    except BadDataset:
        pass
    assert time.perf_counter() - started < 5


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(SYNTAXES))
def test_arbitrary_bytes_only_raise_typed_errors(raw, syntax):
    attack(raw, syntax)


@settings(max_examples=150, deadline=None)
@given(
    data_sets(),
    st.sampled_from(SYNTAXES),
    st.sampled_from(SYNTAXES),
    st.randoms(use_true_random=False),
)
def test_mutated_data_sets_only_raise_typed_errors(data_set, written_as, read_as, randomness):
    raw = bytearray(written(data_set, written_as))
    mutate(raw, randomness)
    attack(bytes(raw), read_as)


def mutate(raw: bytearray, randomness: random.Random) -> None:
    for _ in range(randomness.randrange(1, 6)):
        if not raw:
            return
        place = randomness.randrange(len(raw))
        kind = randomness.randrange(5)
        if kind == 0:
            raw[place] ^= 1 << randomness.randrange(8)
        elif kind == 1:
            raw[place : place + 4] = randomness.choice(
                [
                    b"\xff\xff\xff\xff",
                    b"\xfe\xff\xff\xff",
                    b"\0\0\0\0",
                    b"\xfe\xff\0\xe0",
                    b"\xfe\xff\xdd\xe0",
                ]
            )
        elif kind == 2:
            del raw[place:]
        elif kind == 3:
            raw[place:place] = raw[max(0, place - 40) : place]
        else:
            raw[place : place + 2] = randomness.choice([b"SQ", b"UN", b"OB", b"??", b"ZZ", b"LO"])


def test_a_file_that_is_no_dicom(tmp_path):
    with pytest.raises(BadDataset):
        read_part10(io.BytesIO(b"PK\3\4 this is a zip archive, or was one").read())
