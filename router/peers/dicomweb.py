"""A DICOMweb station: batches of instances as STOW-RS requests (PS3.18 10.5).

Any number of threads may send and probe at once; all peers of one station share its connections
and its token. What a server answers for a batch is settled instance by instance: what it does not
name is sent again alone, and a batch it refuses as a whole is halved until the guilty one stands
alone. A request that fails for a reason of the station ends the sending; the rest is untried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from router.dicom.part10 import Part10Stream
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.dicomweb.authorization import FixedCredentials
from router.dicomweb.client import HttpSession, StowClient
from router.dicomweb.multipart import Chunk, Part, PartFailed
from router.dicomweb.oauth import TokenSource
from router.dicomweb.outcome import Verdict, answer_words, read_answer
from router.dicomweb.profiles import profile_named
from router.dicomweb.search import search
from router.dimse.tls import client_context
from router.errors import ConfigError, Rejected, RouterError, Undeliverable
from router.model.delivery import Outcome
from router.model.query import ObjectName, Query
from router.model.rejection import KEY_OBJECT_SELECTION
from router.model.station import OAuth, Secret, Station, TlsProfile
from router.peers.dicomweb_rejected import delete_rejected
from router.peers.dicomweb_retrieve import fetched, listed
from router.peers.peer import (
    Parcel,
    PeerContext,
    Probe,
    failure_outcome,
    file_header,
    not_sent,
    tls_context_of,
)
from router.peers.search import Search

# An instance that failed this often may be what breaks its batch: it goes by itself from then on.
_ALONE_FROM_ATTEMPT: Final = 2
_SYSTEM: Final = TlsProfile("system", cert=None, key=None, ca=None)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A parcel and its part of the request."""

    parcel: Parcel
    identity: tuple[str, str, str]
    part: Part

    @property
    def sop_instance_uid(self) -> str:
        """Its name in the answer."""
        return self.identity[1]


class DicomwebPeer:
    """The working side of one DICOMweb station."""

    def __init__(self, station: Station, context: PeerContext) -> None:
        self._station = station
        self._context = context
        self._profile = profile_named(station.profile)
        self._key = ("dicomweb", station)
        self._taken: StowClient | None = None

    def probe(self) -> Probe:
        """A token, and a search for one study."""
        clock = self._context.clock
        began_at = clock.monotonic()
        try:
            answer = self._stow().probe(self._station.heartbeat.timeout_seconds)
        except RouterError as error:
            return Probe(False, clock.monotonic() - began_at, str(error))
        seconds = clock.monotonic() - began_at
        return Probe(answer.status in (200, 204), seconds, answer_words(answer))

    def send(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        """Send them in batches within the limits of the station and of its profile."""
        waiting = {parcel.leased.delivery_id: parcel for parcel in parcels}
        for outcome, ends_sending in self._settled(parcels):
            waiting.pop(outcome.delivery_id, None)
            yield outcome
            if ends_sending:
                yield from (not_sent(delivery_id, outcome) for delivery_id in waiting)
                return

    def find(self, query: Query, wish_to_cancel: Callable[[], bool]) -> Search:
        """Search it by QIDO-RS, page by page."""
        get, clock = self._stow().get, self._context.clock
        return Search(search(get, self._profile, query, wish_to_cancel, clock))

    def listed(self, query: Query, wish_to_cancel: Callable[[], bool]) -> tuple[ObjectName, ...]:
        """The objects a query names, by QIDO-RS."""
        return listed(self.find, query, wish_to_cancel)

    def fetch(self, name: ObjectName, seconds: float) -> AbstractContextManager[Part10Stream]:
        """One object, by WADO-RS."""
        return fetched(self._stow(), name, seconds)

    def idle(self) -> None:
        """Nothing to do: the pool closes connections unused for 30 s by itself."""

    def close(self) -> None:
        """Give back the shared connections."""
        if self._taken is not None:
            self._taken = None
            self._context.shared.give_back(self._key)

    def _settled(self, parcels: Sequence[Parcel]) -> Iterator[tuple[Outcome, bool]]:
        """Outcomes, each with whether it speaks of the station and ends the sending."""
        try:
            stow = self._stow()
        except RouterError as error:
            for parcel in parcels[:1]:
                yield failure_outcome(parcel.leased.delivery_id, error), True
            return
        for found in self._batches(parcels):
            if isinstance(found, Outcome):
                yield found, False
            else:
                yield from self._delivered(stow, found)

    def _batches(self, parcels: Sequence[Parcel]) -> Iterator[tuple[_Packed, ...] | Outcome]:
        limits = self._station.limits
        max_instances = min(limits.batch_instances, self._profile.max_instances)
        max_bytes = min(limits.batch_bytes, self._profile.max_request_bytes)
        batch: list[_Packed] = []
        size = 0
        for parcel in parcels:
            try:
                packed = self._packed(parcel)
            except RouterError as error:
                yield failure_outcome(parcel.leased.delivery_id, error)
                continue
            length = packed.part.length
            alone = parcel.leased.attempts >= _ALONE_FROM_ATTEMPT
            known = {other.sop_instance_uid for other in batch}
            full = len(batch) >= max_instances or size + length > max_bytes
            if batch and (full or alone or packed.sop_instance_uid in known):
                yield tuple(batch)
                batch, size = [], 0
            batch.append(packed)
            size += length
            if alone:
                yield tuple(batch)
                batch, size = [], 0
        if batch:
            yield tuple(batch)

    def _packed(self, parcel: Parcel) -> _Packed:
        first = layout_of(parcel.syntaxes[0])
        is_taken = first.explicit_vr and first.little_endian and not first.deflated
        outgoing = parcel.outgoing(first.uid if is_taken else EXPLICIT_VR_LITTLE_ENDIAN)
        is_note = parcel.leased.sop_class_uid == KEY_OBJECT_SELECTION
        if is_note and self._station.delete_rejected:
            seconds = self._station.limits.timeout_seconds
            delete_rejected(outgoing, lambda resource: self._stow().delete(resource, seconds))
        header = file_header(outgoing)
        length = outgoing.length
        if length is None:  # inflating tells the length only at its end, and the request needs it
            length = sum(len(chunk) for chunk in outgoing.chunks())
        if len(header) + length > self._profile.max_request_bytes:
            limit = self._profile.max_request_bytes
            raise Undeliverable(f"larger than the {limit} bytes the station takes in one request")

        def chunks() -> Iterator[Chunk]:
            return chain((header,), outgoing.chunks())

        return _Packed(parcel, outgoing.identity, Part(len(header) + length, chunks))

    def _delivered(
        self, stow: StowClient, batch: tuple[_Packed, ...]
    ) -> Iterator[tuple[Outcome, bool]]:
        work = deque([batch])
        while work:
            group = work.popleft()
            try:
                answer = stow.store([packed.part for packed in group])
            except PartFailed as error:
                guilty = group[error.index].parcel.leased.delivery_id
                yield failure_outcome(guilty, error.cause), error.cause.scope == "system"
                rest = group[: error.index] + group[error.index + 1 :]
                work.extendleft([rest] if rest else [])
                continue
            except RouterError as error:
                for packed in group:
                    outcome = failure_outcome(packed.parcel.leased.delivery_id, error)
                    yield outcome, error.scope == "station"
                continue
            uids = [packed.sop_instance_uid for packed in group]
            verdicts = read_answer(uids, answer, self._profile, self._context.clock.now())
            if verdicts[0].again == "halved":
                middle = len(group) // 2
                work.extendleft([group[middle:], group[:middle]])
                continue
            for packed, verdict in zip(group, verdicts, strict=True):
                if verdict.again == "alone":
                    work.append((packed,))
                else:
                    yield _outcome(packed, verdict), verdict.about_station

    def _stow(self) -> StowClient:
        """The connections all peers of this station share; made when first used."""
        if self._taken is None:
            self._taken = self._context.shared.take(self._key, self._connected)
        return self._taken

    def _connected(self) -> StowClient:
        station, context = self._station, self._context
        session = HttpSession(
            tls_context_of(station, context) or client_context(_SYSTEM),
            context.clock,
            allow_http=station.allow_insecure_http,
            stall_seconds=station.limits.timeout_seconds,
            max_connections=station.limits.requests + 1,
        )
        credentials: TokenSource | FixedCredentials | None = None
        read_secret = _guarded(context.read_secret)
        if isinstance(station.auth, OAuth):
            count = partial(context.count_token, station.name)
            credentials = TokenSource(station.auth, read_secret, context.clock, session, count)
        elif station.auth is not None:
            credentials = FixedCredentials(station.auth, read_secret)
        return StowClient(session, station.url, self._profile, credentials)


def _outcome(packed: _Packed, verdict: Verdict) -> Outcome:
    return Outcome(
        packed.parcel.leased.delivery_id,
        verdict.result,
        verdict.message,
        verdict.status,
        verdict.retry_after_seconds,
        packed.identity,
    )


def _guarded(read_secret: Callable[[Secret], str]) -> Callable[[Secret], str]:
    """The same, with every way a secret can be missing told as Rejected: someone must act."""

    def read(secret: Secret) -> str:
        try:
            return read_secret(secret)
        except (OSError, LookupError, ValueError, ConfigError) as error:
            raise Rejected(f"the secret {secret.kind}: {secret.name} cannot be read") from error

    return read
