"""What lies between a stored data set and its chunks: pieces, swaps, inflating, element walks."""

from __future__ import annotations

import random
import struct

import pytest

from router.dicom.elements import EXPLICIT as EXPLICIT_CODING
from router.dicom.elements import ElementReader, Limits
from router.dicom.inflate import PIECE_BYTES, InflatedAccess, Inflater, deflated
from router.dicom.splice import Span
from router.dicom.streams import CHUNK_BYTES, PieceAccess, stream, stream_length
from router.dicom.transcode import Swapped
from router.errors import BadDataset
from tests.support.elements import DEFLATED, EXPLICIT, UNDEFINED, Maker

E = Maker(EXPLICIT)
REQUEST, PATIENT_ID = 0x00400275, 0x00100020
ORIGINAL = bytes(range(256)) * 3000


def access(data: bytes):
    return lambda offset, size: data[offset : offset + size]


def test_random_access_to_pieces_is_access_to_what_they_join_to():
    pieces = [b"new", Span(10, 20), Span(30, 31), b"", b"x", Span(5, 9)]
    whole = b"new" + ORIGINAL[10:20] + ORIGINAL[30:31] + b"x" + ORIGINAL[5:9]
    found = PieceAccess(pieces, access(ORIGINAL))
    assert found.length == len(whole)
    for offset in range(len(whole) + 2):
        for size in range(len(whole) + 2):
            assert found(offset, size) == whole[offset : offset + size]


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("start", [0, 2])
def test_numbers_are_swapped_across_the_borders_of_chunks(size, start):
    end = start + 600_000
    found = b"".join(stream([b"head", Swapped(start, end, size), b"tail"], access(ORIGINAL)))
    numbers = ORIGINAL[start:end]
    swapped = b"".join(numbers[at : at + size][::-1] for at in range(0, len(numbers), size))
    assert found == b"head" + swapped + b"tail"
    assert stream_length([b"head", Swapped(start, end, size)]) == 4 + 600_000


def test_half_a_number_at_the_end_stays_as_it_is():
    assert b"".join(stream([Swapped(0, 7, 4)], access(b"abcdefg"))) == b"dcbaefg"


def test_chunks_are_bounded_and_small_pieces_are_gathered():
    pieces = [Span(0, 700_000), *[b"x", Span(5, 7)] * 500, Span(0, 3)]
    chunks = list(stream(pieces, access(ORIGINAL)))
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert len(chunks) < 10
    assert sum(map(len, chunks)) == stream_length(pieces)


@pytest.mark.parametrize("missing", [1, 300_000])
def test_a_store_that_gives_less_than_it_had_is_noticed(missing):
    with pytest.raises(BadDataset, match="shorter than it was"):
        list(stream([Span(0, len(ORIGINAL) + missing)], access(ORIGINAL)))


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def test_inflated_bytes_can_be_read_in_any_order():
    # Behind the first 4 MiB a step back inflates anew, and the answer must be the same.
    plain = noise(100_000) * 50
    packed = b"".join(deflated([plain]))
    found = InflatedAccess(access(packed), len(packed))
    assert found.measure() == len(plain)
    for offset in (0, 4_900_000, 4_800_000, 10, 4_194_300, 4_300_000, 4_194_304, 0):
        assert found(offset, 1000) == plain[offset : offset + 1000], offset
    assert found(len(plain) - 10, 1000) == plain[-10:]
    assert found(len(plain), 10) == b""


@pytest.mark.parametrize("sizes", [[], [0], [1], [100], [0, 1, 0], [70_000, 1], [1] * 99])
def test_deflating_is_even_and_comes_back(sizes):
    plain = [noise(size) for size in sizes]
    packed = b"".join(deflated(plain))
    assert len(packed) % 2 == 0
    inflater = Inflater(1 << 30, 1000)
    assert b"".join(inflater.pieces(packed)) == b"".join(plain)
    assert inflater.is_complete
    assert (inflater.bytes_in, inflater.bytes_out) == (len(packed), sum(sizes))


def test_inflating_gives_small_pieces_whatever_goes_in():
    packed = b"".join(deflated([bytes(1_000_000)]))
    inflater = Inflater(1 << 30, 1 << 30)
    pieces = [piece for byte in packed for piece in inflater.pieces(bytes((byte,)))]
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(pieces) == bytes(1_000_000)


def test_a_bomb_is_refused_after_the_first_64_kib_and_not_before():
    # A small header of blanks may well be a thousand to one.
    small = b"".join(deflated([bytes(PIECE_BYTES)]))
    assert len(b"".join(Inflater(1 << 30, 2).pieces(small))) == PIECE_BYTES
    large = b"".join(deflated([bytes(PIECE_BYTES + 1)]))
    with pytest.raises(BadDataset, match="out of bounds"):
        list(Inflater(1 << 30, 2).pieces(large))


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_a_deflated_data_set_that_ends_early_or_is_garbage(cut):
    packed = Maker(DEFLATED).finished(E.element(PATIENT_ID, "LO", "X" * 64))
    for damaged in (packed[: -cut - 1], b"\xff" * 9):
        with pytest.raises(BadDataset, match="ends early|damaged"):
            InflatedAccess(access(damaged), len(damaged)).measure()


def walk(raw: bytes, limits: Limits) -> int:
    """Visit every element and item, as an editor does; how many there were."""
    reader = ElementReader(access(raw), len(raw), limits)
    count, pending = 0, [(0, len(raw))]
    while pending:
        for element in reader.elements(*pending.pop(), EXPLICIT_CODING):
            count += 1
            if element.vr == "SQ":
                items = reader.items(element, EXPLICIT_CODING)
                pending += [(item.body_start, item.body_end) for item in items]
    return count


def nested(levels: int) -> bytes:
    raw = b""
    for _ in range(levels):
        raw = E.sequence(REQUEST, E.item(raw, undefined=True), undefined=True)
    return raw


def test_the_walk_for_edits_has_the_same_depth_as_the_one_on_arrival():
    assert walk(nested(32), Limits()) == 32
    with pytest.raises(BadDataset, match="nested too deep"):
        walk(nested(40), Limits())


def test_the_work_of_a_walk_is_bounded():
    many = E.element(PATIENT_ID, "LO", "") * 100
    limits = Limits(max_elements=10, max_fragments=20)
    assert walk(many, limits) == 100
    with pytest.raises(BadDataset, match="too many elements"):
        walk(many + E.element(PATIENT_ID, "LO", ""), limits)


def test_a_value_longer_than_can_be_decoded_is_never_read():
    raw = E.element(0x7FE00010, "OW", bytes(3000))
    sizes = []

    def read(offset: int, size: int) -> bytes:
        sizes.append(size)
        return raw[offset : offset + size]

    reader = ElementReader(read, len(raw), Limits(max_value_bytes=2998))
    (element,) = reader.elements(0, len(raw), EXPLICIT_CODING)
    with pytest.raises(BadDataset, match=r"\(7FE0,0010\) is too long"):
        reader.value(element)
    allowed = ElementReader(read, len(raw), Limits(max_value_bytes=3000))
    assert len(allowed.value(element)) == 3000


@pytest.mark.parametrize(
    "raw",
    [
        E.element(PATIENT_ID, "LO", "A", length=9),
        E.header(PATIENT_ID, "LO", 0)[:5],
        E.item(),
        E.header(REQUEST, "SQ", UNDEFINED) + E.delimiter(0xE000, UNDEFINED),
        E.header(REQUEST, "SQ", UNDEFINED) + E.element(PATIENT_ID, "LO", ""),
        E.sequence(REQUEST, E.delimiter(0xE000, 50)),
        E.sequence(REQUEST, E.element(PATIENT_ID, "LO", "")),
        struct.pack("<HHI", 0xFFFE, 0xE000, 0),
    ],
)
def test_lies_are_bad_data_sets_here_too(raw):
    with pytest.raises(BadDataset):
        walk(raw, Limits())
