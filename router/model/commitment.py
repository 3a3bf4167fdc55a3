"""Storage commitment in plain values: what is asked, what is reported (PS3.4 annex J).

A request names instances under a Transaction UID; a report says of each that it is kept, or why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.model.status import (
    CLASS_INSTANCE_CONFLICT,
    DUPLICATE_TRANSACTION,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SOP_CLASS_NOT_SUPPORTED,
)

MAX_REFERENCES: Final = 20_000
COMMITTED: Final = 0

# What (0008,1197) Failure Reason may say (PS3.3 C.14.1.1).
FAILURE_REASONS: Final = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "no such object instance",
    CLASS_INSTANCE_CONFLICT: "class and instance conflict",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    DUPLICATE_TRANSACTION: "duplicate transaction UID",
    RESOURCE_LIMITATION: "resource limitation",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance by its class and its own UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What somebody is asked to keep; at most MAX_REFERENCES."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """The answer: what is kept, and what is not, each with its Failure Reason."""

    transaction_uid: str
    committed: tuple[Reference, ...] = ()
    failed: Mapping[Reference, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Referenced:
    """An instance somebody wants committed: its Failure Reason, 0 once it is, None until decided."""

    sop_instance_uid: str
    failure_reason: int | None


def reason_words(reason: int) -> str:
    """A Failure Reason for people: `0x0112 no such object instance`."""
    return f"0x{reason:04X} {FAILURE_REASONS.get(reason, 'unknown')}"
