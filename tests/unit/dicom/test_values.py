"""Every VR both ways: golden bytes in both byte orders, the bound of its length, the edge of its form."""

from __future__ import annotations

import math

import pytest

from router.dicom.transfer_syntax import layout_of
from router.dicom.values import BULK_VRS, KNOWN_VRS, TEXT_VRS, ValueProblem, decode, encode

LITTLE, BIG = layout_of("1.2.840.10008.1.2.1"), layout_of("1.2.840.10008.1.2.2")
# PS3.5 table 6.2-1: a value of each VR and its bytes, in big endian where they differ.
TEXTS = {
    "AE": (("PACS", "CT 1"), b"PACS\\CT 1 "),
    "AS": (("045Y", "006M"), b"045Y\\006M "),
    "CS": (("ORIGINAL", "A_1 B"), b"ORIGINAL\\A_1 B"),
    "DA": (("20240229",), b"20240229"),
    "DS": (("-1.5E+3", ".5", "12"), b"-1.5E+3\\.5\\12 "),
    "DT": (("20240229235960.123456+0100",), b"20240229235960.123456+0100"),
    "IS": (("-2147483648", "2147483647"), b"-2147483648\\2147483647"),
    "LO": (("one", "two"), b"one\\two "),
    "LT": (("one\\line\r\ntwo",), b"one\\line\r\ntwo "),
    "PN": (("Doe^Jane", "Roe^R=I=P"), b"Doe^Jane\\Roe^R=I=P"),
    "SH": (("16 LETTERS_LONG_",), b"16 LETTERS_LONG_"),
    "ST": (("a\\b",), b"a\\b "),
    "TM": (("235960.5", "12"), b"235960.5\\12 "),
    "UC": (("x" * 100, ""), b"x" * 100 + b"\\ "),
    "UI": (("1.2.840", "0.0"), b"1.2.840\\0.0\0"),
    "UR": (("http://a.example/?b=c",), b"http://a.example/?b=c "),
    "UT": (("\tlong\f",), b"\tlong\f"),
}
NUMBERS = {
    "AT": (("00100020", "FFFEE000"), "00100020 fffee000", 2),
    "FD": ((1.5, -0.0), "3ff8000000000000 8000000000000000", 8),
    "FL": ((1.5, math.inf), "3fc00000 7f800000", 4),
    "SL": ((-2147483648, 2147483647), "80000000 7fffffff", 4),
    "SS": ((-32768, 32767), "8000 7fff", 2),
    "SV": ((-(2**63), 2**63 - 1), "8000000000000000 7fffffffffffffff", 8),
    "UL": ((0, 4294967295), "00000000 ffffffff", 4),
    "US": ((0, 1, 65535), "0000 0001 ffff", 2),
    "UV": ((2**64 - 1,), "ffffffffffffffff", 8),
}


def test_the_tables_hold_every_vr():
    assert set(TEXTS) == TEXT_VRS
    assert set(TEXTS) | set(NUMBERS) | BULK_VRS == KNOWN_VRS


@pytest.mark.parametrize("vr", TEXTS)
def test_text_both_ways_is_the_same_in_both_byte_orders(vr):
    values, raw = TEXTS[vr]
    for layout in (LITTLE, BIG):
        assert encode(vr, values, layout, "") == raw
        assert len(raw) % 2 == 0
        # Trailing empty values cannot be told from padding; all others come back.
        assert decode(vr, raw, layout, "") == values


@pytest.mark.parametrize("vr", NUMBERS)
def test_numbers_both_ways_in_both_byte_orders(vr):
    values, digits, size = NUMBERS[vr]
    big = bytes.fromhex(digits)
    words = [big[at : at + size] for at in range(0, len(big), size)]
    for layout, raw in ((BIG, big), (LITTLE, b"".join(word[::-1] for word in words))):
        assert encode(vr, values, layout, "") == raw
        assert repr(decode(vr, raw, layout, "")) == repr(values)
        # What is left of a number behind the last whole one is ignored.
        assert decode(vr, raw + b"\1", layout, "") == decode(vr, raw, layout, "")


@pytest.mark.parametrize("vr", sorted(KNOWN_VRS))
def test_no_value_is_no_bytes_for_every_vr(vr):
    assert encode(vr, (), LITTLE, "") == b""
    assert decode(vr, b"", LITTLE, "") == ()


@pytest.mark.parametrize("vr", sorted(BULK_VRS))
def test_bulk_is_neither_decoded_nor_made_of_text(vr):
    assert decode(vr, b"\1\2\3\4", LITTLE, "") == ()
    for value in ("text", 1, 1.5):
        with pytest.raises(ValueProblem, match=f"VR {vr} cannot be set"):
            encode(vr, [value], LITTLE, "")


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AE", "S" * 16),
        ("CS", "C" * 16),
        ("DS", "1" * 16),
        ("DS", " +1.0e-10 "),
        ("IS", " +123456789 "),
        ("IS", "-00000000001"),
        ("LO", "x" * 64),
        ("LT", "x" * 10240),
        ("PN", "=".join(["x" * 64] * 3)),
        ("SH", "x" * 16),
        ("ST", "x" * 1024),
        ("UC", "x" * 100_000),
        ("UI", "1." + "2" * 62),
        ("UR", "x" * 100_000),
        ("UT", "x" * 100_000),
        ("DA", "00010101"),
        ("TM", "00"),
        ("TM", "2359"),
        ("TM", "235960"),
        ("TM", "235959.999999"),
        ("DT", "2024"),
        ("DT", "202402-1200"),
        ("DT", "20240229235960.1"),
        ("AS", "000D"),
    ],
)
def test_the_edge_of_what_a_vr_allows(vr, value):
    raw = encode(vr, [value], LITTLE, "")
    assert raw.rstrip(b" \0").decode() == value.rstrip()


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AE", "S" * 17),
        ("AE", "tab\t"),
        ("AE", "é"),
        ("AS", "45Y"),
        ("AS", "045y"),
        ("CS", "C" * 17),
        ("CS", "A-B"),
        ("DS", "1" * 17),
        ("DS", "1,5"),
        ("DS", "nan"),
        ("DS", "1e"),
        ("DS", "."),
        ("IS", "2147483648"),
        ("IS", "-2147483649"),
        ("IS", "1" * 13),
        ("IS", "0x10"),
        ("IS", "- 1"),
        ("LO", "x" * 65),
        ("LO", "line\n"),
        ("LT", "x" * 10241),
        ("LT", "bell\a"),
        ("PN", "x" * 65 + "=y"),
        ("PN", "y=" + "x" * 65),
        ("SH", "x" * 17),
        ("ST", "x" * 1025),
        ("UC", "a\tb"),
        ("UI", "1." + "2" * 63),
        ("UI", "1.2."),
        ("UI", ".1"),
        ("UI", "1.a"),
        ("UI", "1.00"),
        ("UR", "with space"),
        ("UR", "back\\slash"),
        ("DA", "20240001"),
        ("DA", "20241301"),
        ("DA", "20240132"),
        ("DA", "2024.01.01"),
        ("DA", "20240101-"),
        ("TM", "24"),
        ("TM", "1"),
        ("TM", "1260"),
        ("TM", "120061"),
        ("TM", "120000."),
        ("TM", "120000.1234567"),
        ("TM", "12:00"),
        ("DT", "202"),
        ("DT", "2024130100"),
        ("DT", "20240101+1"),
        ("DT", "20240101120000.1234567"),
        ("AT", "0010,00200"),
        ("AT", "0010,20"),
        ("AT", "0010_0020"),
        ("AT", "PatientID"),
        ("AT", 2**32),
        ("AT", -1),
        ("FD", "much"),
        ("FL", 1e39),
        ("SL", 2**31),
        ("SS", -32769),
        ("SV", 2**63),
        ("UL", -1),
        ("UL", 2**32),
        ("US", 65536),
        ("US", "1.5"),
        ("UV", 2**64),
    ],
)
def test_what_lies_beyond_the_edge_is_refused_without_repeating_it(vr, value):
    with pytest.raises(ValueProblem) as caught:
        encode(vr, [value], LITTLE, "")
    # Short ones may be part of other words.
    assert len(str(value)) < 5 or str(value) not in str(caught.value)


@pytest.mark.parametrize(
    ("vr", "value", "raw"),
    [
        ("DS", 0.1, b"0.1 "),
        ("DS", 1 / 3, b"0.33333333333333"),
        ("DS", -1.23456789e-200, b"-1.23456789e-200"),
        ("DS", 7, b"7 "),
        ("IS", 7, b"7 "),
        ("LO", 7, b"7 "),
        ("US", "7", b"\7\0"),
        ("FD", "1.5", b"\0\0\0\0\0\0\xf8\x3f"),
        ("AT", 0x00100020, b"\x10\0\x20\0"),
        ("AT", "(0010,0020)", b"\x10\0\x20\0"),
    ],
)
def test_numbers_for_text_and_text_for_numbers(vr, value, raw):
    assert encode(vr, [value], LITTLE, "") == raw


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_decimal_string_has_no_infinity(value):
    with pytest.raises(ValueProblem, match="VR DS"):
        encode("DS", [value], LITTLE, "")


@pytest.mark.parametrize("vr", ["LT", "ST", "UR", "UT"])
def test_some_vrs_have_one_value_only(vr):
    with pytest.raises(ValueProblem, match="one value"):
        encode(vr, ["a", "b"], LITTLE, "")


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        # Both ends are padding in these, the right one only in the others (PS3.5 6.2).
        ("AE", b"  PACS  \\ X ", ("PACS", "X")),
        ("DS", b" 1.5 \\ 2 ", ("1.5", "2")),
        ("UI", b"1.2\0\\ 1.3\0", ("1.2", "1.3")),
        ("SH", b" left\\right  ", (" left", "right")),
        ("PN", b" Doe^J \\B", (" Doe^J", "B")),
        ("LT", b"  left and \\ right  ", ("  left and \\ right",)),
        # NUL for padding is wrong in text and common.
        ("LO", b"A\0", ("A",)),
        ("CS", b"CT\0\0", ("CT",)),
        # Empty values between and behind.
        ("LO", b"\\", ("", "")),
        ("LO", b"A\\\\B", ("A", "", "B")),
        ("CS", b"\0 \0 ", ()),
        # Bytes above ASCII in a VR without character set are read, not lost.
        ("UI", b"1.\xe9", ("1.é",)),
    ],
)
def test_padding_as_it_is_and_as_it_should_not_be(vr, raw, values):
    assert decode(vr, raw, LITTLE, "") == values


def test_vrs_nobody_knows_have_no_values():
    assert decode("ZZ", b"text", LITTLE, "") == ()
    with pytest.raises(ValueProblem, match="VR ZZ"):
        encode("ZZ", ["text"], LITTLE, "")
