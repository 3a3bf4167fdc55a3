"""What a provider is given, and the values it passes: pure data, no I/O.

`Handlers.authorise` decides who may associate, `Handlers.store` takes one instance as it arrives.
Both are called in the thread of the association and may block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

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
class Handlers:
    """The two functions a provider is given.

    `store` pulls the data set from an iterator. A chunk is a view of a buffer that is used again:
    it is valid until the next chunk is asked for. The iterator raises ProtocolError when the peer
    aborts, closes or stalls; the handler then abandons what it has. What `store` raises becomes
    the status: RouterError its own, anything else 0x0110. It may answer before the end of the
    data set; the rest is then read and dropped.
    """

    authorise: Callable[[Calling], Source | Rejection]
    store: Callable[[StoreRequest, Iterator[memoryview]], StoreAnswer]


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
