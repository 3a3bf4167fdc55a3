"""The reading side without a socket: every division of a message, every limit, every deadline."""

from __future__ import annotations

import itertools
import struct

import pytest

from router.dimse import pdv
from router.dimse.wire import Closed, Stalled
from router.errors import ProtocolError
from tests.property.test_dimse_chunking import events
from tests.support.dimse_provider import p_data, store_rq
from tests.support.dimse_provider import pdv as fragment

# The reader of `events` takes a command that ends in a plus for one with a data set.
COMMAND = store_rq("1.2.3+")
DATA = bytes(range(97))
FOREVER = 1e9


class Peer:
    """Sends portions at given times on a clock of its own; `room` is what each read offered."""

    def __init__(self, *portions: tuple[float, bytes]) -> None:
        self.now = 0.0
        self.room: list[int] = []
        self._portions = list(portions)

    def receive_into(self, view: memoryview, deadline: float) -> int:
        self.room.append(len(view))
        if not self._portions:
            return 0
        at, data = self._portions[0]
        if at > deadline:
            self.now = max(self.now, deadline)
            raise Stalled("a deadline passed")
        self.now = max(self.now, at)
        taken, left = data[: len(view)], data[len(view) :]
        view[: len(taken)] = taken
        self._portions[:1] = [(at, left)] if left else []
        return len(taken)


def opened(*portions, limit=16384, seconds=30.0, rate=4096, ends_at=FOREVER):
    """A peer with these portions and the stream that reads from it."""
    peer = Peer(*portions)
    return peer, pdv.PduStream(peer, lambda: peer.now, pdv.Pace(limit, seconds, rate, ends_at))


def read(*portions, **pace):
    """Command and data set of the one message that comes."""
    _, stream = opened(*portions, **pace)
    assert stream.pdu_type() == pdv.P_DATA
    command = bytes(stream.command_set())
    return command, b"".join(map(bytes, stream.data_set()))


def message(command_parts, data_parts, context_id=3) -> list[bytes]:
    """The fragments of a message, its last ones marked."""
    return [
        fragment(context_id, part, command=is_command, last=at == len(parts) - 1)
        for is_command, parts in ((True, command_parts), (False, data_parts))
        for at, part in enumerate(parts)
    ]


WHOLE = b"".join(p_data(one) for one in message([COMMAND], [DATA]))
SEEN = [(3, COMMAND), DATA, ("Closed", 0, "the peer closed the connection in the middle")]


def test_every_split_of_the_bytes_reads_the_same():
    for cut in range(1, len(WHOLE)):
        assert events(WHOLE, [cut]) == SEEN, cut


def test_byte_by_byte_and_all_pairs_of_splits_around_the_headers_read_the_same():
    assert events(WHOLE, [1] * len(WHOLE)) == SEEN
    data_starts = len(WHOLE) - len(DATA) - 12
    near = [*range(1, 16), *range(data_starts - 3, data_starts + 16)]
    for first, second in itertools.combinations(near, 2):
        assert events(WHOLE, [first, second - first]) == SEEN


@pytest.mark.parametrize("arrangement", ["a PDU each", "one PDU", "two to a PDU"])
def test_every_split_into_fragments_is_the_same_message(arrangement):
    size = {"a PDU each": 1, "one PDU": 4, "two to a PDU": 2}[arrangement]
    for cut in range(len(COMMAND) + 1):
        at = cut % (len(DATA) + 1)
        parts = message([COMMAND[:cut], COMMAND[cut:]], [DATA[:at], DATA[at:]])
        pdus = [p_data(*parts[start : start + size]) for start in range(0, 4, size)]
        assert read((0, b"".join(pdus))) == (COMMAND, DATA), cut


@pytest.mark.parametrize("size", [0, 1, 2, 3, 16383, 16384, 16385, 300_001])
@pytest.mark.parametrize("limit", [12, 4096, 16384, 1 << 20])
def test_odd_even_empty_and_large_data_sets_in_small_and_large_pdus(size, limit):
    size = min(size, 1000 * limit)
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    # The limit is of the PDU body, of which each fragment header takes six bytes.
    step = limit - 6
    parts = [data[start : start + step] for start in range(0, size, step)] or [b""]
    command = [COMMAND[start : start + step] for start in range(0, len(COMMAND), step)]
    sent = b"".join(map(p_data, message(command, parts)))
    assert read((0, sent), limit=limit) == (COMMAND, data)


@pytest.mark.parametrize("ending", [b"", b"x"])
def test_an_empty_last_fragment_ends_the_data_set_as_any_other(ending):
    parts = message([COMMAND], [b"abc", b"", ending])
    assert read((0, b"".join(map(p_data, parts)))) == (COMMAND, b"abc" + ending)


def test_the_next_command_may_follow_in_the_same_pdu():
    _, stream = opened((0, p_data(*message([COMMAND], [DATA]), *message([b"second"], [b""], 5))))
    stream.pdu_type()
    stream.command_set()
    stream.data_set().drop_rest()
    assert not stream.is_at_pdu_boundary
    stream.begin_message()
    assert bytes(stream.command_set()) == b"second"
    assert stream.context_id == 5


def error_of(data: bytes, limit: int = 1000) -> tuple[str, int]:
    """Kind and A-ABORT reason of the fault in these bytes behind a good command."""
    _, stream = opened((0, p_data(fragment(3, b"cmd", command=True)) + data), limit=limit)
    with pytest.raises(ProtocolError) as caught:
        stream.pdu_type()
        stream.command_set()
        stream.data_set().drop_rest()
    return type(caught.value).__name__, caught.value.abort_reason


def raw(length: int, context_id: int = 3, control: int = 0, body: bytes = b"") -> bytes:
    return struct.pack(">IBB", length, context_id, control) + body


# PS3.8 table 9-26: 1 unrecognised PDU, 2 unexpected PDU, 6 invalid PDU parameter value; 0 is ours
# where the standard leaves the fault to the service user.
FAULTS = {
    "type 0": (struct.pack(">BxI", 0, 4) + bytes(4), 1),
    "type 8": (struct.pack(">BxI", 8, 4) + bytes(4), 1),
    "a request in a data set": (struct.pack(">BxI", 1, 70) + bytes(70), 2),
    "a release in a data set": (bytes.fromhex("05000000000400000000"), 2),
    "a body below a fragment header": (struct.pack(">BxI", 4, 5) + bytes(5), 6),
    "a body over the limit": (struct.pack(">BxI", 4, 1007) + raw(1003) + bytes(1001), 6),
    "4 GiB": (struct.pack(">BxI", 4, 0xFFFFFFFF), 6),
    "a fragment without its header": (p_data(raw(1)), 6),
    "a fragment of length 0": (p_data(raw(0)), 6),
    "a fragment beyond its PDU": (p_data(raw(4, body=b"x")), 6),
    "a fragment of 4 GiB": (p_data(raw(0xFFFFFFFF)), 6),
    "half a header behind a fragment": (p_data(fragment(3, b"ab", last=False) + b"\0\0\0"), 6),
    "a command in the data": (p_data(fragment(3, b"x", command=True)), 0),
    "another context": (p_data(fragment(5, b"x")), 0),
}


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_has_its_abort_reason(case):
    data, reason = FAULTS[case]
    assert error_of(data) == ("ProtocolError", reason)


@pytest.mark.parametrize("limit", [7, 1000, 16384])
def test_the_limit_itself_is_allowed(limit):
    # Announced is the length of the variable field; peers that count the header too stay below.
    for length in (limit - 6, limit):
        parts = message([b"+"], [bytes(length)])
        assert read((0, b"".join(map(p_data, parts))), limit=limit)[1] == bytes(length)
    data = p_data(fragment(3, bytes(limit + 1)))
    assert error_of(data, limit=limit) == ("ProtocolError", 6)


def test_a_command_set_over_64_kib_is_refused_before_it_is_held():
    parts = [bytes(16000)] * 5
    _, stream = opened((0, b"".join(map(p_data, message(parts, [b""])))))
    stream.pdu_type()
    with pytest.raises(ProtocolError, match="larger than 64 KiB"):
        stream.command_set()


@pytest.mark.parametrize("second", [(3, False), (5, True)], ids=["data", "another context"])
def test_a_command_set_that_another_message_interrupts(second):
    context_id, is_command = second
    sent = p_data(fragment(3, b"half", command=True, last=False))
    _, stream = opened((0, sent + p_data(fragment(context_id, b"x", command=is_command))))
    stream.pdu_type()
    with pytest.raises(ProtocolError, match="mixed"):
        stream.command_set()


def test_a_data_set_without_a_command():
    _, stream = opened((0, p_data(fragment(3, b"x"))))
    stream.pdu_type()
    with pytest.raises(ProtocolError, match="without a command"):
        stream.command_set()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("00000000", "its user, reason 0"),
        ("00000205", "its provider, reason 5"),
        ("00000900", "an unknown source, reason 0"),
        ("", "its user, reason 0"),
    ],
)
def test_an_abort_amid_the_data_set_is_told_in_words_at_every_later_try(body, words):
    abort = struct.pack(">BxI", 7, len(body) // 2) + bytes.fromhex(body)
    sent = p_data(fragment(3, b"c", command=True)) + p_data(fragment(3, b"da", last=False)) + abort
    _, stream = opened((0, sent))
    stream.pdu_type()
    stream.command_set()
    chunks = stream.data_set()
    assert bytes(next(chunks)) == b"da"
    for _ in range(3):
        with pytest.raises(pdv.PeerAborted, match=words):
            next(chunks)
    assert chunks.received == 2
    assert isinstance(stream.failure, pdv.PeerAborted)


@pytest.mark.parametrize(("length", "fits"), [(0, True), (4, True), (5, False), (1 << 31, False)])
def test_small_pdus_are_bounded_by_their_kind(length, fits):
    _, stream = opened((0, struct.pack(">BxI", 5, length) + bytes(min(length, 9))))
    assert stream.pdu_type() == pdv.RELEASE_RQ
    if fits:
        assert stream.body(max_bytes=4) == bytes(length)
        return
    with pytest.raises(ProtocolError, match="longer than its type") as caught:
        stream.body(max_bytes=4)
    assert caught.value.abort_reason == 6


def drip(data: bytes, every: float, size: int = 1, start: float = 0.0):
    """The data in portions of `size`, one `every` seconds."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [(start + every * number, piece) for number, piece in enumerate(pieces)]


def stalled_at(*portions, **pace) -> float:
    peer, stream = opened(*portions, **pace)
    with pytest.raises(Stalled):
        stream.pdu_type()
        stream.command_set()
        stream.data_set().drop_rest()
    return peer.now


def test_a_pdu_that_drips_ends_at_its_deadline():
    assert stalled_at(*drip(WHOLE, 1.0), seconds=10.0) == pytest.approx(10.0)


def test_silence_amid_a_message_ends_at_the_deadline():
    assert stalled_at((2.0, WHOLE[:50]), (FOREVER, b""), seconds=10.0) == pytest.approx(10.0)


def test_a_message_below_the_rate_ends_though_each_pdu_came_in_time():
    # 106 bytes every 2 s are 53 a second: after some 13 s the ten of patience are used up.
    pdus = [p_data(fragment(3, bytes(94), last=False)) for _ in range(60)]
    portions = [(0.0, p_data(fragment(3, b"c", command=True)))]
    portions += [(2.0 * number, pdu) for number, pdu in enumerate(pdus, 1)]
    assert 12.0 <= stalled_at(*portions, seconds=10.0, rate=200) <= 16.0
    # The same message is in order where less is asked for.
    portions += [(122.0, p_data(fragment(3, b"")))]
    assert len(read(*portions, seconds=10.0, rate=50)[1]) == 60 * 94


def test_an_association_ends_when_its_life_does_even_amid_a_brisk_message():
    pdus = [p_data(fragment(3, bytes(9000), last=False)) for _ in range(60)]
    portions = [(0.0, p_data(fragment(3, b"c", command=True)))]
    portions += [(0.5 * number, pdu) for number, pdu in enumerate(pdus, 1)]
    assert stalled_at(*portions, ends_at=7.25) == pytest.approx(7.25)


def test_time_a_handler_takes_is_not_the_peers():
    peer, stream = opened(*drip(WHOLE, 0.001, size=40), seconds=1.0, rate=1_000_000)
    stream.pdu_type()
    stream.command_set()
    for _ in stream.data_set():
        peer.now += 100.0


def test_each_message_has_its_patience_anew():
    part = b"".join(p_data(one) for one in message([b"c"], [b"d"]))
    peer, stream = opened(
        *[(0.6 * number, part) for number in range(1, 6)], seconds=1.0, rate=10**9
    )
    for _ in range(5):
        stream.begin_message()
        stream.pdu_type()
        stream.command_set()
        stream.data_set().drop_rest()
    assert peer.now == pytest.approx(3.0)


def test_waiting_between_messages_is_no_fault_and_gives_room_back():
    large = p_data(fragment(3, b"c", command=True)) + b"".join(
        p_data(fragment(3, bytes(200_000), last=at == 29)) for at in range(30)
    )
    peer, stream = opened((0.0, large), (50.0, WHOLE), limit=1 << 20)
    stream.pdu_type()
    stream.command_set()
    stream.data_set().drop_rest()
    assert pdv.SMALL_BUFFER_BYTES < max(peer.room) <= pdv.LARGE_BUFFER_BYTES
    assert stream.has_input(10.0) is False
    assert peer.now == pytest.approx(10.0)
    assert stream.has_input(60.0) is True
    assert peer.room[-1] == pdv.SMALL_BUFFER_BYTES
    assert stream.has_input(60.0) is True, "what was received is not waited for again"


def test_waiting_ends_with_the_life_of_the_association():
    peer, stream = opened((FOREVER, b"x"), ends_at=4.0)
    assert stream.has_input(60.0) is False
    assert peer.now == pytest.approx(4.0)


def test_a_close_between_messages_is_told_from_one_amid_a_message():
    _, stream = opened()
    with pytest.raises(Closed, match="closed the connection$"):
        stream.has_input(1.0)
    _, stream = opened((0, WHOLE[:-1]))
    with pytest.raises(Closed, match="in the middle"):
        stream.pdu_type()
        stream.command_set()
        stream.data_set().drop_rest()


def test_a_slow_peer_never_gets_a_large_buffer():
    # Only reads that fill the buffer make it grow; a claim of much does not (M10).
    claim = struct.pack(">BxIIBB", 4, 900_006, 900_002, 3, 0)
    begin = p_data(fragment(3, b"c", command=True))
    peer, stream = opened(
        (0, begin), (1, claim), *drip(bytes(900_000), 0.01, 5000, 2), limit=1 << 20
    )
    stream.pdu_type()
    stream.command_set()
    with pytest.raises(Closed):
        stream.data_set().drop_rest()
    assert max(peer.room) <= pdv.SMALL_BUFFER_BYTES
