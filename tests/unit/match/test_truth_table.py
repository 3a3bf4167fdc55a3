"""Operator × VR × multiplicity × absence, over real encoded data sets; expected values by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from router.dicom.header import HeaderReader
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.match.condition import compile_condition
from router.match.facts import Facts
from router.model.instance import Source


def encoded(data_set: Dataset, *, implicit: bool = False) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def holds(match: dict[str, Any], data_set: Dataset, *, implicit: bool = False) -> bool:
    condition = compile_condition(match, station_names=())
    syntax = IMPLICIT_VR_LITTLE_ENDIAN if implicit else EXPLICIT_VR_LITTLE_ENDIAN
    reader = HeaderReader(syntax, condition.needs)
    reader.feed(encoded(data_set, implicit=implicit))
    reader.finish()
    source = Source("lan", "CT1", "EDGE", "10.0.0.1")
    facts = Facts(reader, source, syntax, "1.2.840.10008.5.1.4.1.1.2", 0.0)
    answer = condition.test(facts)
    assert all(isinstance(row[2], bool) for row in condition.explain(facts))
    return answer


def image() -> Dataset:
    data_set = Dataset()
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data_set.StudyDate = "20240229"
    data_set.StudyTime = "143015.5"
    data_set.AcquisitionDateTime = "20240229143015+0100"
    data_set.AccessionNumber = ""
    data_set.Modality = "CT"
    data_set.RetrieveAETitle = [" PACS", "BACKUP"]
    data_set.StudyDescription = "CT Chest "
    data_set.PatientName = "Yamada^Tarou^^=山田^太郎"
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.PatientID = "0012"
    data_set.PatientAge = "012M"
    data_set.SliceThickness = "1.50"
    data_set.EchoTime = None
    data_set.StudyInstanceUID = "1.2.840.1"
    data_set.SeriesNumber = "+7"
    data_set.ImagePositionPatient = [-10.5, 0, 200]
    data_set.Rows = 512
    data_set.ExaminedBodyThickness = 0.1
    data_set.TableSpeed = 2.5
    data_set.FrameIncrementPointer = 0x00181063
    item = Dataset()
    item.ScheduledProcedureStepID = "S1"
    other = Dataset()
    other.ScheduledProcedureStepID = "S2"
    data_set.RequestAttributesSequence = [item, other]
    block = data_set.private_block(0x0009, "ACME", create=True)
    block.add_new(0x01, "LO", "SECRET")
    block.add_new(0x02, "US", 7)
    block.add_new(0x03, "IS", ["1", "20"])
    return data_set


TABLE: list[tuple[dict[str, Any], bool]] = [
    # text
    ({"Modality": "CT"}, True),
    ({"Modality": "CT "}, True),
    ({"Modality": "ct"}, False),
    ({"Modality": ["MR", "CT"]}, True),
    ({"Modality": ["MR", "MG"]}, False),
    ({"Modality": {"any": ["MR", "CT"]}}, True),
    ({"Modality": {"equals": "CT"}}, True),
    ({"StudyDescription": "CT Chest"}, True),
    ({"PatientID": "0012"}, True),
    ({"PatientID": "12"}, False),
    ({"0010,0020": "0012"}, True),
    ({"00100020": "0012"}, True),
    ({"RetrieveAETitle": "PACS"}, True),
    ({"RetrieveAETitle": "BACKUP"}, True),
    # glob and regex: whole value against search
    ({"PatientID": {"glob": "00*"}}, True),
    ({"PatientID": {"glob": "0?1?"}}, True),
    ({"PatientID": {"glob": "0"}}, False),
    ({"PatientID": {"glob": "[0-1][!1-9]1[24]"}}, True),
    ({"PatientID": {"glob": "[!0]*"}}, False),
    ({"StudyDescription": {"glob": "*chest*"}}, False),
    ({"StudyDescription": {"glob": "*Chest"}}, True),
    ({"StudyDescription": {"regex": "Ch"}}, True),
    ({"StudyDescription": {"regex": "(?i)CHEST$"}}, True),
    ({"StudyDescription": {"regex": "^Chest"}}, False),
    ({"StudyDescription": {"glob": ["x"]}}, "refused"),
    # several values: any one does; `all` asks every one
    ({"ImageType": "PRIMARY"}, True),
    ({"ImageType": {"glob": "AX*"}}, True),
    ({"ImageType": {"all": ["ORIGINAL", "PRIMARY", "AXIAL"]}}, True),
    ({"ImageType": {"all": ["ORIGINAL", "PRIMARY"]}}, False),
    ({"ImageType": {"all": {"regex": "[AI]"}}}, True),
    ({"ImageType": {"all": {"glob": "*AL", "regex": "A"}}}, False),
    ({"ImagePositionPatient": {"all": {"ge": "-11", "le": "200"}}}, True),
    ({"ImagePositionPatient": {"all": {"ge": "0"}}}, False),
    ({"AccessionNumber": {"all": {"glob": "*"}}}, False),
    # numbers
    ({"SeriesNumber": "7"}, True),
    ({"SeriesNumber": 7}, True),
    ({"SeriesNumber": "007"}, True),
    ({"SeriesNumber": "8"}, False),
    ({"SeriesNumber": {"gt": "6"}}, True),
    ({"SeriesNumber": {"gt": "7"}}, False),
    ({"SeriesNumber": {"ge": "7"}}, True),
    ({"SeriesNumber": {"lt": "7"}}, False),
    ({"SeriesNumber": {"lt": "10"}}, True),
    ({"SeriesNumber": {"le": "7"}}, True),
    ({"SeriesNumber": {"between": ["7", "9"]}}, True),
    ({"SeriesNumber": {"between": ["8", "9"]}}, False),
    ({"SliceThickness": "1.5"}, True),
    ({"SliceThickness": {"le": "1.5"}}, True),
    ({"SliceThickness": {"between": ["1", "1.4"]}}, False),
    ({"Rows": "512"}, True),
    ({"Rows": {"gt": "511.5"}}, True),
    ({"Rows": {"regex": "^51"}}, True),
    ({"ExaminedBodyThickness": "0.1"}, True),
    ({"TableSpeed": "2.5"}, True),
    ({"ImagePositionPatient": {"lt": "-10"}}, True),
    ({"ImagePositionPatient": {"gt": "200"}}, False),
    # dates, times, both, ages
    ({"StudyDate": "20240229"}, True),
    ({"StudyDate": "2024-02-29"}, True),
    ({"StudyDate": "2024.02.29"}, True),
    ({"StudyDate": "2024"}, True),
    ({"StudyDate": "202402"}, True),
    ({"StudyDate": "202403"}, False),
    ({"StudyDate": "202401"}, False),
    ({"StudyDate": {"ge": "2024"}}, True),
    ({"StudyDate": {"gt": "2024"}}, False),
    ({"StudyDate": {"le": "2024"}}, True),
    ({"StudyDate": {"lt": "20240301"}}, True),
    ({"StudyDate": {"lt": "202402"}}, False),
    ({"StudyDate": {"between": ["20240201", "20240229"]}}, True),
    ({"StudyDate": {"glob": "2024*"}}, True),
    ({"StudyTime": "1430"}, True),
    ({"StudyTime": "14:30:15"}, True),
    ({"StudyTime": "14:30:15.5"}, True),
    ({"StudyTime": "14:30:15.51"}, False),
    ({"StudyTime": {"ge": "14"}}, True),
    ({"StudyTime": {"gt": "14"}}, False),
    ({"StudyTime": {"lt": "143016"}}, True),
    ({"AcquisitionDateTime": "20240229"}, True),
    ({"AcquisitionDateTime": "20240229143015"}, True),
    ({"AcquisitionDateTime": "20240229133015+0000"}, True),
    ({"AcquisitionDateTime": "20240229143015+0000"}, False),
    ({"AcquisitionDateTime": {"lt": "20240229133016+0000"}}, True),
    ({"AcquisitionDateTime": {"gt": "20240229133016+0000"}}, False),
    ({"PatientAge": "001Y"}, True),
    ({"PatientAge": "1Y"}, True),
    ({"PatientAge": {"lt": "18Y"}}, True),
    ({"PatientAge": {"gt": "50W"}}, True),
    ({"PatientAge": {"gt": "366D"}}, False),
    # UIDs, person names, tags
    ({"StudyInstanceUID": "1.2.840.1"}, True),
    ({"StudyInstanceUID": "1.2.840"}, False),
    ({"StudyInstanceUID": {"glob": "1.2.840.*"}}, True),
    ({"PatientName": "Yamada^Tarou"}, True),
    ({"PatientName": "Yamada^Tarou^"}, True),
    ({"PatientName": "山田^太郎"}, True),
    ({"PatientName": "Yamada^Tarou=山田^太郎"}, True),
    ({"PatientName": "Yamada"}, False),
    ({"PatientName": "YAMADA^TAROU"}, False),
    ({"PatientName": {"glob": "Yamada*"}}, True),
    ({"PatientName": {"regex": "^山田"}}, True),
    ({"FrameIncrementPointer": "0018,1063"}, True),
    ({"FrameIncrementPointer": "00181064"}, False),
    # presence: absent meets `exists: false` and nothing else
    ({"Modality": {"exists": "true"}}, True),
    ({"Modality": {"exists": "false"}}, False),
    ({"AccessionNumber": {"exists": True}}, True),
    ({"AccessionNumber": {"exists": False}}, False),
    ({"AccessionNumber": {"empty": "true"}}, True),
    ({"AccessionNumber": {"empty": "false"}}, False),
    ({"AccessionNumber": {"glob": "*"}}, False),
    ({"AccessionNumber": {"regex": ""}}, False),
    ({"Modality": {"empty": False}}, True),
    ({"Modality": {"empty": True}}, False),
    ({"BodyPartExamined": {"exists": False}}, True),
    ({"BodyPartExamined": {"exists": True}}, False),
    ({"BodyPartExamined": {"empty": True}}, False),
    ({"BodyPartExamined": {"empty": False}}, False),
    ({"BodyPartExamined": "CHEST"}, False),
    ({"BodyPartExamined": {"glob": "*"}}, False),
    ({"BodyPartExamined": {"regex": ""}}, False),
    ({"BodyPartExamined": {"all": {"glob": "*"}}}, False),
    ({"EchoTime": {"lt": "5"}}, False),
    ({"EchoTime": {"empty": True}}, True),
    ({"InstanceNumber": {"lt": "5"}}, False),
    ({"InstanceNumber": {"gt": "5"}}, False),
    ({"AcquisitionDate": {"le": "2030"}}, False),
    # sequences and private attributes
    ({"RequestAttributesSequence": {"exists": True}}, True),
    ({"RequestAttributesSequence[*].ScheduledProcedureStepID": "S2"}, True),
    ({"RequestAttributesSequence[0].ScheduledProcedureStepID": "S2"}, False),
    ({"RequestAttributesSequence[1].ScheduledProcedureStepID": "S2"}, True),
    ({"RequestAttributesSequence[2].ScheduledProcedureStepID": {"exists": False}}, True),
    ({"RequestAttributesSequence[*].ScheduledProcedureStepID": {"all": {"glob": "S*"}}}, True),
    ({"RequestAttributesSequence[*].ScheduledProcedureStepID": {"all": "S1"}}, False),
    ({"0009,[ACME],01": "SECRET"}, True),
    ({"0009,[ACME],02": "7"}, True),
    ({"0009,[ACME],02": {"gt": "6"}}, True),
    ({"0009,[ACME],03": {"gt": "19"}}, True),
    ({"0009,[ACME],01": {"regex": "SEC"}}, True),
    ({"0009,[OTHER],01": {"exists": True}}, False),
    # combinators
    ({"Modality": "CT", "PatientID": "x"}, False),
    ({"not": {"Modality": "CT"}}, False),
    ({"not": {"Modality": "CT", "PatientID": "x"}}, True),
    ({"not": {"BodyPartExamined": "CHEST"}}, True),
    ({"any": [{"Modality": "MR"}, {"PatientID": "0012"}]}, True),
    ({"any": [{"Modality": "MR"}, {"PatientID": "x"}]}, False),
    ({"all": [{"Modality": "CT"}, {"not": {"PatientID": "x"}}]}, True),
    ({"all": [{"Modality": "CT"}, {"PatientID": "x"}]}, False),
    ({"Modality": [{"glob": "M*"}, "CT"]}, True),
    ({"Modality": [{"glob": "M*"}, "US"]}, False),
    ({"Modality": {"glob": "C*", "regex": "R"}}, False),
    ({}, True),
]


@pytest.mark.parametrize(
    ("match", "expected"), [row for row in TABLE if row[1] != "refused"], ids=str
)
def test_truth_table(match: dict[str, Any], expected: bool) -> None:
    assert holds(match, image()) is expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [row for row in TABLE if row[1] != "refused" and not any("ACME" in key for key in row[0])],
    ids=str,
)
def test_truth_table_in_implicit_vr(match: dict[str, Any], expected: bool) -> None:
    assert holds(match, image(), implicit=True) is expected


@pytest.mark.parametrize(
    ("age", "expected"), [("017Y", True), ("018Y", False), ("216M", False), ("XX", False)]
)
def test_ages_are_compared_across_units(age: str, expected: bool) -> None:
    data_set = Dataset()
    data_set.add_new("PatientAge", "LO" if age == "XX" else "AS", age)
    assert holds({"PatientAge": {"lt": "18Y"}}, data_set) is expected


def test_a_value_of_little_precision_is_neither_before_nor_after_what_it_contains() -> None:
    data_set = Dataset()
    data_set.StudyTime = "10"
    assert not holds({"StudyTime": {"lt": "1030"}}, data_set)
    assert not holds({"StudyTime": {"ge": "1030"}}, data_set)
    assert not holds({"StudyTime": {"le": "1030"}}, data_set)
    assert holds({"StudyTime": {"le": "10"}}, data_set)
    assert not holds({"StudyTime": "1030"}, data_set)
    assert holds({"StudyTime": {"lt": "11"}}, data_set)


@pytest.mark.parametrize("value", ["not a number", "1e999", "9" * 400, "", "1_000", "٣"])
def test_what_is_no_number_compares_with_nothing(value: str) -> None:
    data_set = Dataset()
    data_set.add_new(0x00200011, "LO", value)  # hostile: text where the dictionary says IS
    for operator in ("gt", "ge", "lt", "le"):
        assert not holds({"SeriesNumber": {operator: "0"}}, data_set)
    assert not holds({"SeriesNumber": "1000"}, data_set)
