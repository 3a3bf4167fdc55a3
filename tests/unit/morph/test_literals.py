"""A literal its VR does not allow is refused when the configuration is loaded, in every step alike.

Lengths and forms by PS3.5 table 6.2-1; whatever passes here is written and read again.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicom.tags import parse_path, vr_for
from router.errors import MorphFailed
from router.model.plug import PlugError
from tests.support.configuration import loaded
from tests.unit.morph.test_apply import MORPHS
from tests.unit.morph.test_steps import image, morphed

KEYWORDS = {
    "AE": "RetrieveAETitle",
    "AS": "PatientAge",
    "CS": "Modality",
    "DA": "StudyDate",
    "DS": "SliceThickness",
    "DT": "AcquisitionDateTime",
    "IS": "SeriesNumber",
    "LO": "PatientID",
    "LT": "PatientComments",
    "PN": "PatientName",
    "SH": "AccessionNumber",
    "ST": "InstitutionAddress",
    "TM": "StudyTime",
    "UC": "StrainDescription",
    "UI": "FrameOfReferenceUID",
    "UR": "RetrieveURL",
    "UT": "TextValue",
    "US": "Rows",
    "SS": "TagAngleSecondAxis",
    "UL": "RegionFlags",
    "SL": "ReferencePixelX0",
    "FL": "ExaminedBodyThickness",
    "FD": "TableSpeed",
    "AT": "FrameIncrementPointer",
}
RIGHT = {
    "AE": ["PACS", "A" * 16, "A B", "A\\B"],
    "AS": ["018Y", "000D", "999W"],
    "CS": ["CT", "A_B 1", "A" * 16, "CT\\MR"],
    "DA": ["20240229", "20241231"],
    "DS": ["1", "-1.5", "+.5", "1e-10", "1\\2\\3", "1234567890.12345"],
    "DT": ["2024", "202402", "20240229143015.123456+0100", "20240229-0500"],
    "IS": ["7", "-2147483648", "+2147483647", "1\\2"],
    "LO": ["x" * 64, "a\\b", "é", "放" * 64],
    "LT": ["x" * 10240, "a\\b", "a\r\nb"],
    "PN": ["DOE^JANE", "A=B=C", "x" * 64 + "=" + "y" * 64, "A^B^C^D^E"],
    "SH": ["x" * 16, "放" * 16],
    "ST": ["x" * 1024, "a\nb"],
    "TM": ["23", "2359", "235959", "235960.123456"],
    "UC": ["x" * 9999],
    "UI": ["1.2.3", "0", "1." + "2" * 62],
    "UR": ["https://a.example/x?y=z"],
    "UT": ["a\\b\n", "x" * 20000],
    "US": ["0", "65535", "1\\2"],
    "SS": ["-32768", "32767"],
    "UL": ["4294967295"],
    "SL": ["-2147483648", "2147483647"],
    "FL": ["0.1", "-1e30", "7"],
    "FD": ["1e300", "-0.5"],
    "AT": ["00181063"],
}
WRONG = {
    "AE": ["A" * 17, "é", "A\tB"],
    "AS": ["18Y", "0180Y", "018y", "018", "Y"],
    "CS": ["ct", "A-B", "A" * 17, "É", "CT\\mr"],
    "DA": ["2024-02-29", "20241301", "20240132", "2024", "20240229 "],
    "DS": ["1,5", "x", "1e", "123456789012345.67", "0x1", "nan"],
    "DT": ["24", "20241301", "20240229250000", "20240229+1", "2024-02-29"],
    "IS": ["1.5", "x", "2147483648", "-2147483649", "1e3", "1\\x"],
    "LO": ["x" * 65, "放" * 65, "a\nb"],
    "LT": ["x" * 10241, "a\0b"],
    "PN": ["A=B=C=D", "x" * 65, "a\nb"],
    "SH": ["x" * 17, "放" * 17],
    "ST": ["x" * 1025],
    "TM": ["24", "2360", "14:30", "1430151", "2", "235961"],
    "UC": ["a\nb"],
    "UI": ["1.02", "a", "1..2", "1.", "1." + "2" * 63, ".1"],
    "UR": ["a b", "é"],
    "UT": ["a\0b"],
    "US": ["-1", "65536", "1.5", "x"],
    "SS": ["-32769", "32768"],
    "UL": ["4294967296", "-1"],
    "SL": ["2147483648"],
    "FL": ["x", "1e99", "one"],
    "FD": ["x", "1e999x"],
    "AT": ["x", "123456789"],
}


def test_each_vr_has_its_example_and_is_what_the_dictionary_says() -> None:
    assert {vr: vr_for(parse_path(keyword).steps[0].tag) for vr, keyword in KEYWORDS.items()} == {
        vr: vr for vr in KEYWORDS
    }
    assert set(RIGHT) == set(WRONG) == set(KEYWORDS)


@pytest.mark.parametrize(
    ("vr", "literal"),
    [(vr, text) for vr, texts in RIGHT.items() for text in texts],
    ids=lambda x: x[:30],
)
def test_a_literal_its_vr_allows_is_written(vr: str, literal: str) -> None:
    keyword = KEYWORDS[vr]
    result = morphed(image(), ("set", {keyword: literal}))
    assert keyword in result
    assert str(result[keyword].value or "") or vr in {"US", "AT"}


@pytest.mark.parametrize(
    ("vr", "literal"),
    [(vr, text) for vr, texts in WRONG.items() for text in texts],
    ids=lambda x: x[:30],
)
def test_a_literal_its_vr_does_not_allow_is_refused_by_every_step(vr: str, literal: str) -> None:
    keyword = KEYWORDS[vr]
    for name, parameters, path in (
        ("set", {keyword: literal}, (keyword,)),
        ("default", {keyword: [literal]}, (keyword, 0)),
        ("map", {"tag": keyword, "table": {"A": literal}}, ("table", "A")),
        ("map", {"tag": keyword, "table": {"A": ""}, "otherwise": literal}, ("otherwise",)),
    ):
        with pytest.raises(PlugError) as caught:
            MORPHS[name].compile(parameters)
        assert (caught.value.code, caught.value.path) == ("DR212", path)


SHORT = [vr for vr, texts in WRONG.items() if len(texts[0]) < 900 and texts[0].isprintable()]


@pytest.mark.parametrize("vr", SHORT)
def test_what_a_template_makes_is_held_to_the_same_measure(vr: str) -> None:
    keyword, wrong = KEYWORDS[vr], WRONG[vr][0]
    with pytest.raises(MorphFailed, match=keyword):
        morphed(image(), ("set", {keyword: f"{{{{ '' }}}}{wrong}"}))


def test_a_wrong_literal_is_shown_in_the_file_and_nothing_is_compiled(tmp_path: Any) -> None:
    text = "morphs:\n  m:\n    - set: {Modality: ct}\n    - default: {StudyDate: 2024-02-29}\n"
    result = loaded(tmp_path, text)
    assert result.plan is None
    assert [(p.code, p.place.line, p.place.column) for p in result.errors] == [
        ("DR212", 3, 23),
        ("DR212", 4, 28),
    ]


@pytest.mark.parametrize("value", [None, {}, {"a": "b"}, [["a"]], [None], [{}]])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(PlugError) as caught:
        MORPHS["set"].compile({"PatientID": value})
    assert caught.value.code == "DR102"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KEYWORDS)), st.text(alphabet="0123456789.+-^=ABab é放", max_size=24))
def test_what_loads_can_be_written_and_what_does_not_load_cannot(vr: str, literal: str) -> None:
    """The measure of loading is that of sending: no literal fails only when the object is there."""
    keyword = KEYWORDS[vr]
    try:
        MORPHS["set"].compile({keyword: literal})
    except PlugError:
        return
    assert keyword in morphed(image(), ("set", {keyword: literal}))


@pytest.mark.parametrize(
    ("attribute", "written", "hint"),
    [
        ("StudyDate", "2024-01-31", "write 20240131"),
        ("StudyDate", "31.1.2024", "write 20240131"),
        ("StudyTime", "14:30", "write 1430"),
        ("StudyTime", "25:00", "write 143000"),
        ("Modality", "ct", "write CT"),
        ("Modality", "c-t", ""),
        ("PatientAge", "18", "write 018Y, 006M, 003W or 010D"),
        ("AcquisitionDateTime", "today", "write 20240131143000 or 20240131"),
        ("AccessionNumber", "x" * 17, ""),
    ],
)
def test_a_refused_literal_comes_with_what_to_write(
    attribute: str, written: str, hint: str
) -> None:
    with pytest.raises(PlugError) as refused:
        MORPHS["set"].compile({attribute: written})
    assert (refused.value.hint, refused.value.code) == (hint, "DR212")


def test_a_step_of_another_shape_is_told_its_own(tmp_path: Any) -> None:
    rule = "rules: [{name: r, discard: true, morph: [{remove_private: yes}]}]"
    (problem,) = loaded(tmp_path, rule).errors
    assert problem.hint == "write true, or {keep: [GEMS_PARM_01]}"
