"""De-identification: every row and option of the table, at every depth, and the check behind it."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.errors import MorphFailed
from router.model.plug import PlugError
from router.morph.confidentiality import table
from router.morph.deidentified import OPTIONS
from tests.unit.morph.test_steps import MORPHS, encoded, image, morphed

BASIC = ("deidentify", {"profile": "basic"})
SYNTAXES = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN]
SAMPLES: dict[str, Any] = {
    "AE": "ARCHIVE7", "AS": "042Y", "CS": "SOMETHING", "DA": "20240229", "DS": "7.25", "IS": "77",
    "DT": "20240229115959", "LO": "Something", "LT": "Something", "PN": "Doe^Jane", "SH": "Some",
    "ST": "Something", "TM": "115959", "UC": "Something", "UI": "1.2.840.113619.7.9", "US": 7,
    "UR": "http://some.example", "UT": "Something", "OB": b"\1\2", "UN": b"\1\2",
}  # fmt: skip


def options(*names: str) -> tuple[str, Any]:
    return "deidentify", {"profile": "basic", "options": list(names)}


def patient(**changes: Any) -> Dataset:
    """A CT image of Jane Doe, with her name where people write names."""
    data_set = image(StudyInstanceUID="1.2.840.113619.7.1", SeriesInstanceUID="1.2.840.113619.7.2")
    data_set.StudyDate = data_set.SeriesDate = "20240229"
    data_set.StudyTime = "115959"
    data_set.PatientID = "HA-0012345"
    data_set.OtherPatientNames = "ROE^JANE"
    data_set.PatientSex = "F"
    data_set.PatientAge = "054Y"
    data_set.ReferringPhysicianName = "House^Gregory"
    data_set.InstitutionName = "Princeton"
    data_set.StationName = "CT-7"
    data_set.ManufacturerModelName = "Revolution"
    data_set.StudyDescription = "CT skull of Jane Doe 20240229"
    data_set.ProtocolName = "skull"
    data_set.SliceThickness = "1.25"
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return data_set


ROWS = [(tag, row) for tag, row in table().rows.items() if tag >> 16 != 2]


def filled(tag: int) -> Dataset:
    """An object with this one attribute, and what every object has."""
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    vr = dictionary_VR(tag).split(" or ")[0]
    value: Any = SAMPLES.get(vr)
    if vr == "SQ":
        item = Dataset()
        item.CodeMeaning = "Something"
        item.ReferencedSOPInstanceUID = "1.2.840.113619.7.9"
        value = Sequence([item])
    data_set.add(DataElement(Tag(tag), vr, value))
    return data_set


def act(data_set: Dataset, step: tuple[str, Any]) -> Dataset:
    """The step alone, without the check behind it."""
    return morphed(data_set, step)


@pytest.mark.parametrize("letter", "XZDU")
def test_f60_every_row_of_the_table_acts_as_its_letter_says(letter: str) -> None:
    rows = [(tag, row) for tag, row in ROWS if row.basic == letter]
    assert len(rows) > 40
    for tag, _ in rows:
        before = filled(tag)
        vr = before[tag].VR
        after = act(before, BASIC)
        if letter == "X":
            assert tag not in after, hex(tag)
            continue
        value = after[tag].value
        if letter == "Z" or (vr == "SQ" and letter == "D"):
            assert not value, hex(tag)
        elif vr == "SQ":
            assert value[0].ReferencedSOPInstanceUID.startswith("2.25."), hex(tag)
        elif letter == "U":
            assert value.startswith("2.25."), hex(tag)
        elif vr not in {"OB", "UN"}:
            assert value != before[tag].value, hex(tag)
            assert str(value) != "", hex(tag)


KEEPING = {name: column for name, (_, _, column) in OPTIONS.items() if name.startswith("retain")}


@pytest.mark.parametrize("name", [name for name in KEEPING if KEEPING[name]])
def test_f60_every_row_an_option_keeps_stays_as_it_is(name: str) -> None:
    rows = [(tag, row) for tag, row in ROWS if KEEPING[name] in row.options]
    assert rows
    for tag, row in rows:
        before = filled(tag)
        vr = before[tag].VR
        after = act(before, options(name))
        if row.options[KEEPING[name]] == "K" and vr != "SQ":
            assert after[tag].value == before[tag].value, hex(tag)
        elif KEEPING[name] == "modified_dates" and vr == "DA":
            assert after[tag].value < before[tag].value, hex(tag)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_f60_an_object_says_what_was_done_and_nothing_of_whom(syntax: str) -> None:
    result = morphed(patient(), options("clean_descriptors"), syntax=syntax)
    raw = encoded(result, syntax).lower()
    for told in (b"jane", b"doe", b"roe^", b"0012345", b"house", b"princeton", b"20240229"):
        assert told not in raw, told
    assert b"1.2.840.113619" not in raw
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "REMOVED"
    codes = [item.CodeValue for item in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105"]
    assert result.StudyDescription == "CT skull of"
    assert result.SliceThickness == "1.25"
    assert result.PixelData == image().PixelData
    assert [element for element in result.iterall() if element.tag.is_private] == []


def test_f60_what_options_keep() -> None:
    assert morphed(patient(), options("retain_patient_characteristics")).PatientAge == "054Y"
    assert morphed(patient(), options("retain_institution_identity")).InstitutionName == "Princeton"
    assert morphed(patient(), options("retain_device_identity")).StationName == "CT-7"
    kept = morphed(patient(StudyDescription=""), options("retain_longitudinal_full_dates"))
    assert (kept.StudyDate, kept.LongitudinalTemporalInformationModified) == (
        *("20240229", "UNMODIFIED"),
    )
    moved = morphed(patient(StudyDescription=""), options("retain_longitudinal_modified_dates"))
    assert moved.StudyDate == moved.SeriesDate < "20240229"
    assert (moved.StudyTime, moved.PatientBirthDate) == ("115959", "")
    uids = morphed(patient(), options("retain_uids"))
    assert uids.StudyInstanceUID == "1.2.840.113619.7.1"


def test_f60_names_in_items_of_sequences_private_blocks_and_unknown_elements_go() -> None:
    data_set = patient()
    item = Dataset()
    item.PersonName = "Doe^Jane"
    item.private_block(0x0011, "DEEP", create=True).add_new(0x01, "PN", "Doe^Jane")
    outer = Dataset()
    outer.PersonIdentificationCodeSequence = [item]
    outer.InstitutionName = "Princeton"
    data_set.add_new(0x00081199, "SQ", [outer])  # Referenced SOP Sequence stays
    data_set.add_new(0x00189999, "LO", "Jane Doe was here")  # no standard attribute
    data_set.add_new(0x60003000, "OW", b"\1\2")
    data_set.add_new(0x60000022, "LO", "Doe, Jane")
    raw = encoded(morphed(data_set, BASIC), EXPLICIT_VR_LITTLE_ENDIAN).lower()
    assert b"jane" not in raw
    assert b"doe" not in raw


def test_f60_private_elements_known_to_be_safe_stay_where_asked() -> None:
    data_set = patient()
    block = data_set.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x23, "DS", "12.5")
    block.add_new(0x25, "LO", "Jane")
    result = morphed(data_set, options("retain_safe_private"))
    private = [element.value for element in result.iterall() if element.tag.is_private]
    assert private == ["GEMS_ACQU_01", 12.5]


LEFT = [
    ("SeriesDescription", "seen by jane", "name"),
    ("ImageComments", "DOE", "none: three letters are no name by themselves"),
    ("ImageComments", "file HA-0012345", "ID"),
    ("ImageComments", "on 29.02.2024", "date"),
    ("ImageComments", "on 2024-02-29", "date"),
    ("ImageComments", "see 1.2.840.113619.7.1", "UID"),
    ("PatientComments", "Doe, Jane", "name"),
]


@pytest.mark.parametrize(("keyword", "text", "kind"), LEFT)
def test_p4_what_a_later_step_puts_back_is_found_and_nothing_leaves(
    keyword: str, text: str, kind: str
) -> None:
    step = ("set", {keyword: text})
    if kind.startswith("none"):
        assert morphed(patient(), BASIC, step)[keyword].value == text
        return
    with pytest.raises(MorphFailed, match=f"original {kind}") as failed:
        morphed(patient(), BASIC, step)
    for told in ("jane", "Doe", "0012345", "2024", "113619"):
        assert told not in str(failed.value)


def test_p4_a_name_beyond_ascii_is_found_in_any_encoding() -> None:
    before = patient(SpecificCharacterSet="ISO_IR 100", PatientName="MÜLLER^JÖRG")
    assert str(morphed(before, BASIC).PatientName) == ""
    with pytest.raises(MorphFailed, match="original name"):
        morphed(before, BASIC, ("charset", "ISO_IR 192"), ("set", {"ImageComments": "von Müller"}))


def test_p4_the_check_finds_what_a_broken_table_would_leave(monkeypatch: Any) -> None:
    rows = {**table().rows}
    del rows[0x00100010]
    broken = type(table())(table().edition, rows, table().repeating)
    monkeypatch.setattr("router.morph.deidentify.table", lambda: broken)
    with pytest.raises(MorphFailed, match=r"original name is still in \(0010,0010\)"):
        morphed(patient(PatientName="ARCHIBALD^JANE"), BASIC)


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"BurnedInAnnotation": "YES"}, False),
        ({"Modality": "US"}, False),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, False),
    ],
)
def test_f60_objects_that_may_show_a_name_are_refused(changes: Any, passes: bool) -> None:
    before = patient(**{"Modality": "CT", **changes})
    if passes:
        morphed(before, BASIC)
    else:
        with pytest.raises(MorphFailed, match="pixels"):
            morphed(before, BASIC)
    assert morphed(before, ("deidentify", {"profile": "basic", "burned_in": "allow"})).SOPClassUID


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "`profile` is missing"),
        ({"profile": "full"}, "no such profile"),
        ({"profile": "basic", "options": ["retain_uid"]}, "is no option"),
        ({"profile": "basic", "options": ["clean_pixel_data"]}, "eyes on the pixels"),
        (
            {
                "profile": "basic",
                "options": ["retain_longitudinal_full_dates", "retain_longitudinal_modified_dates"],
            },
            "either kept or modified",
        ),
        ({"profile": "basic", "burned_in": "maybe"}, "refuse or allow"),
    ],
)
def test_what_cannot_be_meant_is_told_when_it_is_loaded(parameters: Any, words: str) -> None:
    with pytest.raises(PlugError, match=words):
        MORPHS["deidentify"].compile(parameters)


def test_f60_studies_of_a_patient_stay_together_and_equal_bytes_come_out() -> None:
    assert morphed(patient(), BASIC) == morphed(patient(), BASIC)
    other = morphed(patient(SOPInstanceUID="1.2.840.113619.7.8"), BASIC)
    one = morphed(patient(), BASIC)
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID


NAMES = some.text(string.ascii_uppercase, min_size=5, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    NAMES,
    NAMES,
    some.from_regex(r"[A-Z]{2}[0-9]{6}", fullmatch=True),
    some.lists(
        some.sampled_from(["item", "private", "unknown", "comment", "deep private", "binary"])
    ),
)
def test_p4_planted_identifiers_never_leave(
    family: str, given_name: str, number: str, places: list[str]
) -> None:
    data_set = patient(PatientName=f"{family}^{given_name}", PatientID=number)
    item = Dataset()
    item.CodeMeaning = "code"
    text = f"{given_name} {family} {number}"
    for place in places:
        if place == "item":
            item.PersonName = f"{family}^{given_name}"
        elif place == "private":
            data_set.private_block(0x0013, "X", create=True).add_new(0x10, "LO", text)
        elif place == "unknown":
            data_set.add_new(0x00189998, "LO", text)
        elif place == "comment":
            data_set.ImageComments = text
        elif place == "deep private":
            item.private_block(0x0013, "X", create=True).add_new(0x10, "UN", text.encode() + b" ")
        elif place == "binary":
            data_set.add_new(0x00420011, "OB", text.encode() + b" ")
    data_set.AnatomicRegionSequence = [item]
    try:
        result = morphed(data_set, BASIC)
    except MorphFailed:
        return
    raw = encoded(result, EXPLICIT_VR_LITTLE_ENDIAN)
    of_nobody = encoded(morphed(patient(), BASIC), EXPLICIT_VR_LITTLE_ENDIAN)
    for told in (family, given_name, number):
        # A name may happen to be a word of what every such object says, as in REMOVED.
        assert told.encode() not in raw or told.encode() in of_nobody
