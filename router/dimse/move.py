"""The user of C-MOVE: sub-operation counts as the peer reports them (PS3.4 C.4.2, PS3.7 9.1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from router.dicom.identifier import decode_identifier
from router.dimse import command as commands
from router.dimse.operation import Operation
from router.errors import BadDataset
from router.model.query import Identifier, MoveProgress

STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
_PENDING: Final = 0xFF00
_FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058


def move(
    operation: Operation, identifier: Identifier, move_destination: str
) -> Iterator[MoveProgress]:
    """Ask, and give every answer, the final one last.

    No final one follows where a cancelled move did not end in time. `move_destination` is an AE
    title the peer knows. Raises as `Operation`.
    """
    operation.begin(
        STUDY_ROOT_MOVE,
        commands.C_MOVE_RQ,
        identifier,
        character_set="",
        move_destination=move_destination,
    )
    while (raw := operation.answer()) is not None:
        command, data_set = raw
        progress = _read(command, data_set, operation.transfer_syntax_uid)
        yield progress
        if progress.status != _PENDING:
            return


def _read(
    command: commands.Command, data_set: bytes | None, transfer_syntax_uid: str
) -> MoveProgress:
    failed: tuple[str, ...] = ()
    if data_set is not None:
        try:
            listed = decode_identifier(data_set, transfer_syntax_uid)
        except BadDataset:
            # The list says which; how many is in the command.
            listed = {}
        if _FAILED_SOP_INSTANCE_UID_LIST in listed:
            failed = tuple(map(str, listed[_FAILED_SOP_INSTANCE_UID_LIST].values))
    return MoveProgress(
        command.number(commands.STATUS) or 0,
        command.text(commands.ERROR_COMMENT)[:64],
        command.number(commands.REMAINING_SUB_OPERATIONS),
        command.number(commands.COMPLETED_SUB_OPERATIONS),
        command.number(commands.FAILED_SUB_OPERATIONS),
        command.number(commands.WARNING_SUB_OPERATIONS),
        failed,
    )
