"""The DIMSE user: opens an association, verifies, stores, releases.

One thread uses one `ClientAssociation`. Every fault of the peer or the network is a DeliveryError
with the cause in words (PS3.8 9.3.4, 9.3.8): Rejected and Busy for a refused association,
Unreachable for anything that ends or stalls the connection, DeliveryError itself for an answer
that makes no sense; after any of these the association is closed. Statuses are not judged here.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from router.clock import Clock
from router.dimse import command as commands
from router.dimse import fragments, pdu, pdv
from router.dimse.command import Command
from router.dimse.connecting import open_socket, refused
from router.dimse.items import MAX_ASSOCIATE_BYTES, MAX_CONTEXTS
from router.dimse.negotiate import VERIFICATION_SOP_CLASS_UID
from router.dimse.wire import Buffer, Closed, Stalled, Wire
from router.errors import (
    DeliveryError,
    ProtocolError,
    Rejected,
    Undeliverable,
    Unreachable,
)

_RELEASE_SECONDS = 5.0
_ABORT_SECONDS = 1.0
_LAST_WORDS_SECONDS = 0.2
_LIFE_SECONDS = 365 * 86400.0
_BATCH_BYTES_PER_TIMEOUT = fragments.MAX_BATCH_BYTES


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """What the peer said: status (0000,0900) and Error Comment (0000,0902), '' where absent."""

    status: int
    comment: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A request under way: its command field, message ID, context, and the context's syntax."""

    field: int
    message_id: int
    context_id: int
    transfer_syntax_uid: str


def connect(
    host: str,
    port: int,
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[tuple[str, str]],
    *,
    tls_context: ssl.SSLContext | None = None,
    timeout_seconds: float,
    max_pdu_bytes: int,
    roles: Mapping[str, tuple[bool, bool]] | None = None,
    clock: Clock | None = None,
) -> ClientAssociation:
    """Open an association proposing each (SOP class UID, transfer syntax UID) as one context.

    Connecting, TLS handshake and negotiation together must end within `timeout_seconds`; later it
    bounds each answer and each 256 KiB sent. `max_pdu_bytes` is what we offer to receive, `roles` the
    roles we ask for by SOP class, (user, provider). Raises
    ValueError for no or more than 128 contexts, Rejected, Busy, Unreachable or DeliveryError.
    """
    wanted = tuple(dict.fromkeys(contexts))
    if not 0 < len(wanted) <= MAX_CONTEXTS:
        raise ValueError(f"an association has 1 to 128 presentation contexts, not {len(wanted)}")
    clock = clock or Clock()
    request = pdu.AssociateRequest(
        1,
        pdu.APPLICATION_CONTEXT_NAME,
        called_ae_title,
        calling_ae_title,
        tuple(
            pdu.ProposedContext(2 * index + 1, sop_class_uid, (transfer_syntax_uid,))
            for index, (sop_class_uid, transfer_syntax_uid) in enumerate(wanted)
        ),
        max_pdu_bytes,
        roles=roles or {},
    )
    message = pdu.encode_request(request)
    peer = f"{called_ae_title} at {host}:{port}"
    deadline = clock.monotonic() + timeout_seconds
    wire = Wire(open_socket(host, port, peer, deadline, clock), clock)
    association = ClientAssociation(wire, clock, peer, timeout_seconds, max_pdu_bytes)
    with association._peer_faults(f"no association within {timeout_seconds:g} s"):
        if tls_context is not None:
            wire.secure(tls_context, deadline, server_hostname=host)
        wire.send((message,), deadline)
        association._negotiated(request, deadline)
    return association


class _PeerFaults:
    """The block in which the peer may fail; a class, for it is entered twice for each instance."""

    __slots__ = ("_association", "_stalled")

    def __init__(self, association: ClientAssociation, stalled: str) -> None:
        self._association = association
        self._stalled = stalled

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            fault = self._association._fault(error, self._stalled)
            if fault is not None:
                raise fault from error


class ClientAssociation:
    """An open association as its requestor. As a context manager it releases at the end."""

    def __init__(
        self, wire: Wire, clock: Clock, peer: str, timeout_seconds: float, max_pdu_bytes: int
    ) -> None:
        self._wire = wire
        self._monotonic = clock.monotonic
        self._peer = peer
        self._timeout = timeout_seconds
        self._max_pdu_bytes = max_pdu_bytes
        self._stream = pdv.PduStream(wire, clock.monotonic, self._pace(timeout_seconds))
        self._contexts: dict[tuple[str, str], int] = {}
        self._payload = 0
        self._message_id = 0
        self._stopped_reading = f"the peer stopped reading for {timeout_seconds:g} s"
        self._no_answer = f"no answer to C-STORE within {timeout_seconds:g} s"
        self.peer_version_name = ""
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.release()
        else:
            self.abort()

    def accepted(self, sop_class_uid: str) -> tuple[str, ...]:
        """The transfer syntaxes the peer accepted for this SOP class, in the order proposed."""
        return tuple(syntax for uid, syntax in self._contexts if uid == sop_class_uid)

    def is_open(self) -> bool:
        """Whether it can be used again: neither ended by us nor, as far as is seen, by the peer."""
        return not self.is_closed and self._wire.is_open()

    def echo(self) -> int:
        """C-ECHO (PS3.7 9.3.5): the status. Raises Undeliverable when the context was refused."""
        syntaxes = self.accepted(VERIFICATION_SOP_CLASS_UID)
        if not syntaxes:
            raise Undeliverable(f"{self._peer}: the Verification service is not accepted")
        context_id = self._contexts[VERIFICATION_SOP_CLASS_UID, syntaxes[0]]
        command_set = commands.encode(
            (
                (commands.AFFECTED_SOP_CLASS_UID, commands.uid_value(VERIFICATION_SOP_CLASS_UID)),
                (commands.COMMAND_FIELD, commands.us_value(commands.C_ECHO_RQ)),
                (commands.MESSAGE_ID, commands.us_value(self._next_message_id())),
                (commands.COMMAND_DATA_SET_TYPE, commands.us_value(commands.NO_DATA_SET)),
            )
        )
        with self._peer_faults(f"no answer to C-ECHO within {self._timeout:g} s"):
            self._send([fragments.command_pdus(context_id, command_set, self._payload)])
            return self._response(commands.C_ECHO_RSP, context_id).status

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        chunks: Iterable[Buffer],
        priority: int,
        *,
        length: int | None = None,
        move_originator: tuple[str, int] | None = None,
    ) -> StoreResponse:
        """C-STORE (PS3.7 9.3.1) of a data set given as flat byte buffers.

        Each buffer may be used again once the next is asked for. `priority` is the DIMSE number:
        0 medium, 1 high, 2 low. With `length`, the bytes of the whole data set, nothing is copied.
        `move_originator`: AE title and message ID of the C-MOVE it is a sub-operation of.
        Raises Undeliverable where no context was accepted for this class and syntax; what `chunks`
        raises passes through after the association was aborted, as does ValueError when `length`
        was not the length.
        """
        context_id = self._contexts.get((sop_class_uid, transfer_syntax_uid))
        if context_id is None:
            raise Undeliverable(
                f"{self._peer}: no presentation context accepted for SOP class {sop_class_uid} "
                f"in transfer syntax {transfer_syntax_uid}"
            )
        command_set = commands.store_request(
            self._next_message_id(), sop_class_uid, sop_instance_uid, priority, move_originator
        )
        first = fragments.command_pdus(context_id, command_set, self._payload)
        batches = fragments.data_batches(first, chunks, context_id, self._payload, length)
        with self._peer_faults(self._stopped_reading):
            for batch in batches:
                self._send(batch)
        with self._peer_faults(self._no_answer):
            return self._response(commands.C_STORE_RSP, context_id)

    def begin(
        self,
        sop_class_uid: str,
        field: int,
        identifier: Mapping[str, bytes],
        move_destination: str = "",
    ) -> Begun:
        """Send a request that has many answers: C-FIND or C-MOVE (PS3.7 9.3.2.1, 9.3.4.1).

        `identifier` has the data set in each transfer syntax that was proposed. Raises Undeliverable
        when no context was accepted for the class.
        """
        syntaxes = self.accepted(sop_class_uid)
        if not syntaxes:
            raise Undeliverable(f"{self._peer}: {sop_class_uid} is not accepted: no such service")
        context_id = self._contexts[sop_class_uid, syntaxes[0]]
        begun = Begun(field, self._next_message_id(), context_id, syntaxes[0])
        command_set = commands.request(
            field, begun.message_id, sop_class_uid, move_destination=move_destination
        )
        first = fragments.command_pdus(context_id, command_set, self._payload)
        data_set = identifier[syntaxes[0]]
        with self._peer_faults(self._stopped_reading):
            for batch in fragments.data_batches(
                first, (data_set,), context_id, self._payload, len(data_set)
            ):
                self._send(batch)
        return begun

    def notify(
        self, sop_class_uid: str, command_of: Callable[[int], bytes], data_set: Mapping[str, bytes]
    ) -> StoreResponse:
        """N-ACTION or N-EVENT-REPORT (PS3.7 10.1.1, 10.1.4): the peer's answer.

        `command_of` gives the command set for a message ID, `data_set` has what it carries in each
        transfer syntax that was proposed. Raises Undeliverable when no context was accepted.
        """
        syntaxes = self.accepted(sop_class_uid)
        if not syntaxes:
            raise Undeliverable(f"{self._peer}: {sop_class_uid} is not accepted: no such service")
        context_id, data = self._contexts[sop_class_uid, syntaxes[0]], data_set[syntaxes[0]]
        message_id = self._next_message_id()
        command_set = command_of(message_id)
        field = commands.field_of(command_set)
        first = fragments.command_pdus(context_id, command_set, self._payload)
        with self._peer_faults(self._stopped_reading):
            for batch in fragments.data_batches(
                first, (data,), context_id, self._payload, len(data)
            ):
                self._send(batch)
        begun = Begun(field, message_id, context_id, syntaxes[0])
        answer, _ = self.answer(begun, len(data) + commands.MAX_COMMAND_BYTES)
        status = answer.number(commands.STATUS)
        assert status is not None, "answer() refuses what has none"
        return StoreResponse(status, answer.text(commands.ERROR_COMMENT)[:64])

    def notified(
        self, seconds: float, take: Callable[[Command, str, pdv.PduStream], bytes]
    ) -> bool:
        """Wait so long for a request of the peer, and answer it with what `take` makes of it.

        `take` is given the command, the context's transfer syntax and the stream to read the data set from,
        and gives the command set of the answer. False when none came; a peer that releases is let go.
        """
        if not self.has_answer(seconds):
            return False
        with self._peer_faults(f"no whole request within {self._timeout:g} s"):
            stream = self._stream
            stream.pace = self._pace(self._timeout)
            if stream.is_at_pdu_boundary:
                kind = stream.pdu_type()
                if kind == pdv.ABORT:
                    raise stream.peer_abort()
                if kind == pdv.RELEASE_RQ:
                    stream.body(max_bytes=4)
                    self._send([pdu.RELEASE_RP_PDU])
                    self._close()
                    return False
                if kind != pdv.P_DATA:
                    raise ProtocolError("a PDU that has no place here", pdv.UNEXPECTED_PDU)
            stream.begin_message()
            command = commands.parse(stream.command_set())
            context_id = stream.context_id
            syntaxes = {number: key[1] for key, number in self._contexts.items()}
            if context_id not in syntaxes:
                raise ProtocolError("a request on a context that was not accepted")
            answer = take(command, syntaxes[context_id], stream)
            self._send([fragments.command_pdus(context_id, answer, self._payload)])
        return True

    def cancel(self, begun: Begun) -> None:
        """Ask the peer to stop (C-CANCEL, PS3.7 9.3.2.3); its final answer is still to come."""
        command_set = commands.cancel(begun.message_id)
        with self._peer_faults(self._stopped_reading):
            self._send([fragments.command_pdus(begun.context_id, command_set, self._payload)])

    def has_answer(self, seconds: float) -> bool:
        """Wait at most so long for the first byte of the next answer; false when none came."""
        self._stream.pace = self._pace(max(seconds, self._timeout))
        with self._peer_faults(self._stopped_reading):
            return not self._stream.is_at_pdu_boundary or self._stream.has_input(seconds)

    def answer(self, begun: Begun, max_bytes: int) -> tuple[Command, bytes | None]:
        """The next answer to a request begun, and its data set of at most `max_bytes`, if any."""
        with self._peer_faults(f"no whole answer within {self._timeout:g} s"):
            answer = self._command(
                begun.field | commands.RESPONSE, begun.context_id, begun.message_id
            )
            if answer.number(commands.STATUS) is None:
                raise ProtocolError("the answer has no status")
            if not answer.announces_data_set:
                return answer, None
            data_set = bytearray()
            for chunk in self._stream.data_set():
                data_set += chunk
                if len(data_set) > max_bytes:
                    raise ProtocolError(f"an answer larger than {max_bytes} bytes")
            return answer, bytes(data_set)

    def release(self) -> None:
        """Release and close (PS3.8 7.2); never raises: all that matters was answered before."""
        if self.is_closed:
            return
        deadline = self._monotonic() + min(self._timeout, _RELEASE_SECONDS)
        self._stream.pace = self._pace(deadline - self._monotonic())
        with contextlib.suppress(ProtocolError):
            self._wire.send((pdu.RELEASE_RQ_PDU,), deadline)
            while True:
                kind = self._stream.pdu_type()
                if kind == pdv.RELEASE_RQ:  # both at once: PS3.8 table 9-10, AR-8 and AR-9
                    self._wire.send((pdu.RELEASE_RP_PDU,), deadline)
                elif kind in (pdv.RELEASE_RP, pdv.ABORT):
                    break
                self._stream.body(self._max_pdu_bytes + 6)
        self._close()

    def abort(self) -> None:
        """Abort and close (PS3.8 7.3); never raises and may be called again."""
        if not self.is_closed:
            self._wire.farewell(pdu.abort(0, 0), _ABORT_SECONDS)
            self._close()

    def _close(self) -> None:
        self.is_closed = True
        self._wire.close()

    def _pace(self, seconds: float) -> pdv.Pace:
        """Answers are small, so their whole is bounded by the time-out, not by a rate."""
        return pdv.Pace(self._max_pdu_bytes, seconds, 1, self._monotonic() + seconds)

    def _next_message_id(self) -> int:
        if self.is_closed:
            raise Unreachable(f"{self._peer}: the association is closed")
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _send(self, parts: list[Buffer]) -> None:
        size = sum(map(len, parts))
        patience = self._timeout * max(1.0, size / _BATCH_BYTES_PER_TIMEOUT)
        self._wire.send(parts, self._monotonic() + patience)

    def _negotiated(self, request: pdu.AssociateRequest, deadline: float) -> None:
        """Read the answer to the A-ASSOCIATE-RQ (PS3.8 9.2.1, Sta5)."""
        self._stream.pace = self._pace(deadline - self._monotonic())
        kind = self._stream.pdu_type()
        if kind == pdv.ASSOCIATE_RJ:
            body = self._stream.body(max_bytes=4)
            if len(body) != 4:
                raise ProtocolError("an A-ASSOCIATE-RJ of wrong length", pdv.INVALID_PARAMETER)
            self._close()
            raise refused(self._peer, body[1], body[2], body[3])
        if kind == pdv.ABORT:
            raise self._stream.peer_abort()
        if kind != pdv.ASSOCIATE_AC:
            raise ProtocolError("no answer to A-ASSOCIATE-RQ but another PDU", pdv.UNEXPECTED_PDU)
        accept = pdu.decode_accept(self._stream.body(MAX_ASSOCIATE_BYTES))
        answers = {answer.context_id: answer for answer in accept.contexts}
        for context in request.contexts:
            answer = answers.get(context.context_id)
            # An acceptance in a syntax we did not propose cannot be used (PS3.8 9.3.3.2).
            if answer and not answer.result and answer.transfer_syntax in context.transfer_syntaxes:
                key = (context.abstract_syntax, answer.transfer_syntax)
                self._contexts[key] = context.context_id
        self.peer_version_name = accept.implementation_version_name
        try:
            self._payload = fragments.payload_bytes(accept.max_pdu_bytes)
        except ValueError as error:
            self.abort()
            raise Rejected(f"{self._peer}: {error}") from error

    def _response(self, field: int, context_id: int) -> StoreResponse:
        """The one answer to the request just sent, which must fit it (PS3.7 9.3)."""
        answer = self._command(field, context_id, self._message_id)
        if answer.announces_data_set:
            raise ProtocolError("the answer announces a data set")
        status = answer.number(commands.STATUS)
        if status is None:
            raise ProtocolError("the answer has no status")
        return StoreResponse(status, answer.text(commands.ERROR_COMMENT)[:64])

    def _command(self, field: int, context_id: int, message_id: int) -> Command:
        """The command set that comes next, which must answer this request."""
        stream = self._stream
        stream.pace = self._pace(self._timeout)
        stream.begin_message()
        kind = pdv.P_DATA if not stream.is_at_pdu_boundary else stream.pdu_type()
        if kind == pdv.ABORT:
            raise stream.peer_abort()
        if kind == pdv.RELEASE_RQ:
            raise Closed("the peer released the association instead of answering")
        if kind != pdv.P_DATA:
            raise ProtocolError("a PDU that is no answer", pdv.UNEXPECTED_PDU)
        answer = commands.parse(stream.command_set())
        if answer.field != field:
            raise ProtocolError(f"command field {answer.field:04X}H is no answer to the request")
        if stream.context_id != context_id:
            raise ProtocolError("the answer came on another presentation context")
        if answer.number(commands.MESSAGE_ID_BEING_RESPONDED_TO) != message_id:
            raise ProtocolError("the answer is to another message")
        return answer

    def _peer_faults(self, stalled: str) -> _PeerFaults:
        """Turn what the peer did into a DeliveryError, and close; anything else passes, aborted."""
        return _PeerFaults(self, stalled)

    def _fault(self, error: BaseException, stalled: str) -> DeliveryError | None:
        """Close after an error; what it is to be called, None where it passes as it is."""
        if isinstance(error, Stalled):
            self.abort()
            return Unreachable(f"{self._peer}: {stalled}")
        if isinstance(error, pdv.PeerAborted):
            self._close()
            return Unreachable(f"{self._peer}: {error}")
        if isinstance(error, Closed):
            words = self._last_words() or str(error)
            self._close()
            return Unreachable(f"{self._peer}: {words}")
        if isinstance(error, ProtocolError):
            self._wire.farewell(
                pdu.abort(2 if error.abort_reason else 0, error.abort_reason), _ABORT_SECONDS
            )
            self._close()
            return DeliveryError(f"{self._peer}: {error}")
        self.abort()
        return None

    def _last_words(self) -> str:
        """The A-ABORT a peer may have sent before it closed while we were still sending."""
        self._stream.pace = self._pace(_LAST_WORDS_SECONDS)
        with contextlib.suppress(ProtocolError):
            if self._stream.pdu_type() == pdv.ABORT:
                return str(self._stream.peer_abort())
        return ""
