"""A DICOM station: instances by C-STORE, one association kept warm (PS3.4 B, PS3.7 9.1.1).

An association proposes what the instances at hand need: their class with each transfer syntax they may
leave in, one syntax a context, so that it is always known which one was accepted. It is used again while its contexts suffice and it
rested no longer than 30 s. When it breaks, the instance under way is retried and the rest of the
batch is given back untried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    layout_of,
)
from router.dicom.uid_names import shown_uid
from router.dicomweb.words import scrubbed
from router.dimse.client import ClientAssociation, connect
from router.errors import (
    BadDataset,
    Busy,
    DeliveryError,
    Rejected,
    RouterError,
    Undeliverable,
    Unreachable,
)
from router.model.commitment import CommitmentReport, CommitmentRequest
from router.model.delivery import Outcome, Result
from router.model.query import MoveProgress, Query, Retrieval
from router.model.station import Station
from router.model.status import describe
from router.peers.dicom_commitment import TakeReport, ask, report
from router.peers.dicom_find import found_at
from router.peers.dicom_retrieve import moved_from
from router.peers.peer import (
    Parcel,
    PeerContext,
    Probe,
    dimse_answer,
    failure_outcome,
    not_sent,
    tls_context_of,
)
from router.peers.search import Search

IDLE_SECONDS: Final = 30.0
MAX_CONTEXTS: Final = 128  # PS3.8 9.3.2.2: odd identifiers from 1 to 255
VERIFICATION: Final = "1.2.840.10008.1.1"
_BUSY_ANSWERS_IN_A_ROW: Final = 2

_Context = tuple[str, str]


@dataclass(slots=True)
class _Warm:
    """An open association, what it proposed, when it was last used, and whether it rested since."""

    association: ClientAssociation
    proposed: frozenset[_Context]
    used_at: float
    rested: bool = False


class DicomPeer:
    """The working side of one DICOM station; one thread at a time."""

    def __init__(self, station: Station, context: PeerContext) -> None:
        self._station = station
        self._context = context
        self._profile = station.profile
        self._warm: _Warm | None = None

    def probe(self) -> Probe:
        """C-ECHO on an association of its own (PS3.7 9.1.5)."""
        clock = self._context.clock
        began_at = clock.monotonic()
        syntaxes = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
        contexts = [(VERIFICATION, syntax) for syntax in syntaxes]
        try:
            association = self._connected(contexts, self._station.heartbeat.timeout_seconds)
            try:
                if not association.accepted(VERIFICATION):
                    raise Unreachable("the association was accepted, verification was not")
                status = association.echo()
            except RouterError:
                association.abort()
                raise
            association.release()
        except RouterError as error:
            return Probe(False, clock.monotonic() - began_at, str(error))
        return Probe(status == 0, clock.monotonic() - began_at, f"C-ECHO: {describe(status)}")

    def send(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        """Send them one after another over one association, or several where contexts run out."""
        stop: Outcome | None = None
        busy = 0
        if self._warm is not None:
            self._warm.rested = True
        for index, parcel in enumerate(parcels):
            delivery_id = parcel.leased.delivery_id
            if stop is not None:
                yield not_sent(delivery_id, stop)
                continue
            try:
                outcome = self._stored(parcel, parcels[index:])
            except _Lost as lost:
                outcome = failure_outcome(delivery_id, lost.cause)
                stop = Outcome(delivery_id, Result.UNREACHABLE, "the association was lost")
            except RouterError as error:
                outcome = failure_outcome(delivery_id, error)
                stop = outcome if error.scope == "station" else None
            else:
                # One odd object may be told "busy" for ever; two in a row speak for the station.
                busy = busy + 1 if outcome.result is Result.BUSY else 0
                if outcome.result is Result.HOLD or busy >= _BUSY_ANSWERS_IN_A_ROW:
                    stop = outcome
            yield outcome

    def find(self, query: Query, wish_to_cancel: Callable[[], bool]) -> Search:
        """Search it by C-FIND, on an association of its own."""
        clock = self._context.clock
        return Search(found_at(self._station, self._connected, query, wish_to_cancel, clock))

    def retrieve(
        self, wanted: Retrieval, wish_to_cancel: Callable[[], bool]
    ) -> Iterator[MoveProgress]:
        """Have it send a study or series to us by C-MOVE, to the title we call it with."""
        destination = self._station.calling_ae_title or self._context.calling_ae_title
        clock = self._context.clock
        return moved_from(
            self._station, self._connected, wanted, destination, wish_to_cancel, clock
        )

    def ask_commitment(
        self, request: CommitmentRequest, asked: Callable[[], None], take: TakeReport
    ) -> None:
        """Ask it to commit, on an association of its own; see `dicom_commitment.Committing`."""
        ask(self._connected, self._station.limits.timeout_seconds, request, asked, take)

    def report_commitment(self, told: CommitmentReport) -> None:
        """Report to it what was committed, on an association of its own."""
        report(self._connected, self._station.limits.timeout_seconds, told)

    def idle(self) -> None:
        """Release the association when it rested for 30 s."""
        warm = self._warm
        if warm is not None and self._context.clock.monotonic() - warm.used_at >= IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        """Release the association."""
        warm, self._warm = self._warm, None
        if warm is not None:
            try:
                warm.association.release()
            except RouterError:
                warm.association.abort()

    def _stored(self, parcel: Parcel, ahead: Sequence[Parcel]) -> Outcome:
        warm = self._ready(parcel, ahead)
        rested = warm.rested
        try:
            outcome = self._store_on(warm, parcel)
        except _Lost:
            if not rested:
                raise
            # The station closed an association that rested: that says nothing about this object.
            outcome = self._store_on(self._ready(parcel, ahead), parcel)
        if outcome.status == 0x0122:
            # Some peers refuse a class only in the company of others: once more by itself.
            self.close()
            outcome = self._store_on(self._ready(parcel, ()), parcel)
        return outcome

    def _ready(self, parcel: Parcel, ahead: Sequence[Parcel]) -> _Warm:
        """An association that proposed what this parcel needs: the one there is, or a new one."""
        self.idle()
        wanted = _contexts_for(parcel)
        warm = self._warm
        if warm is not None and warm.proposed.issuperset(wanted) and warm.association.is_open():
            return warm
        self.close()
        contexts = list(dict.fromkeys(_first(MAX_CONTEXTS, (parcel, *ahead))))
        association = self._connected(contexts, self._station.limits.timeout_seconds)
        self._warm = _Warm(association, frozenset(contexts), self._context.clock.monotonic())
        return self._warm

    def _store_on(self, warm: _Warm, parcel: Parcel) -> Outcome:
        leased = parcel.leased
        accepted = warm.association.accepted(leased.sop_class_uid)
        chosen = next((syntax for syntax in parcel.syntaxes if syntax in accepted), None)
        if chosen is None:
            raise Undeliverable(
                f"the station accepts no context for {shown_uid(leased.sop_class_uid)} "
                f"in {shown_uid(parcel.syntaxes[0])}{_hint(parcel)}"
            )
        outgoing = parcel.outgoing(chosen)
        reading = _Reading(outgoing.chunks())
        try:
            response = warm.association.store(
                outgoing.sop_class_uid,
                outgoing.sop_instance_uid,
                outgoing.transfer_syntax_uid,
                reading,
                leased.priority.dimse_code,
                length=outgoing.length,
                move_originator=leased.move_originator,
            )
        except ValueError as error:
            self._warm = None
            raise BadDataset("the data set is not as long as it was") from error
        except RouterError as error:
            self._warm = None
            warm.association.abort()
            if reading.failure is not None:
                raise reading.failure from error
            raise _Lost(error) from error
        warm.rested = False
        warm.used_at = self._context.clock.monotonic()
        comment = scrubbed(response.comment, 64)
        outcome = dimse_answer(leased.delivery_id, response.status, comment, self._profile)
        if not self._station.commit:
            return outcome
        return replace(outcome, sent_as=outgoing.identity)

    def _connected(
        self,
        contexts: Sequence[_Context],
        timeout_seconds: float,
        roles: Mapping[str, tuple[bool, bool]] | None = None,
    ) -> ClientAssociation:
        station = self._station
        if station.port is None or not station.host:
            raise Rejected("the station has no host and port: it only sends to us")
        return connect(
            station.host,
            station.port,
            station.calling_ae_title or self._context.calling_ae_title,
            station.ae_title,
            contexts,
            tls_context=tls_context_of(station, self._context),
            timeout_seconds=timeout_seconds,
            max_pdu_bytes=station.limits.max_pdu_bytes,
            roles=roles,
        )


class _Lost(Exception):
    """The association ended while an instance was under way."""

    def __init__(self, cause: RouterError) -> None:
        super().__init__(str(cause))
        # What a broken association did to the instance is not known: that uses an attempt.
        known = isinstance(cause, Busy | Rejected | Undeliverable)
        self.cause = cause if known else _Interrupted(f"the association was lost: {cause}")


class _Interrupted(DeliveryError):
    """No answer to this instance: retried."""


class _Reading:
    """The chunks of a data set, and the error that ended them: ours, not the station's."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self.failure: RouterError | None = None

    def __iter__(self) -> Iterator[bytes | memoryview]:
        try:
            yield from self._chunks
        except RouterError as error:
            self.failure = error
            raise


def _contexts_for(parcel: Parcel) -> tuple[_Context, ...]:
    sop_class_uid = parcel.leased.sop_class_uid
    return tuple((sop_class_uid, syntax) for syntax in parcel.syntaxes)


def _hint(parcel: Parcel) -> str:
    """What somebody can do where a compressed object is not taken as it is stored."""
    first = parcel.syntaxes[0]
    if parcel.leased.transfer_syntax_uid != first or not layout_of(first).encapsulated:
        return ""
    return "; with transfer_syntax: ExplicitVRLittleEndian it would be decoded for it"


def _first(most: int, parcels: Iterable[Parcel]) -> tuple[_Context, ...]:
    """The contexts of these parcels, in order, as far as an association can carry them."""
    found: dict[_Context, None] = {}
    for parcel in parcels:
        more = dict.fromkeys(_contexts_for(parcel))
        if len(found | more) > most:
            break
        found |= more
    return tuple(found)
