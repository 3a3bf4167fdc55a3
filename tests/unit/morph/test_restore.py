"""What `original_patient_id` gives back: the bytes that came, whatever was done in between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.model.instance import RETRIEVED, Source
from router.model.recipe import Recipe
from tests.unit.morph.test_steps import CONTEXT, image, morphed

RESTORE = (
    "restore",
    ["PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence"],
)  # fmt: skip
SYNTAXES = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN]


def with_others(**changes):
    data_set = image(IssuerOfPatientID="HOSPA", **changes)
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID = "OLD-1", changes.get("PatientID", "Ä-REGISTER")
    data_set.OtherPatientIDsSequence = [item]
    return data_set


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_f34_what_was_changed_blanked_removed_or_added_is_as_it_came(syntax):
    before = with_others(SpecificCharacterSet="ISO_IR 100")
    after = morphed(
        before,
        ("prefix", {"PatientID": "NEW-"}),
        ("remove", ["IssuerOfPatientID", "OtherPatientIDsSequence"]),
        ("set", {"IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID": "1.2.3"}),
        RESTORE,
        syntax=syntax,
    )
    assert after == morphed(before, syntax=syntax)


def test_what_nobody_touched_is_untouched():
    before = with_others(SpecificCharacterSet="ISO_IR 100")
    assert morphed(before, RESTORE) == before


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_f34_text_comes_back_when_the_object_went_to_utf_8_meanwhile(syntax):
    before = with_others(SpecificCharacterSet="ISO_IR 100", PatientID="Ä-17")
    after = morphed(
        before,
        ("set", {"PatientID": "17", "OtherPatientIDsSequence[0].PatientID": "gone"}),
        ("set", {"InstitutionName": "東京"}),
        RESTORE,
        syntax=syntax,
    )
    assert after.SpecificCharacterSet == "ISO_IR 192"
    assert after.InstitutionName == "東京"
    assert after.PatientID == "Ä-17"
    (item,) = after.OtherPatientIDsSequence
    assert (item.PatientID, item.IssuerOfPatientID) == ("OLD-1", "Ä-17")


def test_what_does_not_fit_the_character_set_of_now_brings_the_object_to_utf_8():
    before = with_others(SpecificCharacterSet="ISO_IR 192", PatientID="山田-17")
    after = morphed(
        before,
        ("set", {"PatientID": "17"}),
        ("remove", "OtherPatientIDsSequence"),
        ("charset", "ISO_IR 100"),
        RESTORE,
    )
    assert (after.PatientID, after.SpecificCharacterSet) == ("山田-17", "ISO_IR 192")


def test_an_object_that_came_without_its_identity_gets_back_what_it_came_with():
    before = image(PatientIdentityRemoved="YES")
    assert morphed(before, ("prefix", {"PatientID": "X-"}), RESTORE).PatientID == "0012"


def test_p4_a_recipe_that_de_identifies_gives_nothing_back():
    last = Recipe.of([RESTORE])
    removing = Recipe.of([("deidentify", {"profile": "basic"}), ("remove", "PatientID")])
    plain = Recipe.of([("blank", "StudyID")])
    for chain in (removing.then(plain).then(last), plain.then(last), removing.then(last)):
        names = [name for name, _ in chain.unpacked()]
        assert ("restore" in names) is ("deidentify" not in names)
    assert "restore" not in str(removing.then(plain.then(last)).unpacked())


def modified(time, **values):
    """An item of Original Attributes Sequence (PS3.3 C.12.1.1.9)."""
    item, before = Dataset(), Dataset()
    for keyword, value in values.items():
        setattr(before, keyword, value)
    item.ModifiedAttributesSequence = [before]
    item.AttributeModificationDateTime = time
    item.ReasonForTheAttributeModification = "COERCE"
    return item


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_f34_what_was_retrieved_gets_the_earliest_id_it_tells_of_itself(syntax):
    before = image(PatientID="ARCHIVE-3", IssuerOfPatientID="ARCHIVE")
    before.OriginalAttributesSequence = [
        modified("20240301", PatientID="ARCHIVE-2"),
        modified("20230301", PatientID="SCANNER-1", IssuerOfPatientID="SCANNER"),
        modified("20220301", StudyDescription="HEAD"),
        modified("", PatientID="NOBODY-KNOWS-WHEN"),
    ]
    retrieved = replace(CONTEXT, source=Source(RETRIEVED, "ARCHIVE", "EDGE_A", "", "archive"))
    steps = (("set", {"PatientID": "OURS"}), RESTORE)
    after = morphed(before, *steps, syntax=syntax, context=retrieved)
    assert (after.PatientID, after.IssuerOfPatientID) == ("SCANNER-1", "SCANNER")
    assert morphed(before, *steps, syntax=syntax) == morphed(before, syntax=syntax)
    del before.OriginalAttributesSequence[:2]
    del before.OriginalAttributesSequence[1]
    after = morphed(before, *steps, syntax=syntax, context=retrieved)
    assert (after.PatientID, after.IssuerOfPatientID) == ("ARCHIVE-3", "ARCHIVE")
