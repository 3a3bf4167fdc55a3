"""What a provider is given, and the values it passes: pure data, no I/O.

`Handlers.authorise` decides who may associate, `Handlers.store` takes one instance as it arrives,
`Handlers.operate` answers C-FIND, C-MOVE and C-GET. All are called in the thread of the association
and may block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from router.dicom.outgoing import OutgoingDataSet
from router.model.instance import Source


class Observe(Protocol):
    """Takes one event of a listener with its facts; no fact is ever patient data."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Record the event. Must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Calling:
    """Who asks for an association, before anything of it is believed.

    The AE titles are as sent, without outer spaces; they may be empty or hold any character the
    peer likes. `tls_subject` is the verified client certificate as `tls.subject_of` writes it.
    """

    listener: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    tls_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """The three fields of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int


CALLING_AE_TITLE_NOT_RECOGNISED = Rejection(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNISED = Rejection(1, 1, 7)


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ whose SOP class is the context's; the instance UID is not yet a checked UID."""

    source: Source
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the peer hears. The comment is cut at 64 characters and must be free of patient data."""

    status: int
    comment: str = ""
    offending_tags: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A C-FIND, C-MOVE or C-GET request (PS3.7 9.1.2 to 9.1.4); `field` is its command field.

    `identifier` are the bytes of its data set, at most 1 MiB, and `priority` the DIMSE number.
    """

    source: Source
    field: int
    sop_class_uid: str
    message_id: int
    identifier: bytes
    transfer_syntax_uid: str
    priority: int = 0
    move_destination: str = ""


@dataclass(frozen=True, slots=True)
class SubOperations:
    """The counts of C-MOVE and C-GET; `remaining` None leaves it out, as success must."""

    remaining: int | None
    completed: int
    failed: int
    warnings: int = 0


@dataclass(frozen=True, slots=True)
class OperationAnswer:
    """One of the answers to a request: pending ones, and the last, which has any other status.

    `identifier` are the bytes of a data set in the transfer syntax of the request. The comment is
    cut at 64 characters and must be free of patient data.
    """

    status: int
    comment: str = ""
    offending_tags: tuple[int, ...] = ()
    identifier: bytes | None = None
    counts: SubOperations | None = None


class Exchange(Protocol):
    """The association as whoever answers a request sees it.

    Its methods raise ProtocolError when the peer is gone or breaks the protocol; the request is
    then over and nobody is left to be answered.
    """

    def is_cancelled(self) -> bool:
        """Whether the peer asked to stop (C-CANCEL); to be asked at least four times a second."""

    def rest(self, seconds: float) -> None:
        """Wait so long, or until the peer says something."""

    def accepted(self, sop_class_uid: str) -> tuple[str, ...]:
        """The transfer syntaxes in which the peer takes objects of this class on C-GET."""

    def store(self, outgoing: OutgoingDataSet, priority: int, ahead: Callable[[], None]) -> int:
        """C-STORE as a sub-operation of C-GET: the peer's status.

        `ahead` is called while the answer is awaited. An object that cannot be read to its end
        ends the association.
        """


@dataclass(frozen=True, slots=True)
class CommitmentMessage:
    """An N-ACTION (`is_action`) or N-EVENT-REPORT of Storage Commitment (PS3.4 annex J).

    `type_id` is the action or event type, `data_set` the bytes of what it carries, at most 4 MiB.
    """

    source: Source
    is_action: bool
    type_id: int
    sop_instance_uid: str
    data_set: bytes
    transfer_syntax_uid: str


Commit = Callable[[CommitmentMessage], StoreAnswer]
Operate = Callable[[OperationRequest, Exchange], Generator[OperationAnswer, None, None]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """The functions a provider is given.

    `store` pulls the data set from an iterator. A chunk is a view of a buffer that is used again:
    it is valid until the next chunk is asked for. The iterator raises ProtocolError when the peer
    aborts, closes or stalls; the handler then abandons what it has. What `store` raises becomes
    the status: RouterError its own, anything else 0x0110. It may answer before the end of the
    data set; the rest is then read and dropped. `operate` gives the answers to a request, the last
    one last, and its errors become one; None offers no query service. `commit` answers storage
    commitment the same way.
    """

    authorise: Callable[[Calling], Source | Rejection]
    store: Callable[[StoreRequest, Iterator[memoryview]], StoreAnswer]
    operate: Operate | None = None
    commit: Commit | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of one listener since its start, but for `pending` and `open`, which are now.

    `refused` counts by reason: authorisation, protocol, draining, the three limits, evicted.
    `bytes` are bytes of data sets of stored instances (any status), `failed` those of them that
    were answered with a failure.
    """

    pending: int = 0
    open: int = 0
    connections: int = 0
    associations: int = 0
    aborted: int = 0
    instances: int = 0
    failed: int = 0
    bytes: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
