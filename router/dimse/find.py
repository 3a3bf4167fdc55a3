"""The user of C-FIND: answers as they come, C-CANCEL at the cap (PS3.4 C.4.1, PS3.7 9.1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from router.dicom.identifier import decode_identifier
from router.dimse import command as commands
from router.dimse.operation import Operation
from router.errors import BadDataset, DeliveryError
from router.model.query import QUERY_RETRIEVE_LEVEL, DataElement, Identifier, Query

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING: Final = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS: Final = 0xFF01


@dataclass(frozen=True, slots=True)
class FindAnswer:
    """One answer: a pending one with its identifier, or the last with its status and comment."""

    status: int
    comment: str = ""
    identifier: Identifier | None = None


class Find:
    """One C-FIND. Iterating over `answers` gives the pending ones; afterwards `last` is the end.

    With `last` None the peer did not end a cancelled search, and the association is aborted.
    """

    def __init__(self, operation: Operation, character_set: str) -> None:
        self._operation = operation
        self._character_set = character_set
        self.last: FindAnswer | None = None

    def answers(self, query: Query) -> Iterator[FindAnswer]:
        """Ask, and give the pending answers until the end, the limit, a wish, or the deadline.

        Raises as `Operation`, and DeliveryError for an answer that makes no sense.
        """
        asked = {**query.keys, QUERY_RETRIEVE_LEVEL: DataElement("CS", (query.level,))}
        operation = self._operation
        operation.begin(
            STUDY_ROOT_FIND, commands.C_FIND_RQ, asked, character_set=self._character_set
        )
        given = 0
        while (raw := operation.answer()) is not None:
            answer = self._read(*raw)
            if answer.status not in (PENDING, PENDING_WITH_UNSUPPORTED_KEYS):
                self.last = answer
                return
            if operation.is_cancelled:
                continue
            given += 1
            if given > query.limit:
                # One more than was wanted shows that there are more.
                operation.cancel()
                continue
            yield answer

    def _read(self, command: commands.Command, data_set: bytes | None) -> FindAnswer:
        status = command.number(commands.STATUS) or 0
        comment = command.text(commands.ERROR_COMMENT)[:64]
        if status not in (PENDING, PENDING_WITH_UNSUPPORTED_KEYS):
            return FindAnswer(status, comment)
        if data_set is None:
            raise DeliveryError("a pending answer without an identifier")
        try:
            found = decode_identifier(
                data_set, self._operation.transfer_syntax_uid, self._character_set
            )
        except BadDataset as error:
            raise DeliveryError(f"an answer that is no data set: {error}") from error
        return FindAnswer(status, comment, found)
