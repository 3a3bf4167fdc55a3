"""What `original_patient_id` gives back: the bytes that came, whatever was done in between."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from tests.unit.morph.test_steps import image, morphed

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


def test_p4_an_object_that_says_its_identity_was_removed_keeps_what_it_has():
    after = morphed(image(), ("deidentify", {"profile": "basic", "burned_in": "allow"}), RESTORE)
    assert after.PatientID != "0012"
