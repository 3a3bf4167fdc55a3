"""One association as its provider: one thread, straight down the page.

TLS handshake, A-ASSOCIATE, messages, release or abort. Position in these functions is the state
of PS3.8 table 9-10: a PDU that is not awaited where it comes is answered with A-ABORT. Whatever
happens, the connection is closed and its slot is free when `run` returns, and it does return:
every wait has a deadline.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from router.clock import Clock
from router.dimse import command as commands
from router.dimse import commitment, fragments, negotiate, pdu, pdv, providing
from router.dimse.admission import Admission, Connection
from router.dimse.command import Command
from router.dimse.handlers import (
    Calling,
    Commit,
    Handlers,
    Observe,
    Operate,
    OperationAnswer,
    Rejection,
    StoreAnswer,
    StoreRequest,
)
from router.dimse.items import MAX_ASSOCIATE_BYTES
from router.dimse.pdu import AnsweredContext
from router.dimse.wire import SLICE_SECONDS, Closed, Stalled
from router.errors import BadDataset, ProtocolError, Refused, RouterError
from router.model.instance import Source
from router.model.listener import Listener

LINGER_SECONDS = 1.0
FAREWELL_SECONDS = 1.0
TEMPORARY_CONGESTION = Rejection(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)

SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNISED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
DATA_SET_DOES_NOT_MATCH = 0xA900
_FAILURE_KINDS = (0xA, 0xC)


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Service:
    """What all associations of one listener share."""

    listener: Listener
    handlers: Handlers
    admission: Admission
    clock: Clock
    observe: Observe
    draining: threading.Event


class Association:
    """The provider's side of one connection."""

    def __init__(
        self, service: Service, connection: Connection, tls_context: ssl.SSLContext | None
    ) -> None:
        self._service = service
        self._limits = service.listener.limits
        self._connection = connection
        self._wire = connection.wire
        self._tls_context = tls_context
        self._monotonic = service.clock.monotonic
        first_pdu = self._pace(self._limits.first_pdu_seconds, self._limits.first_pdu_seconds)
        self._stream = pdv.PduStream(self._wire, self._monotonic, first_pdu)
        self._source: Source | None = None
        self._contexts: dict[int, AnsweredContext] = {}
        self._storage: dict[tuple[str, str], int] = {}
        self._payload = 0
        self._instances = 0
        self._bytes = 0
        self._ending = "released"

    def run(self) -> None:
        """Live through the association. Never raises."""
        try:
            self._secure()
            if self._associate():
                self._serve()
        except ProtocolError as error:
            self._ending = str(error)
            self._abort(error)
        except Exception as error:  # noqa: BLE001 - connection boundary: one must not end others
            self._ending = "a fault of ours"
            self._abort(ProtocolError("a fault of ours"))
            self._service.observe("association_fault", **_fault_facts(error))
        finally:
            self._wire.close()
            self._service.admission.leave(self._connection)
            self._report()

    def _pace(self, pdu_seconds: float, life_seconds: float) -> pdv.Pace:
        limits = self._limits
        return pdv.Pace(
            limits.max_pdu_bytes,
            pdu_seconds,
            limits.minimum_bytes_per_second,
            self._monotonic() + life_seconds,
        )

    def _secure(self) -> None:
        if self._tls_context is None:
            return
        deadline = self._monotonic() + self._limits.tls_handshake_seconds
        try:
            self._wire.secure(self._tls_context, deadline)
        except ProtocolError as error:
            self._service.admission.refuse("tls")
            self._service.observe(
                "tls_refused",
                listener=self._service.listener.name,
                address=self._connection.address,
                reason=str(error),
            )
            raise
        seconds = self._limits.first_pdu_seconds
        self._stream.pace = self._pace(seconds, seconds)

    def _associate(self) -> bool:
        """Answer the A-ASSOCIATE-RQ; whether there is an association (PS3.8 9.2.1, Sta2, Sta3)."""
        try:
            request = self._request()
        except (Closed, Stalled, pdv.PeerAborted):
            raise
        except ProtocolError as error:
            self._service.admission.refuse("protocol")
            # Before an association an abort is the service user's (PS3.8 table 9-10, AA-1).
            raise ProtocolError(str(error)) from error
        calling = Calling(
            self._service.listener.name,
            request.calling_ae_title,
            request.called_ae_title,
            self._connection.address,
            self._wire.tls_subject,
        )
        refusal = self._refusal(request, calling)
        if refusal is not None:
            reason, fields = refusal
            self._service.admission.refuse(reason)
            self._ending = f"refused: {reason}"
            self._say(pdu.reject(fields.result, fields.source, fields.reason))
            self._wire.linger(LINGER_SECONDS)
            return False
        handlers = self._service.handlers
        offered = negotiate.Offered(handlers.operate is not None, handlers.commit is not None)
        answers = tuple(negotiate.answer(one, offered) for one in request.contexts)
        roles = negotiate.roles(request, answers)
        self._contexts = {answer.context_id: answer for answer in answers if not answer.result}
        self._storage = providing.storage_contexts(self._contexts, roles)
        accept = pdu.encode_accept(request, answers, self._limits.max_pdu_bytes, roles)
        self._payload = fragments.payload_bytes(
            max(request.max_pdu_bytes, fragments.SMALLEST_PDU_BYTES) if request.max_pdu_bytes else 0
        )
        self._stream.pace = self._pace(self._limits.pdu_seconds, self._limits.life_seconds)
        self._say(accept)
        return True

    def _request(self) -> pdu.AssociateRequest:
        kind = self._stream.pdu_type()
        if kind == pdv.ABORT:
            raise self._stream.peer_abort()
        if kind != pdv.ASSOCIATE_RQ:
            raise ProtocolError("the first PDU is no A-ASSOCIATE-RQ")
        return pdu.decode_request(self._stream.body(MAX_ASSOCIATE_BYTES))

    def _refusal(
        self, request: pdu.AssociateRequest, calling: Calling
    ) -> tuple[str, Rejection] | None:
        """The reason to count and the A-ASSOCIATE-RJ to send, or None; then the slot is taken."""
        objection = negotiate.objection(request)
        if objection is not None:
            return "protocol", Rejection(*objection)
        if self._service.draining.is_set():
            return "draining", TEMPORARY_CONGESTION
        source = self._service.handlers.authorise(calling)
        if isinstance(source, Rejection):
            return "authorisation", source
        limit = self._service.admission.admit(self._connection, calling.calling_ae_title)
        if limit is not None:
            return limit, LOCAL_LIMIT_EXCEEDED
        self._source = source
        self._service.observe(
            "association_opened",
            listener=source.listener,
            calling_ae_title=source.calling_ae_title,
            called_ae_title=source.called_ae_title,
            address=source.address,
            station=source.station,
            peer_version=request.implementation_version_name,
        )
        return None

    def _serve(self) -> None:
        """Messages until the release (PS3.8 Sta6)."""
        stream = self._stream
        while True:
            if stream.is_at_pdu_boundary:
                self._await_input()
                kind = stream.pdu_type()
                if kind == pdv.RELEASE_RQ:
                    stream.body(max_bytes=4)
                    self._say(pdu.RELEASE_RP_PDU)
                    self._wire.linger(LINGER_SECONDS)
                    return
                if kind == pdv.ABORT:
                    raise stream.peer_abort()
                if kind != pdv.P_DATA:
                    raise ProtocolError("a PDU that has no place here", pdv.UNEXPECTED_PDU)
            stream.begin_message()
            self._dispatch(commands.parse(stream.command_set()))

    def _await_input(self) -> None:
        """Wait for the next PDU as long as an association may be idle."""
        idle_until = self._monotonic() + self._limits.idle_seconds
        while True:
            left = idle_until - self._monotonic()
            if left <= 0 or self._monotonic() >= self._stream.pace.ends_at:
                raise ProtocolError("the association was idle for too long, or too old")
            if self._stream.has_input(min(SLICE_SECONDS, left)):
                return
            if self._service.draining.is_set():
                raise ProtocolError("we are shutting down")

    def _dispatch(self, command: Command) -> None:
        """Answer one request (PS3.7 9.3)."""
        context = self._contexts.get(self._stream.context_id)
        if context is None:
            raise ProtocolError(
                "a message on a presentation context that was not accepted", pdv.INVALID_PARAMETER
            )
        field = command.field
        operate, commit = self._service.handlers.operate, self._service.handlers.commit
        if field == commands.C_STORE_RQ:
            self._store(command, context)
        elif operate and providing.is_served(field, context.abstract_syntax):
            self._operate(command, context, operate)
        elif commit and negotiate.is_commitment(field, context.abstract_syntax):
            self._commit(command, context, commit)
        elif field == commands.C_ECHO_RQ or field in commands.OTHER_REQUESTS:
            self._answer_without_handler(field, command, context)
        elif field != commands.C_CANCEL_RQ:
            # A cancel of what is already answered is no error (PS3.7 9.3.2.3); the rest is.
            raise ProtocolError("a command that has no place here")

    def _answer_without_handler(
        self, field: int, command: Command, context: AnsweredContext
    ) -> None:
        """C-ECHO, and the refusal of all that is offered nowhere (PS3.7 9.3.5, C.5)."""
        message_id = command.message_id
        sop_class_uid = command.uid(commands.AFFECTED_SOP_CLASS_UID)
        status = 0x0000
        if command.announces_data_set:
            self._stream.data_set().drop_rest()
            status = MISTYPED_ARGUMENT
        if field != commands.C_ECHO_RQ:
            status = UNRECOGNISED_OPERATION
        elif sop_class_uid != context.abstract_syntax:
            status = SOP_CLASS_NOT_SUPPORTED
        self._respond(
            context,
            commands.response(
                field | commands.RESPONSE, message_id, status, context.abstract_syntax
            ),
        )

    def _store(self, command: Command, context: AnsweredContext) -> None:
        """C-STORE (PS3.7 9.3.1, PS3.4 B.2.3)."""
        message_id = command.message_id
        sop_class_uid = command.uid(commands.AFFECTED_SOP_CLASS_UID)
        instance_uid = command.uid(commands.AFFECTED_SOP_INSTANCE_UID)
        received = 0
        if not commands.is_safe_instance_uid(instance_uid):
            instance_uid = ""
        if not command.announces_data_set:
            answer = StoreAnswer(MISTYPED_ARGUMENT, "a C-STORE without a data set")
        else:
            chunks = self._stream.data_set()
            if context.abstract_syntax == negotiate.VERIFICATION_SOP_CLASS_UID:
                answer = StoreAnswer(UNRECOGNISED_OPERATION, "no C-STORE on this context")
            elif sop_class_uid != context.abstract_syntax and not sop_class_uid.isdigit():
                answer = StoreAnswer(SOP_CLASS_NOT_SUPPORTED, "SOP class is not the context's")
            elif not instance_uid:
                answer = StoreAnswer(
                    DATA_SET_DOES_NOT_MATCH,
                    "Affected SOP Instance UID is no UID",
                    (commands.AFFECTED_SOP_INSTANCE_UID,),
                )
            else:
                assert self._source is not None
                # A bare number names no class at all; the context and the data set do.
                request = StoreRequest(
                    self._source,
                    context.abstract_syntax,
                    instance_uid,
                    context.transfer_syntax,
                )
                answer = self._handled(request, chunks)
            chunks.drop_rest()
            received = chunks.received
        response = commands.response(
            commands.C_STORE_RSP,
            message_id,
            answer.status,
            context.abstract_syntax,
            sop_instance_uid=instance_uid,
            comment=answer.comment,
            offending_tags=answer.offending_tags,
        )
        self._instances += 1
        self._bytes += received
        self._service.admission.stored(received, failed=_is_failure(answer.status))
        self._respond(context, response)

    def _handled(self, request: StoreRequest, chunks: pdv.DataSetChunks) -> StoreAnswer:
        """The handler's answer, or what its error says. Raises when the peer was at fault."""
        try:
            answer = self._guarded(lambda: self._service.handlers.store(request, chunks), "store")
        except ProtocolError as error:  # of the handler's own making, where the stream is whole
            answer = _answer_to(error)
        if self._stream.failure is not None:
            raise self._stream.failure
        return answer

    def _guarded(self, handler: Callable[[], _Answer], what: str) -> _Answer | StoreAnswer:
        """What the handler gives, or what its error says. Raises when the peer was at fault."""
        try:
            return handler()
        except ProtocolError:
            raise
        except RouterError as error:
            return _answer_to(error)
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others
            self._service.observe(f"{what}_fault", **_fault_facts(error))
            if isinstance(error, MemoryError):
                return StoreAnswer(OUT_OF_RESOURCES, "out of resources")
            return StoreAnswer(PROCESSING_FAILURE, "processing failure")

    def _operate(self, command: Command, context: AnsweredContext, operate: Operate) -> None:
        """C-FIND, C-MOVE, C-GET (PS3.7 9.1.2 to 9.1.4): answered to the end before the next."""
        assert self._source is not None
        line = providing.Line(
            self._stream,
            self._wire,
            lambda parts: self._wire.send(parts, self._monotonic() + self._limits.pdu_seconds),
            self._payload,
            self._limits.idle_seconds,
            self._monotonic,
            self._storage,
        )
        operation = providing.Operation(line, context, command)
        source, began = self._source, self._monotonic()

        def answered() -> OperationAnswer:
            request = providing.read_request(command, context, source, line)
            return operation.answer(operate(request, operation))

        last = self._guarded(answered, "operation")
        if isinstance(last, StoreAnswer):
            operation.send(OperationAnswer(last.status, last.comment, last.offending_tags))
        self._service.observe(
            "operation_ended",
            listener=source.listener,
            station=source.station,
            calling_ae_title=source.calling_ae_title,
            service=commands.OPERATIONS[command.field],
            status=f"0x{last.status:04X}",
            pending_answers=operation.answers,
            seconds=round(self._monotonic() - began, 3),
        )

    def _commit(self, command: Command, context: AnsweredContext, commit: Commit) -> None:
        """N-ACTION and N-EVENT-REPORT of Storage Commitment (PS3.4 J.3)."""
        assert self._source is not None
        source = self._source

        def handled() -> StoreAnswer:
            return commit(commitment.read_message(command, context, source, self._stream))

        answer = self._guarded(handled, "commitment")
        if self._stream.failure is not None:
            raise self._stream.failure
        self._respond(context, commitment.response(command, answer))

    def _respond(self, context: AnsweredContext, command_set: bytes) -> None:
        self._say(fragments.command_pdus(context.context_id, command_set, self._payload))

    def _say(self, pdus: bytes) -> None:
        self._wire.send((pdus,), self._monotonic() + self._limits.pdu_seconds)

    def _abort(self, error: ProtocolError) -> None:
        """Send A-ABORT where there is someone to hear it (PS3.8 9.3.8), and wait for the close."""
        if self._source is not None:
            self._service.admission.abort()
        if isinstance(error, pdv.PeerAborted):
            return
        if isinstance(error, Closed) and not self._wire.interrupted:
            return
        source = 2 if error.abort_reason else 0
        self._wire.farewell(pdu.abort(source, error.abort_reason), FAREWELL_SECONDS)
        if not isinstance(error, Closed | Stalled):
            with contextlib.suppress(ProtocolError):
                self._wire.linger(LINGER_SECONDS)

    def _report(self) -> None:
        """One line for the whole association, or for the connection that came to none."""
        observe, source = self._service.observe, self._source
        seconds = round(self._monotonic() - self._connection.accepted_at, 3)
        if source is None:
            observe(
                "connection_ended",
                listener=self._service.listener.name,
                address=self._connection.address,
                ending=self._ending,
                seconds=seconds,
            )
            return
        observe(
            "association_ended",
            listener=source.listener,
            calling_ae_title=source.calling_ae_title,
            address=source.address,
            ending=self._ending,
            seconds=seconds,
            instances=self._instances,
            bytes=self._bytes,
        )


def _answer_to(error: RouterError) -> StoreAnswer:
    """The status an error carries. Words of our own troubles are not for the peer."""
    if isinstance(error, BadDataset):
        return StoreAnswer(error.status, str(error), error.offending_tags)
    if isinstance(error, Refused):
        return StoreAnswer(error.status, str(error))
    status = error.dimse_status
    return StoreAnswer(
        status, "out of resources" if status == OUT_OF_RESOURCES else "processing failure"
    )


def _is_failure(status: int) -> bool:
    """Whether a status of C-STORE says that the instance was not taken (PS3.7 annex C)."""
    return status >> 12 in _FAILURE_KINDS or (
        status >> 8 in (1, 2) and status not in (0x107, 0x116)
    )


def _fault_facts(error: BaseException) -> dict[str, object]:
    """Where a fault of ours happened, without its words, which might hold patient data."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = tuple(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return {"error": type(error).__name__, "places": places}
