"""What is read off a connection does not depend on how its bytes were cut (fuzz target T1)."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from router.dimse.pdv import P_DATA, Pace, PduStream
from router.errors import ProtocolError


class Cut:
    """Receives the bytes in the given portions, then the end."""

    def __init__(self, data: bytes, portions: list[int]) -> None:
        self._data = data
        self._portions = iter(portions)

    def receive_into(self, view: memoryview, deadline: float) -> int:
        size = min(len(view), len(self._data), next(self._portions, 1 << 30))
        view[:size] = self._data[:size]
        self._data = self._data[size:]
        return size


def events(data: bytes, portions: list[int], max_pdu_bytes: int = 70_000) -> list[object]:
    """All messages and PDUs of the bytes, data sets whole, to the first fault."""
    stream = PduStream(Cut(data, portions), lambda: 0.0, Pace(max_pdu_bytes, 30.0, 4096, 1e9))
    seen: list[object] = []
    try:
        while True:
            if stream.is_at_pdu_boundary:
                kind = stream.pdu_type()
                if kind != P_DATA:
                    seen.append((kind, stream.body(1000)))
                    continue
            command = bytes(stream.command_set())
            seen.append((stream.context_id, command))
            if command.endswith(b"+"):
                chunks = stream.data_set()
                seen.append(b"".join(bytes(chunk) for chunk in chunks))
    except ProtocolError as error:
        seen.append((type(error).__name__, error.abort_reason, str(error)))
    return seen


@st.composite
def messages(draw):
    """PDUs of a few messages, with their fragments spread over PDUs at will."""
    fragments = []
    for _ in range(draw(st.integers(1, 4))):
        has_data = draw(st.booleans())
        context_id = draw(st.sampled_from([1, 3, 255]))
        command = draw(st.binary(max_size=300)) + (b"+" if has_data else b"-")
        parts = [(command, 1)]
        if has_data:
            parts.append((draw(st.sampled_from([b"", b"x", bytes(20_000), bytes(60_000)])), 0))
        for body, flag in parts:
            cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
            edges = [0, *cuts, len(body)]
            pieces = [body[start:end] for start, end in zip(edges, edges[1:])]
            fragments += [
                struct.pack(">IBB", len(piece) + 2, context_id, flag | (at == len(pieces) - 1) << 1)
                + piece
                for at, piece in enumerate(pieces)
            ]
    data, pdu = b"", b""
    for fragment in fragments:
        if pdu and (len(pdu) + len(fragment) > 70_000 or draw(st.booleans())):
            data += struct.pack(">BxI", 4, len(pdu)) + pdu
            pdu = b""
        pdu += fragment
    data += struct.pack(">BxI", 4, len(pdu)) + pdu
    return data + draw(st.sampled_from([b"", bytes.fromhex("05000000000400000000"), b"\x2a\0\0"]))


portions = st.lists(
    st.sampled_from([1, 2, 5, 6, 7, 11, 12, 13, 100, 16383, 16384, 65536]), max_size=60
)


@settings(deadline=None, max_examples=150)
@given(messages(), portions)
def test_any_chunking_reads_the_same(data, sizes):
    assert events(data, sizes) == events(data, [])


@settings(deadline=None, max_examples=150)
@given(messages(), portions, st.data())
def test_any_chunking_of_damaged_bytes_reads_the_same(data, sizes, choose):
    damaged = bytearray(data)
    for _ in range(choose.draw(st.integers(1, 3))):
        damaged[choose.draw(st.integers(0, min(len(damaged), 400) - 1))] = choose.draw(
            st.integers(0, 255)
        )
    assert events(bytes(damaged), sizes) == events(bytes(damaged), [])
