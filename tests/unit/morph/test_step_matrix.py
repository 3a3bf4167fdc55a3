"""Every step × the attribute absent, empty, single, multi-valued, nested, private, beyond ASCII.

Each cell is an object written and read again by pydicom; every step here is idempotent or said to
be otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from router.errors import MorphFailed
from router.morph.keyed import mapped_token
from tests.unit.morph.test_apply import MORPHS
from tests.unit.morph.test_steps import CONTEXT, Step, image, morphed

ABSENT = "absent"
NESTED = "RequestAttributesSequence[*].ScheduledProcedureStepID"
PRIVATE = "0009,[ACME],01"

TOKENS = [mapped_token(CONTEXT, value, 8) for value in ("A", "B")]
WHOLE_OBJECT = frozenset(
    "copy move remap_uids shift_dates remove_private keep charset original_attributes deidentify".split()
)

# step → what becomes of: absent, empty, one value, two values
CELLS: dict[str, tuple[Any, tuple[Any, Any, Any, Any]]] = {
    "set": ({"{}": "NEW"}, ("NEW", "NEW", "NEW", "NEW")),
    "set to nothing": ({"{}": ""}, ("", "", "", "")),
    "set to two": ({"{}": ["P", "Q"]}, (["P", "Q"],) * 4),
    "default": ({"{}": "NEW"}, ("NEW", "NEW", "A", ["A", "B"])),
    "prefix": ({"{}": "x-"}, (ABSENT, "", "x-A", ["x-A", "x-B"])),
    "suffix": ({"{}": "-x"}, (ABSENT, "", "A-x", ["A-x", "B-x"])),
    "replace": (
        {"tag": "{}", "pattern": "[AB]", "with": "C"},
        (ABSENT, "", "C", ["C", "C"]),
    ),
    "map": (
        {"tag": "{}", "table": {"A": "ONE", "": "NONE"}},
        (ABSENT, "NONE", "ONE", ["ONE", "B"]),
    ),
    "map or blank": (
        {"tag": "{}", "table": {"A": "ONE"}, "otherwise": "blank"},
        (ABSENT, "", "ONE", ["ONE", ""]),
    ),
    "case": ({"{}": "lower"}, (ABSENT, "", "a", ["a", "b"])),
    "trim": ("{}", (ABSENT, "", "A", ["A", "B"])),
    "hash": ({"{}": 8}, (ABSENT, "", TOKENS[0], TOKENS)),
    "split": ({"tag": "{}", "by": "-"}, (ABSENT, "", "A", ["A", "B"])),
    "join": ({"tag": "{}", "with": "+"}, (ABSENT, "", "A", "A+B")),
    "blank": ("{}", (ABSENT, "", "", "")),
    "remove": ("{}", (ABSENT, ABSENT, ABSENT, ABSENT)),
}
BEFORE = {"absent": None, "empty": "", "one": "A", "two": ["A", "B"]}


def step(name: str, target: str) -> Step:
    def named(parameters: Any) -> Any:
        if isinstance(parameters, dict):
            return {
                key.replace("{}", target): named(value) if key == "tag" else value
                for key, value in parameters.items()
            }
        return parameters.replace("{}", target)

    return name.split(" ")[0], named(CELLS[name][0])


def value_of(data_set: Dataset, keyword: str) -> Any:
    if keyword not in data_set:
        return ABSENT
    value = data_set[keyword].value
    return [str(each) for each in value] if isinstance(value, MultiValue) else str(value or "")


def with_value(data_set: Dataset, keyword: str, value: Any) -> Dataset:
    if value is not None:
        setattr(data_set, keyword, value)
    return data_set


TABLE = [
    (name, before, expected)
    for name, (_, outcomes) in CELLS.items()
    for before, expected in zip(BEFORE, outcomes, strict=True)
]


@pytest.mark.parametrize(("name", "before", "expected"), TABLE)
@pytest.mark.parametrize(
    "keyword", ["OtherPatientIDs", "PhysiciansOfRecord", "AdmittingDiagnosesDescription"]
)
def test_a_cell(name: str, before: str, expected: Any, keyword: str) -> None:
    data_set = with_value(image(), keyword, BEFORE[before])
    result = morphed(data_set, step(name, keyword))
    assert value_of(result, keyword) == expected
    untouched = {element.keyword for element in data_set} - {keyword, ""}
    for other in untouched:
        assert result[other].value == data_set[other].value, other


@pytest.mark.parametrize(("name", "before", "expected"), TABLE)
def test_a_cell_inside_the_items_of_a_sequence(name: str, before: str, expected: Any) -> None:
    data_set = image()
    for item in data_set.RequestAttributesSequence:
        del item.ScheduledProcedureStepID
        with_value(item, "ReasonForTheRequestedProcedure", BEFORE[before])
    path = "RequestAttributesSequence[*].ReasonForTheRequestedProcedure"
    result = morphed(data_set, step(name, path))
    for item in result.RequestAttributesSequence:
        assert value_of(item, "ReasonForTheRequestedProcedure") == expected
    assert "ReasonForTheRequestedProcedure" not in result


@pytest.mark.parametrize(("name", "before", "expected"), TABLE)
def test_a_cell_of_a_private_attribute(name: str, before: str, expected: Any) -> None:
    data_set = image()
    block = data_set.private_block(0x0009, "ACME")
    del block[0x01]
    if BEFORE[before] is not None:
        block.add_new(0x01, "LO", BEFORE[before])
    else:
        block.add_new(0x02, "LO", "other")
    result = morphed(data_set, step(name, PRIVATE))
    private = [
        element for element in result if element.tag.group == 9 and element.tag.element == 0x1001
    ]
    if expected == ABSENT:
        assert private == []
        assert ((0x0009, 0x0010) in result) is (before == "absent")
        return
    value = private[0].value
    assert (list(value) if isinstance(expected, list) else value or "") == expected
    assert result[0x0009, 0x0010].value == "ACME"


# Affixes grow; a value a table gave is not in the table, so that `otherwise` takes it next time.
IDEMPOTENT = [name for name in CELLS if name not in ("prefix", "suffix", "map or blank", "hash")]


@pytest.mark.parametrize("name", IDEMPOTENT)
@pytest.mark.parametrize("before", BEFORE)
def test_twice_is_as_good_as_once(name: str, before: str) -> None:
    data_set = with_value(image(), "OtherPatientIDs", BEFORE[before])
    once = morphed(data_set, step(name, "OtherPatientIDs"))
    twice = morphed(data_set, *[step(name, "OtherPatientIDs")] * 2)
    assert once == twice


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_affixes_grow_each_time(name: str) -> None:
    result = morphed(image(OtherPatientIDs="A"), *[step(name, "OtherPatientIDs")] * 2)
    assert result.OtherPatientIDs in {"x-x-A", "A-x-x"}


WIDE: dict[str, tuple[Any, str]] = {
    "set": ({"PatientName": "王^小东"}, "王^小东"),
    "prefix": ({"PatientName": "д-"}, "д-DOE^JANE"),
    "suffix": ({"PatientName": "-д"}, "DOE^JANE-д"),
    "replace": ({"tag": "PatientName", "pattern": "JANE", "with": "Ζωή"}, "DOE^Ζωή"),
    "map": ({"tag": "PatientName", "table": {"DOE^JANE": "山田^太郎"}}, "山田^太郎"),
}


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("declared", [None, "ISO_IR 100", "ISO_IR 192"])
def test_a_text_beyond_the_character_set_makes_the_whole_object_utf_8(
    name: str, declared: str | None
) -> None:
    parameters, expected = WIDE[name]
    data_set = image(StudyDescription="Schädel" if declared else "SKULL")
    if declared:
        data_set.SpecificCharacterSet = declared
    data_set.RequestAttributesSequence[0].RequestedProcedureDescription = (
        "Köln" if declared else "KOELN"
    )
    result = morphed(data_set, (name, parameters))
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == expected
    assert result.StudyDescription == data_set.StudyDescription
    nested = result.RequestAttributesSequence[0].RequestedProcedureDescription
    assert nested == data_set.RequestAttributesSequence[0].RequestedProcedureDescription


@pytest.mark.parametrize("target", ["Modality", "StudyInstanceUID", "SeriesNumber", "StudyDate"])
def test_what_knows_no_character_set_never_takes_such_a_text(target: str) -> None:
    with pytest.raises(MorphFailed, match=target):
        morphed(
            image(PatientName="Ζωή", SpecificCharacterSet="ISO_IR 192"),
            ("copy", {target: "PatientName"}),
        )


COPIES = [
    ("OtherPatientIDs", "PatientID", "0012"),
    ("PatientComments", "OtherPatientNames", "fails"),
    ("OtherPatientIDs", "OtherPatientNames", ["A", "B"]),
    ("PatientComments", "SeriesNumber", "7"),
    ("PatientComments", "Rows", "512"),
    ("Columns", "Rows", 512),
    ("SeriesNumber", "Rows", "512"),
    ("PatientComments", PRIVATE, "SECRET"),
    ("PatientComments", "RequestAttributesSequence[1].ScheduledProcedureStepID", "S2"),
    ("OtherPatientIDs", NESTED, ["S1", "S2"]),
    ("Rows", "PatientName", "fails"),
]


@pytest.mark.parametrize(("target", "source", "expected"), COPIES)
def test_copies_between_kinds_of_attributes(target: str, source: str, expected: Any) -> None:
    if expected == "fails":
        with pytest.raises(MorphFailed, match=target):
            morphed(image(), ("copy", {target: source}))
        return
    result = morphed(image(), ("copy", {target: source}))
    value = result[target].value
    assert (list(value) if isinstance(expected, list) else value) == expected


def test_a_copy_into_a_private_attribute_and_into_items() -> None:
    result = morphed(image(), ("copy", {"0011,[OURS],01": "PatientID", NESTED: "AccessionNumber"}))
    assert result.private_block(0x0011, "OURS")[0x01].value == "0012"
    assert [item.ScheduledProcedureStepID for item in result.RequestAttributesSequence] == [
        "A1",
        "A1",
    ]


def test_two_attributes_change_places_and_back() -> None:
    swap = ("copy", {"PatientID": "AccessionNumber", "AccessionNumber": "PatientID"})
    swapped = morphed(image(), swap)
    assert (swapped.PatientID, swapped.AccessionNumber) == ("A1", "0012")
    assert morphed(image(), swap, swap) == morphed(image())


def test_every_step_of_the_language_is_in_the_matrix() -> None:
    assert {name.split(" ")[0] for name in CELLS} | WHOLE_OBJECT == {
        name for name, morph in MORPHS.items() if morph.is_offered
    }


def test_pixels_and_identity_survive_every_step() -> None:
    for name in CELLS:
        result = morphed(image(), step(name, "OtherPatientIDs"), step(name, NESTED))
        assert result.PixelData == image().PixelData
        assert result.SOPInstanceUID == image().SOPInstanceUID


@pytest.mark.parametrize(
    ("removed", "left"),
    [
        ("0009,xxxx", []),
        ("0009,10xx", [0x0011, 0x1101]),
        ("(0009,11xx)", [0x0010, 0x1001]),
        ("xxx9,1x01", []),
        ("0009,xx0x", []),
        ("0009,1002", [0x0010, 0x0011, 0x1001, 0x1101]),
    ],
)
def test_masks_remove_what_they_fit_and_creators_without_elements(
    removed: str, left: list[int]
) -> None:
    data_set = image()
    data_set.private_block(0x0009, "SECOND", create=True).add_new(0x01, "LO", "two")
    result = morphed(data_set, ("remove", [removed]))
    assert [element.tag.element for element in result if element.tag.group == 9] == left


def test_an_x_stands_for_every_digit_of_a_tag() -> None:
    data_set = image()
    block = data_set.private_block(0x0009, "ACME")
    for element in (0x0A, 0xA0, 0xFF):
        block.add_new(element, "LO", "x")
    result = morphed(data_set, ("remove", ["0009,100x", "0009,10fx"]))
    assert [element.tag.element for element in result if element.tag.group == 9] == [0x10, 0x10A0]


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_a_template_is_not_asked_where_there_is_nothing_to_change(name: str) -> None:
    needless = (name, {"OtherPatientIDs": "{{ BodyPartExamined }}"})
    for before in (None, ""):
        data_set = with_value(image(), "OtherPatientIDs", before)
        assert morphed(data_set, needless) == morphed(data_set)
    with pytest.raises(MorphFailed):
        morphed(image(OtherPatientIDs="A"), needless)
