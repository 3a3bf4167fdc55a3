"""Every operator × every VR × absent, empty, one value, several × three encodings.

The oracle knows no DICOM: a value is a number from 1 to 3, and `MEANT` says what each operator means
for a list of such numbers. `WRITTEN` says how a VR writes 1, 2 and 3, in values and in rules, in
ways that differ where the VR lets them: 2 is "2.0" in a DS and "+2" in a rule about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pytest
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from router.dicom.header import HeaderReader
from router.match.condition import ConditionProblems, compile_condition
from router.match.facts import Facts
from router.model.instance import Source
from router.plugs import operators

# Explicit and implicit little endian, explicit big endian: (UID, implicit, little endian).
ENCODINGS: Final = (
    ("1.2.840.10008.1.2.1", False, True),
    ("1.2.840.10008.1.2", True, True),
    ("1.2.840.10008.1.2.2", False, False),
)


@dataclass(frozen=True)
class Way:
    """How a VR writes 1, 2 and 3: the attribute, in values, in rules; a glob and a regex for 2."""

    keyword: str
    values: tuple[Any, Any, Any]
    literals: tuple[Any, Any, Any]
    glob: str
    regex: str
    has_order: bool = False


WRITTEN: Final[dict[str, Way]] = {
    "AE": Way("RetrieveAETitle", (" A", "BE ", "C"), ("A", " BE", "C"), "B?", "^BE"),
    "AT": Way(
        "FrameIncrementPointer",
        (0x00181063, 0x001810AB, 0x00540010),
        ("0018,1063", "(0018,10AB)", "00540010"),
        "001810[aA]?",
        "(?i)10ab$",
    ),
    "CS": Way("ImageType", ("A", "BE ", "C_3"), ("A ", "BE", "C_3"), "B*", "E$"),
    "LO": Way("OtherPatientIDs", ("a", "be e ", "c"), ("a", "be e", "c "), "be*", "e e$"),
    "LT": Way("PatientComments", ("a", "b\\e", "c\r\n"), ("a", "b\\e", "c\r\n"), "b?e", r"^b\\e$"),
    "PN": Way(
        "OtherPatientNames",
        ("A^A", "Yamada^Be=山田^二", "C^C^^"),
        ("A^A^", "山田^二", "C^C"),
        "Yamada*",
        "^山田",
    ),
    "SH": Way("AccessionNumber", ("A", "B E", "C"), ("A ", "B E", "C"), "B ?", " E$"),
    "ST": Way("InstitutionAddress", ("a", "b ", "c"), ("a", "b", "c"), "b", "^b$"),
    "UC": Way("LongCodeValue", ("a", "be", "c"), ("a", "be", "c "), "b[e]", "^be$"),
    "UI": Way("SOPClassesInStudy", ("1.1", "1.2.10", "1.3"), ("1.1", "1.2.10", "1.3"), "1.2.*", "10$"),
    "UR": Way("RetrieveURL", ("http://a", "http://b/e ", "http://c"), ("http://a", "http://b/e", "http://c"), "*//b/*", "/e$"),
    "UT": Way("TextValue", ("a", "b\ne", "c"), ("a", "b\ne", "c"), "b?e", "(?s)^b.e$"),
    "AS": Way("PatientAge", ("001Y", "024M", "104Y"), ("12M", "2Y", "104Y"), "02?M", "^024", True),
    "DA": Way("DateOfSecondaryCapture", ("20230630", "20240229", "20250101"), ("2023", "2024-02", "2025.01.01"), "202402*", "0229$", True),
    "DS": Way("ImagePositionPatient", ("-1.5", "2.0", "3e1"), ("-1.50", "+2", "30"), "2.?", "^2", True),
    "DT": Way(
        "FrameAcquisitionDateTime",
        ("20230101000000+0000", "20240229233000-0100", "2025"),
        ("2023", "20240301003000+0000", "2025"),
        "*-0100",
        "2330",
        True,
    ),
    "FD": Way("TableSpeed", (-0.5, 0.1, 2e9), ("-0.50", "0.1", "2000000000"), "0.*", "^0", True),
    "FL": Way("ExaminedBodyThickness", (-0.5, 0.25, 8.5), ("-.5", "0.25", "8.50"), "0.2?", "25$", True),
    "IS": Way("ReferencedFrameNumber", ("1", "+20", "300"), ("01", 20, "300"), "*20", "20$", True),
    "SL": Way("ReferencePixelX0", (-70000, 2, 3), ("-70000", "2", 3), "2", "^2$", True),
    "SS": Way("SelectorSSValue", (-300, 2, 3), ("-300", "2.0", 3), "2", "^2$", True),
    "SV": Way("SelectorSVValue", (-(2**40), 2, 2**62), (str(-(2**40)), "2", str(2**62)), "2", "^2$", True),
    "TM": Way("SeriesTime", ("0930", "143015.5", "235959"), ("09", "14:30", "2359"), "1430*", "5$", True),
    "UL": Way("SimpleFrameList", (1, 70000, 2**32 - 1), (1, "70000", str(2**32 - 1)), "7*", "^70", True),
    "US": Way("Rows", (1, 512, 65535), ("1", "512.0", 65535), "5?2", "^51", True),
    "UV": Way("SelectorUVValue", (1, 2, 2**64 - 1), ("1", "2", str(2**64 - 1)), "2", "^2$", True),
}  # fmt: skip

Meaning = Callable[[list[int]], bool]
# What is asked, with numbers for literals, and what that means for the numbers that are there.
MEANT: Final[list[tuple[Any, Meaning]]] = [
    (2, lambda found: 2 in found),
    ([1, 3], lambda found: 1 in found or 3 in found),
    ({"equals": 3}, lambda found: 3 in found),
    ({"any": [2, 1]}, lambda found: 1 in found or 2 in found),
    ({"all": 2}, lambda found: set(found) == {2}),
    ({"all": [2, 3]}, lambda found: bool(found) and set(found) <= {2, 3}),
    ({"all": {"any": [1, 2]}}, lambda found: bool(found) and set(found) <= {1, 2}),
    ({"gt": 2}, lambda found: any(one > 2 for one in found)),
    ({"ge": 2}, lambda found: any(one >= 2 for one in found)),
    ({"lt": 2}, lambda found: any(one < 2 for one in found)),
    ({"le": 2}, lambda found: any(one <= 2 for one in found)),
    ({"between": [2, 3]}, lambda found: any(2 <= one <= 3 for one in found)),
    ({"all": {"lt": 3}}, lambda found: bool(found) and max(found) < 3),
    ({"all": {"between": [1, 2]}}, lambda found: bool(found) and max(found) <= 2),
    ({"gt": 1, "lt": 3}, lambda found: any(one > 1 for one in found) and any(one < 3 for one in found)),
    ({"glob": "GLOB"}, lambda found: 2 in found),
    ({"regex": "REGEX"}, lambda found: 2 in found),
    ({"all": {"glob": "GLOB"}}, lambda found: set(found) == {2}),
    ({"all": {"regex": "REGEX"}}, lambda found: set(found) == {2}),
]  # fmt: skip
ORDERS: Final = ("gt", "ge", "lt", "le", "between")
STATES: Final[list[list[int]]] = [
    [],
    *([one] for one in (1, 2, 3)),
    *(list(pair) for pair in product((1, 2, 3), repeat=2)),
    [1, 2, 3],
    [2, 2, 2],
]


def asks_for_order(asked: Any) -> bool:
    return isinstance(asked, dict) and any(
        name in ORDERS or asks_for_order(inner) for name, inner in asked.items()
    )


def in_words(asked: Any, way: Way) -> Any:
    """What is asked, with the literals of the VR."""
    if isinstance(asked, dict):
        return {name: in_words(inner, way) for name, inner in asked.items()}
    if isinstance(asked, list):
        return [in_words(one, way) for one in asked]
    if isinstance(asked, int):
        return way.literals[asked - 1]
    return {"GLOB": way.glob, "REGEX": way.regex}[asked]


def takes_several(vr: str) -> bool:
    return dictionary_VM(WRITTEN[vr].keyword) != "1" and vr not in {"LT", "ST", "UT", "UR"}


def holding(vr: str, found: list[int] | None) -> Dataset:
    """A data set with these values; [] without a value, None without the attribute."""
    way = WRITTEN[vr]
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.Modality = "CT"
    data_set.PatientWeight = "70"
    if found is not None:
        values = [way.values[one - 1] for one in found]
        value = None if not values else values[0] if len(values) == 1 else values
        data_set.add_new(way.keyword, vr, value)
    return data_set


def answers(asked: dict[str, Any], data_set: Dataset) -> set[bool]:
    """What the condition says of the data set, in each encoding."""
    condition = compile_condition(asked, station_names=())
    found = set()
    for uid, implicit, little in ENCODINGS:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
        write_dataset(buffer, data_set)
        reader = HeaderReader(uid, condition.needs)
        reader.feed(buffer.getvalue())
        reader.finish()
        found.add(condition.test(Facts(reader, Source("", "", "", ""), uid, "", 0.0)))
    return found


@pytest.mark.parametrize("vr", WRITTEN)
def test_the_matrix(vr: str) -> None:
    way, asked_questions = WRITTEN[vr], 0
    assert dictionary_VR(way.keyword) == vr
    states = [state for state in STATES if len(state) < 2 or takes_several(vr)]
    for asked, meaning in MEANT:
        if asks_for_order(asked) and not way.has_order:
            continue
        condition = {way.keyword: in_words(asked, way)}
        for found in states:
            expected = meaning(found)
            assert answers(condition, holding(vr, found)) == {expected}, (condition, found)
            turned = answers({"not": condition}, holding(vr, found))
            assert turned == {not expected}, (condition, found)
            asked_questions += 1
        assert answers(condition, holding(vr, None)) == {False}, (condition, "absent")
    assert asked_questions >= 10 * len(states)


@pytest.mark.parametrize("vr", WRITTEN)
def test_absent_empty_and_full_are_three_things(vr: str) -> None:
    keyword = WRITTEN[vr].keyword
    for words, absent, empty, full in (
        ({"exists": True}, False, True, True),
        ({"exists": False}, True, False, False),
        ({"empty": True}, False, True, False),
        ({"empty": False}, False, False, True),
        ({"glob": "*"}, False, False, True),
        ({"regex": ""}, False, False, True),
        ({"all": {"glob": "*"}}, False, False, True),
    ):
        for found, expected in ((None, absent), ([], empty), ([2], full)):
            assert answers({keyword: words}, holding(vr, found)) == {expected}, (words, found)


@pytest.mark.parametrize("vr", [vr for vr, way in WRITTEN.items() if not way.has_order])
@pytest.mark.parametrize("order", ORDERS)
def test_what_has_no_order_is_not_asked_for_one(vr: str, order: str) -> None:
    way = WRITTEN[vr]
    asked = list(way.literals[:2]) if order == "between" else way.literals[0]
    for words in ({order: asked}, {"all": {order: asked}}):
        with pytest.raises(ConditionProblems):
            compile_condition({way.keyword: words}, station_names=())


def test_no_operator_and_no_vr_is_left_out() -> None:
    used = {name for asked, _ in MEANT if isinstance(asked, dict) for name in asked}
    assert used | {"exists", "empty"} == {operator.name for operator in operators()}
    without_value = {"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN"}
    known = {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH",
             "SL", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV"}  # fmt: skip
    assert set(WRITTEN) == known
    assert not known & without_value


@pytest.mark.parametrize("keyword", ["RequestAttributesSequence", "EncapsulatedDocument"])
def test_what_has_no_value_can_only_be_there_or_not(keyword: str) -> None:
    data_set = Dataset()
    assert answers({keyword: {"exists": False}}, data_set) == {True}
    if keyword == "EncapsulatedDocument":
        data_set.add_new(keyword, "OB", b"%PDF")
    else:
        data_set.RequestAttributesSequence = []
    assert answers({keyword: {"exists": True}}, data_set) == {True}
    for words in ("x", {"glob": "*"}, {"regex": "x"}, {"gt": "1"}, {"all": "x"}, {"empty": True}):
        with pytest.raises(ConditionProblems):
            compile_condition({keyword: words}, station_names=())


ITEM_STATES: Final = (None, [], [2], [1, 3])


@pytest.mark.parametrize("vr", ["LO", "IS", "DA", "PN"])
def test_items_of_a_sequence_one_by_one_and_together(vr: str) -> None:
    """`[*]` is what all items hold together, `[n]` one of them; no item is an absent attribute."""
    questions = [*MEANT[:5], ({"exists": True}, None), ({"empty": True}, None)]
    for states in (
        (),
        *product(ITEM_STATES, repeat=1),
        *product(ITEM_STATES, repeat=2),
    ):
        data_set = Dataset()
        data_set.SpecificCharacterSet = "ISO_IR 192"
        data_set.RequestAttributesSequence = [holding(vr, state) for state in states]
        for item in data_set.RequestAttributesSequence:
            del item.SpecificCharacterSet
        for which in ("*", 0, 1):
            asked_of = states if which == "*" else states[which : which + 1]
            there = [state for state in asked_of if state is not None]
            found = [one for state in there for one in state]
            path = f"RequestAttributesSequence[{which}].{WRITTEN[vr].keyword}"
            for asked, meaning in questions:
                if meaning is not None:
                    expected = meaning(found)
                elif "exists" in asked:
                    expected = bool(there)
                else:
                    expected = bool(there) and not found
                condition = {path: in_words(asked, WRITTEN[vr]) if meaning else asked}
                assert answers(condition, data_set) == {expected}, (condition, states)


CHARACTER_SETS: Final = [
    ("ISO_IR 100", "Conceição"),
    ("ISO_IR 101", "Łódź"),
    ("ISO_IR 144", "Люксембург"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني"),
    ("ISO_IR 138", "שרון"),
    ("ISO_IR 166", "ประเทศไทย"),
    ("ISO_IR 148", "Çavuşoğlu"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ"),
    ("\\ISO 2022 IR 87", "山田"),
    ("\\ISO 2022 IR 149", "김희중"),
    ("GB18030", "王小东"),
    ("GBK", "王小东"),
    ("ISO_IR 192", "Ωmega 山"),
]


@pytest.mark.parametrize(("character_set", "text"), CHARACTER_SETS, ids=str)
def test_a_text_is_the_same_in_every_character_set(character_set: str, text: str) -> None:
    data_set = Dataset()
    data_set.SpecificCharacterSet = character_set.split("\\")
    data_set.StudyDescription = text
    data_set.PatientName = f"{text}^X"
    first, rest = text[0], text[1:]
    for keyword, asked, expected in (
        ("StudyDescription", text, True),
        ("StudyDescription", [text, "Other"], True),
        ("StudyDescription", rest, False),
        ("StudyDescription", {"glob": f"{first}*"}, True),
        ("StudyDescription", {"regex": f"{rest}$"}, True),
        ("PatientName", f"{text}^X", True),
        ("PatientName", {"regex": f"^{text}"}, True),
        ("PatientName", text, False),
    ):
        assert answers({keyword: asked}, data_set) == {expected}, (keyword, asked)
