"""The user of C-FIND: answers as they come, C-CANCEL at the cap, an end in bounded time.

PS3.4 C.4.1 and PS3.7 9.1.2. One association for one search. Faults of the peer are DeliveryErrors,
as everywhere in `router.dimse.client`; after any of them the association is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from router.clock import Clock
from router.dicom.identifier import MAX_IDENTIFIER_BYTES, decode_identifier, encode_identifier
from router.dicom.values import ValueProblem
from router.dimse import command as commands
from router.dimse.client import Begun, ClientAssociation
from router.errors import BadDataset, DeliveryError, Rejected, Unreachable
from router.model.query import QUERY_RETRIEVE_LEVEL, DataElement, Identifier, Query

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING: Final = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS: Final = 0xFF01
# A peer that was asked to stop may have that long to say so; then we leave.
CANCEL_SECONDS: Final = 2.0
_SLICE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class FindAnswer:
    """One answer: a pending one with its identifier, or the last with its status and comment."""

    status: int
    comment: str = ""
    identifier: Identifier | None = None


class Find:
    """One C-FIND under way. Iterating gives the pending answers; afterwards `last` is the end.

    `wish_to_cancel` is asked between answers and at least four times a second. With `last` None
    the peer did not end the search within 2 s after C-CANCEL, and the association is aborted.
    """

    def __init__(
        self,
        association: ClientAssociation,
        clock: Clock,
        *,
        character_set: str,
        answer_seconds: float,
        wish_to_cancel: Callable[[], bool],
    ) -> None:
        self._association = association
        self._monotonic = clock.monotonic
        self._character_set = character_set
        self._answer_seconds = answer_seconds
        self._wish_to_cancel = wish_to_cancel
        self.last: FindAnswer | None = None
        self.is_cancelled = False
        self._ends_at = 0.0

    def answers(self, query: Query) -> Iterator[FindAnswer]:
        """Ask, and give the pending answers until the end, the limit, a wish, or the deadline.

        Raises Unreachable when an answer or the whole takes too long, DeliveryError for an answer
        that makes no sense, Undeliverable when the service is not accepted.
        """
        association = self._association
        asked = {**query.keys, QUERY_RETRIEVE_LEVEL: DataElement("CS", (query.level,))}
        syntaxes = association.accepted(STUDY_ROOT_FIND)
        try:
            identifiers = {
                uid: encode_identifier(asked, uid, self._character_set) for uid in syntaxes
            }
        except ValueProblem as error:
            raise Rejected(f"the keys cannot be written: {error}") from error
        begun = association.begin(STUDY_ROOT_FIND, commands.C_FIND_RQ, identifiers)
        self._ends_at = self._monotonic() + query.deadline_seconds
        given = 0
        while True:
            if not self._await_answer(begun):
                return
            answer = self._answer(begun)
            if answer.identifier is None:
                self.last = answer
                return
            if self.is_cancelled:
                continue
            given += 1
            if given > query.limit:
                # One more than was wanted shows that there are more.
                self._cancel(begun)
                continue
            yield answer

    def _await_answer(self, begun: Begun) -> bool:
        """Whether an answer is there; false when a cancelled search was not ended in time."""
        patience_until = self._monotonic() + self._answer_seconds
        while True:
            if not self.is_cancelled and self._wish_to_cancel():
                self._cancel(begun)
            now = self._monotonic()
            left = min(self._ends_at, patience_until) - now
            if left <= 0:
                self._association.abort()
                if self.is_cancelled:
                    return False
                late = self._ends_at <= now
                raise Unreachable("the search was not over in time" if late else "no answer")
            if self._association.has_answer(min(_SLICE_SECONDS, left)):
                return True

    def _cancel(self, begun: Begun) -> None:
        self.is_cancelled = True
        self._association.cancel(begun)
        self._ends_at = self._monotonic() + CANCEL_SECONDS

    def _answer(self, begun: Begun) -> FindAnswer:
        command, data_set = self._association.answer(begun, MAX_IDENTIFIER_BYTES)
        status = command.number(commands.STATUS) or 0
        comment = command.text(commands.ERROR_COMMENT)[:64]
        if status not in (PENDING, PENDING_WITH_UNSUPPORTED_KEYS):
            return FindAnswer(status, comment)
        if data_set is None:
            self._association.abort()
            raise DeliveryError("a pending answer without an identifier")
        try:
            found = decode_identifier(data_set, begun.transfer_syntax_uid, self._character_set)
        except BadDataset as error:
            self._association.abort()
            raise DeliveryError(f"an answer that is no data set: {error}") from error
        return FindAnswer(status, comment, found)
