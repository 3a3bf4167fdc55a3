"""Identifiers under a VR that is not theirs, as some senders write them, and dates that must stay."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from router.errors import MorphFailed
from router.morph.keyed import mapped_value
from tests.unit.morph.test_deidentify import BASIC, options, patient
from tests.unit.morph.test_steps import image, morphed

UID = "1.2.840.113619.7.9"
REMAP = ("remap_uids", True)


def mislabelled(tag: int, vr: str, value: Any, **changes: Any) -> Dataset:
    data_set = patient(**changes)
    data_set.add(DataElement(Tag(tag), vr, value))
    return data_set


@pytest.mark.parametrize("step", [BASIC, REMAP, options("retain_longitudinal_full_dates")])
@pytest.mark.parametrize("vr", ["LO", "LT", "OB", "UN"])
@pytest.mark.parametrize("tag", [0x00080018, 0x0020000D, 0x00081155, 0x00200052])
def test_f60_a_uid_written_as_text_is_mapped_as_one(step: Any, vr: str, tag: int) -> None:
    written = UID.encode() if vr in {"OB", "UN"} else UID
    after = morphed(mislabelled(tag, vr, written), step)
    rightly = morphed(mislabelled(tag, "UI", UID), step)
    assert after[tag].VR == "UI"
    assert after[tag].value == rightly[tag].value
    assert after[tag].value.startswith("2.25.")


def test_f60_dates_written_as_text_are_moved_with_the_others() -> None:
    before = mislabelled(0x00080022, "LO", "20240229")
    for step in (("shift_dates", {"days": -1}), options("retain_longitudinal_modified_dates")):
        after = morphed(before, step)
        assert (after[0x00080022].VR, after.AcquisitionDate) == ("DA", after.StudyDate)
        assert after.StudyDate != "20240229"


def test_p4_the_check_knows_a_uid_by_its_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(context: Any, raw: bytes) -> bytes | None:
        return None if UID.encode() in raw else mapped_value(context, raw)

    monkeypatch.setattr("router.morph.deidentify.mapped_value", forgetful)
    with pytest.raises(MorphFailed, match="original UID"):
        morphed(mislabelled(0x00200052, "LO", UID), BASIC)


@pytest.mark.parametrize("step", [BASIC, REMAP])
def test_f60_the_uid_of_a_specimen_is_no_class(step: Any) -> None:
    item = Dataset()
    item.SpecimenUID = UID
    before = image(SpecimenDescriptionSequence=[item], TemplateExtensionOrganizationUID=UID)
    after = morphed(before, step)
    assert after.TemplateExtensionOrganizationUID.startswith("2.25.")
    (specimen,) = after.SpecimenDescriptionSequence
    assert specimen.SpecimenUID == after.TemplateExtensionOrganizationUID


BIRTHS = [
    pytest.param("", id="nobody knows"),
    pytest.param("20240229", id="on the day of the study"),
    pytest.param("19000101", id="a dummy"),
]


@pytest.mark.parametrize("birth", BIRTHS)
def test_f60_dates_that_were_to_stay_do_whenever_the_patient_was_born(birth: str) -> None:
    after = morphed(patient(PatientBirthDate=birth), options("retain_longitudinal_full_dates"))
    assert (after.StudyDate, after.PatientBirthDate) == ("20240229", "")


def test_p4_a_birth_date_put_elsewhere_is_found_beside_dates_that_stay() -> None:
    before = patient(PatientBirthDate="19700503", PatientComments="", PerformedLocation="")
    step = options("retain_longitudinal_full_dates")
    with pytest.raises(MorphFailed, match="original date"):
        morphed(before, step, ("set", {"ImageComments": "born 1970-05-03"}))


def test_p4_a_reference_of_zeros_is_nobodys_uid() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = item.ReferencedSOPInstanceUID = "0"
    before = patient(ContentSequence=[], ReferencedImageSequence=[item], StudyID="0")
    assert morphed(before, BASIC).PatientIdentityRemoved == "YES"
