"""The writing side: PDUs by hand, and how many bytes are held back or copied."""

from __future__ import annotations

import struct

import pytest

from router.dimse import fragments


def sent(chunks, payload, length=None, first=b"") -> list[bytes]:
    """What leaves, batch by batch."""
    return [b"".join(batch) for batch in fragments.data_batches(first, chunks, 3, payload, length)]


def data_pdu(body: bytes, *, last: bool) -> bytes:
    return struct.pack(">BxIIBB", 4, len(body) + 6, len(body) + 2, 3, 2 * last) + body


def test_golden_pdus_of_a_command():
    # PS3.8 annex E.2: bit 0 of the control header is "command", bit 1 "last".
    assert fragments.command_pdus(5, b"ABCDEF", 16378) == bytes.fromhex(
        "04 00 0000000c 00000008 05 03 414243444546"
    )
    assert fragments.command_pdus(5, b"ABCDEF", 4) == bytes.fromhex(
        "04 00 0000000a 00000006 05 01 41424344" + "04 00 00000008 00000004 05 03 4546"
    )


def test_the_last_pdu_of_a_command_that_fills_it_is_marked():
    made = fragments.command_pdus(5, b"ABCDEFGH", 4)
    assert (made[11:16], made[-5:]) == (b"\1ABCD", b"\3EFGH")


@pytest.mark.parametrize("size", [5, 6, 7])
def test_a_command_that_just_fits_is_one_pdu(size):
    made = fragments.command_pdus(1, bytes(size), 6)
    assert made.count(b"\4\0\0\0\0") == (1 if size <= 6 else 2)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], [(b"", True)]),
        ([b"ab"], [(b"ab", True)]),
        ([b"abcd"], [(b"abcd", True)]),
        ([b"abcdef"], [(b"abcd", False), (b"ef", True)]),
        ([b"abc", b"def"], [(b"abcd", False), (b"ef", True)]),
        ([b"ab", b"", b"cdefghij"], [(b"abcd", False), (b"efgh", False), (b"ij", True)]),
        ([b"abcdefgh"], [(b"abcd", False), (b"efgh", True)]),
        ([b"abcde"], [(b"abcd", False), (b"e", True)]),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_golden_pdus_of_a_data_set(chunks, expected, known):
    length = sum(map(len, chunks)) if known else None
    pdus = b"".join(data_pdu(body, last=last) for body, last in expected)
    assert b"".join(sent(chunks, 4, length, b"CMD")) == b"CMD" + pdus


@pytest.mark.parametrize(
    ("maximum", "payload"),
    # 6 of the maximum are the fragment's header; what is left is made even (PS3.8 annex D.1).
    [(13, 6), (12, 6), (4096, 4090), (4097, 4090), (1 << 20, (1 << 20) - 6), (0xFFFFFFFF, 1048570)],
)
def test_room_for_data_in_a_pdu(maximum, payload):
    assert fragments.payload_bytes(maximum) == payload


@pytest.mark.parametrize("maximum", range(1, 7))
def test_no_room_at_all_is_said(maximum):
    with pytest.raises(ValueError, match=f"maximum PDU length of {maximum} leaves no room"):
        fragments.payload_bytes(maximum)


def test_the_command_leaves_with_the_first_data_and_not_alone():
    first, *_ = sent([b"abcdef", b"gh"], 4, first=b"CMD")
    assert first == b"CMD" + data_pdu(b"abcd", last=False)


@pytest.mark.parametrize("said", [0, 2, 5, 7, 100])
def test_a_wrong_length_is_noticed_before_a_last_fragment_leaves(said):
    # A peer that never sees a last fragment cannot take the object for whole.
    leaving = []
    with pytest.raises(ValueError, match="not as long"):
        leaving.extend(
            b"".join(batch) for batch in fragments.data_batches(b"", [b"abc", b"def"], 3, 4, said)
        )
    assert all(batch[11] == 0 for batch in leaving)


def test_more_than_the_length_is_noticed_at_the_latest_when_it_comes():
    # Where a chunk ends at the length nothing tells before that there is more behind it.
    with pytest.raises(ValueError, match="longer than was said"):
        sent([b"abc", b"", b"d"], 4, 3)
    assert sent([b"abc", b"", b""], 4, 3) == [data_pdu(b"abc", last=True)]


def test_with_a_known_length_no_byte_of_a_chunk_is_copied():
    memory = bytearray(b"abcdefghij")
    (batch,) = fragments.data_batches(b"", [memoryview(memory)], 3, 4, 10)
    memory[:] = b"ABCDEFGHIJ"
    assert b"ABCD" in b"".join(batch)
    assert b"IJ" in b"".join(batch)


def test_without_a_length_at_most_one_pdu_is_held_back():
    taken = 0

    def chunks():
        nonlocal taken
        for _ in range(10):
            taken += 1000
            yield bytes(1000)

    out = 0
    for batch in fragments.data_batches(b"", chunks(), 3, 300):
        out += sum(len(part) for part in batch if not bytes(part[:2]) == b"\4\0")
        assert taken - out <= 300
    assert out == 10_000


@pytest.mark.parametrize("payload", [1, 2, 4090, 16378, 262_138])
def test_batches_are_bounded_in_parts_and_bytes(payload):
    size = min(2_000_000, payload * 3000)
    for batch in fragments.data_batches(b"", [bytes(size)], 3, payload, size):
        assert len(batch) <= fragments.MAX_BATCH_PARTS + 3
        assert sum(map(len, batch)) <= fragments.MAX_BATCH_BYTES + payload + 12 * len(batch)
