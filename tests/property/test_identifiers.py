"""Identifiers: written and read back the same; hostile bytes and keys end in an answer."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.identifier import decode_identifier, encode_identifier
from router.dicom.json_model import from_json, to_json
from router.dicom.keys import parse_keys
from router.dicom.matching import matches, wildcard
from router.errors import BadDataset
from router.model.query import DataElement

SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]
NAMES = ["Yamada^Tarou=山田^太郎=やまだ^たろう", "김희중", "Διονυσιος", "Conceição^João", "A^B"]
TEXTS = st.text(
    st.characters(exclude_characters="\\\0\x1b", exclude_categories=["Cs"]), max_size=20
)
PLAIN = {
    0x00100010: st.sampled_from(NAMES).map(lambda name: DataElement("PN", (name,))),
    0x00081030: TEXTS.map(str.strip)
    .filter(lambda text: text and text[-1].isprintable())
    .map(lambda text: DataElement("LO", (text,))),
    0x00080020: st.sampled_from(["20200101-", "-20201231", "20200229"]).map(
        lambda text: DataElement("DA", (text,))
    ),
    0x0020000D: st.just(DataElement("UI", ("1.2.3", "1.2.45"))),
    0x00280010: st.integers(0, 65535).map(lambda number: DataElement("US", (number,))),
    0x00080061: st.just(DataElement("CS", ())),
}
LEVEL = st.fixed_dictionaries({}, optional=PLAIN)
IDENTIFIERS = st.fixed_dictionaries(
    {},
    optional={
        **PLAIN,
        0x00400275: st.lists(LEVEL, max_size=2).map(lambda items: DataElement("SQ", tuple(items))),
    },
)


@given(IDENTIFIERS, st.sampled_from(SYNTAXES), st.sampled_from(["ISO_IR 192", "ISO_IR 100"]))
def test_written_and_read_back_are_the_same(identifier, syntax, character_set):
    written = encode_identifier(identifier, syntax, character_set)
    read = decode_identifier(written, syntax)
    read.pop(0x00080005, None)
    assert read == identifier


@given(IDENTIFIERS)
def test_json_and_back_are_the_same(identifier):
    assert from_json(to_json(identifier)) == identifier


@given(st.binary(max_size=400), st.sampled_from(SYNTAXES))
def test_any_bytes_are_an_identifier_or_a_clear_error(data, syntax):
    try:
        decode_identifier(data, syntax)
    except BadDataset as error:
        assert str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["00100010", "vr", "Value", "00400275", "00280010", "x"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_data_set_or_a_clear_error(document):
    try:
        from_json(document)
    except BadDataset as error:
        assert str(error)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_agree_with_the_standard_library(pattern, text):
    assert wildcard(pattern)(text) == fnmatch.fnmatchcase(text, pattern)


def test_wildcards_are_linear():
    assert not wildcard("*a" * 500 + "b")("a" * 100_000)


@pytest.mark.parametrize(
    ("key", "keyword", "value", "fits"),
    [
        ("PatientName=yamada*", "PatientName", "Yamada^Tarou=山田^太郎", True),
        ("PatientName=*=山田*", "PatientName", "Yamada^Tarou=山田^太郎", True),
        ("PatientName=*=鈴木*", "PatientName", "Yamada^Tarou=山田^太郎", False),
        ("PatientName=山田^太郎", "PatientName", "Yamada^Tarou=山田^太郎", True),
        ("PatientName=Doe^John^^", "PatientName", "DOE^JOHN", True),
        ("PatientID=a", "PatientID", "A", False),
        ("PatientID=A*", "PatientID", "A1", True),
        ("PatientID=*", "PatientID", "", True),
        ("PatientID=A", "PatientID", "", False),
        ("StudyDate=20200101-20201231", "StudyDate", "20200630", True),
        ("StudyDate=20200101-20201231", "StudyDate", "20210101", False),
        ("StudyDate=20200101-", "StudyDate", "2020.01.01", True),
        ("StudyDate=-20200101", "StudyDate", "", False),
        ("StudyTime=10-12", "StudyTime", "125959.5", True),
        ("StudyTime=1000-1159", "StudyTime", "120000", False),
        ("StudyTime=10", "StudyTime", "103000", True),
        ("AcquisitionDateTime=2020-2021", "AcquisitionDateTime", "20210707101010", True),
        ("AcquisitionDateTime=20200101-0500", "AcquisitionDateTime", "20200101", True),
        (r"ModalitiesInStudy=CT\MR", "ModalitiesInStudy", r"SR\MR", True),
        ("ModalitiesInStudy=CT", "ModalitiesInStudy", r"SR\MR", False),
        (r"StudyInstanceUID=1.2\1.3", "StudyInstanceUID", "1.3", True),
        ("StudyInstanceUID=1.*", "StudyInstanceUID", "1.3", False),
        ("InstanceNumber=7", "InstanceNumber", "+07", True),
    ],
)
def test_matching_follows_the_rules_of_c_find(key, keyword, value, fits):
    found = parse_keys([f"{keyword}={value}"])
    assert matches(parse_keys([key]), found) is fits


def test_sequences_match_by_one_item():
    found = parse_keys(["RequestAttributesSequence[0].ScheduledProcedureStepID=7"])
    for value, fits in (("7", True), ("8", False), ("", True)):
        key = f"RequestAttributesSequence[0].ScheduledProcedureStepID={value}"
        assert matches(parse_keys([key]), found) is fits
    assert matches(parse_keys(["RequestAttributesSequence"]), {})
