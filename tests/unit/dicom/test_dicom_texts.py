"""Tags, paths, character sets, values, UIDs and file meta information."""

from __future__ import annotations

import io

import pydicom
import pytest

from router.dicom import tags, uids
from router.dicom.charset import CharacterSetProblem, decode_text, encode_text, is_known
from router.dicom.part10 import file_meta, open_part10, read_part10
from router.dicom.tags import PathError, parse_path
from router.dicom.transfer_syntax import layout_of
from router.dicom.values import RepertoireProblem, ValueProblem, decode, encode
from router.errors import BadDataset
from router.model.ids import is_valid_uid
from router.model.path import ALL_ITEMS, PathStep

LITTLE, BIG = layout_of("1.2.840.10008.1.2.1"), layout_of("1.2.840.10008.1.2.2")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("PatientID", [PathStep(0x00100020)]),
        ("0010,0020", [PathStep(0x00100020)]),
        ("00100020", [PathStep(0x00100020)]),
        ("(0010,0020)", [PathStep(0x00100020)]),
        ("0009,[ACME CREATOR],01", [PathStep(0x00090001, "ACME CREATOR")]),
        ("(0009,[A.B],ff)", [PathStep(0x000900FF, "A.B")]),
        (
            "RequestAttributesSequence[*].ScheduledProcedureStepID",
            [PathStep(0x00400275, None, ALL_ITEMS), PathStep(0x00400009)],
        ),
        (
            "0009,[ACME],02[1].PatientID",
            [PathStep(0x00090002, "ACME", 1), PathStep(0x00100020)],
        ),
    ],
)
def test_paths_in_every_form(text, steps):
    assert list(parse_path(text).steps) == steps


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("StudyDescripton", "DR210", "StudyDescription"),
        ("patientid", "DR210", "PatientID"),
        ("PatientID.StudyDate", "DR211", ""),
        ("RequestAttributesSequence.StudyDate", "DR211", "[*]"),
        ("0010,002", "DR211", ""),
        ("0010,[ACME],01", "DR211", ""),
        ("0002,0010", "DR211", ""),
        ("", "DR211", ""),
        ("PatientID.", "DR210", "PatientID"),
    ],
)
def test_what_is_no_path_says_why(text, code, hint):
    with pytest.raises(PathError) as caught:
        parse_path(text)
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_dictionary_look_ups():
    assert tags.tag_for("StudyDescription") == 0x00081030
    assert tags.tag_for("Nonsense") is None
    assert tags.keyword_for(0x00081030) == "StudyDescription"
    assert tags.keyword_for(0x00091001) == ""
    assert tags.vr_for(0x00280106) == "US"
    assert tags.vr_for(0x7FE00010) == "OB"
    assert tags.vr_for(0x60003000) == "OB"
    assert tags.vr_for(0x00091002) == "UN"
    assert tags.vr_for(0x00091002, "GEMS_IDEN_01") == "SH"
    assert tags.vr_for(0x00090010) == "LO"
    assert tags.format_tag(0x00080018) == "(0008,0018)"
    assert len(tags.suggestions("PatientsName")) <= 3


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("", "Plain^Text"),
        ("ISO_IR 100", "Buc^Jérôme"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("GBK", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", "Jérôme^Люк"),
    ],
)
def test_text_survives_every_character_set(character_set, text):
    raw = encode_text(text, character_set)
    assert decode_text(raw, character_set, strict=True) == text


@pytest.mark.parametrize(
    ("character_set", "text"),
    [("", "é"), ("ISO_IR 100", "山"), ("ISO_IR 13", "山"), ("\\ISO 2022 IR 87", "é")],
)
def test_characters_outside_are_refused_not_replaced(character_set, text):
    with pytest.raises(CharacterSetProblem):
        encode_text(text, character_set)


def test_backslash_as_second_byte_does_not_split():
    # In GB18030 many pairs end in 5C, the code of the backslash.
    text = next(chr(c) for c in range(0x4E00, 0x9FA0) if chr(c).encode("gb18030").endswith(b"\\"))
    raw = encode("LO", [text, "B"], LITTLE, "GB18030")
    assert raw.count(b"\\") == 2
    assert decode("LO", raw, LITTLE, "GB18030") == (text, "B")


def test_damaged_text_is_still_decoded():
    assert "\ufffd" in decode_text(b"\xff\xfe", "ISO_IR 192")
    assert decode_text(b"\xe9", "") == "é"
    assert decode_text(b"A\x1b$BB", "ISO_IR 100").startswith("A")
    with pytest.raises(CharacterSetProblem):
        decode_text(b"\xe9", "", strict=True)
    assert is_known("ISO 2022 IR 6\\ISO 2022 IR 87")
    assert not is_known("KLINGON")


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("LO", b"A \\ B\\ ", ("A", " B", "")),
        ("LO", b"   ", ()),
        ("UI", b"1.2\0", ("1.2",)),
        ("CS", b" CT ", ("CT",)),
        ("IS", b" 12 \\-3", ("12", "-3")),
        ("LT", b"one\\two ", ("one\\two",)),
        ("US", b"\1\0\2\0", (1, 2)),
        ("SS", b"\xff\xff", (-1,)),
        ("AT", b"\x10\0\x20\0", ("00100020",)),
        ("US", b"\1", ()),
        ("FD", b"\0\0\0\0\0\0\xf8\x3f", (1.5,)),
        ("OB", b"\1\2", ()),
        ("SQ", b"", ()),
    ],
)
def test_decoding_by_vr(vr, raw, values):
    assert decode(vr, raw, LITTLE, "") == values


@pytest.mark.parametrize(
    ("vr", "values", "raw"),
    [
        ("LO", ["A", "B"], b"A\\B "),
        ("UI", ["1.2"], b"1.2\0"),
        ("DS", [0.1], b"0.1 "),
        ("IS", [12], b"12"),
        ("US", ["7"], b"\0\7"),
        ("AT", ["00100020"], b"\0\x10\0\x20"),
        ("DA", ["20200131"], b"20200131"),
        ("TM", ["120000.5"], b"120000.5"),
        ("LO", [], b""),
    ],
)
def test_encoding_by_vr_big_endian(vr, values, raw):
    assert encode(vr, values, BIG, "") == raw


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("SH", "x" * 17),
        ("LO", "x" * 65),
        ("CS", "lower"),
        ("AE", "x" * 17),
        ("DS", "1.2.3"),
        ("DS", "12345678901234567"),
        ("IS", "1.5"),
        ("IS", "99999999999"),
        ("UI", "1..2"),
        ("UI", "1.02"),
        ("DA", "2020-01-01"),
        ("DA", "20201301"),
        ("TM", "25"),
        ("DT", "2020010199"),
        ("AS", "45"),
        ("PN", "a=b=c=d"),
        ("PN", "x" * 65),
        ("LO", "tab\there"),
        ("US", "70000"),
        ("US", "many"),
        ("OB", "a word"),
        ("LO", "back\\slash"),
    ],
)
def test_values_the_vr_does_not_allow(vr, value):
    with pytest.raises(ValueProblem) as caught:
        encode(vr, [value], LITTLE, "")
    assert value not in str(caught.value)


def test_text_outside_the_repertoire_is_told_apart():
    with pytest.raises(RepertoireProblem):
        encode("LO", ["山"], LITTLE, "ISO_IR 100")


def test_uids_are_valid_and_keyed_ones_repeat():
    assert is_valid_uid(uids.IMPLEMENTATION_CLASS_UID)
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16
    assert uids.new_uid() != uids.new_uid()
    assert is_valid_uid(uids.new_uid())
    assert uids.keyed_uid(b"key", "1.2.3") == uids.keyed_uid(b"key", "1.2.3")
    assert uids.keyed_uid(b"key", "1.2.3") != uids.keyed_uid(b"other", "1.2.3")
    assert is_valid_uid(uids.keyed_uid(b"key", "1.2.3"))


def test_file_meta_is_stable_and_what_pydicom_reads():
    raw = file_meta("1.2", "1.3.4", "1.2.840.10008.1.2.1", "CT1")
    assert raw == file_meta("1.2", "1.3.4", "1.2.840.10008.1.2.1", "CT1")
    assert raw[:128] == bytes(128)
    meta = pydicom.dcmread(io.BytesIO(raw)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.3.4"
    assert meta.SourceApplicationEntityTitle == "CT1"
    assert meta.FileMetaInformationGroupLength == len(raw) - 128 - 4 - 12
    found = read_part10(raw)
    assert (found.sop_class_uid, found.sop_instance_uid) == ("1.2", "1.3.4")
    assert found.data_set_offset == len(raw)


@pytest.mark.parametrize(
    ("start", "syntax"),
    [
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "1.2.840.10008.1.2.1"),
        (b"\0\x08\0\x05CS\0\x0aISO_IR 100", "1.2.840.10008.1.2.2"),
        (b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100", "1.2.840.10008.1.2"),
    ],
)
def test_files_without_meta_are_guessed(tmp_path, start, syntax):
    file = tmp_path / "bare.dcm"
    file.write_bytes(start)
    found = open_part10(file)
    assert found.transfer_syntax_uid == syntax
    assert found.data_set_offset == 0


def test_a_text_file_is_no_dicom_file(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("hello, this is no image")
    with pytest.raises(BadDataset):
        open_part10(file)
