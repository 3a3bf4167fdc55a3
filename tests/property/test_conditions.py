"""Conditions are total: whatever values a data set holds, they answer and never raise."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicom.values import Attribute
from router.match.condition import compile_condition
from router.match.facts import Facts
from router.match.moments import age_stretch, date_stretch, date_time_stretch, time_stretch
from router.match.pattern import compile_glob
from router.model.instance import Source
from router.model.path import Path

KEYS = (
    *("PatientName", "PatientID", "StudyDescription", "Modality", "RetrieveAETitle"),
    *("StudyInstanceUID", "FrameIncrementPointer", "PatientComments", "0009,[ACME],01"),
)
ORDERED = {
    "SeriesNumber": "5",
    "SliceThickness": "1.5",
    "Rows": "512",
    "TableSpeed": "0.1",
    "ExaminedBodyThickness": "0.1",
    "StudyDate": "2024",
    "StudyTime": "1430",
    "AcquisitionDateTime": "20240131120000+0100",
    "PatientAge": "18Y",
}
TESTS: tuple[Any, ...] = (
    {"glob": "*a?[!b]*"},
    {"regex": r"(\w+\s?)*$"},
    {"exists": True},
    {"exists": False},
    {"empty": True},
    {"empty": False},
    {"all": {"regex": "^[0-9.,]*$"}},
)
LITERALS = {"StudyInstanceUID": "1.2.3", "FrameIncrementPointer": "0018,1063"}

values = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.text(alphabet="0123456789.+-:DWMYe ^=\\", max_size=30),
        st.integers(),
        st.floats(),
        st.text(alphabet=st.characters(categories=["Cs"]), max_size=3),
    ),
    max_size=4,
).map(tuple)


class Header:
    def __init__(self, found: tuple[Any, ...] | None) -> None:
        self.found = found

    def get(self, path: Path) -> Attribute | None:
        return None if self.found is None else Attribute(path.steps[-1].tag, "LO", self.found)


def conditions() -> list[Any]:
    matches: list[Any] = [{key: test} for key in (*KEYS, *ORDERED) for test in TESTS]
    matches += [{key: LITERALS.get(key, "abc")} for key in KEYS]
    for key, literal in ORDERED.items():
        matches += [{key: literal}, {key: [literal]}, {key: {"between": [literal, literal]}}]
        matches += [{key: {operator: literal}} for operator in ("gt", "ge", "lt", "le")]
        matches += [{"not": {key: {"all": {"ge": literal}}}}]
    return [compile_condition(match, station_names=()) for match in matches]


CONDITIONS = conditions()
SOURCE = Source("lan", "CT1", "EDGE", "10.0.0.1")


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.none(), values))
def test_no_condition_raises_on_any_value(found: tuple[Any, ...] | None) -> None:
    for condition in CONDITIONS:
        facts = Facts(Header(found), SOURCE, "1.2", "1.2", 0.0)
        answer = condition.test(facts)
        assert isinstance(answer, bool)
        assert [row[2] for row in condition.explain(facts)] == [answer]


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_condition_and_its_negation_never_agree(found: tuple[Any, ...]) -> None:
    for key in ("PatientName", "SeriesNumber", "StudyDate"):
        match = {key: {"regex": "1"}}
        facts = Facts(Header(found), SOURCE, "1.2", "1.2", 0.0)
        direct = compile_condition(match, station_names=()).test(facts)
        assert compile_condition({"not": match}, station_names=()).test(facts) is not direct


@given(st.text(max_size=70))
def test_moments_are_none_or_a_stretch_that_does_not_run_backwards(text: str) -> None:
    for parse in (date_stretch, time_stretch, date_time_stretch, age_stretch):
        found = parse(text)
        assert found is None or found[0] <= found[1]


@given(st.dates(), st.times())
def test_every_date_and_time_lies_in_its_day(date: Any, time: Any) -> None:
    stamp = f"{date:%Y}".zfill(4) + f"{date:%m%d}{time:%H%M%S.%f}"
    whole, day = date_time_stretch(stamp), date_time_stretch(stamp[:8])
    assert whole is not None
    assert day is not None
    assert day[0] <= whole[0] <= whole[1] <= day[1]
    assert day == date_stretch(stamp[:8])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_a_glob_is_what_its_regular_expression_says(glob: str, text: str) -> None:
    expected = "".join({"*": ".*", "?": "."}.get(character, character) for character in glob)
    assert compile_glob(glob, None)((text,)) is bool(re.fullmatch(expected, text, re.DOTALL))
