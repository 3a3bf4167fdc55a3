"""Files as they are found: without preamble, prefix, lengths or meta information, cut or padded."""

from __future__ import annotations

import pytest

from router.dicom.part10 import MAX_META_BYTES, file_meta, open_part10, read_part10
from router.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from router.errors import BadDataset
from tests.support.elements import BIG, DEFLATED, EXPLICIT, IMPLICIT, Maker

E = Maker(EXPLICIT)
PREAMBLE = bytes(128) + b"DICM"
CT = "1.2.840.10008.5.1.4.1.1.2"
JPEG = "1.2.840.10008.1.2.4.50"
BODY = E.element(0x00080005, "CS", "ISO_IR 100") + E.element(0x00100020, "LO", "X1")


def meta(make: Maker = E, syntax: str | None = JPEG, length: int | None = None) -> bytes:
    """Group 0002 with the group length first; `length` overrides the true one."""
    group = make.element(0x00020001, "OB", b"\0\1") + make.element(0x00020002, "UI", CT)
    group += make.element(0x00020003, "UI", "1.2.3")
    group += b"" if syntax is None else make.element(0x00020010, "UI", syntax)
    size = len(group) if length is None else length
    return make.numbers(0x00020000, "UL", "I", size) + group


def test_golden_meta_information():
    made = file_meta("1.2", "1.3.4", EXPLICIT, "CT1")
    group = (
        E.element(0x00020001, "OB", b"\0\1")
        + E.element(0x00020002, "UI", "1.2")
        + E.element(0x00020003, "UI", "1.3.4")
        + E.element(0x00020010, "UI", EXPLICIT)
        + E.element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID)
        + E.element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME)
        + E.element(0x00020016, "AE", "CT1")
    )
    assert made == PREAMBLE + E.numbers(0x00020000, "UL", "I", len(group)) + group
    assert (0x16).to_bytes(2, "little") + b"AE" not in file_meta("1.2", "1.3.4", EXPLICIT)


@pytest.mark.parametrize(
    "uids", [("1.2", "1.3.45"), ("1" * 64, "2" * 63), ("1", "22")], ids=["odd", "long", "short"]
)
@pytest.mark.parametrize("title", ["", "A", "AB", "SIXTEEN_LETTERS_"])
def test_what_we_write_we_read_whatever_is_padded(uids, title):
    made = file_meta(*uids, JPEG, title)
    found = read_part10(made + BODY)
    assert (found.sop_class_uid, found.sop_instance_uid) == uids
    assert (found.transfer_syntax_uid, found.data_set_offset) == (JPEG, len(made))
    assert len(made) % 2 == 0


FILES = {
    "a proper one": PREAMBLE + meta(),
    "a preamble of another format": b"II*\0" + b"x" * 124 + b"DICM" + meta(),
    "no preamble": b"DICM" + meta(),
    "neither preamble nor prefix": meta(),
    "no group length": PREAMBLE + meta()[12:],
    "a group length of 0": PREAMBLE + meta(length=0),
    "a group length that is too long": PREAMBLE + meta(length=5000),
    "implicit meta information": PREAMBLE + meta(Maker(IMPLICIT)),
    "private meta information": PREAMBLE + meta() + E.element(0x00020102, "OB", bytes(1000)),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_group_ends_where_another_begins_whatever_was_said(kind):
    found = read_part10(FILES[kind] + BODY)
    assert found.transfer_syntax_uid == JPEG
    assert (found.sop_class_uid, found.sop_instance_uid) == (CT, "1.2.3")
    assert found.data_set_offset == len(FILES[kind])


@pytest.mark.parametrize(
    ("first", "syntax"),
    [
        (Maker(EXPLICIT).element(0x00080005, "CS", "ISO_IR 100"), EXPLICIT),
        (Maker(IMPLICIT).element(0x00080005, "CS", "ISO_IR 100"), IMPLICIT),
        (Maker(BIG).element(0x00080005, "CS", "ISO_IR 100"), BIG),
        (Maker(EXPLICIT).sequence(0x00081140), EXPLICIT),
        (b"", IMPLICIT),
    ],
)
@pytest.mark.parametrize("start", [b"", PREAMBLE, PREAMBLE + meta(syntax=None)])
def test_a_syntax_nobody_names_is_guessed_from_the_first_element(first, syntax, start):
    found = read_part10(start + first)
    assert (found.transfer_syntax_uid, found.data_set_offset) == (syntax, len(start))


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\3\4" + bytes(100),
        b"%PDF-1.7 and more",
        b"short",
        PREAMBLE + b"short",
        b'{"json": true, "more": 1}',
    ],
)
def test_other_files_are_told_from_dicom(content):
    with pytest.raises(BadDataset, match="no DICOM file"):
        read_part10(content)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_cut_in_the_last_element_of_the_meta_information(cut):
    with pytest.raises(BadDataset):
        read_part10((PREAMBLE + meta())[:-cut])


def test_meta_information_beyond_its_bound_is_refused_and_not_read(tmp_path):
    size = MAX_META_BYTES - len(PREAMBLE + meta()) - 12
    for more, fits in ((0, True), (2, False)):
        file = tmp_path / f"{more}.dcm"
        file.write_bytes(PREAMBLE + meta() + E.element(0x00020102, "OB", bytes(size + more)) + BODY)
        if fits:
            assert open_part10(file).data_set_offset == MAX_META_BYTES
            continue
        with pytest.raises(BadDataset, match="longer than it may be"):
            open_part10(file)


def test_the_deflated_data_set_is_not_looked_into():
    body = Maker(DEFLATED).finished(BODY)
    found = read_part10(PREAMBLE + meta(syntax=DEFLATED) + body)
    assert found.transfer_syntax_uid == DEFLATED
    assert found.data_set_offset == len(PREAMBLE + meta(syntax=DEFLATED))


def test_a_file_that_is_not_there_is_the_file_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_part10(tmp_path / "absent.dcm")
