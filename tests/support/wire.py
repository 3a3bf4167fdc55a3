"""The DICOM upper layer by hand, small and obedient: it also says what no honest peer would.

Written apart from the product, so that both ends of a test do not share a mistake. PDUs are
PS3.8 9.3, command sets PS3.7 6.3 and annex E, always Implicit VR Little Endian.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLEMENTATION_CLASS_UID = "1.2.826.0.1.3680043.10.1.999"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ, C_ECHO_RSP = 0x0001, 0x8001, 0x0030, 0x8030
NO_DATA_SET, DATA_SET = 0x0101, 0x0001
_TEXT_ELEMENTS = frozenset({0x0002, 0x0003, 0x0902, 0x1000, 0x1001, 0x1030})
_LONG_ELEMENTS = frozenset({0x0000})


class Closed(Exception):
    """The peer closed, reset or aborted the connection; `pdu` holds the last PDU it sent."""

    def __init__(self, message: str, pdu: bytes = b"") -> None:
        super().__init__(message)
        self.pdu = pdu


class RejectedAssociation(Exception):
    """A-ASSOCIATE-RJ: result, source and reason of PS3.8 table 9-21."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(f"rejected: result {result}, source {source}, reason {reason}")
        self.answer = (result, source, reason)


@dataclass(frozen=True, slots=True)
class Associate:
    """What an A-ASSOCIATE-RQ or -AC said. Contexts: id → (abstract, transfer syntaxes, result)."""

    called_ae_title: str
    calling_ae_title: str
    contexts: Mapping[int, tuple[str, tuple[str, ...], int]]
    max_pdu_bytes: int = 16384


@dataclass(slots=True)
class Message:
    """A DIMSE message: its command elements by element number, and its data set."""

    context_id: int
    command: dict[int, int | str] = field(default_factory=dict)
    data_set: bytes = b""


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes; Closed when the connection ends first."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    got = 0
    while got < count:
        try:
            received = sock.recv_into(view[got:])
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not received:
            raise Closed("closed by the peer")
        got += received
    return bytes(buffer)


def read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    """The next PDU: its type and its body. Closed when it is no PDU."""
    kind, _, length = struct.unpack(">BBL", receive_exactly(sock, 6))
    if not ASSOCIATE_RQ <= kind <= ABORT:
        raise Closed(f"PDU type {kind}")
    return kind, receive_exactly(sock, length)


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU with its header."""
    return struct.pack(">BBL", kind, 0, len(body)) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _user_information(max_pdu_bytes: int) -> bytes:
    return _item(
        0x50,
        _item(0x51, struct.pack(">L", max_pdu_bytes))
        + _item(0x52, IMPLEMENTATION_CLASS_UID.encode())
        + _item(0x55, b"TEST"),
    )


def _titles(called_ae_title: str, calling_ae_title: str) -> bytes:
    both = called_ae_title.ljust(16).encode() + calling_ae_title.ljust(16).encode()
    return struct.pack(">HH", 1, 0) + both + bytes(32)


def associate_rq(
    called_ae_title: str,
    calling_ae_title: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    max_pdu_bytes: int = 0,
) -> bytes:
    """A-ASSOCIATE-RQ; contexts get the ids 1, 3, 5 …"""
    body = _titles(called_ae_title, calling_ae_title) + _item(0x10, APPLICATION_CONTEXT.encode())
    for index, (abstract, transfers) in enumerate(contexts):
        context = struct.pack(">BBBB", 2 * index + 1, 0, 0, 0) + _item(0x30, abstract.encode())
        body += _item(0x20, context + b"".join(_item(0x40, uid.encode()) for uid in transfers))
    return pdu(ASSOCIATE_RQ, body + _user_information(max_pdu_bytes))


def associate_ac(
    request: Associate, accepted: Mapping[int, tuple[int, str]], max_pdu_bytes: int = 16384
) -> bytes:
    """A-ASSOCIATE-AC; `accepted`: context id → (result, transfer syntax)."""
    body = _titles(request.called_ae_title, request.calling_ae_title)
    body += _item(0x10, APPLICATION_CONTEXT.encode())
    for context_id, (result, transfer) in accepted.items():
        context = struct.pack(">BBBB", context_id, 0, result, 0)
        body += _item(0x21, context + _item(0x40, transfer.encode()))
    return pdu(ASSOCIATE_AC, body + _user_information(max_pdu_bytes))


def parse_associate(body: bytes) -> Associate:
    """The body of an A-ASSOCIATE-RQ or -AC."""
    contexts: dict[int, tuple[str, tuple[str, ...], int]] = {}
    max_pdu_bytes = 0
    for kind, value in _items(body[68:]):
        if kind in (0x20, 0x21):
            parts = list(_items(value[4:]))
            abstract = next((text(v) for k, v in parts if k == 0x30), "")
            transfers = tuple(text(v) for k, v in parts if k == 0x40)
            contexts[value[0]] = (abstract, transfers, value[2])
        elif kind == 0x50:
            for inner, content in _items(value):
                if inner == 0x51:
                    max_pdu_bytes = struct.unpack(">L", content)[0]
    return Associate(text(body[4:20]), text(body[20:36]), contexts, max_pdu_bytes)


def text(value: bytes) -> str:
    """Characters without padding."""
    return value.decode("latin-1").strip("\0 ")


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        kind, _, length = struct.unpack_from(">BBH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def encode_command(elements: Mapping[int, int | str]) -> bytes:
    """A command set (group 0000, elements by number), its group length computed."""
    body = b""
    for element in sorted(elements):
        value = elements[element]
        if isinstance(value, str):
            raw = value.encode("latin-1")
            raw += b"\0" * (len(raw) % 2)
        else:
            raw = struct.pack("<H", value)
        body += struct.pack("<HHL", 0, element, len(raw)) + raw
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def decode_command(data: bytes) -> dict[int, int | str]:
    """A command set by element number; the group length is left out."""
    elements: dict[int, int | str] = {}
    at = 0
    while at + 8 <= len(data):
        _, element, length = struct.unpack_from("<HHL", data, at)
        raw = data[at + 8 : at + 8 + length]
        at += 8 + length
        if element in _TEXT_ELEMENTS:
            elements[element] = text(raw)
        elif element not in _LONG_ELEMENTS and length == 2:
            elements[element] = struct.unpack("<H", raw)[0]
    return elements


def pdv(context_id: int, data: bytes, *, command: bool, last: bool) -> bytes:
    """One P-DATA-TF PDU with one PDV (PS3.8 9.3.5)."""
    control = (1 if command else 0) | (2 if last else 0)
    return pdu(P_DATA, struct.pack(">LBB", len(data) + 2, context_id, control) + data)


def parse_pdvs(body: bytes) -> Iterator[tuple[int, bool, bool, bytes]]:
    """The PDVs of a P-DATA-TF: context id, whether command, whether last, fragment."""
    at = 0
    while at + 6 <= len(body):
        length, context_id, control = struct.unpack_from(">LBB", body, at)
        yield context_id, bool(control & 1), bool(control & 2), body[at + 6 : at + 4 + length]
        at += 4 + length


def read_message(sock: socket.socket) -> Message | int:
    """The next DIMSE message, or the type of the PDU that came instead (release, abort)."""
    command = bytearray()
    data_set = bytearray()
    message: Message | None = None
    while True:
        kind, body = read_pdu(sock)
        if kind != P_DATA:
            return kind
        for context_id, is_command, last, fragment in parse_pdvs(body):
            (command if is_command else data_set).extend(fragment)
            if not last:
                continue
            if is_command:
                message = Message(context_id, decode_command(bytes(command)))
                if message.command.get(0x0800) == NO_DATA_SET:
                    return message
            elif message is not None:
                message.data_set = bytes(data_set)
                return message
