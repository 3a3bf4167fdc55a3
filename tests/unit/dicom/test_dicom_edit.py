"""Edits of data sets: private blocks, character sets, forms of lengths, and what may not be done."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from router.dicom.dataset import EditableDataSet
from router.dicom.header import HeaderReader
from router.dicom.outgoing import prepare
from router.dicom.splice import Span
from router.dicom.tags import parse_path
from router.errors import MorphFailed, Undeliverable
from tests.support.dicom_strategies import BIG, DEFLATED, EXPLICIT, IMPLICIT, reread, written

JPEG = "1.2.840.10008.1.2.4.50"
MIB = 1024 * 1024


def path(text):
    return parse_path(text)


def opened(raw, syntax=EXPLICIT, **options):
    return EditableDataSet(lambda o, n: raw[o : o + n], len(raw), syntax, **options)


def joined(data_set, raw):
    return b"".join(
        raw[piece.start : piece.end] if isinstance(piece, Span) else piece
        for piece in data_set.pieces()
    )


def sample(**values):
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def edited(data_set, *edits, syntax=EXPLICIT, **options):
    raw = written(data_set, syntax)
    editable = opened(raw, syntax, **options)
    for edit in edits:
        edit(editable)
    return reread(joined(editable, raw), syntax)


def sent(raw, source, target, edit=None, facts=("1", "2", "3")):
    found = prepare(lambda o, n: raw[o : o + n], len(raw), source, target, edit, facts)
    return found, b"".join(found.chunks())


def test_a_private_element_brings_its_creator_and_the_last_takes_it_away():
    base = sample(PatientID="1")
    base.private_block(9, "TAKEN", create=True).add_new(1, "LO", "x")
    acme = path("0009,[ACME],07")
    found = edited(base, lambda ds: ds.set(acme, "one"))
    assert found[0x00090011].value == "ACME"
    assert found[0x00091107].value == "one"
    assert edited(found, lambda ds: ds.remove(acme)) == base


def test_a_group_without_a_free_private_block_fails():
    base = Dataset()
    for block in range(0x10, 0x100):
        base.add_new((0x0009 << 16) | block, "LO", f"C{block}")
    with pytest.raises(MorphFailed):
        edited(base, lambda ds: ds.set(path("0009,[NEW],01"), "x"))


def test_private_elements_are_found_in_any_block():
    base = Dataset()
    base.add_new(0x00090042, "LO", "ACME")
    base.add_new(0x00094207, "LO", "deep")
    raw = written(base, IMPLICIT)
    acme = path("0009,[ACME],07")
    reader = HeaderReader(IMPLICIT, [acme])
    reader.feed(raw)
    assert opened(raw, IMPLICIT).get(acme) is not None
    assert reader.get(acme) is not None


def test_group_lengths_of_changed_groups_are_dropped():
    def group(number, name, value):
        element = struct.pack("<HHI", number, name, len(value)) + value
        return struct.pack("<HHII", number, 0, 4, len(element)) + element

    study, patient = group(0x0008, 0x1030, b"d "), group(0x0010, 0x0020, b"1 ")
    editable = opened(study + patient, IMPLICIT)
    editable.set(path("PatientID"), "22")
    assert (
        joined(editable, study + patient) == study + patient[12:16] + struct.pack("<I", 2) + b"22"
    )


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("undefined", [False, True])
def test_forms_of_lengths_are_kept(syntax, undefined):
    inner = sample(PatientID="IN", StudyDescription="x")
    inner.is_undefined_length_sequence_item = undefined
    other = sample(PatientID="OTHER")
    base = sample(PatientID="TOP")
    base.RequestAttributesSequence = Sequence([inner, other])
    base["RequestAttributesSequence"].is_undefined_length = undefined
    raw = written(base, syntax)
    editable = opened(raw, syntax)
    editable.set(path("RequestAttributesSequence[0].PatientID"), "NEW VALUE")
    result = joined(editable, raw)
    base.RequestAttributesSequence[0].PatientID = "NEW VALUE"
    assert result == written(base, syntax)


def test_items_are_made_and_removed():
    found = edited(
        sample(PatientID="1"),
        lambda ds: ds.set(path("RequestAttributesSequence[0].PatientID"), "A"),
        lambda ds: ds.set(path("RequestAttributesSequence[1].PatientID"), "B"),
        lambda ds: ds.remove(path("RequestAttributesSequence[0]")),
    )
    assert [item.PatientID for item in found.RequestAttributesSequence] == ["B"]
    with pytest.raises(MorphFailed):
        edited(found, lambda ds: ds.set(path("RequestAttributesSequence[5].PatientID"), "A"))


def test_reading_what_was_written():
    raw = written(sample(PatientID="1", ImageType=["A", "B"]), EXPLICIT)
    editable = opened(raw)
    assert editable.get(path("ImageType")).values == ("A", "B")
    assert editable.get(path("StudyDate")) is None
    editable.set(path("RequestAttributesSequence[0].PatientID"), "A")
    editable.set(path("RequestAttributesSequence[1].PatientID"), "B")
    assert editable.get(path("RequestAttributesSequence[*].PatientID")).values == ("A", "B")
    assert editable.exists(path("RequestAttributesSequence[1]"))
    assert not editable.exists(path("RequestAttributesSequence[2]"))
    editable.set(path("ImageType"), "X\\Y\\Z")
    assert editable.get(path("ImageType")).values == ("X", "Y", "Z")
    editable.set(path("Rows"), 512)
    assert editable.get(path("Rows")).values == (512,)
    editable.blank(path("Rows"))
    assert editable.get(path("Rows")).values == ()


def test_setting_the_value_it_has_changes_nothing():
    raw = written(sample(PatientID="1"), EXPLICIT)
    editable = opened(raw)
    editable.set(path("PatientID"), "1")
    assert not editable.is_changed
    assert editable.pieces() == [Span(0, len(raw))]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("PatientID", "x" * 65),
        ("StudyDate", "yesterday"),
        ("PixelData", "AAAA"),
        ("RequestAttributesSequence", "a word"),
        ("SpecificCharacterSet", "KLINGON"),
        ("PatientID[0]", "x"),
    ],
)
def test_what_cannot_be_set_fails_without_the_value(where, value):
    with pytest.raises((MorphFailed, ValueError)) as caught:
        edited(sample(PatientID="1"), lambda ds: ds.set(path(where), value))
    assert value not in str(caught.value) or where == "PatientID[0]"


def test_widening_takes_nested_text_along():
    inner = sample(PatientName="Ä^Ö")
    base = sample(SpecificCharacterSet="ISO_IR 100", PatientName="Jérôme", PatientComments="ü\\ö")
    base.RequestAttributesSequence = Sequence([inner])
    greek = sample(SpecificCharacterSet="ISO_IR 126", PatientName="Διονυσιος")
    base.ReferencedStudySequence = Sequence([greek])
    found = edited(base, lambda ds: ds.set(path("PatientID"), "山"))
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert found.PatientName == "Jérôme"
    assert found.PatientComments == "ü\\ö"
    assert found.RequestAttributesSequence[0].PatientName == "Ä^Ö"
    assert found.ReferencedStudySequence[0].PatientName == "Διονυσιος"
    assert "SpecificCharacterSet" not in found.ReferencedStudySequence[0]


def test_undeclared_text_cannot_be_widened_but_assumed_text_can():
    raw = struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 2) + b"\xe9\xe8"
    with pytest.raises(MorphFailed):
        opened(raw).set(path("PatientID"), "山")
    assumed = opened(raw, default_character_set="ISO_IR 100")
    assumed.set(path("PatientID"), "山")
    assert reread(joined(assumed, raw), EXPLICIT).PatientName == "éè"


def test_f35_an_assumed_character_set_is_declared_once_used():
    raw = written(sample(PatientID="1"), EXPLICIT)
    editable = opened(raw, default_character_set="ISO_IR 100")
    editable.set(path("PatientID"), "é")
    found = reread(joined(editable, raw), EXPLICIT)
    assert (found.SpecificCharacterSet, found.PatientID) == ("ISO_IR 100", "é")


def test_uids_changed_by_an_edit_are_announced():
    raw = written(sample(SOPInstanceUID="1.2.3", StudyInstanceUID="1.2.4"), EXPLICIT)
    found, _ = sent(raw, EXPLICIT, EXPLICIT, lambda ds: ds.set(path("SOPInstanceUID"), "1.9"))
    assert (found.sop_instance_uid, found.study_instance_uid) == ("1.9", "1.2.4")


def test_compressed_data_sets_keep_their_transfer_syntax():
    base = sample(PatientID="1")
    base.add_new(0x7FE00010, "OB", pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"]))
    base["PixelData"].is_undefined_length = True
    raw = written(base, EXPLICIT)
    for target in (EXPLICIT, IMPLICIT):
        with pytest.raises(Undeliverable):
            sent(raw, JPEG, target)
    with pytest.raises(Undeliverable):
        sent(raw, EXPLICIT, IMPLICIT)
    _, out = sent(raw, JPEG, JPEG, lambda ds: ds.set(path("PatientID"), "2"))
    assert out[out.index(b"\xe0\x7f") :] == raw[raw.index(b"\xe0\x7f") :]


def test_big_endian_is_never_a_target():
    with pytest.raises(Undeliverable):
        sent(written(sample(PatientID="1"), EXPLICIT), EXPLICIT, BIG)


def test_implicit_to_explicit_finds_vrs_by_context():
    base = sample(BitsAllocated=16, PixelRepresentation=1, SmallestImagePixelValue=-5)
    block = base.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x01, "SS", 7)
    base.private_block(0x0045, "NOBODY", create=True).add_new(0x01, "LO", "?")
    base.add_new(0x7FE00010, "OW", b"\1\2")
    base.LUTDescriptor = [0, 0, 16]
    _, out = sent(written(base, IMPLICIT), IMPLICIT, EXPLICIT)
    found = reread(out, EXPLICIT)
    assert (found["SmallestImagePixelValue"].VR, found.SmallestImagePixelValue) == ("SS", -5)
    assert found[0x00431001].VR == "SS"
    assert b"\x45\0\x01\x10UN\0\0" in out
    assert found["PixelData"].VR == "OW"
    assert found["LUTDescriptor"].VR == "SS"


def test_short_form_values_beyond_64_kib_become_un():
    raw = struct.pack("<HHI", 0x0018, 0x1063, 70000) + b"1\\" * 35000
    _, out = sent(raw, IMPLICIT, EXPLICIT)
    assert out[4:6] == b"UN"
    assert struct.unpack_from("<I", out, 8) == (70000,)


def test_un_of_undefined_length_stays_implicit_inside():
    inner = struct.pack("<HHI", 0x0010, 0x0020, 2) + b"IN"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    raw = struct.pack("<HH2sHI", 0x0040, 0x0275, b"UN", 0, 0xFFFFFFFF) + item
    raw += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    where = path("RequestAttributesSequence[*].PatientID")
    reader = HeaderReader(EXPLICIT, [where])
    reader.feed(raw)
    reader.finish()
    assert reader.get(where).values == ("IN",)
    editable = opened(raw)
    editable.set(where, "OUT!")
    assert opened(joined(editable, raw)).get(where).values == ("OUT!",)
    _, out = sent(raw, EXPLICIT, IMPLICIT)
    assert reread(out, IMPLICIT).RequestAttributesSequence[0].PatientID == "IN"


def test_deflated_is_edited_and_deflated_again():
    raw = written(sample(PatientID="1", StudyDescription="s"), DEFLATED)
    found, out = sent(raw, DEFLATED, DEFLATED, lambda ds: ds.set(path("PatientID"), "2"))
    assert found.length is None
    assert len(out) % 2 == 0
    assert reread(out, DEFLATED).PatientID == "2"
    _, plain = sent(raw, DEFLATED, EXPLICIT)
    assert plain == zlib.decompressobj(-15).decompress(raw)


def test_large_objects_are_never_held():
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 64 * MIB)
    head = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 2) + b"AB" + pixels
    largest = 0

    def read(offset, size):
        nonlocal largest
        largest = max(largest, size)
        start = head[offset : offset + size]
        return start + bytes(max(0, size - len(start)))

    length = len(head) + 64 * MIB
    tracemalloc.start()
    try:
        for target in (EXPLICIT, IMPLICIT, DEFLATED):
            found = prepare(
                read,
                length,
                EXPLICIT,
                target,
                lambda ds: ds.set(path("PatientID"), "2"),
                ("", "", ""),
            )
            total = sum(len(chunk) for chunk in found.chunks())
            assert found.length in {None, total}
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()
    assert largest <= 256 * 1024
