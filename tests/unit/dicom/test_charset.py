"""Text against the examples of PS3.5 annexes H, I, J and K, byte for byte, and against pydicom."""

from __future__ import annotations

import pytest
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from router.dicom.charset import (
    CharacterSetProblem,
    decode_text,
    encode_text,
    encodings_of,
    is_known,
)
from router.dicom.transfer_syntax import layout_of
from router.dicom.values import decode, encode

LITTLE = layout_of("1.2.840.10008.1.2.1")
# Character set, text and bytes as printed in the standard.
EXAMPLES = {
    "H.3.1 Japanese, ASCII first": (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        (
            "59616d6164615e5461726f753d 1b2442 3b334544 1b2842 5e 1b2442 42404f3a 1b2842 3d"
            "1b2442 246424 5e2440 1b2842 5e 1b2442 243f246d2426 1b2842"
        ),
    ),
    "H.3.2 Japanese, half-width katakana first": (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        (
            "d4cfc0de5ec0dbb33d 1b2442 3b334544 1b284a 5e 1b2442 42404f3a 1b284a 3d"
            "1b2442 246424 5e2440 1b284a 5e 1b2442 243f246d2426 1b284a"
        ),
    ),
    "I.2 Korean": (
        "\\ISO 2022 IR 149",
        "Hong^Gildong=洪^吉洞=홍^길동",
        (
            "486f6e675e47696c646f6e673d 1b242943 fbf3 5e 1b242943 d1ced4d7 3d"
            "1b242943 c8ab 5e 1b242943 b1e6b5bf"
        ),
    ),
    "J.1 Chinese in UTF-8": (
        "ISO_IR 192",
        "Wang^XiaoDong=王^小東",
        "57616e675e5869616f446f6e673d e78e8b5ee5b08fe69db1",
    ),
    "J.2 Chinese in GB18030": (
        "GB18030",
        "Wang^XiaoDong=王^小东",
        "57616e675e5869616f446f6e673d cdf55ed0a1b6ab",
    ),
    "J.3 Chinese in GBK": (
        "GBK",
        "Wang^XiaoDong=王^小东",
        "57616e675e5869616f446f6e673d cdf55ed0a1b6ab",
    ),
    "K.2 Chinese with escapes": (
        "\\ISO 2022 IR 58",
        "Zhang^XiaoDong=张^小东",
        "5a68616e675e5869616f446f6e673d 1b242941 d5c5 5e 1b242941 d0a1b6ab",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_standard_both_ways(example):
    character_set, text, digits = EXAMPLES[example]
    raw = bytes.fromhex(digits)
    assert decode_text(raw, character_set, strict=True) == text
    assert encode_text(text, character_set).hex() == raw.hex()
    assert decode("PN", raw, LITTLE, character_set) == (text,)


def test_four_bytes_of_gb18030_and_its_difference_to_gbk():
    # U+9FA6 has four bytes in GB18030 and none in GBK.
    assert encode_text("\u9fa6", "GB18030") == bytes.fromhex("82358f33")
    with pytest.raises(CharacterSetProblem):
        encode_text("\u9fa6", "GBK")


@pytest.mark.parametrize(
    ("character_set", "text", "digits"),
    [
        ("ISO_IR 100", "ä", "e4"),
        ("ISO_IR 101", "ł", "b3"),
        ("ISO_IR 109", "ĉ", "e6"),
        ("ISO_IR 110", "ā", "e0"),
        ("ISO_IR 144", "Ж", "b6"),
        ("ISO_IR 127", "ق", "e2"),
        ("ISO_IR 126", "λ", "eb"),
        ("ISO_IR 138", "ש", "f9"),
        ("ISO_IR 148", "ğ", "f0"),
        ("ISO_IR 13", "ﾔ", "d4"),
        ("ISO_IR 166", "ก", "a1"),
    ],
)
def test_single_byte_sets_have_their_own_table(character_set, text, digits):
    # PS3.3 table C.12-2: one letter of each that is elsewhere in, or absent from, the others.
    assert encode_text(text, character_set).hex() == digits
    assert decode_text(bytes.fromhex(digits), character_set, strict=True) == text
    # The same set with code extensions, as second value behind ASCII.
    extended = "\\" + character_set.replace("ISO_IR", "ISO 2022 IR")
    raw = encode_text(f"A^{text}", extended)
    assert raw.startswith(b"A^\x1b")
    assert decode_text(raw, extended, strict=True) == f"A^{text}"


@pytest.mark.parametrize("delimiter", ["^", "=", "\\", "\r\n", "\t", "\f"])
def test_each_delimiter_returns_to_the_initial_set(delimiter):
    # PS3.5 6.1.2.5.3. What follows the delimiter is Latin 1 again, not Cyrillic.
    character_set = "ISO 2022 IR 100\\ISO 2022 IR 144"
    raw = b"\x1b-L\xb6" + delimiter.encode() + b"\xb6"
    assert decode_text(raw, character_set, strict=True) == f"Ж{delimiter}¶"
    assert encode_text(f"Ж{delimiter}¶", character_set) == raw


def test_katakana_and_kanji_in_one_component_do_not_mix():
    # Neither declared set has all of its letters, and a name is not cut inside a component.
    with pytest.raises(CharacterSetProblem):
        encode_text("ﾔ山", "ISO 2022 IR 13\\ISO 2022 IR 87")


@pytest.mark.parametrize("letter", ["~", "¥", "‾"])
def test_what_japanese_romaji_has_in_place_of_ascii_is_never_swapped(letter):
    # 5C and 7E are ¥ and ‾ in ISO-IR 14: a text with them is refused rather than changed.
    try:
        raw = encode_text(f"山{letter}", "ISO 2022 IR 13\\ISO 2022 IR 87")
    except CharacterSetProblem:
        return
    assert decode_text(raw, "ISO 2022 IR 13\\ISO 2022 IR 87", strict=True) == f"山{letter}"


@pytest.mark.parametrize(
    ("declared", "first"),
    [
        ("", "iso8859"),
        ("ISO_IR 100", "latin_1"),
        ("ISO IR 100", "latin_1"),
        ("iso-ir 100", "latin_1"),
        ("ISO_2022_IR_87", "iso2022_jp"),
        ("KLINGON", "iso8859"),
        # Sets that stand alone ignore what follows.
        ("ISO_IR 192\\ISO 2022 IR 87", "utf8"),
        ("GB18030\\ISO_IR 100", "GB18030"),
    ],
)
def test_terms_as_they_are_and_as_they_are_written_in_the_field(declared, first):
    found = encodings_of(declared)
    assert found[0].lower().replace("utf_8", "utf8") == first.lower()
    if declared.startswith(("ISO_IR 192", "GB18030")):
        assert len(found) == 1
    assert is_known(declared) is (declared != "KLINGON")


@pytest.mark.parametrize(
    ("raw", "character_set"),
    [
        (b"\xff", "ISO_IR 192"),
        (b"\xe7\x8e", "ISO_IR 192"),
        (b"\x81", "GB18030"),
        (b"\xe4", ""),
        (b"\x1b$B;3ED\x1b(B", "ISO_IR 100"),
        (b"\x1b$B\xff\xff\x1b(B", "\\ISO 2022 IR 87"),
        (b"\x1b", "\\ISO 2022 IR 87"),
        (b"\x1bZ", ""),
    ],
)
def test_damage_is_shown_for_matching_and_refused_for_editing(raw, character_set):
    assert isinstance(decode_text(raw, character_set), str)
    with pytest.raises(CharacterSetProblem) as caught:
        decode_text(raw, character_set, strict=True)
    assert repr(raw) not in str(caught.value)


# pydicom 3.0 leaves the escapes of ISO 2022 IR 58 in the text.
@pytest.mark.parametrize("example", [name for name in EXAMPLES if "K.2" not in name])
def test_pydicom_reads_what_we_write(example):
    character_set, text, _ = EXAMPLES[example]
    encodings = convert_encodings(character_set.split("\\"))
    # pydicom gets one component at a time, as its own reader does.
    parts = [
        decode_bytes(part, encodings, TEXT_VR_DELIMS)
        for part in encode_text(text, character_set).split(b"=")
    ]
    assert "=".join(parts) == text


@pytest.mark.parametrize(
    ("vr", "text", "limit"),
    [("LO", "山", 64), ("SH", "山", 16), ("PN", "山", 64), ("ST", "山", 1024)],
)
def test_limits_count_characters_and_not_bytes(vr, text, limit):
    # PS3.5 6.2: lengths are in characters, of which UTF-8 takes three bytes each here.
    assert len(encode(vr, [text * limit], LITTLE, "ISO_IR 192")) >= 3 * limit
    with pytest.raises(ValueError, match=f"at most {limit}"):
        encode(vr, [text * (limit + 1)], LITTLE, "ISO_IR 192")
