"""Names of UIDs: any registered name or keyword, in any case; nothing for what is not registered."""

from __future__ import annotations

import pytest

from router.dicom.uid_names import uid_for, uid_name, uid_suggestions


@pytest.mark.parametrize(
    ("name", "kind", "uid"),
    [
        ("CT Image Storage", "SOP Class", "1.2.840.10008.5.1.4.1.1.2"),
        ("ctimagestorage", "", "1.2.840.10008.5.1.4.1.1.2"),
        (" CTImageStorage ", "SOP Class", "1.2.840.10008.5.1.4.1.1.2"),
        ("CTImageStorage", "Transfer Syntax", ""),
        ("Explicit VR Little Endian", "Transfer Syntax", "1.2.840.10008.1.2.1"),
        ("no such name", "", ""),
        ("", "", ""),
    ],
)
def test_a_name_leads_to_its_uid(name: str, kind: str, uid: str) -> None:
    assert uid_for(name, kind) == uid


def test_a_uid_leads_to_its_name() -> None:
    assert uid_name("1.2.840.10008.1.2.1") == "Explicit VR Little Endian"
    assert uid_name("1.2.3.4") == ""


def test_a_misspelt_name_is_recognised() -> None:
    assert uid_suggestions("CT Imag Storage", "SOP Class")[0] == "CTImageStorage"
    assert uid_suggestions("zzzzzz", "SOP Class") == []
