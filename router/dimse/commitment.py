"""Storage Commitment Push Model: its data sets, and a request for it read (PS3.4 annex J).

The same item structure for what is asked (N-ACTION) and reported (N-EVENT-REPORT). Reading is bounded
in bytes and items; what is missing or wrong raises BadDataset with a status of PS3.7 10.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.dicom.elements import Limits
from router.dicom.identifier import decode_identifier, encode_identifier
from router.dimse import command as commands
from router.dimse import pdv
from router.dimse.command import Command
from router.dimse.handlers import CommitmentMessage, StoreAnswer
from router.dimse.pdu import AnsweredContext
from router.errors import BadDataset, ProtocolError
from router.model.commitment import (
    MAX_REFERENCES,
    CommitmentReport,
    CommitmentRequest,
    Reference,
)
from router.model.ids import is_valid_uid
from router.model.instance import Source
from router.model.query import DataElement, Identifier
from router.model.status import INVALID_ARGUMENT, MISTYPED_ARGUMENT, RESOURCE_LIMITATION

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION: Final = 1
ALL_COMMITTED, SOME_FAILED = 1, 2
MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_DROPPED_BYTES: Final = 64 * 1024 * 1024
_LIMITS: Final = Limits(
    max_depth=4,
    max_items=2 * MAX_REFERENCES,
    max_elements=8 * MAX_REFERENCES,
    max_value_bytes=MAX_BYTES,
)
_TRANSACTION_UID: Final = 0x00081195
_REFERENCED: Final = 0x00081199
_FAILED: Final = 0x00081198
_REASON: Final = 0x00081197
_CLASS: Final = 0x00081150
_INSTANCE: Final = 0x00081155


def read_message(
    command: Command, context: AnsweredContext, source: Source, stream: pdv.PduStream
) -> CommitmentMessage:
    """The N-ACTION or N-EVENT-REPORT with its data set. Raises BadDataset without, or too large."""
    if not command.announces_data_set:
        raise BadDataset("a request without a data set", MISTYPED_ARGUMENT)
    is_action = command.field == commands.N_ACTION_RQ
    type_id = command.number(commands.ACTION_TYPE_ID if is_action else commands.EVENT_TYPE_ID)
    instance = commands.REQUESTED_SOP_INSTANCE_UID
    return CommitmentMessage(
        source=source,
        is_action=is_action,
        type_id=type_id or 0,
        sop_instance_uid=command.uid(instance if is_action else commands.AFFECTED_SOP_INSTANCE_UID),
        data_set=read_data_set(stream),
        transfer_syntax_uid=context.transfer_syntax,
    )


def read_data_set(stream: pdv.PduStream) -> bytes:
    """The whole data set that comes next. Raises BadDataset when it is larger than MAX_BYTES."""
    chunks = stream.data_set()
    octets = bytearray()
    for chunk in chunks:
        if chunks.received <= MAX_BYTES:
            octets += chunk
        elif chunks.received > _MAX_DROPPED_BYTES:
            raise ProtocolError("a data set without end")
    if chunks.received > MAX_BYTES:
        raise BadDataset(f"the data set is larger than {MAX_BYTES >> 20} MiB", RESOURCE_LIMITATION)
    return bytes(octets)


def response(command: Command, answer: StoreAnswer) -> bytes:
    """The response to such a request (PS3.7 10.3.1.2, 10.3.5.2)."""
    is_action = command.field == commands.N_ACTION_RQ
    element = commands.ACTION_TYPE_ID if is_action else commands.EVENT_TYPE_ID
    number = command.number(element)
    return commands.response(
        command.field | commands.RESPONSE,
        command.message_id,
        answer.status,
        STORAGE_COMMITMENT,
        sop_instance_uid=WELL_KNOWN_INSTANCE,
        comment=answer.comment,
        offending_tags=answer.offending_tags,
        sub_operations=() if number is None else ((element, number),),
    )


def decode_request(data: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """What an N-ACTION asks for; an instance that is named twice is asked for once."""
    elements = _decoded(data, transfer_syntax_uid)
    references = tuple(dict.fromkeys(_references(elements, _REFERENCED)))
    if not references:
        raise BadDataset("no Referenced SOP Sequence", INVALID_ARGUMENT, (_REFERENCED,))
    return CommitmentRequest(_transaction_uid(elements), references)


def decode_report(data: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """What an N-EVENT-REPORT tells. An instance that is both kept and not is not."""
    elements = _decoded(data, transfer_syntax_uid)
    failed = {}
    items = elements[_FAILED].items if _FAILED in elements else ()
    for reference, item in zip(_references(elements, _FAILED), items, strict=True):
        reason = item.get(_REASON)
        number = reason.values[0] if reason is not None and reason.values else 0
        failed[reference] = number if isinstance(number, int) and number else 0x0110
    kept = [one for one in _references(elements, _REFERENCED) if one not in failed]
    return CommitmentReport(_transaction_uid(elements), tuple(dict.fromkeys(kept)), failed)


def encode_request(request: CommitmentRequest, transfer_syntax_uid: str) -> bytes:
    """The data set of an N-ACTION."""
    elements = {
        _TRANSACTION_UID: DataElement("UI", (request.transaction_uid,)),
        _REFERENCED: _sequence(request.references),
    }
    return encode_identifier(elements, transfer_syntax_uid)


def encode_report(report: CommitmentReport, transfer_syntax_uid: str) -> bytes:
    """The data set of an N-EVENT-REPORT (PS3.4 table J.3-2): no sequence is ever empty."""
    elements = {_TRANSACTION_UID: DataElement("UI", (report.transaction_uid,))}
    if report.committed:
        elements[_REFERENCED] = _sequence(report.committed)
    if report.failed:
        items = tuple(
            {**_item(reference), _REASON: DataElement("US", (reason,))}
            for reference, reason in report.failed.items()
        )
        elements[_FAILED] = DataElement("SQ", items)
    return encode_identifier(elements, transfer_syntax_uid)


def event_type(report: CommitmentReport) -> int:
    """1 when all is committed, 2 when something is not (PS3.4 J.3.3.1)."""
    return SOME_FAILED if report.failed else ALL_COMMITTED


def _decoded(data: bytes, transfer_syntax_uid: str) -> Identifier:
    """The elements. Bytes that are no data set are an invalid argument of an N- service."""
    try:
        return decode_identifier(data, transfer_syntax_uid, limits=_LIMITS)
    except BadDataset as error:
        raise BadDataset(str(error), INVALID_ARGUMENT) from error


def _sequence(references: Sequence[Reference]) -> DataElement:
    return DataElement("SQ", tuple(map(_item, references)))


def _item(reference: Reference) -> dict[int, DataElement]:
    return {
        _CLASS: DataElement("UI", (reference.sop_class_uid,)),
        _INSTANCE: DataElement("UI", (reference.sop_instance_uid,)),
    }


def _references(elements: Identifier, tag: int) -> tuple[Reference, ...]:
    element = elements.get(tag)
    items = element.items if element is not None else ()
    if len(items) > MAX_REFERENCES:
        words = f"more than {MAX_REFERENCES} instances in one request"
        raise BadDataset(words, RESOURCE_LIMITATION, (tag,))
    return tuple(Reference(_uid(item, _CLASS), _uid(item, _INSTANCE)) for item in items)


def _transaction_uid(elements: Identifier) -> str:
    return _uid(elements, _TRANSACTION_UID)


def _uid(elements: Identifier, tag: int) -> str:
    element = elements.get(tag)
    uid = element.text.strip(" \0") if element is not None else ""
    if not is_valid_uid(uid, lenient=True):
        raise BadDataset("a UID is missing or is none", INVALID_ARGUMENT, (tag,))
    return uid
