"""Command sets (PS3.7 6.3 and annex E): reading requests and responses, writing answers.

Always Implicit VR Little Endian. A command set is at most 64 KiB. Parsing raises ProtocolError on
anything that is not a plain list of group 0000 elements; values are decoded on demand.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from router.errors import ProtocolError

MAX_COMMAND_BYTES = 65536

C_STORE_RQ = 0x0001
C_STORE_RSP = 0x8001
C_FIND_RQ = 0x0020
C_FIND_RSP = 0x8020
C_GET_RQ = 0x0010
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
C_ECHO_RSP = 0x8030
N_EVENT_REPORT_RQ = 0x0100
N_ACTION_RQ = 0x0130
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000
# Requests of many answers (PS3.7 9.1.2 to 9.1.4); where no query service is offered they are refused.
OPERATIONS = {C_FIND_RQ: "C-FIND", C_GET_RQ: "C-GET", C_MOVE_RQ: "C-MOVE"}
# Those, and the N- services, which have answers of their own but no service here.
OTHER_REQUESTS = frozenset({0x10, 0x20, 0x21, 0x100, 0x110, 0x120, 0x130, 0x140, 0x150})

AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008
REMAINING_SUB_OPERATIONS = 0x1020
COMPLETED_SUB_OPERATIONS = 0x1021
FAILED_SUB_OPERATIONS = 0x1022
WARNING_SUB_OPERATIONS = 0x1023
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

NO_DATA_SET = 0x0101
DATA_SET_FOLLOWS = 0x0001
MAX_COMMENT_LENGTH = 64
MAX_OFFENDING_TAGS = 32

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
_FOUR_NUMBERS = struct.Struct("<8sH8sH8sH8sH")
_STORE_ELEMENTS = tuple(
    _ELEMENT.pack(0, element, 2)
    for element in (COMMAND_FIELD, MESSAGE_ID, PRIORITY, COMMAND_DATA_SET_TYPE)
)
_RESPONSE_ELEMENTS = tuple(
    _ELEMENT.pack(0, element, 2)
    for element in (COMMAND_FIELD, MESSAGE_ID_BEING_RESPONDED_TO, COMMAND_DATA_SET_TYPE, STATUS)
)
_INSTANCE_UID = re.compile(r"(?!\.)(?!.*\.\.)[!-.0-\[\]-}]{1,128}\Z")


class Command:
    """A parsed command set; elements are by element number, all of group 0000."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[int, bytes]) -> None:
        self._values = values

    def number(self, element: int) -> int | None:
        """A US value, or None when it is absent or not two bytes."""
        value = self._values.get(element)
        if value is None or len(value) != 2:
            return None
        return value[0] | value[1] << 8

    def text(self, element: int) -> str:
        """A UI or LO value without padding; '' when absent. Hostile text, but printable ASCII."""
        value = self._values.get(element, b"").rstrip(b"\0 ").lstrip(b" ")
        return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in value)

    def uid(self, element: int) -> str:
        """A UI value without padding; '' when absent or not ASCII."""
        value = self._values.get(element, b"").rstrip(b"\0 ")
        return value.decode("ascii") if value.isascii() else ""

    @property
    def field(self) -> int:
        """The Command Field; raises ProtocolError when there is none."""
        return self._required(COMMAND_FIELD)

    @property
    def message_id(self) -> int:
        """The Message ID of a request; raises ProtocolError when there is none."""
        return self._required(MESSAGE_ID)

    @property
    def announces_data_set(self) -> bool:
        """Whether a data set follows; raises ProtocolError when that is not said."""
        return self._required(COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    def _required(self, element: int) -> int:
        number = self.number(element)
        if number is None:
            raise ProtocolError(f"the command set has no usable element (0000,{element:04X})")
        return number


def parse(data: bytes | bytearray | memoryview) -> Command:
    """Read a command set. Raises ProtocolError unless it is group 0000 elements to its end."""
    end = len(data)
    if end > MAX_COMMAND_BYTES:
        raise ProtocolError("the command set is larger than 64 KiB")
    values: dict[int, bytes] = {}
    offset = 0
    while offset < end:
        if offset + 8 > end:
            raise ProtocolError("the command set ends inside an element")
        group, element, length = _ELEMENT.unpack_from(data, offset)
        offset += 8
        if group:
            raise ProtocolError("the command set holds an element that is not of group 0000")
        if length > end - offset:
            raise ProtocolError("the command set ends inside a value")
        if element in values:
            raise ProtocolError("the command set holds an element twice")
        values[element] = bytes(data[offset : offset + length])
        offset += length
    return Command(values)


def is_safe_instance_uid(uid: str) -> bool:
    """1 to 128 printable characters that no file system could take for a path.

    Whether it is a UID is decided by whoever takes the instance, with the data set before it.
    """
    return _INSTANCE_UID.match(uid) is not None


def encode(elements: Sequence[tuple[int, bytes]]) -> bytes:
    """A command set from (element number, even value) pairs in ascending order, length in front."""
    body = b"".join(
        part
        for element, value in elements
        for part in (_ELEMENT.pack(0, element, len(value)), value)
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def uid_value(uid: str) -> bytes:
    """The UI encoding, padded to even length with NUL (PS3.5 6.2)."""
    value = uid.encode("ascii", "replace")
    return value + b"\0" * (len(value) & 1)


def us_value(number: int) -> bytes:
    """The US encoding."""
    return _US.pack(number)


def text_value(text: str) -> bytes:
    """Text for an LO value: printable ASCII, at most 64 characters, padded to even length."""
    cut = text[:MAX_COMMENT_LENGTH]
    value = "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in cut).encode()
    return value + b" " * (len(value) & 1)


def store_request(
    message_id: int,
    sop_class_uid: str,
    sop_instance_uid: str,
    priority: int,
    move_originator: tuple[str, int] | None = None,
) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1); `priority` is 0 medium, 1 high or 2 low.

    `move_originator` is the AE title and message ID of the C-MOVE it is a sub-operation of.
    """
    sop_class = uid_value(sop_class_uid)
    instance = uid_value(sop_instance_uid)
    body = b"".join(
        (
            _ELEMENT.pack(0, AFFECTED_SOP_CLASS_UID, len(sop_class)),
            sop_class,
            _FOUR_NUMBERS.pack(
                *(_STORE_ELEMENTS[0], C_STORE_RQ, _STORE_ELEMENTS[1], message_id),
                *(_STORE_ELEMENTS[2], priority, _STORE_ELEMENTS[3], DATA_SET_FOLLOWS),
            ),
            _ELEMENT.pack(0, AFFECTED_SOP_INSTANCE_UID, len(instance)),
            instance,
        )
    )
    if move_originator is not None:
        title = text_value(move_originator[0])
        body += _ELEMENT.pack(0, MOVE_ORIGINATOR_AE_TITLE, len(title)) + title
        body += _ELEMENT.pack(0, MOVE_ORIGINATOR_MESSAGE_ID, 2) + us_value(move_originator[1])
    return b"\0\0\0\0\4\0\0\0" + _LENGTH.pack(len(body)) + body


def request(
    field: int,
    message_id: int,
    sop_class_uid: str,
    *,
    priority: int = 0,
    move_destination: str = "",
) -> bytes:
    """A C-FIND or C-MOVE request (PS3.7 9.3.2.1, 9.3.4.1); `priority` as in C-STORE.

    `move_destination` is an AE title; it is left out when empty.
    """
    moved = ((MOVE_DESTINATION, text_value(move_destination)),) if move_destination else ()
    return encode(
        (
            (AFFECTED_SOP_CLASS_UID, uid_value(sop_class_uid)),
            (COMMAND_FIELD, us_value(field)),
            (MESSAGE_ID, us_value(message_id)),
            *moved,
            (PRIORITY, us_value(priority)),
            (COMMAND_DATA_SET_TYPE, us_value(DATA_SET_FOLLOWS)),
        )
    )


def action(message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type: int) -> bytes:
    """An N-ACTION-RQ with a data set (PS3.7 10.3.5.1)."""
    return encode(
        (
            (REQUESTED_SOP_CLASS_UID, uid_value(sop_class_uid)),
            (COMMAND_FIELD, us_value(N_ACTION_RQ)),
            (MESSAGE_ID, us_value(message_id)),
            (COMMAND_DATA_SET_TYPE, us_value(DATA_SET_FOLLOWS)),
            (REQUESTED_SOP_INSTANCE_UID, uid_value(sop_instance_uid)),
            (ACTION_TYPE_ID, us_value(action_type)),
        )
    )


def event_report(message_id: int, sop_class_uid: str, sop_instance_uid: str, event: int) -> bytes:
    """An N-EVENT-REPORT-RQ with a data set (PS3.7 10.3.1.1); `event` is the event type."""
    return encode(
        (
            (AFFECTED_SOP_CLASS_UID, uid_value(sop_class_uid)),
            (COMMAND_FIELD, us_value(N_EVENT_REPORT_RQ)),
            (MESSAGE_ID, us_value(message_id)),
            (COMMAND_DATA_SET_TYPE, us_value(DATA_SET_FOLLOWS)),
            (AFFECTED_SOP_INSTANCE_UID, uid_value(sop_instance_uid)),
            (EVENT_TYPE_ID, us_value(event)),
        )
    )


def field_of(command_set: bytes) -> int:
    """The Command Field of a command set of our own."""
    return parse(command_set).field


def cancel(message_id: int) -> bytes:
    """C-CANCEL of the request with this message ID (PS3.7 9.3.2.3)."""
    return encode(
        (
            (COMMAND_FIELD, us_value(C_CANCEL_RQ)),
            (MESSAGE_ID_BEING_RESPONDED_TO, us_value(message_id)),
            (COMMAND_DATA_SET_TYPE, us_value(NO_DATA_SET)),
        )
    )


def response(
    field: int,
    message_id: int,
    status: int,
    sop_class_uid: str,
    *,
    sop_instance_uid: str = "",
    comment: str = "",
    offending_tags: Sequence[int] = (),
    has_data_set: bool = False,
    sub_operations: Sequence[tuple[int, int]] = (),
) -> bytes:
    """A response (PS3.7 9.3.1.2, 9.3.2.2, 9.3.5.2); `field` is the response's own.

    Offending Element and Error Comment are left out when empty, the instance UID likewise.
    `sub_operations` are (element number, count) in ascending order.
    """
    sop_class = uid_value(sop_class_uid)
    instance = uid_value(sop_instance_uid)
    parts = [
        _ELEMENT.pack(0, AFFECTED_SOP_CLASS_UID, len(sop_class)),
        sop_class,
        _FOUR_NUMBERS.pack(
            _RESPONSE_ELEMENTS[0],
            field,
            _RESPONSE_ELEMENTS[1],
            message_id,
            _RESPONSE_ELEMENTS[2],
            DATA_SET_FOLLOWS if has_data_set else NO_DATA_SET,
            _RESPONSE_ELEMENTS[3],
            status,
        ),
    ]
    if offending_tags:
        tags = offending_tags[:MAX_OFFENDING_TAGS]
        value = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
        parts += [_ELEMENT.pack(0, OFFENDING_ELEMENT, len(value)), value]
    if comment:
        value = text_value(comment)
        parts += [_ELEMENT.pack(0, ERROR_COMMENT, len(value)), value]
    if instance:
        parts += [_ELEMENT.pack(0, AFFECTED_SOP_INSTANCE_UID, len(instance)), instance]
    for element, number in sub_operations:
        parts += [_ELEMENT.pack(0, element, 2), us_value(number)]
    body = b"".join(parts)
    return b"\0\0\0\0\4\0\0\0" + _LENGTH.pack(len(body)) + body
