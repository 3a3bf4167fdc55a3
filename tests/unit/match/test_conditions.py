"""Conditions: facts, problems with their places, explanations, what is read, and how often."""

from __future__ import annotations

import time
from typing import Any

import pytest

from router.dicom.tags import keyword_for, vr_for
from router.dicom.values import Attribute
from router.match.condition import BUILT_IN, ConditionProblems, Predicates, compile_condition
from router.match.facts import Facts
from router.model.instance import Source
from router.model.path import Path
from router.model.plug import Operator, PlugError
from router.plugs import operators

STATIONS = ("ct-1", "pacs", "cloud")


class Header:
    """Values by keyword; counts the look-ups of each."""

    def __init__(self, **values: tuple[Any, ...]) -> None:
        self.values = values
        self.looked_up: list[str] = []

    def get(self, path: Path) -> Attribute | None:
        tag = path.steps[-1].tag
        self.looked_up.append(keyword_for(tag))
        values = self.values.get(keyword_for(tag))
        return None if values is None else Attribute(tag, vr_for(tag), values)


def facts(header: Header | None = None, **changes: Any) -> Facts:
    source = {
        "listener": "lan",
        "calling_ae_title": "CT1",
        "called_ae_title": "EDGE_A",
        "address": "10.1.1.21",
        "station": "ct-1",
    }
    known = {
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "received_at": time.mktime((2026, 11, 23, 20, 30, 0, 0, 0, -1)),  # a Monday
        "organization": "Hospital A",
    }
    for name, value in changes.items():
        (source if name in source else known)[name] = value
    return Facts(header or Header(Modality=("CT",)), Source(**source), **known)


def holds(match: Any, **changes: Any) -> bool:
    condition = compile_condition(match, station_names=STATIONS)
    seen = facts(**changes)
    assert condition.explain(seen)
    return condition.test(seen)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"from": "ct-1"}, True),
        ({"from": "pacs"}, False),
        ({"from": ["pacs", "ct-1"]}, True),
        ({"from": {"any": ["pacs", "cloud"]}}, False),
        ({"from": {"glob": "ct-*"}}, True),
        ({"from": {"regex": "^ct"}}, True),
        ({"calling_ae_title": "CT1"}, True),
        ({"calling_ae_title": "ct1"}, False),
        ({"calling_ae_title": {"glob": "CT?", "regex": "1$"}}, True),
        ({"called_ae_title": ["X", "EDGE_A"]}, True),
        ({"listener": "lan"}, True),
        ({"organization": "Hospital A"}, True),
        ({"organization": {"equals": "Hospital B"}}, False),
        ({"address": "10.1.1.21"}, True),
        ({"address": "10.1.0.0/16"}, True),
        ({"address": ["192.168.0.0/24", "10.1.1.20"]}, False),
        ({"address": "fd00::/8"}, False),
        ({"transfer_syntax": "1.2.840.10008.1.2.1"}, True),
        ({"transfer_syntax": "ExplicitVRLittleEndian"}, True),
        ({"transfer_syntax": "Explicit VR Little Endian"}, True),
        ({"transfer_syntax": ["JPEG2000Lossless"]}, False),
        ({"sop_class": "CT Image Storage"}, True),
        ({"sop_class": "CTImageStorage"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, False),
        ({"sop_class": {"glob": "1.2.840.10008.5.1.4.1.1.*"}}, True),
        ({"time": "19:00-07:00"}, True),
        ({"time": "07:00-19:00"}, False),
        ({"time": "20:30-20:31"}, True),
        ({"time": "20:00-20:30"}, False),
        ({"time": ["01:00-02:00", "20:00-24:00"]}, True),
        ({"weekday": "mon"}, True),
        ({"weekday": "Monday"}, True),
        ({"weekday": ["sat", "sun"]}, False),
        ({"not": {"from": "ct-1"}}, False),
    ],
    ids=str,
)
def test_facts(match: Any, expected: bool) -> None:
    assert holds(match) is expected


def test_facts_that_are_not_known_match_nothing() -> None:
    assert not holds({"from": "ct-1"}, station=None)
    assert not holds({"from": {"glob": "?*"}}, station=None)
    assert not holds({"address": "0.0.0.0/0"}, address="not an address")
    assert not holds({"address": "0.0.0.0/0"}, address="")


def test_an_ipv4_sender_on_an_ipv6_socket_is_still_ipv4() -> None:
    assert holds({"address": "10.1.0.0/16"}, address="::ffff:10.1.1.21")


def problems(match: Any, **options: Any) -> list[PlugError]:
    with pytest.raises(ConditionProblems) as caught:
        compile_condition(match, station_names=STATIONS, **options)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("match", "path", "code", "hint"),
    [
        ({"StudyDescripton": "x"}, ("StudyDescripton",), "DR210", "'StudyDescription' (0008,1030)"),
        ({"callng_ae_title": "x"}, ("callng_ae_title",), "DR210", "'calling_ae_title'"),
        ({"foo bar": "x"}, ("foo bar",), "DR210", "PatientID"),
        ({"from": "ct1"}, ("from",), "DR201", "'ct-1'"),
        ({"from": ["pacs", "ct1"]}, ("from", 1), "DR201", "'ct-1'"),
        ({"from": {"any": ["ct1"]}}, ("from", "any", 0), "DR201", "'ct-1'"),
        ({"Modality": {"regexx": "x"}}, ("Modality", "regexx"), "DR101", "'regex'"),
        ({"Modality": {"not": "CT"}}, ("Modality", "not"), "DR101", "not: {Modality: …}"),
        ({"Modality": {"contains": "C"}}, ("Modality", "contains"), "DR101", 'glob: "*…*"'),
        ({"Modality": {"startsWith": "C"}}, ("Modality", "startsWith"), "DR101", 'glob: "…*"'),
        ({"Modality": {"in": ["C"]}}, ("Modality", "in"), "DR101", "any: […]"),
        ({"Modality": {"==": "C"}}, ("Modality", "=="), "DR101", "equals: …"),
        ({"Modality": {"ne": "C"}}, ("Modality", "ne"), "DR101", "not: {Modality: …}"),
        ({"Rows": {"<=": 5}}, ("Rows", "<="), "DR101", "le: …"),
        ({"station": "ct-1"}, ("station",), "DR210", "'from'"),
        ({"FROM": "ct-1"}, ("FROM",), "DR210", "'from'"),
        ({"or": [{"Modality": "CT"}]}, ("or",), "DR210", "'any'"),
        ({"day": "sat"}, ("day",), "DR210", "'weekday'"),
        ({"Patient's Name": "x"}, ("Patient's Name",), "DR210", "'PatientName' (0010,0010)"),
        ({"Patient ID": "x"}, ("Patient ID",), "DR210", "'PatientID' (0010,0020)"),
        ({"SOPClassUID": "CT Image Storage"}, ("SOPClassUID",), "DR212", "sop_class"),
        ({"Modality": {}}, ("Modality",), "DR102", "glob"),
        ({"Modality": []}, ("Modality",), "DR102", ""),
        ({"Modality": None}, ("Modality",), "DR102", "exists"),
        ({"Modality": ""}, ("Modality",), "DR212", "empty"),
        ({"Modality": ["CT", ["MR"]]}, ("Modality", 1), "DR102", ""),
        ({"Modality": {"any": "CT"}}, ("Modality", "any"), "DR102", "[CT]"),
        ({"Modality": {"exists": "maybe"}}, ("Modality", "exists"), "DR102", "true"),
        ({"Modality": {"gt": "A"}}, ("Modality", "gt"), "DR220", "numbers"),
        ({"Modality": {"all": {"exists": True}}}, ("Modality", "all", "exists"), "DR101", "glob"),
        ({"SeriesNumber": "abc"}, ("SeriesNumber",), "DR212", ""),
        ({"SeriesNumber": ["1", "x"]}, ("SeriesNumber", 1), "DR212", ""),
        ({"SeriesNumber": "1.5"}, ("SeriesNumber",), "DR212", ""),
        ({"SeriesNumber": {"between": ["9", "1"]}}, ("SeriesNumber", "between", 0), "DR220", ""),
        ({"SeriesNumber": {"between": ["9"]}}, ("SeriesNumber", "between"), "DR102", ""),
        ({"SeriesNumber": {"between": ["1", "x"]}}, ("SeriesNumber", "between", 1), "DR212", ""),
        ({"StudyDate": {"ge": "31.12.2024"}}, ("StudyDate", "ge"), "DR212", "20240131"),
        ({"StudyDate": "20240230"}, ("StudyDate",), "DR212", ""),
        ({"StudyTime": "25:00"}, ("StudyTime",), "DR212", "14:30"),
        ({"PatientAge": "18"}, ("PatientAge",), "DR212", "018Y"),
        ({"StudyInstanceUID": "1.2.x"}, ("StudyInstanceUID",), "DR212", ""),
        ({"ExaminedBodyThickness": "1e300"}, ("ExaminedBodyThickness",), "DR212", ""),
        ({"RequestAttributesSequence": "x"}, ("RequestAttributesSequence",), "DR220", "[*]"),
        (
            {"RequestAttributesSequence": {"empty": True}},
            ("RequestAttributesSequence", "empty"),
            "DR220",
            "exists",
        ),
        ({"PixelData": {"glob": "x"}}, ("PixelData", "glob"), "DR220", ""),
        ({"address": "10.1.1.0/99"}, ("address",), "DR212", "10.1.0.0/16"),
        ({"address": "10.1.1.21/16"}, ("address",), "DR212", "10.1.0.0/16"),
        ({"sop_class": "CT Imagestorage x"}, ("sop_class",), "DR212", "CTImageStorage"),
        ({"transfer_syntax": ["x.y"]}, ("transfer_syntax", 0), "DR212", ""),
        ({"time": "19-7"}, ("time",), "DR212", "in quotes"),
        ({"time": "19:00-19:00"}, ("time",), "DR212", "in quotes"),
        ({"time": {"glob": "*"}}, ("time", "glob"), "DR101", "any"),
        ({"weekday": "domingo"}, ("weekday",), "DR212", "mon"),
        ({"listener": []}, ("listener",), "DR102", ""),
        ({"listener": {"exists": True}}, ("listener", "exists"), "DR101", "glob"),
        ({"not": ["x"]}, ("not",), "DR102", ""),
        ({"any": {"Modality": "CT"}}, ("any",), "DR102", ""),
        ({"all": []}, ("all",), "DR102", ""),
        ({"any": [{"Modality": "CT"}, "x"]}, ("any", 1), "DR102", ""),
        ("CT", (), "DR102", ""),
        (None, (), "DR102", ""),
    ],
    ids=str,
)
def test_mistakes(match: Any, path: tuple[str | int, ...], code: str, hint: str) -> None:
    (problem,) = problems(match)
    assert (problem.path, problem.code) == (path, code)
    assert hint in problem.hint


def test_key_mistakes_point_at_the_key_and_value_mistakes_at_the_value() -> None:
    assert problems({"StudyDescripton": "x"})[0].at_key
    assert problems({"Modality": {"globb": "x"}})[0].at_key
    assert not problems({"SeriesNumber": "x"})[0].at_key


@pytest.mark.parametrize(
    ("operator", "pattern", "offset"),
    [("regex", "ab(c", 2), ("glob", "ab[c", 2), ("glob", "a[z-b]", 2)],
)
def test_pattern_mistakes_point_at_the_character(operator: str, pattern: str, offset: int) -> None:
    (problem,) = problems({"PatientName": {operator: pattern}})
    assert (problem.code, problem.column_offset) == ("DR211", offset)
    assert problem.path == ("PatientName", operator)


def test_all_mistakes_are_reported_together_with_their_places() -> None:
    found = problems(
        {
            "Modalityy": "CT",
            "from": "ct1",
            "not": {"SeriesNumber": "x"},
            "any": [{"StudyDate": "x"}, {"all": [{"PatientName": {"regex": "("}}]}],
        },
        at=("rules", 3, "match"),
    )
    assert [problem.path for problem in found] == [
        ("rules", 3, "match", "Modalityy"),
        ("rules", 3, "match", "from"),
        ("rules", 3, "match", "not", "SeriesNumber"),
        ("rules", 3, "match", "any", 0, "StudyDate"),
        ("rules", 3, "match", "any", 1, "all", 0, "PatientName", "regex"),
    ]


def test_nesting_is_bounded() -> None:
    match: dict[str, Any] = {"Modality": "CT"}
    for _ in range(200):
        match = {"not": match}
    assert "deep" in str(problems(match)[0])


def test_explain_has_a_row_for_every_predicate_inside_combinators_too() -> None:
    match = {
        "from": "ct-1",
        "Modality": ["CT", "MR"],
        "not": {"PatientID": {"glob": "TEST*"}, "AccessionNumber": "1"},
        "any": [{"StudyDescription": {"regex": "(?i)chest"}}, {"SeriesNumber": {"exists": False}}],
        "all": [{"not": {"not": {"ImageType": "AXIAL"}}}],
    }
    header = Header(
        Modality=("CT",),
        PatientID=("TEST 1 ",),
        AccessionNumber=(),
        StudyDescription=("CHEST",),
        ImageType=("ORIGINAL", "AXIAL"),
    )
    condition = compile_condition(match, station_names=STATIONS)
    rows = condition.explain(facts(header))
    assert rows == (
        ("from: ct-1", "ct-1", True),
        ("Modality: [CT, MR]", "CT", True),
        ('not PatientID: {glob: "TEST*"}', "TEST 1", False),
        ("not AccessionNumber: 1", "empty", True),
        ("any 1: StudyDescription: {regex: (?i)chest}", "CHEST", True),
        ("any 2: SeriesNumber: {exists: false}", "absent", True),
        ("not not ImageType: AXIAL", "ORIGINAL\\AXIAL", True),
    )


def test_explain_shows_facts_with_their_names() -> None:
    match = {"sop_class": "MRImageStorage", "time": "19:00-07:00", "weekday": "sun", "from": "pacs"}
    rows = compile_condition(match, station_names=STATIONS).explain(facts(station=None))
    assert [row[1:] for row in rows] == [
        ("1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)", False),
        ("20:30", True),
        ("mon", False),
        ("absent", False),
    ]


def test_spec_is_canonical_and_needs_are_what_is_read() -> None:
    one = compile_condition({"Modality": "CT", "from": "ct-1"}, station_names=STATIONS)
    two = compile_condition({"from": "ct-1", "Modality": "CT"}, station_names=STATIONS)
    assert one == two
    assert one != compile_condition({"Modality": "MR", "from": "ct-1"}, station_names=STATIONS)
    condition = compile_condition(
        {"Modality": "CT", "not": {"PatientID": "1"}, "any": [{"0009,[ACME],01": "x"}]},
        station_names=STATIONS,
    )
    assert {path.text for path in condition.needs} == {"Modality", "PatientID", "0009,[ACME],01"}


def test_a_thousand_rules_over_one_attribute_look_it_up_once() -> None:
    header = Header(Modality=("CT",))
    seen = facts(header)
    conditions = [
        compile_condition({"Modality": ["MR", f"X{n}"]}, station_names=()) for n in range(1000)
    ]
    assert not any(condition.test(seen) for condition in conditions)
    assert header.looked_up == ["Modality"]
    absent = compile_condition({"BodyPartExamined": {"exists": True}}, station_names=())
    assert not absent.test(seen)
    assert not absent.test(seen)
    assert header.looked_up == ["Modality", "BodyPartExamined"]


def test_a_simple_predicate_costs_well_under_a_microsecond() -> None:
    condition = compile_condition({"Modality": ["CT", "MR"]}, station_names=())
    seen = facts()
    best = min(_seconds(condition.test, seen) for _ in range(7)) / 20_000
    assert best < 2e-6  # measured: 0.35 µs; the bound leaves room for a busy machine


def _seconds(test: Any, seen: Facts) -> float:
    start = time.perf_counter()
    for _ in range(20_000):
        test(seen)
    return time.perf_counter() - start


def test_an_operator_of_a_third_party_is_used_by_name() -> None:
    longer = Operator(
        name="longer",
        summary="The text is longer than this.",
        schema={"type": "integer"},
        example="longer: 3",
        compile=lambda limit, _: lambda values: any(len(v) > int(limit) for v in values or ()),
    )
    condition = compile_condition(
        {"Modality": {"longer": "1"}}, station_names=(), operators={**BUILT_IN, "longer": longer}
    )
    assert condition.test(facts())
    assert problems({"Modality": {"longer": "1"}})[0].code == "DR101"


def test_the_operators_of_the_folder_are_the_built_in_ones() -> None:
    assert {operator.name: operator for operator in operators()} == BUILT_IN


def test_conditions_that_share_predicates_hold_as_they_would_alone() -> None:
    matches = [
        {"Modality": "CT", "from": "ct-1"},
        {"Modality": ["CT"], "not": {"from": "ct-1"}},
        {"Modality": {"glob": "CT"}},
        {"Modality": {"regex": "CT"}, "from": ["ct-1", "pacs"]},
        {"not": {"Modality": "CT"}},
        {"any": [{"Modality": "MR"}, {"from": "pacs"}]},
    ]
    shared: Predicates = {}
    together = [compile_condition(each, station_names=STATIONS, shared=shared) for each in matches]
    assert len(shared) == 8  # `Modality: CT` and `from: ct-1` are asked twice
    for header in (Header(Modality=("CT",)), Header(Modality=("MR",)), Header()):
        alone = [holds(each, header=header) for each in matches]
        assert [condition.test(facts(header=header)) for condition in together] == alone
