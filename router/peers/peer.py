"""Peer: the working side of a station. It probes, and sends parcels.

A peer turns every fault of its station into an outcome: `send` gives one outcome for each parcel, in
the order in which they become known, and raises for none of them. Outcomes say whether an attempt
was used: RETRY uses one, while BUSY, UNREACHABLE and HOLD speak of the station and use none.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from router.clock import Clock
from router.dicom.outgoing import OutgoingDataSet
from router.dicom.part10 import file_meta
from router.dicom.transfer_syntax import UNCOMPRESSED, layout_of
from router.dimse.tls import client_context
from router.errors import (
    Busy,
    ConfigError,
    DeliveryError,
    MorphFailed,
    Refused,
    Rejected,
    RouterError,
    Undeliverable,
    Unreachable,
)
from router.model.delivery import Leased, Outcome, Result
from router.model.station import Secret, Station, TlsProfile
from router.peers.status import attempt_limit as attempt_limit
from router.peers.status import dimse_answer as dimse_answer
from router.peers.status import dimse_outcome as dimse_outcome
from router.peers.status import within_limit as within_limit


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery with its data set, opened and morphed when it is asked for.

    `outgoing(transfer_syntax_uid)` gives the data set in that transfer syntax, or in the first of
    `syntaxes` for None; it may be called again for a second try. It raises MorphFailed, Undeliverable
    (cannot be had that way), or an error of the store. `syntaxes` are what may be agreed with the
    station, the best first.
    """

    leased: Leased
    outgoing: Callable[[str | None], OutgoingDataSet]
    syntaxes: tuple[str, ...]


def may_leave_in(
    stored_uid: str, declared_uid: str = "", *, is_decoded: bool = False
) -> tuple[str, ...]:
    """What an object may leave in, the best first: as declared, else as stored or without loss of it.

    With a compressed syntax declared, what has no pixels leaves uncompressed. `is_decoded`: a
    compressed object may be decoded for whoever takes it no other way.
    """
    if declared_uid:
        is_alone = not layout_of(declared_uid).encapsulated
    else:
        is_alone = layout_of(stored_uid).encapsulated and not is_decoded
    first = declared_uid or stored_uid
    if is_alone:
        return (first,)
    return tuple(dict.fromkeys((first, *UNCOMPRESSED)))


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found: `message` is the station's exact answer, `seconds` how long it took."""

    ok: bool
    seconds: float
    message: str


class Peer(Protocol):
    """A station at work. One thread at a time, unless the kind says otherwise."""

    def probe(self) -> Probe:
        """Ask the station for a sign of life; never raises for a fault of the station."""
        ...

    def send(self, parcels: Sequence[Parcel]) -> Iterator[Outcome]:
        """Send them, in order; one outcome each, given as soon as it is known."""
        ...

    def idle(self) -> None:
        """Let go of connections unused for 30 s; the owner calls it when nothing is to be sent."""
        ...

    def close(self) -> None:
        """Let go of everything, at once."""
        ...


class Shared:
    """Parts that several peers of one station use together: a connection pool, a token.

    A part is made for the first who takes it and closed when the last has given it back. With
    `rest_seconds` it rests first, so that the next one needs no new connection and token, and is
    closed when a part is taken or given back after that.
    """

    def __init__(self, clock: Clock | None = None, rest_seconds: float = 0.0) -> None:
        self._monotonic = (clock or Clock()).monotonic
        self._rest_seconds = rest_seconds
        self._lock = threading.Lock()
        self._parts: dict[object, tuple[Any, int]] = {}
        self._resting: dict[object, tuple[Any, float]] = {}

    def take(self, key: object, make: Callable[[], Any]) -> Any:
        """The part under this key; `make` makes it when there is none."""
        tired = self._tired()
        with self._lock:
            part, users = self._parts.get(key, (None, 0))
            if not users:
                part, _ = self._resting.pop(key, (None, 0.0))
                part = make() if part is None else part
            self._parts[key] = (part, users + 1)
        for one in tired:
            one.close()
        return part

    def give_back(self, key: object) -> None:
        """One user less; after the last one the part rests, or is closed."""
        with self._lock:
            part, users = self._parts.pop(key, (None, 0))
            if users > 1:
                self._parts[key] = (part, users - 1)
            elif users == 1:
                self._resting[key] = (part, self._monotonic() + self._rest_seconds)
        for one in self._tired():
            one.close()

    def _tired(self) -> list[Any]:
        """Parts that rested long enough; they are to be closed."""
        with self._lock:
            now = self._monotonic()
            over = [key for key, (_, until) in self._resting.items() if until <= now]
            return [self._resting.pop(key)[0] for key in over]


@dataclass(frozen=True, slots=True)
class PeerContext:
    """What all peers of one plan are given. `read_secret` raises Rejected when it cannot.

    `count_token(station, outcome)` hears of every access token asked for: fetched or failed.
    """

    calling_ae_title: str
    read_secret: Callable[[Secret], str]
    clock: Clock = field(default_factory=Clock)
    tls: Mapping[str, TlsProfile] = field(default_factory=dict)
    count_token: Callable[..., None] = lambda *_names: None
    shared: Shared = field(default_factory=Shared, compare=False)


def failure_outcome(delivery_id: int, error: RouterError) -> Outcome:
    """The outcome an error stands for; total over the error tree.

    Errors of our own store, and what is not known, are retried; a record or data set that is
    damaged for good is quarantined, since nothing of it may be sent.
    """
    status = retry_after_seconds = None
    if isinstance(error, DeliveryError):
        status, retry_after_seconds = error.status, error.retry_after_seconds
    return Outcome(delivery_id, _result_of(error), str(error), status, retry_after_seconds)


def file_header(outgoing: OutgoingDataSet) -> bytes:
    """What goes before a data set in a file (PS3.10 7.1); raises Undeliverable for odd UIDs."""
    try:
        return file_meta(
            outgoing.sop_class_uid, outgoing.sop_instance_uid, outgoing.transfer_syntax_uid
        )
    except ValueError as error:
        raise Undeliverable("its UIDs cannot be written into a file") from error


def tls_context_of(station: Station, context: PeerContext) -> ssl.SSLContext | None:
    """The TLS context the station is reached with, built now so that renewed files take effect.

    None when it names no profile; raises Rejected when its profile or files cannot be used.
    """
    if station.tls is None:
        return None
    if station.tls not in context.tls:
        raise Rejected(f"there is no TLS profile {station.tls}")
    try:
        return client_context(context.tls[station.tls])
    except ValueError as error:
        raise Rejected(str(error)) from error


def not_sent(delivery_id: int, reason: Outcome) -> Outcome:
    """The outcome of a delivery that was not tried, since another showed what the station says."""
    return Outcome(
        delivery_id,
        reason.result,
        f"not sent: {reason.message}",
        reason.status,
        reason.retry_after_seconds,
        was_tried=False,
    )


def _result_of(error: RouterError) -> Result:
    if isinstance(error, Unreachable):
        return Result.UNREACHABLE
    if isinstance(error, Busy):
        return Result.BUSY
    if isinstance(error, Rejected | Refused | ConfigError):
        return Result.HOLD
    if isinstance(error, Undeliverable):
        return Result.DEAD
    if isinstance(error, MorphFailed) or (error.scope == "instance" and not error.retry):
        return Result.QUARANTINED
    return Result.RETRY
