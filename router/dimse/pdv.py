"""The reading side of an association: PDUs and their fragments as views of one reused buffer.

Nothing is allocated from a length the peer names: bytes are received into a buffer that starts
small, grows to 1 MiB only while full reads show that the peer is fast, and shrinks when the
association falls idle. Only time spent waiting for the peer counts against its deadlines, so a
slow disk of ours never looks like a slow peer. Raises ProtocolError, whose `abort_reason` is the
one of the A-ABORT due (PS3.8 9.3.8; 0 stands for an abort by the service user), and its kinds
Closed, Stalled and PeerAborted, to which no answer is due.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from router.dimse.command import MAX_COMMAND_BYTES
from router.dimse.wire import Closed, Stalled
from router.errors import ProtocolError

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA = 1, 2, 3, 4
RELEASE_RQ, RELEASE_RP, ABORT = 5, 6, 7
KNOWN_PDU_TYPES = frozenset(range(1, 8))

UNRECOGNISED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6

SMALL_BUFFER_BYTES = 16 * 1024
LARGE_BUFFER_BYTES = 1024 * 1024
_GROWTH = 4
_PDU_HEADER = struct.Struct(">BxI")
_PDV_HEADER = struct.Struct(">IBB")


class PeerAborted(ProtocolError):
    """The peer sent A-ABORT; source and reason are as in PS3.8 table 9-26."""

    def __init__(self, source: int, reason: int) -> None:
        by = {0: "its user", 2: "its provider"}.get(source, "an unknown source")
        super().__init__(f"the peer aborted the association ({by}, reason {reason})")


class Receiver(Protocol):
    """What the stream reads from: `router.dimse.wire.Wire`."""

    def receive_into(self, view: memoryview, deadline: float) -> int:
        """Receive into the view by the deadline; 0 at the end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is asked of the peer: sizes in bytes, `ends_at` in monotonic seconds."""

    max_pdu_bytes: int
    pdu_seconds: float
    minimum_bytes_per_second: int
    ends_at: float


class PduStream:
    """PDUs off a socket. One message at a time, one fragment at a time, no copies of data sets."""

    def __init__(self, receiver: Receiver, monotonic: Callable[[], float], pace: Pace) -> None:
        self._receive_into = receiver.receive_into
        self._monotonic = monotonic
        self.pace = pace
        self._buffer = memoryview(bytearray(SMALL_BUFFER_BYTES))
        self._start = 0
        self._end = 0
        self._grow = False
        self._pdu_left = 0
        self._pdu_waited = 0.0
        self._message_waited = 0.0
        self._message_received = 0
        self.fragment_left = 0
        self.context_id = 0
        self.is_command = False
        self.is_last = False
        self.failure: ProtocolError | None = None

    def has_input(self, seconds: float) -> bool:
        """Wait between messages for the first byte of the next PDU; false when none came.

        Raises Closed when the peer closed. An idle stream gives its large buffer back.
        """
        if self._start < self._end:
            return True
        self._start = self._end = 0
        deadline = min(self._monotonic() + seconds, self.pace.ends_at)
        try:
            self._end = self._receive_into(self._buffer, deadline)
        except Stalled:
            self._resize(SMALL_BUFFER_BYTES)
            return False
        if not self._end:
            raise Closed("the peer closed the connection")
        self._grow = self._end == len(self._buffer)
        return True

    @property
    def is_buffered(self) -> bool:
        """Whether bytes of the next PDU were received already."""
        return self._start < self._end

    def begin_message(self) -> None:
        """Start the accounts of pace anew; between two messages."""
        self._message_waited = 0.0
        self._message_received = 0

    def pdu_type(self) -> int:
        """Read the header of the next PDU, at a boundary, and give its type, checked as to size.

        Raises ProtocolError with reason 1 for an unknown type, 6 for an impossible length.
        """
        self._pdu_waited = 0.0
        while self._end - self._start < 6:
            self._refill()
        kind, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
        if kind == P_DATA:
            if length < 6 or length > self.pace.max_pdu_bytes + 6:
                raise ProtocolError("a P-DATA PDU of impossible length", INVALID_PARAMETER)
        elif kind not in KNOWN_PDU_TYPES:
            raise ProtocolError("a PDU of unknown type", UNRECOGNISED_PDU)
        self._start += 6
        self._pdu_left = length
        return int(kind)

    def body(self, max_bytes: int) -> bytes:
        """The rest of the PDU whose type was just read; for all PDUs but P-DATA."""
        if self._pdu_left > max_bytes:
            raise ProtocolError("a PDU longer than its type can be", INVALID_PARAMETER)
        taken = bytearray()
        while self._pdu_left:
            if self._start == self._end:
                self._refill()
            size = min(self._end - self._start, self._pdu_left)
            taken += self._buffer[self._start : self._start + size]
            self._start += size
            self._pdu_left -= size
        return bytes(taken)

    def command_set(self) -> bytes | memoryview:
        """The whole command set whose first P-DATA header was just read (PS3.8 9.3.5, annex E).

        `context_id` tells its context afterwards. The view is valid until the next read.
        """
        self._enter_fragment()
        if not self.is_command:
            raise ProtocolError("a data set without a command")
        context_id = self.context_id
        if self.is_last and self.fragment_left <= self._end - self._start:
            return self._take(self.fragment_left)
        collected = bytearray()
        while True:
            if len(collected) + self.fragment_left > MAX_COMMAND_BYTES:
                raise ProtocolError("the command set is larger than 64 KiB")
            while self.fragment_left:
                if self._start == self._end:
                    self._refill()
                collected += self._take(min(self._end - self._start, self.fragment_left))
            if self.is_last:
                return bytes(collected)
            self._next_pdu_of_message()
            self._enter_fragment()
            if not self.is_command or self.context_id != context_id:
                raise ProtocolError("fragments of two messages are mixed")

    def data_set(self) -> DataSetChunks:
        """The data set that follows the command set just read, on the same context."""
        return DataSetChunks(self, self.context_id)

    @property
    def is_at_pdu_boundary(self) -> bool:
        """Whether the PDU read last is used up.

        A peer may put the first fragment of its next message into the same PDU (PS3.8 9.3.5).
        """
        return not self._pdu_left

    def next_chunk(self, context_id: int) -> memoryview | None:
        """The next stretch of the data set as far as it is in the buffer; None at its end."""
        while not self.fragment_left:
            if self.is_last and not self.is_command:
                return None
            self._next_pdu_of_message()
            self._enter_fragment()
            if self.is_command:
                raise ProtocolError("a command before the end of the data set")
            if self.context_id != context_id:
                raise ProtocolError("fragments of two presentation contexts are mixed")
        if self._start == self._end:
            self._refill()
        available = self._end - self._start
        left = self.fragment_left
        return self._take(min(available, left))

    def _take(self, size: int) -> memoryview:
        start = self._start
        self._start = end = start + size
        self.fragment_left -= size
        return self._buffer[start:end]

    def _next_pdu_of_message(self) -> None:
        """Enter the next PDU where only P-DATA can follow, unless one is still open."""
        if self._pdu_left:
            return
        kind = self.pdu_type()
        if kind == P_DATA:
            return
        if kind == ABORT:
            raise self.peer_abort()
        raise ProtocolError("a PDU in the middle of a message", UNEXPECTED_PDU)

    def peer_abort(self) -> ProtocolError:
        """The peer's A-ABORT whose header was just read, as the error it is."""
        body = self.body(max_bytes=1024)
        return PeerAborted(body[2], body[3]) if len(body) >= 4 else PeerAborted(0, 0)

    def _enter_fragment(self) -> None:
        """Read the header of the next presentation data value (PS3.8 9.3.5.1, annex E.2)."""
        if self._pdu_left < 6:
            raise ProtocolError("a P-DATA PDU ends inside a header", INVALID_PARAMETER)
        while self._end - self._start < 6:
            self._refill()
        length, context_id, control = _PDV_HEADER.unpack_from(self._buffer, self._start)
        if length < 2 or length > self._pdu_left - 4:
            raise ProtocolError("a fragment of impossible length", INVALID_PARAMETER)
        self._start += 6
        self._pdu_left -= length + 4
        self.fragment_left = length - 2
        self.context_id = context_id
        self.is_command = bool(control & 1)
        self.is_last = bool(control & 2)

    def _refill(self) -> None:
        """Receive more behind what is unread: at most the part of a header."""
        unread = self._end - self._start
        if self._grow and len(self._buffer) < LARGE_BUFFER_BYTES:
            self._resize(len(self._buffer) * _GROWTH)
        elif unread:
            self._buffer[:unread] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, unread
        pace = self.pace
        earned = self._message_received / pace.minimum_bytes_per_second
        seconds = pace.pdu_seconds - max(self._pdu_waited, self._message_waited - earned)
        began = self._monotonic()
        received = self._receive_into(
            self._buffer[unread:] if unread else self._buffer, min(began + seconds, pace.ends_at)
        )
        if not received:
            raise Closed("the peer closed the connection in the middle")
        waited = self._monotonic() - began
        self._pdu_waited += waited
        self._message_waited += waited
        self._message_received += received
        self._end += received
        self._grow = self._end == len(self._buffer)

    def _resize(self, size: int) -> None:
        """Change to a buffer of another size; views of the old one stay valid."""
        if len(self._buffer) == size:
            return
        unread = self._end - self._start
        larger = memoryview(bytearray(size))
        larger[:unread] = self._buffer[self._start : self._end]
        self._buffer = larger
        self._start, self._end = 0, unread
        self._grow = False


class DataSetChunks:
    """The chunks of one data set, each valid until the next is asked for.

    Raises ProtocolError when the data set cannot be had to its end, again at every later try.
    `received` counts its bytes.
    """

    __slots__ = ("_context_id", "_ended", "_stream", "received")

    def __init__(self, stream: PduStream, context_id: int) -> None:
        self._stream = stream
        self._context_id = context_id
        self._ended = False
        self.received = 0

    def __iter__(self) -> Iterator[memoryview]:
        return self

    def __next__(self) -> memoryview:
        if self._ended:
            raise StopIteration
        if self._stream.failure is not None:
            raise self._stream.failure
        try:
            chunk = self._stream.next_chunk(self._context_id)
        except ProtocolError as failure:
            self._stream.failure = failure
            raise
        if chunk is None:
            self._ended = True
            raise StopIteration
        self.received += len(chunk)
        return chunk

    def drop_rest(self) -> None:
        """Read the rest of the data set and forget it."""
        for _ in self:
            pass
