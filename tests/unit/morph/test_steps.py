"""Steps over real encoded data sets: written with pydicom, edited, read again with pydicom."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from router.dicom.dataset import EditableDataSet
from router.dicom.splice import Span
from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.errors import MorphFailed
from router.model.instance import Source
from router.model.plug import PlugError
from router.model.recipe import Recipe
from router.morph.apply import MorphContext, compile_recipe
from router.plugs import morphs

MORPHS = {morph.name: morph for morph in morphs()}
CONTEXT = MorphContext(
    Source("lan", "CT1", "EDGE_A", "10.1.1.21", "ct-1"), 0.0, "edge", "Hospital A", b"key"
)
Step = tuple[str, Any]


def encoded(data_set: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != EXPLICIT_VR_BIG_ENDIAN
    buffer.is_implicit_VR = syntax == IMPLICIT_VR_LITTLE_ENDIAN
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def morphed(
    data_set: Dataset,
    *steps: Step,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    context: MorphContext = CONTEXT,
) -> Dataset:
    raw = encoded(data_set, syntax)
    edited = EditableDataSet(lambda start, size: raw[start : start + size], len(raw), syntax)
    compile_recipe(Recipe.of(steps), MORPHS)(edited, context)
    out = b"".join(
        raw[piece.start : piece.end] if isinstance(piece, Span) else piece
        for piece in edited.pieces()
    )
    again = dcmread(BytesIO(_file(out, syntax)), force=True)
    again.decode()
    return again


def _file(raw: bytes, syntax: str) -> bytes:
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
    return b"\0" * 128 + b"DICM" + meta + raw


def image(**changes: Any) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data_set.SOPInstanceUID = "1.2.3.4"
    data_set.ImageType = ["ORIGINAL", "PRIMARY"]
    data_set.AccessionNumber = "A1"
    data_set.Modality = "DX"
    data_set.StudyDescription = "RX CHEST"
    data_set.PatientName = "DOE^JANE"
    data_set.PatientID = "0012"
    data_set.PatientBirthDate = "19700101"
    data_set.OtherPatientNames = ["A", "B"]
    data_set.SeriesNumber = 7
    data_set.Rows = 512
    items = []
    for number in ("1", "2"):
        item = Dataset()
        item.ScheduledProcedureStepID = f"S{number}"
        items.append(item)
    data_set.RequestAttributesSequence = items
    block = data_set.private_block(0x0009, "ACME", create=True)
    block.add_new(0x01, "LO", "SECRET")
    data_set.PixelData = b"\1\2" * 40
    data_set["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return data_set


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN]
)
def test_a_whole_recipe_in_every_coding(syntax: str) -> None:
    result = morphed(
        image(),
        ("set", {"InstitutionName": "Hospital A", "StationName": "{{ source.name }}"}),
        ("prefix", {"AccessionNumber": "HSPA-"}),
        ("replace", {"tag": "StudyDescription", "pattern": "^RX ", "with": "XR "}),
        ("map", {"tag": "Modality", "table": {"DX": "CR"}}),
        ("copy", {"OtherPatientIDs": "PatientID"}),
        ("blank", ["PatientBirthDate"]),
        ("remove", ["OtherPatientNames", "0009,xxxx"]),
        ("set", {"Rows": "256"}),
        syntax=syntax,
    )
    assert result.InstitutionName == "Hospital A"
    assert result.StationName == "ct-1"
    assert result.AccessionNumber == "HSPA-A1"
    assert result.StudyDescription == "XR CHEST"
    assert result.Modality == "CR"
    assert result.OtherPatientIDs == "0012"
    assert result.PatientBirthDate == ""
    assert "OtherPatientNames" not in result
    assert not [element for element in result if element.tag.group == 0x0009]
    assert result.Rows == 256
    assert result.PixelData == b"\1\2" * 40
    assert result.SOPInstanceUID == "1.2.3.4"


def test_set_gives_values_adds_attributes_and_splits_at_backslashes() -> None:
    result = morphed(
        image(),
        ("set", {"ImageType": ["DERIVED", "SECONDARY", "{{ Modality }}"]}),
        ("set", {"OtherPatientNames": "X\\Y", "PatientComments": "a\\b", "PatientID": ""}),
        ("set", {"SliceThickness": 1.5, "SeriesNumber": 8, "(0010,1010)": "018Y"}),
    )
    assert list(result.ImageType) == ["DERIVED", "SECONDARY", "DX"]
    assert [str(name) for name in result.OtherPatientNames] == ["X", "Y"]
    assert result.PatientComments == "a\\b"
    assert result.PatientID == ""
    assert (result.SliceThickness, result.SeriesNumber, result.PatientAge) == (1.5, 8, "018Y")


def test_steps_act_on_what_the_one_before_left() -> None:
    result = morphed(
        image(),
        ("set", {"PatientID": "X"}),
        ("set", {"AccessionNumber": "{{ PatientID }}"}),
        ("prefix", {"PatientID": "{{ AccessionNumber }}-"}),
    )
    assert (result.PatientID, result.AccessionNumber) == ("X-X", "X")


def test_the_entries_of_one_step_all_see_the_object_as_the_step_found_it() -> None:
    result = morphed(
        image(),
        ("set", {"PatientID": "{{ AccessionNumber }}", "AccessionNumber": "{{ PatientID }}"}),
        ("copy", {"StudyDescription": "PatientName", "PatientName": "StudyDescription"}),
        ("default", {"StudyID": "S", "BodyPartExamined": "{{ StudyID | default('NONE') }}"}),
        ("suffix", {"AccessionNumber": "-{{ PatientID }}", "PatientID": "-{{ AccessionNumber }}"}),
    )
    assert (result.PatientID, result.AccessionNumber) == ("A1-0012", "0012-A1")
    assert (result.StudyDescription, str(result.PatientName)) == ("DOE^JANE", "RX CHEST")
    assert (result.StudyID, result.BodyPartExamined) == ("S", "NONE")


def test_default_fills_only_what_is_absent_or_empty() -> None:
    result = morphed(
        image(StudyID=""),
        ("default", {"IssuerOfPatientID": "HOSPA", "StudyID": "S", "PatientID": "other"}),
        ("default", {"BodyPartExamined": "{{ Modality }}"}),
    )
    assert result.IssuerOfPatientID == "HOSPA"
    assert result.StudyID == "S"
    assert result.PatientID == "0012"
    assert result.BodyPartExamined == "DX"


def test_default_may_name_an_absent_attribute_it_does_not_need() -> None:
    unneeded = ("default", {"PatientID": "{{ BodyPartExamined }}"})
    assert morphed(image(), unneeded).PatientID == "0012"


def test_prefix_and_suffix_change_each_value_and_leave_absent_ones_alone() -> None:
    result = morphed(
        image(StudyID=""),
        ("prefix", {"OtherPatientNames": "P-", "BodyPartExamined": "X", "StudyID": "X"}),
        ("suffix", {"OtherPatientNames": "-{{ router.name }}", "PatientID": "Z"}),
    )
    assert [str(name) for name in result.OtherPatientNames] == ["P-A-edge", "P-B-edge"]
    assert "BodyPartExamined" not in result
    assert result.StudyID == ""
    assert result.PatientID == "0012Z"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"tag": "PatientName", "pattern": r"^(\w+)\^(\w+)", "with": r"\2^\1"}, "JANE^DOE"),
        ({"tag": "PatientName", "pattern": "doe", "with": "X"}, "DOE^JANE"),
        ({"tag": "PatientName", "pattern": "(?i)doe", "with": "X"}, "X^JANE"),
        ({"tag": "PatientName", "pattern": ".*", "with": "{{ PatientID }}"}, "0012"),
        ({"tag": "PatientName", "pattern": "E", "with": ""}, "DO^JAN"),
    ],
)
def test_replace(parameters: dict[str, str], expected: str) -> None:
    assert str(morphed(image(), ("replace", parameters)).PatientName) == expected


def test_a_value_in_a_replacement_is_taken_as_text() -> None:
    result = morphed(
        image(PatientComments="\\1 and \\x", AdditionalPatientHistory="see: here"),
        (
            "replace",
            {
                "tag": "AdditionalPatientHistory",
                "pattern": "(here)",
                "with": "{{ PatientComments }}",
            },
        ),
    )
    assert result.AdditionalPatientHistory == "see: \\1 and \\x"


@pytest.mark.parametrize(
    ("otherwise", "expected"),
    [
        ({}, ["A", "NEW"]),
        ({"otherwise": "keep"}, ["A", "NEW"]),
        ({"otherwise": "blank"}, ["", "NEW"]),
        ({"otherwise": "OTHER"}, ["OTHER", "NEW"]),
    ],
)
def test_map(otherwise: dict[str, str], expected: list[str]) -> None:
    parameters = {"tag": "OtherPatientNames", "table": {"B": "NEW"}, **otherwise}
    result = morphed(image(), ("map", parameters))
    assert [str(name) for name in result.OtherPatientNames] == expected


def test_map_can_fail_and_can_fill_the_empty_value() -> None:
    with pytest.raises(MorphFailed, match="not in the table") as caught:
        morphed(image(), ("map", {"tag": "Modality", "table": {"CT": "CT"}, "otherwise": "fail"}))
    assert "DX" not in str(caught.value)
    filled = ("map", {"tag": "StudyID", "table": {"": "NONE"}})
    assert morphed(image(StudyID=""), filled).StudyID == "NONE"
    assert "StudyID" not in morphed(image(), filled)


def test_copy_of_what_is_absent_changes_nothing_and_of_what_is_empty_empties() -> None:
    result = morphed(
        image(StudyID=""), ("copy", {"PatientID": "BodyPartExamined", "AccessionNumber": "StudyID"})
    )
    assert result.PatientID == "0012"
    assert result.AccessionNumber == ""


def test_sequences_by_item_and_every_item() -> None:
    steps = "ScheduledProcedureStepID"
    result = morphed(
        image(),
        ("set", {f"RequestAttributesSequence[1].{steps}": "B"}),
        ("prefix", {f"RequestAttributesSequence[*].{steps}": "P"}),
        ("set", {"RequestAttributesSequence[*].RequestedProcedureID": "R"}),
        ("replace", {"tag": f"RequestAttributesSequence[*].{steps}", "pattern": "S", "with": "T"}),
        ("map", {"tag": f"RequestAttributesSequence[*].{steps}", "table": {"PB": "M"}}),
        ("set", {"RequestAttributesSequence[2].RequestedProcedureID": "NEW"}),
        ("default", {f"RequestAttributesSequence[*].{steps}": "D"}),
    )
    items = result.RequestAttributesSequence
    assert [item.ScheduledProcedureStepID for item in items] == ["PT1", "M", "D"]
    assert [item.RequestedProcedureID for item in items] == ["R", "R", "NEW"]


def test_removing_inside_sequences_and_whole_items() -> None:
    result = morphed(image(), ("remove", ["RequestAttributesSequence[0].ScheduledProcedureStepID"]))
    assert [len(item) for item in result.RequestAttributesSequence] == [0, 1]
    result = morphed(image(), ("remove", "RequestAttributesSequence[0]"))
    assert [i.ScheduledProcedureStepID for i in result.RequestAttributesSequence] == ["S2"]
    result = morphed(image(), ("blank", "RequestAttributesSequence"))
    assert len(result.RequestAttributesSequence) == 0


def test_private_attributes_are_found_by_their_creator() -> None:
    result = morphed(
        image(),
        ("set", {"0009,[ACME],01": "PUBLIC", "0011,[OURS],02": "NEW"}),
        ("prefix", {"0009,[ACME],01": "P-"}),
    )
    assert result.private_block(0x0009, "ACME")[0x01].value == "P-PUBLIC"
    assert result.private_block(0x0011, "OURS")[0x02].value == "NEW"
    result = morphed(image(), ("remove", "0009,[ACME],01"))
    assert not [element for element in result if element.tag.group == 0x0009]


@pytest.mark.parametrize("mask", ["0009,xxxx", "(0009,XXXX)", "xxx9,xxxx"])
def test_groups_are_removed_but_not_what_an_object_is(mask: str) -> None:
    result = morphed(image(), ("remove", [mask.replace("X", "x")]))
    assert not [element for element in result if element.tag.group == 0x0009]
    result = morphed(image(SpecificCharacterSet="ISO_IR 100"), ("remove", ["0008,xxxx"]))
    assert sorted(e.keyword for e in result if e.tag.group == 8) == [
        "SOPClassUID",
        "SOPInstanceUID",
        "SpecificCharacterSet",
    ]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 13", "YAMADA^ﾀﾛｳ"),
        ("GB18030", "王^小东"),
    ],
    ids=["latin-1", "iso-2022-japanese", "katakana", "gb18030"],
)
def test_an_ascii_prefix_keeps_the_character_set_and_every_character(
    charset: Any, name: str
) -> None:
    before = image(SpecificCharacterSet=charset, PatientName=name)
    result = morphed(before, ("prefix", {"PatientName": "X ", "AccessionNumber": "H-"}))
    assert result.SpecificCharacterSet == before.SpecificCharacterSet
    assert str(result.PatientName) == "X " + name
    assert result.AccessionNumber == "H-A1"


def test_greek_into_an_ascii_object_makes_the_whole_object_utf_8() -> None:
    result = morphed(image(), ("set", {"PatientName": "Αθηνά^Μαρία"}))
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == "Αθηνά^Μαρία"
    assert result.StudyDescription == "RX CHEST"


def test_greek_into_a_latin_1_object_keeps_the_other_texts() -> None:
    before = image(SpecificCharacterSet="ISO_IR 100", StudyDescription="Schädel")
    result = morphed(before, ("suffix", {"StudyDescription": " Θ"}))
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert result.StudyDescription == "Schädel Θ"


@pytest.mark.parametrize(
    "step",
    [
        ("set", {"AccessionNumber": "{{ StudyDescription ~ StudyDescription ~ '12345' }}"}),
        ("prefix", {"AccessionNumber": "0123456789ABCDEF"}),
        ("copy", {"SeriesNumber": "PatientName"}),
        ("set", {"StudyDate": "{{ PatientName }}"}),
        ("set", {"PatientID": "{{ BodyPartExamined }}"}),
        ("replace", {"tag": "PatientID", "pattern": "^", "with": "x" * 64}),
        ("suffix", {"PatientBirthDate": "x"}),
    ],
    ids=str,
)
def test_what_does_not_fit_fails_and_names_the_attribute_but_no_value(step: Step) -> None:
    with pytest.raises(MorphFailed) as caught:
        morphed(image(), step)
    said = str(caught.value)
    assert said.startswith(f"step 1 ({step[0]})")
    for value in ("RX CHEST", "DOE", "0012", "19700101", "A1"):
        assert value not in said.replace("PatientID", "")


@pytest.mark.parametrize(
    ("step", "path", "code"),
    [
        (("set", {"AccessionNumber": "12345678901234567"}), ("AccessionNumber",), "DR212"),
        (("set", {"Modality": "ct"}), ("Modality",), "DR212"),
        (("set", {"StudyDate": "2024-01-31"}), ("StudyDate",), "DR212"),
        (("set", {"SeriesNumber": "seven"}), ("SeriesNumber",), "DR212"),
        (("set", {"Rows": "-1"}), ("Rows",), "DR212"),
        (("set", {"ImageType": ["A", "b"]}), ("ImageType", 1), "DR212"),
        (("set", {"StudyInstanceUID": "1.02"}), ("StudyInstanceUID",), "DR212"),
        (("set", {"PatientID": None}), ("PatientID",), "DR102"),
        (("set", {"PatientID": {"a": "b"}}), ("PatientID",), "DR102"),
        (("set", {"PatientId2": "x"}), ("PatientId2",), "DR210"),
        (("set", {"PixelData": "x"}), ("PixelData",), "DR220"),
        (("set", {"RequestAttributesSequence": "x"}), ("RequestAttributesSequence",), "DR220"),
        (("set", {"SpecificCharacterSet": "ISO_IR 6"}), ("SpecificCharacterSet",), "DR220"),
        (("set", {"PatientID": "a {{ PatientI }}"}), ("PatientID",), "DR210"),
        (("default", {"AccessionNumber": "x" * 17}), ("AccessionNumber",), "DR212"),
        (("prefix", {"Rows": "1"}), ("Rows",), "DR220"),
        (("suffix", {"PatientID": ["a"]}), ("PatientID",), "DR102"),
        (("copy", {"PatientID": "PatientIDD"}), ("PatientID",), "DR210"),
        (("copy", {"PatientID": "PixelData"}), ("PatientID",), "DR220"),
        (("blank", ["PatientID", "SOPInstanceUID"]), (1,), "DR220"),
        (("blank", "RequestAttributesSequence[0]"), (), "DR220"),
        (("remove", ["StudyInstanceUID"]), (0,), "DR220"),
        (("remove", "PatientIDD"), (), "DR210"),
        (("replace", {"tag": "PatientID", "pattern": "a(", "with": ""}), ("pattern",), "DR211"),
        (("replace", {"tag": "PatientID", "pattern": "a", "with": r"\1"}), ("with",), "DR211"),
        (("replace", {"tag": "PatientID", "pattern": "a"}), (), "DR103"),
        (("replace", {"tag": "PatientID", "by": "a"}), ("by",), "DR101"),
        (("replace", {"tag": "Rows", "pattern": "a", "with": ""}), ("tag",), "DR220"),
        (("map", {"tag": "Modality", "table": {"CT": "ct"}}), ("table", "CT"), "DR212"),
        (("map", {"tag": "Modality", "table": "names"}), ("table",), "DR201"),
        (("map", {"tag": "Modality", "table": {}}), ("table",), "DR102"),
        (
            ("map", {"tag": "Modality", "table": {"A": "B"}, "otherwise": "x"}),
            ("otherwise",),
            "DR212",
        ),
        (("map", {"tag": "Modality", "tabel": {}}), ("tabel",), "DR101"),
    ],
    ids=str,
)
def test_mistakes_are_found_when_the_step_is_compiled(
    step: Step, path: tuple[str | int, ...], code: str
) -> None:
    with pytest.raises(PlugError) as caught:
        MORPHS[step[0]].compile(step[1])
    assert (caught.value.path, caught.value.code) == (path, code)


def test_a_template_mistake_points_at_its_character_in_the_value() -> None:
    with pytest.raises(PlugError) as caught:
        MORPHS["set"].compile({"PatientID": ["a", "b {{ PatientI }}"]})
    assert caught.value.path == ("PatientID", 1)
    assert caught.value.column_offset == 5
    assert "'PatientID'" in caught.value.hint


def test_what_steps_read_and_write() -> None:
    def texts(paths: Any) -> set[str]:
        return {path.text for path in paths}

    parameters = {"PatientID": "{{ AccessionNumber }}{{ source.name }}"}
    assert texts(MORPHS["set"].reads(parameters)) == {"AccessionNumber"}
    assert texts(MORPHS["set"].writes(parameters)) == {"PatientID"}
    assert texts(MORPHS["prefix"].reads(parameters)) == {"AccessionNumber", "PatientID"}
    assert texts(MORPHS["copy"].reads({"PatientID": "StudyID"})) == {"StudyID"}
    assert texts(MORPHS["copy"].writes({"PatientID": "StudyID"})) == {"PatientID"}
    assert texts(MORPHS["remove"].writes(["PatientID", "0009,xxxx"])) == {"PatientID"}
