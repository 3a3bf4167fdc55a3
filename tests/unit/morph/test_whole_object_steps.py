"""Steps that act on a whole object: UIDs, dates, private elements, what is kept, what was there."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydicom.dataset import Dataset
from pydicom.uid import UID

from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.errors import MorphFailed
from router.morph import keyed
from router.morph.dates import moved
from tests.unit.morph.test_steps import CONTEXT, image, morphed

SYNTAXES = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN]


def referring(**changes: Any) -> Dataset:
    """An image of a study that refers to another image, two levels down."""
    data_set = image(
        StudyInstanceUID="1.2.840.113619.7.1",
        SeriesInstanceUID="1.2.840.113619.7.2",
        FrameOfReferenceUID="1.2.840.113619.7.3",
        AcquisitionDateTime="20240229235959.123456+0900",
        **{"StudyDate": "20240229", **changes},
    )
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.113619.4.26"
    reference.ReferencedSOPInstanceUID = "1.2.3.4"
    series = Dataset()
    series.SeriesInstanceUID = "1.2.840.113619.7.2"
    series.ReferencedSOPSequence = [reference]
    series.PerformedProcedureStepStartDate = "20240301"
    data_set.ReferencedSeriesSequence = [series]
    return data_set


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_uids_and_references_to_them_follow_one_mapping(syntax: str) -> None:
    result = morphed(referring(), ("remap_uids", True), syntax=syntax)
    series = result.ReferencedSeriesSequence[0]
    assert result.SOPInstanceUID == series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert result.SeriesInstanceUID == series.SeriesInstanceUID
    for uid in (result.SOPInstanceUID, result.StudyInstanceUID, result.FrameOfReferenceUID):
        assert UID(uid).is_valid
        assert uid.startswith("2.25.")
    assert len({result.SOPInstanceUID, result.StudyInstanceUID, result.SeriesInstanceUID}) == 3
    assert result.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    reference = series.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPClassUID == "1.2.840.113619.4.26", "a class is no instance"


def test_a_mapping_belongs_to_its_key_and_to_nothing_else() -> None:
    other = dataclasses.replace(CONTEXT, mapping_key=b"another key", received_at=5.0)
    same = dataclasses.replace(CONTEXT, received_at=7.0, router_name="node-2")
    assert keyed.mapped_uid(CONTEXT, "1.2.3") == keyed.mapped_uid(same, "1.2.3")
    assert keyed.mapped_uid(CONTEXT, "1.2.3") != keyed.mapped_uid(other, "1.2.3")
    # Pinned: a later version that maps differently would tear studies apart.
    assert keyed.mapped_uid(CONTEXT, "1.2.3") == PINNED_UID
    assert keyed.mapped_token(CONTEXT, "0012", 12) == PINNED_TOKEN
    assert keyed.mapped_days(CONTEXT, "0012\0", 365) == PINNED_DAYS


PINNED_UID = "2.25.141950493669692982321048145273825498315"
PINNED_TOKEN = "E70275A621E6"
PINNED_DAYS = -83


def test_attributes_that_are_excepted_keep_their_uid() -> None:
    result = morphed(referring(), ("remap_uids", {"except": ["FrameOfReferenceUID"]}))
    assert result.FrameOfReferenceUID == "1.2.840.113619.7.3"
    assert result.StudyInstanceUID != "1.2.840.113619.7.1"


@pytest.mark.parametrize("step", [("remap_uids", True), ("hash", ["PatientID"])])
def test_p4_without_a_key_nothing_is_mapped_and_nothing_passes(step: tuple[str, Any]) -> None:
    without = dataclasses.replace(CONTEXT, mapping_key=b"")
    with pytest.raises(MorphFailed, match="no mapping key"):
        morphed(referring(), step, context=without)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_all_dates_move_by_the_same_days_and_times_stay(syntax: str) -> None:
    result = morphed(referring(), ("shift_dates", {"days": "-60"}), syntax=syntax)
    assert result.StudyDate == "20231231"
    assert result.AcquisitionDateTime == "20231231235959.123456+0900"
    assert result.PatientBirthDate == "19691102"
    assert result.ReferencedSeriesSequence[0].PerformedProcedureStepStartDate == "20240101"


def test_a_patient_has_days_of_his_own_and_intervals_stay() -> None:
    step = ("shift_dates", {"up_to_days": 365})
    first = morphed(referring(StudyDate="20240101"), step)
    later = morphed(referring(StudyDate="20240131"), step)
    other = morphed(referring(StudyDate="20240101", PatientID="0013"), step)

    def day(data_set: Dataset) -> date:
        text = str(data_set.StudyDate)
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))

    assert day(later) - day(first) == timedelta(days=30)
    assert timedelta(days=1) <= date(2024, 1, 1) - day(first) <= timedelta(days=365)
    assert day(other) != day(first)


def test_p4_a_value_that_is_no_date_fails_and_its_text_is_not_told() -> None:
    with pytest.raises(MorphFailed, match=r"\(0008,0020\)") as failed:
        morphed(referring(StudyDate="JANE-DOE"), ("shift_dates", {"days": 1}))
    assert "JANE" not in str(failed.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("20240229", "20240301"),
        ("2024.02.29", "2024.03.01"),
        ("202402", "202402"),
        ("2023", "2023"),
        ("202402291230", "202403011230"),
        ("2024022912-0500", "2024030112-0500"),
        ("", ""),
        ("20240230", None),
        ("2024-02-29", None),
        ("99991231", None),
        ("20240229x", None),
        ("not a date", None),
    ],
)
def test_forms_of_dates(before: str, after: str | None) -> None:
    assert moved(before, 1) == after


@given(some.dates(date(1900, 1, 1), date(2100, 1, 1)), some.integers(-20_000, 20_000))
def test_a_date_moved_there_and_back_is_itself(day: date, days: int) -> None:
    text = day.strftime("%Y%m%d")
    there = moved(text, days)
    assert there == (day + timedelta(days=days)).strftime("%Y%m%d")
    assert moved(there or "", -days) == text


def with_private() -> Dataset:
    data_set = referring()
    item = data_set.ReferencedSeriesSequence[0]
    item.private_block(0x0011, "DEEP", create=True).add_new(0x05, "LO", "hidden")
    data_set.private_block(0x0009, "SECOND", create=True).add_new(0x02, "LO", "kept")
    return data_set


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_elements_go_at_every_depth_with_their_creators(syntax: str) -> None:
    result = morphed(with_private(), ("remove_private", True), syntax=syntax)
    assert [element.tag for element in result.iterall() if element.tag.is_private] == []
    assert result.PixelData == image().PixelData


def test_blocks_of_creators_that_are_kept_stay_whole() -> None:
    result = morphed(with_private(), ("remove_private", {"keep": ["SECOND"]}))
    private = [element for element in result.iterall() if element.tag.is_private]
    assert [element.value for element in private] == ["SECOND", "kept"]


def test_keep_leaves_what_is_named_and_what_an_object_needs() -> None:
    result = morphed(with_private(), ("keep", ["PatientID", "StudyDate"]))
    assert {element.keyword for element in result} == {
        *("ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "Modality", "PatientID"),
        *("StudyInstanceUID", "SeriesInstanceUID", "Rows", "PixelData"),
    }


def test_text_changes_its_character_set_and_nothing_is_lost() -> None:
    before = referring(SpecificCharacterSet="ISO_IR 100", PatientName="MÜLLER^JÖRG")
    result = morphed(before, ("charset", "ISO_IR 192"))
    assert (result.SpecificCharacterSet, str(result.PatientName)) == ("ISO_IR 192", "MÜLLER^JÖRG")
    again = morphed(result, ("charset", "ISO_IR 100"))
    assert (again.SpecificCharacterSet, str(again.PatientName)) == ("ISO_IR 100", "MÜLLER^JÖRG")
    with pytest.raises(MorphFailed):
        morphed(before, ("charset", "ISO_IR 144"))


def test_moves_leave_nothing_behind_and_may_cross() -> None:
    result = morphed(image(), ("move", {"OtherPatientIDs": "PatientID"}))
    assert result.OtherPatientIDs == "0012"
    assert "PatientID" not in result
    swap = ("move", {"StudyID": "AccessionNumber", "AccessionNumber": "StudyID"})
    swapped = morphed(image(StudyID="S9"), swap)
    assert (swapped.StudyID, swapped.AccessionNumber) == ("A1", "S9")
    assert morphed(image(), ("move", {"StudyID": "BodyPartExamined"})) == morphed(image())


def test_pieces_go_to_attributes_in_order() -> None:
    step = ("split", {"tag": "StudyDescription", "by": "|", "into": ["StudyID", "PatientComments"]})
    result = morphed(image(StudyDescription="7 | chest | lateral"), step)
    assert (result.StudyID, result.PatientComments) == ("7", "chest | lateral")
    assert result.StudyDescription == "7 | chest | lateral"
    lone = morphed(image(StudyDescription="7", PatientComments="old"), step)
    assert (lone.StudyID, lone.PatientComments or "") == ("7", "")


def test_attributes_are_joined_without_the_empty_ones() -> None:
    step = (
        "join",
        {"tag": "StudyDescription", "with": " ", "from": ["Modality", "StudyID", "PatientID"]},
    )
    assert morphed(image(), step).StudyDescription == "DX 0012"


@pytest.mark.parametrize(
    ("form", "expected"),
    [("upper", "MÜLLER^JÖRG"), ("lower", "müller^jörg"), ("title", "Müller^Jörg")],
)
def test_letters_beyond_ascii_have_a_case(form: str, expected: str) -> None:
    before = image(SpecificCharacterSet="ISO_IR 100", PatientName="mÜLLER^jörg")
    result = morphed(before, ("case", {"PatientName": form}))
    assert (str(result.PatientName), result.SpecificCharacterSet) == (expected, "ISO_IR 100")


def test_blanks_are_trimmed_outside_and_inside() -> None:
    result = morphed(
        image(StudyDescription="  CT   of the  skull "), ("trim", ["StudyDescription"])
    )
    assert result.StudyDescription == "CT of the skull"


def test_tokens_are_equal_for_equal_values_only() -> None:
    step = ("hash", {"PatientID": 12})
    one, again, other = (
        morphed(image(PatientID=value), step).PatientID for value in "1 1 2".split()
    )
    assert one == again != other
    assert len(one) == 12
    assert one.isalnum()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_f34_old_values_are_told_in_the_object(syntax: str) -> None:
    before = referring(SpecificCharacterSet="ISO_IR 100", PatientName="MÜLLER")
    result = morphed(
        before,
        ("set", {"PatientID": "NEW", "StudyDescription": "RX CHEST", "PatientName": "山田"}),
        ("remove", ["PatientBirthDate"]),
        ("original_attributes", {"reason": "CORRECT", "source": "CT-1"}),
        syntax=syntax,
    )
    (item,) = result.OriginalAttributesSequence
    (old,) = item.ModifiedAttributesSequence
    assert (old.PatientID, old.PatientBirthDate) == ("0012", "19700101")
    assert (old.SpecificCharacterSet, str(old.PatientName)) == ("ISO_IR 100", "MÜLLER")
    assert "StudyDescription" not in old, "its value is what it was"
    assert "ReferencedSeriesSequence" not in old
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert item.SourceOfPreviousValues == "CT-1"
    assert item.ModifyingSystem == "edge"
    assert item.AttributeModificationDateTime == "19700101000000.000000+0000"


def test_f34_items_are_added_and_none_when_nothing_changed() -> None:
    tell = ("original_attributes", True)
    once = morphed(image(), ("set", {"PatientID": "A"}), tell)
    twice = morphed(once, ("set", {"PatientID": "B"}), tell)
    old = [
        item.ModifiedAttributesSequence[0].PatientID for item in twice.OriginalAttributesSequence
    ]
    assert old == ["0012", "A"]
    assert morphed(image(), ("set", {"PatientID": "0012"}), tell) == morphed(image())


STEPS: list[tuple[str, Any]] = [
    ("remap_uids", True),
    ("shift_dates", {"up_to_days": 30}),
    ("hash", ["PatientID"]),
    ("remove_private", True),
    ("keep", ["PatientID"]),
    ("charset", "ISO_IR 192"),
    ("original_attributes", True),
]


@pytest.mark.parametrize("step", STEPS, ids=[name for name, _ in STEPS])
def test_equal_objects_and_recipes_give_equal_objects(step: tuple[str, Any]) -> None:
    recipe = [("set", {"InstitutionName": "Ä"}), step]
    assert morphed(with_private(), *recipe) == morphed(with_private(), *recipe)
