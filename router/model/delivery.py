"""Delivery: one instance owed to one station, its states, and what a try can end in.

    queued ──lease──▶ sending ──▶ delivered
       ▲                 ├──────▶ sent         taken, not yet committed (`commit: true`) ──▶ delivered
       ▲                 ├──────▶ dead         the station refuses this object for good
       │                 ├──────▶ quarantined  the recipe could not be applied; nothing was sent
       └──── retry ──────┘                     `tasks retry` puts dead and quarantined back

What waits may be cancelled by a person, or, of a `first_of`, be moved: another station has it then,
as a delivery of its own. "Held" is no state: it is the status of the station (offline, inactive,
outside its hours).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from router.model.instance import RecordRef


class Priority(IntEnum):
    """Order of sending; the number is the order, not the DIMSE code."""

    HIGH = 0
    MEDIUM = 1
    LOW = 2

    @property
    def word(self) -> str:
        """As in YAML and JSON."""
        return self.name.lower()

    @property
    def dimse_code(self) -> int:
        """The DIMSE Priority field (0000,0700): medium 0, high 1, low 2 (PS3.7 E.1)."""
        return {Priority.HIGH: 1, Priority.MEDIUM: 0, Priority.LOW: 2}[self]

    @classmethod
    def of(cls, word: str) -> Priority:
        """From a word of YAML; STAT, ASAP and URGENT are high, ROUTINE is medium."""
        aliases = {"stat": "high", "asap": "high", "urgent": "high", "routine": "medium"}
        word = word.lower()
        return cls[aliases.get(word, word).upper()]


class State(StrEnum):
    """Where a delivery is."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    DEAD = "dead"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    MOVED = "moved"


class Disposition(StrEnum):
    """Where an accepted instance is, apart from its deliveries.

    DUPLICATE is set by the ledger alone: the same object came again from the same source.
    """

    ROUTED = "routed"
    UNMATCHED = "unmatched"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Leased:
    """One delivery handed to a sender, with all that sending needs.

    `move_originator` are the AE title and message ID of the C-MOVE that asked for it.
    """

    delivery_id: int
    instance_id: int
    station: str
    recipe_digest: str
    priority: Priority
    attempts: int
    created_at: float
    record: RecordRef
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    data_set_length: int
    move_originator: tuple[str, int] | None = None


class Result(StrEnum):
    """What one try ended in (reliability 8.6)."""

    DELIVERED = "delivered"
    RETRY = "retry"  # this object again, later; an attempt was used
    BUSY = "busy"  # the station asks for patience; no attempt is burned, see `is_told_busy`
    UNREACHABLE = "unreachable"  # no connection; no attempt is burned
    HOLD = "hold"  # the station refuses us; someone must act; no attempt is burned
    DEAD = "dead"  # the station refuses this object for good
    QUARANTINED = "quarantined"  # the recipe failed; nothing was sent


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one try. `status` is the peer's own DIMSE or HTTP number; `message` its words.

    `sent_as` are SOP class, instance and study UID under which a station that commits took the object.
    `was_tried` is false of one that was not sent because another showed what the station says.
    """

    delivery_id: int
    result: Result
    message: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None
    sent_as: tuple[str, str, str] = ("", "", "")
    was_tried: bool = True

    @property
    def is_told_busy(self) -> bool:
        """Whether the station answered "busy" to this very object: 0xA7xx, not a connection or 503."""
        is_busy = self.result is Result.BUSY and self.was_tried
        return is_busy and self.status is not None and self.status >> 8 == 0xA7
