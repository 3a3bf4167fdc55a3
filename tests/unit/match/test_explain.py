"""What people are told of a condition: one row for each predicate, with what was asked and seen."""

from __future__ import annotations

from typing import Any

import pytest

from router.match.condition import BUILT_IN, compile_condition
from router.match.named_facts import FACTS
from tests.unit.match.test_conditions import STATIONS, Header, facts

HEADER = {
    "Modality": ("CT",),
    "PatientName": ("DOE^JANE=X",),
    "ImageType": ("ORIGINAL", "AXIAL"),
    "SeriesNumber": ("7",),
    "Rows": (512,),
    "StudyDate": ("20240229",),
    "AccessionNumber": (),
    "PatientComments": ("a: b, [c]",),
}
ROWS: list[tuple[dict[str, Any], str, str, bool]] = [
    ({"Modality": "CT"}, "Modality: CT", "CT", True),
    ({"Modality": {"equals": "MR"}}, "Modality: {equals: MR}", "CT", False),
    ({"Modality": ["MR", "CT"]}, "Modality: [MR, CT]", "CT", True),
    ({"Modality": {"any": ["MR"]}}, "Modality: {any: [MR]}", "CT", False),
    (
        {"ImageType": {"all": {"glob": "*AL"}}},
        'ImageType: {all: {glob: "*AL"}}',
        "ORIGINAL\\AXIAL",
        True,
    ),
    ({"SeriesNumber": {"gt": 6}}, "SeriesNumber: {gt: 6}", "7", True),
    ({"SeriesNumber": {"ge": "7.5"}}, "SeriesNumber: {ge: 7.5}", "7", False),
    ({"Rows": {"lt": "513"}}, "Rows: {lt: 513}", "512", True),
    ({"StudyDate": {"le": "2024"}}, "StudyDate: {le: 2024}", "20240229", True),
    ({"Rows": {"between": ["1", "9"]}}, "Rows: {between: [1, 9]}", "512", False),
    ({"PatientName": {"glob": "D*"}}, 'PatientName: {glob: "D*"}', "DOE^JANE=X", True),
    ({"PatientName": {"regex": "^J"}}, "PatientName: {regex: ^J}", "DOE^JANE=X", False),
    ({"StudyID": {"exists": False}}, "StudyID: {exists: false}", "absent", True),
    ({"AccessionNumber": {"empty": "true"}}, "AccessionNumber: {empty: true}", "empty", True),
    ({"PatientComments": "a: b, [c]"}, 'PatientComments: "a: b, [c]"', "a: b, [c]", True),
    ({"Rows": {"ge": 1, "lt": 9}}, "Rows: {ge: 1, lt: 9}", "512", False),
    ({"from": "ct-1"}, "from: ct-1", "ct-1", True),
    ({"calling_ae_title": {"glob": "X*"}}, 'calling_ae_title: {glob: "X*"}', "CT1", False),
    ({"called_ae_title": ["A", "EDGE_A"]}, "called_ae_title: [A, EDGE_A]", "EDGE_A", True),
    ({"listener": "wan"}, "listener: wan", "lan", False),
    ({"address": "10.0.0.0/8"}, "address: 10.0.0.0/8", "10.1.1.21", True),
    ({"organization": "Hospital A"}, "organization: Hospital A", "Hospital A", True),
    (
        {"transfer_syntax": "ImplicitVRLittleEndian"},
        "transfer_syntax: ImplicitVRLittleEndian",
        "1.2.840.10008.1.2.1 (Explicit VR Little Endian)",
        False,
    ),
    (
        {"sop_class": "CTImageStorage"},
        "sop_class: CTImageStorage",
        "1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)",
        True,
    ),
    ({"time": "20:00-21:00"}, 'time: "20:00-21:00"', "20:30", True),
    ({"weekday": ["sat", "sun"]}, "weekday: [sat, sun]", "mon", False),
]


@pytest.mark.parametrize(("match", "asked", "seen", "held"), ROWS, ids=[row[1] for row in ROWS])
def test_a_row_says_what_was_asked_what_was_seen_and_whether_it_held(
    match: dict[str, Any], asked: str, seen: str, held: bool
) -> None:
    condition = compile_condition(match, station_names=STATIONS)
    about = facts(Header(**HEADER))
    assert condition.explain(about) == ((asked, seen, held),)
    assert condition.test(about) is held


def test_every_operator_and_every_fact_has_a_row_above() -> None:
    written = {key for match, *_ in ROWS for key in match}
    operators = {
        name
        for match, *_ in ROWS
        for value in match.values()
        if isinstance(value, dict)
        for name in value
    }
    assert set(FACTS) <= written
    assert set(BUILT_IN) <= operators


@pytest.mark.parametrize(("match", "asked", "seen", "held"), ROWS, ids=[row[1] for row in ROWS])
def test_in_a_negation_the_row_holds_when_the_predicate_does_not(
    match: dict[str, Any], asked: str, seen: str, held: bool
) -> None:
    condition = compile_condition({"not": match}, station_names=STATIONS)
    assert condition.explain(facts(Header(**HEADER))) == ((f"not {asked}", seen, not held),)


def test_rows_come_in_the_order_of_writing_through_all_combinators() -> None:
    match = {
        "all": [{"Modality": "CT"}, {"any": [{"Rows": 1}, {"not": {"SeriesNumber": 7}}]}],
        "not": {"any": [{"StudyID": {"exists": True}}]},
        "from": "pacs",
    }
    condition = compile_condition(match, station_names=STATIONS)
    about = facts(Header(**HEADER))
    assert [(row[0], row[2]) for row in condition.explain(about)] == [
        ("Modality: CT", True),
        ("any 1: Rows: 1", False),
        ("any 2: not SeriesNumber: 7", False),
        ("not any 1: StudyID: {exists: true}", True),
        ("from: pacs", False),
    ]
    assert condition.test(about) is False


def test_explaining_reads_no_attribute_twice_and_what_is_explained_first_is_tested_alike() -> None:
    header = Header(**HEADER)
    about = facts(header)
    condition = compile_condition(
        {"Modality": "CT", "any": [{"Modality": "MR"}, {"Modality": "CT"}]}, station_names=()
    )
    condition.explain(about)
    assert condition.test(about) is True
    assert header.looked_up == ["Modality"]
