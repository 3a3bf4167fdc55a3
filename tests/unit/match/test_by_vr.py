"""Operators by VR where it is delicate: name groups, ages, partial dates and times, offsets, items.

Each row: the value an object carries, what a rule asks, whether it holds. By hand from PS3.5 6.2.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.unit.match.test_truth_table import holds

NAMES = [
    ("DOE^JANE", "DOE^JANE", True),
    ("DOE^JANE", "DOE^JANE^^^", True),
    ("DOE^JANE^^^", "DOE^JANE", True),
    ("DOE^JANE ", "DOE^JANE", True),
    ("DOE^JANE", "DOE", False),
    ("DOE^JANE", "DOE^JAN", False),
    ("Yamada^Tarou=山田^太郎", "Yamada^Tarou", True),
    ("Yamada^Tarou=山田^太郎", "山田^太郎", True),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "やまだ^たろう", True),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎", False),
    ("Yamada^Tarou=山田^太郎=", "Yamada^Tarou=山田^太郎", True),
    ("=山田^太郎", "山田^太郎", True),
    ("=山田^太郎", "=山田^太郎", True),
    ("DOE^JANE", ["X", "DOE^JANE"], True),
    ("Yamada^Tarou=山田^太郎", {"glob": "Yamada*"}, True),
    ("Yamada^Tarou=山田^太郎", {"glob": "*太郎"}, True),
    ("Yamada^Tarou=山田^太郎", {"glob": "山田*"}, True),
    ("Yamada^Tarou=山田^太郎", {"glob": "Yamada"}, False),
    ("Yamada^Tarou=山田^太郎", {"regex": "^太"}, False),
    ("Yamada^Tarou=山田^太郎", {"regex": "Tarou=山"}, True),
    (["A^B", "C^D"], "C^D", True),
    (["A^B", "C^D"], {"all": {"glob": "?^?"}}, True),
    (["A^B", "C^D"], {"all": "A^B"}, False),
    (["A^B", "C^D"], {"all": ["A^B", "C^D"]}, True),
]


@pytest.mark.parametrize(("value", "asked", "expected"), NAMES, ids=str)
def test_person_names(value: Any, asked: Any, expected: bool) -> None:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.OtherPatientNames = value
    assert holds({"OtherPatientNames": asked}, data_set) is expected


AGES = [
    ("018Y", {"ge": "18Y"}, True),
    ("018Y", {"gt": "18Y"}, False),
    ("017Y", {"lt": "216M"}, True),
    ("216M", "18Y", True),
    ("012M", "1Y", True),
    ("052W", {"lt": "1Y"}, True),
    ("053W", {"gt": "1Y"}, True),
    ("007D", "1W", True),
    ("030D", {"lt": "1M"}, True),
    ("031D", {"gt": "1M"}, True),
    ("365D", {"lt": "1Y"}, True),
    ("366D", {"gt": "1Y"}, True),
    ("000D", {"between": ["0D", "1D"]}, True),
    ("999Y", {"between": ["1Y", "998Y"]}, False),
]


@pytest.mark.parametrize(("value", "asked", "expected"), AGES, ids=str)
def test_ages(value: str, asked: Any, expected: bool) -> None:
    data_set = Dataset()
    data_set.PatientAge = value
    assert holds({"PatientAge": asked}, data_set) is expected


TIMES = [
    ("10", "10", True),
    ("10", "1000", False),
    ("1000", "10", True),
    ("100000", "1000", True),
    ("100000.0", "100000", True),
    ("100000", "100000.0", False),
    ("10:00:00", "100000", True),
    ("235959.999999", {"le": "23:59"}, True),
    ("235960", {"gt": "235959"}, True),
    ("000000", {"ge": "00"}, True),
    ("000000", {"lt": "00"}, False),
    ("1030", {"gt": "10"}, False),
    ("1030", {"gt": "1029"}, True),
    ("10", {"gt": "0959"}, True),
    ("1030", {"between": ["10", "10"]}, True),
    ("1030", {"between": ["1000", "1029"]}, False),
    ("240000", {"ge": "00"}, False),
    ("noon", {"ge": "00"}, False),
]


@pytest.mark.parametrize(("value", "asked", "expected"), TIMES, ids=str)
def test_times_of_any_precision(value: str, asked: Any, expected: bool) -> None:
    data_set = Dataset()
    data_set.add_new(0x00080030, "LO", value)  # as it may come: written without a check
    assert holds({"StudyTime": asked}, data_set) is expected


DATE_TIMES = [
    ("2024", "2024", True),
    ("2024", "202401", False),
    ("202402", {"gt": "202401"}, True),
    ("202402", {"lt": "2024"}, False),
    ("20240229", {"between": ["202402", "202402"]}, True),
    ("2024022914", "20240229", True),
    ("20240229143015.5", "20240229143015", True),
    # both offsets known: the same instant, whatever the clocks show
    ("20240229140000+0100", "20240229130000+0000", True),
    ("20240229000000+0100", "20240228230000+0000", True),
    ("20240229140000-0500", "20240229190000+0000", True),
    ("20240229140000+0530", "20240229083000+0000", True),
    ("20240229140000+0100", {"lt": "20240229140000+0000"}, True),
    ("20240229140000+0100", {"ge": "20240229140000+0000"}, False),
    ("20240229140000+0100", {"between": ["20240229130000+0000", "20240229130000+0000"]}, True),
    # one offset unknown: as written
    ("20240229140000", "20240229140000+0100", True),
    ("20240229140000+0100", "20240229140000", True),
    ("20240229140000+0100", {"gt": "2024022913"}, True),
    ("20240230", {"ge": "2024"}, False),
    ("2024022914300", {"ge": "2024"}, False),
]


@pytest.mark.parametrize(("value", "asked", "expected"), DATE_TIMES, ids=str)
def test_date_times_of_any_precision_and_offset(value: str, asked: Any, expected: bool) -> None:
    data_set = Dataset()
    data_set.add_new(0x0008002A, "LO", value)
    assert holds({"AcquisitionDateTime": asked}, data_set) is expected


@pytest.mark.parametrize(
    ("value", "asked", "expected"),
    [
        ("20240229", "20240229", True),
        ("2024.02.29", "20240229", True),
        ("20240229", {"between": ["2024.02.01", "2024-03"]}, True),
        ("20230229", {"ge": "2023"}, False),
        ("00010101", {"lt": "0002"}, True),
        ("20241301", {"ge": "2024"}, False),
        (["20230101", "20250101"], {"gt": "2024"}, True),
        (["20230101", "20250101"], {"all": {"gt": "2024"}}, False),
        (["20230101", "20250101"], {"between": ["2024", "2024"]}, False),
    ],
    ids=str,
)
def test_dates(value: Any, asked: Any, expected: bool) -> None:
    data_set = Dataset()
    written = "\\".join(value) if isinstance(value, list) else value
    data_set.add_new(0x00080022, "LO", written)
    assert holds({"AcquisitionDate": asked}, data_set) is expected


def test_one_value_must_meet_every_operator_for_between_but_not_for_two_operators() -> None:
    data_set = Dataset()
    data_set.ImagePositionPatient = [-10, 50, 200]
    assert not holds({"ImagePositionPatient": {"between": ["60", "100"]}}, data_set)
    assert holds({"ImagePositionPatient": {"ge": "60", "le": "100"}}, data_set)
    assert not holds({"ImagePositionPatient": {"all": {"ge": "60", "le": "100"}}}, data_set)


def requests(*steps: str | None) -> Dataset:
    data_set = Dataset()
    data_set.RequestAttributesSequence = []
    for step in steps:
        item = Dataset()
        if step is not None:
            item.ScheduledProcedureStepID = step
        inner = Dataset()
        inner.CodeValue = f"C{step}"
        item.ScheduledProtocolCodeSequence = [inner]
        data_set.RequestAttributesSequence.append(item)
    return data_set


STEP = "ScheduledProcedureStepID"
ITEMS = [
    (("S1", "S2"), f"[*].{STEP}", "S2", True),
    (("S1", "S2"), f"[0].{STEP}", "S2", False),
    (("S1", "S2"), f"[1].{STEP}", "S2", True),
    (("S1", "S2"), f"[2].{STEP}", {"exists": True}, False),
    ((), f"[*].{STEP}", {"exists": False}, True),
    ((), "", {"exists": True}, True),
    ((None, None), f"[*].{STEP}", {"exists": True}, False),
    ((None, "S2"), f"[*].{STEP}", {"exists": True}, True),
    (("", "S2"), f"[0].{STEP}", {"empty": True}, True),
    (("", "S2"), f"[*].{STEP}", {"empty": True}, False),
    (("S1", "T2"), f"[*].{STEP}", {"all": {"glob": "S*"}}, False),
    (("S1", "S2"), "[*].ScheduledProtocolCodeSequence[*].CodeValue", "CS2", True),
    (("S1", "S2"), "[0].ScheduledProtocolCodeSequence[0].CodeValue", "CS2", False),
    (("S1", "S2"), "[1].ScheduledProtocolCodeSequence[0].CodeValue", {"glob": "*2"}, True),
    (("S1", "S2"), "[*].ScheduledProtocolCodeSequence[1].CodeValue", {"exists": False}, True),
]


@pytest.mark.parametrize(("steps", "below", "asked", "expected"), ITEMS, ids=str)
def test_items_of_sequences(steps: Any, below: str, asked: Any, expected: bool) -> None:
    assert holds({f"RequestAttributesSequence{below}": asked}, requests(*steps)) is expected


def test_private_attributes_are_found_by_creator_wherever_their_block_lies() -> None:
    data_set = Dataset()
    data_set.private_block(0x0009, "FIRST", create=True).add_new(0x01, "LO", "one")
    data_set.private_block(0x0009, "SECOND", create=True).add_new(0x01, "LO", "two")
    data_set.private_block(0x0011, "FIRST", create=True).add_new(0x01, "DS", ["1.5", "-2"])
    assert holds({"0009,[FIRST],01": "one", "0009,[SECOND],01": "two"}, data_set)
    assert not holds({"0009,[FIRST],01": "two"}, data_set)
    assert holds({"0009,[THIRD],01": {"exists": False}}, data_set)
    assert holds({"0011,[FIRST],01": {"lt": "-1"}}, data_set)
    assert holds({"0009,1101": "two", "0009,0011": "SECOND"}, data_set)
    assert not holds({"0009,[SECOND],02": {"exists": True}}, data_set)


def test_a_private_creator_counts_in_its_own_item_only() -> None:
    data_set = requests("S1", "S2")
    item = data_set.RequestAttributesSequence[1]
    item.private_block(0x0009, "ACME", create=True).add_new(0x01, "LO", "inner")
    assert holds({"RequestAttributesSequence[*].0009,[ACME],01": "inner"}, data_set)
    assert not holds({"0009,[ACME],01": {"exists": True}}, data_set)
    assert not holds({"RequestAttributesSequence[0].0009,[ACME],01": {"exists": True}}, data_set)


TEXTS = [
    ("SH", "AccessionNumber", "A1", "A1 ", True),
    ("SH", "AccessionNumber", " A1", "A1", False),
    ("LO", "StudyDescription", "a\\b", "b", True),
    ("LT", "PatientComments", "a\\b", "a\\b", True),
    ("LT", "PatientComments", "a\\b", "b", False),
    ("CS", "Modality", " CT ", "CT", True),
    ("AE", "RetrieveAETitle", "  PACS", "PACS", True),
    ("LO", "SeriesNumber", " 7 ", 7, True),
    ("LO", "SliceThickness", "1.50", "1.5", True),
    ("LO", "SliceThickness", "15e-1", "1.5", True),
    ("LO", "SliceThickness", "-0", "0", True),
    ("LO", "SeriesNumber", "9007199254740993", "9007199254740992", False),
]


@pytest.mark.parametrize(("vr", "keyword", "value", "asked", "expected"), TEXTS, ids=str)
def test_texts_and_numbers_in_text(
    vr: str, keyword: str, value: str, asked: Any, expected: bool
) -> None:
    data_set = Dataset()
    data_set.add_new(keyword, vr, value)  # LO carries what a strict writer would not
    assert holds({keyword: asked}, data_set) is expected
