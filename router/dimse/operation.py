"""A request of many answers as its user: C-FIND and C-MOVE (PS3.7 9.1.2, 9.1.4).

One association for one operation. Every wait is bounded, a wish to cancel is looked at between
answers and at least four times a second, and a peer that goes on after C-CANCEL is left. Faults of
the peer are DeliveryErrors, as everywhere in `router.dimse.client`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.clock import Clock
from router.dicom.identifier import MAX_IDENTIFIER_BYTES, encode_identifier
from router.dicom.values import ValueProblem
from router.dimse.client import Begun, ClientAssociation
from router.dimse.command import Command
from router.errors import Rejected, Unreachable
from router.model.query import Identifier

# A peer that was asked to stop may have that long to say so; then we leave.
CANCEL_SECONDS: Final = 2.0
_SLICE_SECONDS: Final = 0.25


class Operation:
    """One request under way. `answer` gives its answers; `cancel` asks the peer to stop.

    `deadline_seconds` bounds the whole, `answer_seconds` the wait for each answer.
    """

    def __init__(
        self,
        association: ClientAssociation,
        clock: Clock,
        *,
        answer_seconds: float,
        deadline_seconds: float,
        wish_to_cancel: Callable[[], bool],
    ) -> None:
        self._association = association
        self._monotonic = clock.monotonic
        self._answer_seconds = answer_seconds
        self._ends_at = clock.monotonic() + deadline_seconds
        self._wish_to_cancel = wish_to_cancel
        self._begun: Begun | None = None
        self.is_cancelled = False

    def begin(
        self,
        sop_class_uid: str,
        field: int,
        identifier: Identifier,
        *,
        character_set: str,
        move_destination: str = "",
    ) -> None:
        """Send the request.

        Raises Rejected for keys that cannot be written, Undeliverable when the service is not
        accepted.
        """
        try:
            identifiers = {
                uid: encode_identifier(identifier, uid, character_set)
                for uid in self._association.accepted(sop_class_uid)
            }
        except ValueProblem as error:
            raise Rejected(f"the keys cannot be written: {error}") from error
        self._begun = self._association.begin(sop_class_uid, field, identifiers, move_destination)

    @property
    def transfer_syntax_uid(self) -> str:
        """The syntax of identifiers, ours and the peer's."""
        assert self._begun is not None
        return self._begun.transfer_syntax_uid

    def answer(self) -> tuple[Command, bytes | None] | None:
        """The next answer; None when a cancelled operation was not ended in time.

        Raises Unreachable when the peer or the whole takes too long; the association is closed.
        """
        assert self._begun is not None
        patience_until = self._monotonic() + self._answer_seconds
        while True:
            if self._wish_to_cancel():
                self.cancel()
            now = self._monotonic()
            left = min(self._ends_at, patience_until) - now
            if left <= 0:
                self._association.abort()
                if self.is_cancelled:
                    return None
                late = self._ends_at <= now
                raise Unreachable("it was not over in time" if late else "no answer in time")
            if self._association.has_answer(min(_SLICE_SECONDS, left)):
                return self._association.answer(self._begun, MAX_IDENTIFIER_BYTES)

    def cancel(self) -> None:
        """Send C-CANCEL, once (PS3.7 9.3.2.3)."""
        if not self.is_cancelled:
            assert self._begun is not None
            self.is_cancelled = True
            self._association.cancel(self._begun)
            self._ends_at = self._monotonic() + CANCEL_SECONDS
