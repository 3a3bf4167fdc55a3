"""Splice and conversion against pydicom: what was not edited stays, what was edited is as asked."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.dicom.outgoing import prepare
from router.dicom.tags import parse_path
from tests.support.dicom_strategies import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SYNTAXES,
    data_sets,
    reread,
    written,
)

FACTS = ("1.2", "1.3", "1.4")
TEXT = st.text("ABCabc 012", min_size=1, max_size=12).map(str.strip).filter(bool)
WIDE = st.text("ABé山田Ж", min_size=1, max_size=12)
OLD, NEW = parse_path("0009,[ACME],01"), parse_path("0009,[OTHER],05")


def outgoing(raw, source, target, edit=None):
    found = prepare(
        lambda offset, size: raw[offset : offset + size], len(raw), source, target, edit, FACTS
    )
    result = b"".join(found.chunks())
    assert b"".join(found.chunks()) == result, "the chunks can be had again"
    assert found.length in {None, len(result)}
    return result


def same(one, two) -> None:
    """Equal data sets; UN and bulk compare as bytes."""
    assert [e.tag for e in one] == [e.tag for e in two]
    for left, right in zip(one, two, strict=True):
        if left.VR == "SQ" and right.VR == "SQ":
            assert len(left.value) == len(right.value)
            for inner_left, inner_right in zip(left.value, right.value, strict=True):
                same(inner_left, inner_right)
        elif "UN" not in {left.VR, right.VR}:
            assert left.value == right.value, left.tag


@settings(max_examples=120, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES))
def test_without_edits_every_byte_stays(data_set, syntax):
    raw = written(data_set, syntax)
    assert outgoing(raw, syntax, syntax) == raw
    seen = []

    def edit(editable):
        seen.append(editable.tags())
        for text in ("RequestAttributesSequence[*].PatientID", "PatientID", "StudyDescription"):
            editable.get(parse_path(text))
            editable.exists(parse_path(text))
        editable.remove(parse_path("PatientMotherBirthName"))
        editable.blank(parse_path("RequestAttributesSequence[*].PatientReligiousPreference"))

    assert outgoing(raw, syntax, syntax, edit) == raw
    assert seen


@settings(max_examples=150, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES), TEXT, TEXT, TEXT)
def test_edits_are_what_pydicom_reads_and_pixels_stay(data_set, syntax, patient, nested, private):
    raw = written(data_set, syntax)

    def edit(editable):
        editable.set(parse_path("PatientID"), patient)
        editable.blank(parse_path("StudyDescription"))
        editable.remove(parse_path("AccessionNumber"))
        editable.set(parse_path("RequestAttributesSequence[*].PatientID"), nested)
        editable.set(parse_path("ReferencedStudySequence[0].PatientID"), nested)
        editable.set(NEW, private)
        editable.remove(OLD)
        editable.remove(parse_path("0009,[ACME],02"))

    before = reread(raw, syntax)
    after = reread(outgoing(raw, syntax, syntax, edit), syntax)
    assert after.PatientID == patient
    assert "AccessionNumber" not in after
    assert ("StudyDescription" in after) == ("StudyDescription" in before)
    assert not after.get("StudyDescription", "")
    assert all(item.PatientID == nested for item in after.get("RequestAttributesSequence", []))
    assert after.ReferencedStudySequence[0].PatientID == nested
    assert as_text(after.private_block(9, "OTHER")[5].value) == private
    with pytest.raises(KeyError):
        after.private_block(9, "ACME")
    assert after.get("PixelData") == before.get("PixelData")
    for gone in ("PatientID", "AccessionNumber", "StudyDescription", "ReferencedStudySequence"):
        for either in (before, after):
            if gone in either:
                delattr(either, gone)
    for either in (before, after):
        for item in either.get("RequestAttributesSequence", []):
            item.PatientID = ""
        either.remove_private_tags()
    same(before, after)


def as_text(value) -> str:
    return (value.decode() if isinstance(value, bytes) else value).rstrip()


@settings(max_examples=100, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES), WIDE)
def test_text_that_does_not_fit_converts_everything_to_utf_8(data_set, syntax, wide):
    assume(not wide.isascii() and wide.encode("latin-1", "ignore").decode("latin-1") != wide)
    raw = written(data_set, syntax)
    before = reread(raw, syntax)
    after = reread(
        outgoing(raw, syntax, syntax, lambda ds: ds.set(parse_path("PatientID"), wide)), syntax
    )
    assert after.SpecificCharacterSet == "ISO_IR 192"
    assert after.PatientID == wide
    for either in (before, after):
        either.decode()
        either.SpecificCharacterSet = either.PatientID = ""
        either.remove_private_tags()
    same(before, after)


@settings(max_examples=200, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES), st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED]))
def test_conversion_agrees_with_pydicom(data_set, source, target):
    raw = written(data_set, source)
    converted = reread(outgoing(raw, source, target), target)
    known = reread(raw, source)
    if source == BIG and "PixelData" in known:
        pixels = known.PixelData or b""
        swapped = bytes(b for pair in zip(pixels[1::2], pixels[::2], strict=True) for b in pair)
        assert (converted.PixelData or b"") == swapped
        del known.PixelData, converted.PixelData
    same(known, converted)


@settings(max_examples=100, deadline=None)
@given(data_sets(), st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED]), st.booleans())
def test_there_and_back_again(data_set, other, edited):
    raw = written(data_set, EXPLICIT)
    edit = (lambda ds: ds.set(parse_path("PatientID"), "X1")) if edited else None
    there = outgoing(raw, EXPLICIT, other, edit)
    back = reread(outgoing(there, other, EXPLICIT), EXPLICIT)
    known = reread(raw, EXPLICIT)
    if edited:
        known.PatientID = "X1"
    for either in (known, back):
        either.remove_private_tags()
    same(known, back)
