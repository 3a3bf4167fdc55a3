"""Command sets against bytes written by hand from PS3.7 9.3 and annex E, and every way to spoil them."""

from __future__ import annotations

import struct

import pytest

from router.dimse import command as commands
from router.errors import ProtocolError

VERIFICATION, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"


def plain(text: str) -> bytes:
    """Hexadecimal digits with a `#` comment behind each line."""
    return bytes.fromhex("".join(line.split("#")[0] for line in text.splitlines()))


# PS3.7 table 9.3-12: 26 bytes of class and three US of ten are 56 (38H).
C_ECHO_RQ = plain("""
    0000 0000 04000000 38000000                              # Command Group Length
    0000 0200 12000000 312e322e3834302e31303030382e312e3100  # Affected SOP Class UID
    0000 0001 02000000 3000                                  # Command Field
    0000 1001 02000000 0700                                  # Message ID
    0000 0008 02000000 0101                                  # Command Data Set Type
""")
# PS3.7 table 9.3-13: four US after the class, 66 bytes (42H).
C_ECHO_RSP = plain("""
    0000 0000 04000000 42000000
    0000 0200 12000000 312e322e3834302e31303030382e312e3100
    0000 0001 02000000 3080
    0000 2001 02000000 0700                                  # Message ID Being Responded To
    0000 0008 02000000 0101
    0000 0009 02000000 0000                                  # Status
""")
# PS3.7 tables 9.3-1 and 9.3-2 with the optional elements in their order.
C_STORE_RQ = plain("""
    0000 0000 04000000 5e000000
    0000 0200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200
    0000 0001 02000000 0100
    0000 1001 02000000 ffff
    0000 0007 02000000 0200                                  # Priority: low
    0000 0008 02000000 0100
    0000 0010 0c000000 312e322e332e342e352e3637              # Affected SOP Instance UID
""")
C_STORE_RSP = plain("""
    0000 0000 04000000 74000000
    0000 0200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200
    0000 0001 02000000 0180
    0000 2001 02000000 ffff
    0000 0008 02000000 0101
    0000 0009 02000000 00a9
    0000 0109 08000000 0800 1800 2000 0d00                   # Offending Element, two AT
    0000 0209 04000000 6f646420                              # Error Comment, padded
    0000 0010 06000000 312e322e3300
""")


def test_golden_echo_request():
    elements = (
        (commands.AFFECTED_SOP_CLASS_UID, commands.uid_value(VERIFICATION)),
        (commands.COMMAND_FIELD, commands.us_value(commands.C_ECHO_RQ)),
        (commands.MESSAGE_ID, commands.us_value(7)),
        (commands.COMMAND_DATA_SET_TYPE, commands.us_value(commands.NO_DATA_SET)),
    )
    assert commands.encode(elements) == C_ECHO_RQ


def test_golden_echo_response():
    assert commands.response(commands.C_ECHO_RSP, 7, 0, VERIFICATION) == C_ECHO_RSP


def test_golden_store_request():
    elements = (
        (commands.AFFECTED_SOP_CLASS_UID, commands.uid_value(CT)),
        (commands.COMMAND_FIELD, commands.us_value(commands.C_STORE_RQ)),
        (commands.MESSAGE_ID, commands.us_value(0xFFFF)),
        (commands.PRIORITY, commands.us_value(2)),
        (commands.COMMAND_DATA_SET_TYPE, commands.us_value(commands.DATA_SET_FOLLOWS)),
        (commands.AFFECTED_SOP_INSTANCE_UID, commands.uid_value("1.2.3.4.5.67")),
    )
    assert commands.encode(elements) == C_STORE_RQ


def test_golden_store_response():
    made = commands.response(
        commands.C_STORE_RSP,
        0xFFFF,
        0xA900,
        CT,
        sop_instance_uid="1.2.3",
        comment="odd",
        offending_tags=(0x00080018, 0x0020000D),
    )
    assert made == C_STORE_RSP


def test_golden_bytes_are_read():
    request = commands.parse(C_STORE_RQ)
    assert (request.field, request.message_id, request.announces_data_set) == (1, 0xFFFF, True)
    assert request.uid(commands.AFFECTED_SOP_CLASS_UID) == CT
    assert request.uid(commands.AFFECTED_SOP_INSTANCE_UID) == "1.2.3.4.5.67"
    assert request.number(commands.PRIORITY) == 2
    answer = commands.parse(C_STORE_RSP)
    assert (answer.field, answer.number(commands.STATUS)) == (0x8001, 0xA900)
    assert answer.text(commands.ERROR_COMMENT) == "odd"
    assert not answer.announces_data_set


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_read_and_none_is_kept(kind):
    # The caller's buffer is used again for the next PDU while the command is still looked at.
    memory = bytearray(C_ECHO_RQ)
    parsed = commands.parse(kind(memory))
    memory[:] = bytes(len(memory))
    assert parsed.uid(commands.AFFECTED_SOP_CLASS_UID) == VERIFICATION


@pytest.mark.parametrize("whole", [C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP])
def test_a_cut_is_seen_anywhere_but_between_elements(whole):
    ends, at = [0], 0
    while at < len(whole):
        at += 8 + struct.unpack_from("<I", whole, at + 4)[0]
        ends.append(at)
    for cut in range(len(whole)):
        if cut in ends:
            commands.parse(whole[:cut])
            continue
        with pytest.raises(ProtocolError, match="ends inside"):
            commands.parse(whole[:cut])


@pytest.mark.parametrize("element", ["field", "message_id", "announces_data_set"])
@pytest.mark.parametrize("value", [None, b"", b"\1", b"\1\0\0\0"], ids=["absent", "0", "1", "4"])
def test_what_every_request_needs_must_be_two_bytes(element, value):
    number = {"field": 0x0100, "message_id": 0x0110, "announces_data_set": 0x0800}[element]
    others = [(0x0100, b"\1\0"), (0x0110, b"\1\0"), (0x0800, b"\1\0")]
    found = [(n, b) for n, b in others if n != number]
    if value is not None:
        found = sorted([*found, (number, value)])
    parsed = commands.parse(commands.encode(found))
    with pytest.raises(ProtocolError, match=f"0000,{number:04X}"):
        getattr(parsed, element)


@pytest.mark.parametrize(
    ("data_set_type", "announces"),
    [(0x0101, False), (0x0000, True), (0x0001, True), (0x0100, True), (0xFFFF, True)],
)
def test_only_0101_means_that_nothing_follows(data_set_type, announces):
    # PS3.7 E.1-1: "any other value" says that a data set is there.
    parsed = commands.parse(commands.encode([(0x0800, commands.us_value(data_set_type))]))
    assert parsed.announces_data_set is announces


def test_a_command_set_of_64_kib_is_the_largest():
    element = struct.pack("<HHI", 0, 0x0902, 65536 - 8) + b"x" * (65536 - 8)
    assert len(commands.parse(element).text(0x0902)) == 65528
    with pytest.raises(ProtocolError, match="larger than 64 KiB"):
        commands.parse(element + b"\0")


@pytest.mark.parametrize("group", [1, 2, 8, 0x0100, 0xFFFE])
def test_only_group_0000_is_a_command(group):
    with pytest.raises(ProtocolError, match="not of group 0000"):
        commands.parse(C_ECHO_RQ + struct.pack("<HHI", group, 0, 0))


def test_elements_out_of_order_are_read_and_a_repeated_one_is_not():
    first, second = (struct.pack("<HHIH", 0, number, 2, 5) for number in (0x0110, 0x0100))
    assert commands.parse(first + second).message_id == 5
    with pytest.raises(ProtocolError, match="twice"):
        commands.parse(first + second + first)


@pytest.mark.parametrize(
    ("raw", "uid", "text"),
    [
        (b"1.2.3\0", "1.2.3", "1.2.3"),
        (b"1.2.3 ", "1.2.3", "1.2.3"),
        (b"1.2\0\0\0", "1.2", "1.2"),
        (b"  both  ", "  both", "both"),
        (b"\xff\xfe1.2", "", "??1.2"),
        (b"a\nb\x1bc\x7f", "a\nb\x1bc\x7f", "a?b?c?"),
        (b"", "", ""),
    ],
)
def test_hostile_text_is_made_harmless_and_a_uid_is_ascii(raw, uid, text):
    parsed = commands.parse(commands.encode([(2, raw)]))
    assert (parsed.uid(2), parsed.text(2)) == (uid, text)
    assert parsed.uid(3) == parsed.text(3) == ""


@pytest.mark.parametrize(("count", "written"), [(0, 0), (1, 1), (32, 32), (33, 32), (70_000, 32)])
def test_offending_elements_are_bounded(count, written):
    # A data set can offend with 65,536 elements; an answer with all of them would be no command.
    tags = [0x00080000 + number for number in range(count)]
    made = commands.response(commands.C_STORE_RSP, 1, 0xA900, CT, offending_tags=tags)
    elements = elements_of(made)
    expected = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags[:written])
    assert elements.get(commands.OFFENDING_ELEMENT, b"") == expected
    assert (commands.OFFENDING_ELEMENT in elements) == bool(count)


@pytest.mark.parametrize("comment", ["", "x", "xy", "x" * 64, "x" * 500])
@pytest.mark.parametrize("instance", ["", "1.2", "1.2.3", "1" * 64])
def test_answers_are_even_and_ordered_whatever_they_hold(comment, instance):
    made = commands.response(0x8001, 1, 0, CT, sop_instance_uid=instance, comment=comment)
    elements = elements_of(made)
    assert list(elements) == sorted(elements)
    assert all(len(value) % 2 == 0 for value in elements.values())
    assert struct.unpack("<I", elements[0]) == (len(made) - 12,)
    parsed = commands.parse(made)
    assert parsed.text(commands.ERROR_COMMENT) == comment[:64]
    assert parsed.uid(commands.AFFECTED_SOP_INSTANCE_UID) == instance


def elements_of(data: bytes) -> dict[int, bytes]:
    """Element number to value, read without the module under test."""
    found, at = {}, 0
    while at < len(data):
        group, element, length = struct.unpack_from("<HHI", data, at)
        assert group == 0
        found[element] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found
