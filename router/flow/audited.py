"""What stations ask by DIMSE, into the audit trail: queries, C-GET, and what was refused.

What C-MOVE sends is told by the tasks it makes. An event is durable before the last answer leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from router.dimse.command import C_FIND_RQ, C_GET_RQ
from router.dimse.handlers import (
    Calling,
    Exchange,
    Operate,
    OperationAnswer,
    OperationRequest,
    SubOperations,
)
from router.errors import Refused
from router.flow.auditing import AuditLog, ourselves
from router.model.audit import (
    MINOR_FAILURE,
    SERIOUS_FAILURE,
    SUCCESS,
    AuditedStudy,
    AuditEvent,
    AuditQuery,
    Participant,
    RoleName,
)
from router.model.instance import Source
from router.model.plan import Plan
from router.model.status import CANCELLED, PENDING, PENDING_WITH_UNSUPPORTED_KEYS
from router.model.status import SUCCESS as DONE

_GOES_ON = frozenset({PENDING, PENDING_WITH_UNSUPPORTED_KEYS})
_WELL = frozenset({DONE, CANCELLED, *_GOES_ON})
_MOST_STUDIES = 50


class Audited:
    """Puts an audit trail around the query and retrieve services. Shared by threads."""

    def __init__(
        self,
        operate: Operate,
        studies: Callable[[OperationRequest], Sequence[str]],
        audit: AuditLog,
        plan: Plan,
    ) -> None:
        """`studies` tells which studies a C-GET asks for."""
        self._operate = operate
        self._studies = studies
        self._audit = audit
        self._plan = plan

    def operate(
        self, request: OperationRequest, exchange: Exchange
    ) -> Generator[OperationAnswer, None, None]:
        """The answers of the service behind; see `dimse.handlers.Handlers`."""
        last: OperationAnswer | None = None
        is_told = False
        try:
            with closing(self._operate(request, exchange)) as answers:
                for one in answers:
                    last = one
                    if one.status not in _GOES_ON:
                        is_told = True
                        self._tell(request, one)
                    yield one
        except Refused as refused:
            is_told = True
            self._refused(request, str(refused))
            raise
        finally:
            if not is_told:
                self._tell(request, last)

    def _tell(self, request: OperationRequest, last: OperationAnswer | None) -> None:
        if request.field == C_FIND_RQ:
            self._queried(request, last)
        elif request.field == C_GET_RQ:
            self._got(request, last)

    def _queried(self, request: OperationRequest, last: OperationAnswer | None) -> None:
        is_well = last is not None and last.status in _WELL
        query = AuditQuery(request.identifier, request.sop_class_uid, request.transfer_syntax_uid)
        self._audit.note(
            AuditEvent(
                "queried",
                self._audit.now(),
                _name(request.source),
                request.source.called_ae_title,
                SUCCESS if is_well else MINOR_FAILURE,
                "" if is_well else "the query came to no end",
                (
                    _asking(request.source, "source"),
                    ourselves(self._plan, role="destination"),
                ),
                query=query,
            )
        )

    def _got(self, request: OperationRequest, last: OperationAnswer | None) -> None:
        counts = last.counts if last is not None and last.counts else SubOperations(None, 0, 0)
        is_well = last is not None and last.status in _WELL and not counts.failed
        words = f"{counts.completed} instances sent, {counts.failed} failed"
        # What was sent is told though nobody knows whose it was.
        studies = self._studies(request)[:_MOST_STUDIES] or [""] * bool(counts.completed)
        for uid in studies:
            whose = self._audit.whose(uid)
            self._audit.note(
                AuditEvent(
                    "sent",
                    self._audit.now(),
                    _name(request.source),
                    uid,
                    SUCCESS if is_well else MINOR_FAILURE,
                    words,
                    (
                        ourselves(self._plan, role="source"),
                        _asking(request.source, "destination"),
                    ),
                    (AuditedStudy(uid, {}, whose.accession_number),),
                    whose.patient,
                )
            )

    def _refused(self, request: OperationRequest, reason: str) -> None:
        source = request.source
        if self._audit.is_news("operation_refused", source.address, source.calling_ae_title):
            self._audit.note(
                AuditEvent(
                    "operation_refused",
                    self._audit.now(),
                    _name(source),
                    source.called_ae_title,
                    SERIOUS_FAILURE,
                    reason,
                    (ourselves(self._plan), _asking(source, "")),
                )
            )


def refused_association(audit: AuditLog, plan: Plan, calling: Calling, reason: str) -> None:
    """Tell that somebody was refused: once in a while for each address, by whatever name."""
    if not audit.is_news("association_refused", calling.address):
        return
    other = f"AETITLES={calling.calling_ae_title}"
    subject = f", certificate {calling.tls_subject}" if calling.tls_subject else ""
    words = f"called {calling.called_ae_title!r} on {calling.listener}: {reason}{subject}"
    who = calling.calling_ae_title or calling.address
    _not_authenticated(audit, plan, who, calling.address, words, other)


def refused_tls(audit: AuditLog, plan: Plan, *, listener: str, address: str, reason: str) -> None:
    """Tell that a TLS handshake failed, as with a certificate that is not accepted; as seldom."""
    if audit.is_news("tls_refused", address):
        _not_authenticated(audit, plan, address, address, f"on {listener}: {reason}")


def _not_authenticated(
    audit: AuditLog, plan: Plan, who: str, address: str, words: str, other: str = ""
) -> None:
    caller = Participant(address, is_requestor=True, address=address, other_id=other)
    participants = (ourselves(plan), caller)
    audit.note(
        AuditEvent(
            "association_refused", audit.now(), who, address, SERIOUS_FAILURE, words, participants
        )
    )


def _name(source: Source) -> str:
    return source.station or source.calling_ae_title or source.address


def _asking(source: Source, role: RoleName) -> Participant:
    other = f"AETITLES={source.calling_ae_title}" if source.calling_ae_title else ""
    name, address = _name(source), source.address
    return Participant(name, role, is_requestor=True, address=address, other_id=other)
