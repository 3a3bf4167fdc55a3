"""A request of many answers as its provider: C-FIND, C-MOVE and C-GET (PS3.7 9.1.2 to 9.1.4).

The identifier is read whole, bounded; the handler's answers go out one by one, so memory does not grow
with their number. Between answers a C-CANCEL is looked for without waiting. On C-GET objects leave on
the contexts for which the peer is the provider (PS3.4 C.4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from router.dicom.identifier import MAX_IDENTIFIER_BYTES
from router.dicom.outgoing import OutgoingDataSet
from router.dimse import command as commands
from router.dimse import fragments, pdv
from router.dimse.command import Command
from router.dimse.handlers import OperationAnswer, OperationRequest, SubOperations
from router.dimse.negotiate import QUERY_SOP_CLASSES
from router.dimse.pdu import AnsweredContext
from router.dimse.wire import SLICE_SECONDS, Buffer, Closed, Wire
from router.errors import BadDataset, ProtocolError, RouterError, Undeliverable
from router.model.instance import Source
from router.model.status import DATA_SET_MISMATCH, MISTYPED_ARGUMENT

PENDING: Final = frozenset({0xFF00, 0xFF01})
MAX_DROPPED_BYTES: Final = 64 * 1024 * 1024
_GLANCE_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Line:
    """The association an operation runs on; `send` takes parts, in order."""

    stream: pdv.PduStream
    wire: Wire
    send: Callable[[Sequence[Buffer]], None]
    payload: int
    answer_seconds: float
    monotonic: Callable[[], float]
    storage: Mapping[tuple[str, str], int]


def storage_contexts(
    contexts: Mapping[int, AnsweredContext], roles: Mapping[str, tuple[bool, bool]]
) -> dict[tuple[str, str], int]:
    """(SOP class, transfer syntax) → context, of what may be sent to the peer by C-STORE."""
    return {
        (one.abstract_syntax, one.transfer_syntax): context_id
        for context_id, one in contexts.items()
        if roles.get(one.abstract_syntax, (True, False))[1]
    }


def read_request(
    command: Command, context: AnsweredContext, source: Source, line: Line
) -> OperationRequest:
    """The request with its identifier. Raises BadDataset where there is none, or a huge one."""
    if not command.announces_data_set:
        raise BadDataset("a request without an identifier", MISTYPED_ARGUMENT)
    chunks = line.stream.data_set()
    octets = bytearray()
    for chunk in chunks:
        if chunks.received <= MAX_IDENTIFIER_BYTES:
            octets += chunk
        elif chunks.received > MAX_DROPPED_BYTES:
            raise ProtocolError("an identifier without end")
    if chunks.received > MAX_IDENTIFIER_BYTES:
        raise BadDataset("the identifier is larger than 1 MiB", DATA_SET_MISMATCH)
    return OperationRequest(
        source=source,
        field=command.field,
        sop_class_uid=context.abstract_syntax,
        message_id=command.message_id,
        identifier=bytes(octets),
        transfer_syntax_uid=context.transfer_syntax,
        priority=command.number(commands.PRIORITY) or 0,
        move_destination=command.text(commands.MOVE_DESTINATION),
    )


def is_served(field: int, sop_class_uid: str) -> bool:
    """Whether a context of this class carries this request."""
    return sop_class_uid in QUERY_SOP_CLASSES.get(field, ())


class Operation:
    """One request being answered; the handler's `Exchange`."""

    def __init__(self, line: Line, context: AnsweredContext, command: Command) -> None:
        self._line = line
        self._context = context
        self._message_id = command.message_id
        self._field = command.field | commands.RESPONSE
        self._sub_message_id = 0
        self._cancelled = False
        self.answers = 0

    def answer(self, answers: Generator[OperationAnswer, None, None]) -> OperationAnswer:
        """Send the handler's answers; the last one. What the handler raises passes through."""
        with closing(answers):
            for one in answers:
                self.send(one)
                if one.status not in PENDING:
                    return one
        raise RuntimeError("the handler gave no last answer")

    def send(self, one: OperationAnswer) -> None:
        """Send one answer."""
        self.answers += one.status in PENDING
        command_set = commands.response(
            self._field,
            self._message_id,
            one.status,
            self._context.abstract_syntax,
            comment=one.comment,
            offending_tags=one.offending_tags,
            has_data_set=one.identifier is not None,
            sub_operations=_counted(one.counts),
        )
        line, context_id = self._line, self._context.context_id
        first = fragments.command_pdus(context_id, command_set, line.payload)
        if one.identifier is None:
            line.send((first,))
            return
        data = one.identifier
        for batch in fragments.data_batches(first, (data,), context_id, line.payload, len(data)):
            line.send(batch)

    def is_cancelled(self) -> bool:
        """Whether C-CANCEL came; takes what the peer sent meanwhile, and never waits for more."""
        while self._has_news():
            self._take_cancel(*self._message())
        return self._cancelled

    def rest(self, seconds: float) -> None:
        """Wait so long, or until the peer says something."""
        stream = self._line.stream
        if stream.is_at_pdu_boundary:
            stream.has_input(seconds)

    def accepted(self, sop_class_uid: str) -> tuple[str, ...]:
        """The transfer syntaxes in which the peer takes this class."""
        return tuple(syntax for uid, syntax in self._line.storage if uid == sop_class_uid)

    def store(self, outgoing: OutgoingDataSet, priority: int, ahead: Callable[[], None]) -> int:
        """Send an object, and wait for the peer's status."""
        line = self._line
        key = (outgoing.sop_class_uid, outgoing.transfer_syntax_uid)
        context_id = line.storage.get(key)
        if context_id is None:
            raise Undeliverable("no presentation context for it")
        self._sub_message_id = self._sub_message_id % 0xFFFF + 1
        command_set = commands.store_request(
            self._sub_message_id, outgoing.sop_class_uid, outgoing.sop_instance_uid, priority
        )
        first = fragments.command_pdus(context_id, command_set, line.payload)
        batches = fragments.data_batches(
            first, outgoing.chunks(), context_id, line.payload, outgoing.length
        )
        try:
            for batch in batches:
                line.send(batch)
        except ProtocolError:
            raise
        except (RouterError, ValueError) as error:
            # Half an object is on its way: nothing sensible can follow it.
            raise ProtocolError("an object could not be read to its end") from error
        ahead()
        return self._store_status(context_id)

    def _store_status(self, context_id: int) -> int:
        line = self._line
        until = line.monotonic() + line.answer_seconds
        while True:
            self._wait_for_input(until)
            command, came_on = self._message()
            if command.field != commands.C_STORE_RSP:
                self._take_cancel(command, came_on)
                continue
            responded_to = command.number(commands.MESSAGE_ID_BEING_RESPONDED_TO)
            if came_on != context_id or responded_to != self._sub_message_id:
                raise ProtocolError("an answer to a C-STORE that is not under way")
            status = command.number(commands.STATUS)
            if status is None:
                raise ProtocolError("the answer to C-STORE has no status")
            return status

    def _wait_for_input(self, until: float) -> None:
        line = self._line
        while line.stream.is_at_pdu_boundary:
            left = until - line.monotonic()
            if left <= 0:
                raise ProtocolError("no answer to C-STORE in time")
            if line.stream.has_input(min(SLICE_SECONDS, left)):
                return

    def _has_news(self) -> bool:
        stream = self._line.stream
        if not stream.is_at_pdu_boundary or stream.is_buffered:
            return True
        return not self._line.wire.is_open() and stream.has_input(_GLANCE_SECONDS)

    def _message(self) -> tuple[Command, int]:
        """The next message, which has no data set, and its context."""
        stream = self._line.stream
        if stream.is_at_pdu_boundary:
            kind = stream.pdu_type()
            if kind == pdv.ABORT:
                raise stream.peer_abort()
            if kind == pdv.RELEASE_RQ:
                raise Closed("the peer released the association in the middle of a request")
            if kind != pdv.P_DATA:
                raise ProtocolError("a PDU that has no place here", pdv.UNEXPECTED_PDU)
        stream.begin_message()
        command = commands.parse(stream.command_set())
        if command.announces_data_set:
            raise ProtocolError("a data set in the middle of a request")
        return command, stream.context_id

    def _take_cancel(self, command: Command, _context_id: int) -> None:
        if command.field != commands.C_CANCEL_RQ:
            raise ProtocolError("a second request before the first was answered")
        # A cancel of what was answered before is no error (PS3.7 9.3.2.3).
        if command.number(commands.MESSAGE_ID_BEING_RESPONDED_TO) == self._message_id:
            self._cancelled = True


def _counted(counts: SubOperations | None) -> tuple[tuple[int, int], ...]:
    """The counts as elements; a number a US cannot hold is its largest (PS3.7 9.3.4.2)."""
    if counts is None:
        return ()
    elements = (
        (commands.REMAINING_SUB_OPERATIONS, counts.remaining),
        (commands.COMPLETED_SUB_OPERATIONS, counts.completed),
        (commands.FAILED_SUB_OPERATIONS, counts.failed),
        (commands.WARNING_SUB_OPERATIONS, counts.warnings),
    )
    return tuple((element, min(n, 0xFFFF)) for element, n in elements if n is not None)
