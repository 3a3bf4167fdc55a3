"""The report: one problem for one place, at most fifty, errors first, in order, and a count."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from router.config.problems import as_json, as_sarif, render_all
from router.config.report import MAX_SHOWN, Report
from router.model.problem import Place, Problem


def place(line: int, column: int = 1, file: str = "a.yaml") -> Place:
    return Place(file, line, column)


def seen(report: Report) -> list[tuple[str, int]]:
    return [(problem.code, problem.place.line) for problem in report.problems()]


def test_problems_stand_in_order_of_file_line_and_column():
    report = Report()
    for file, line, column in (("b", 1, 1), ("a", 9, 1), ("a", 10, 2), ("a", 10, 1), ("a", 2, 7)):
        report.error("DR101", "x", place(line, column, file))
    assert [(p.place.file, p.place.line, p.place.column) for p in report.problems()] == [
        *(("a", 2, 7), ("a", 9, 1), ("a", 10, 1), ("a", 10, 2)),
        ("b", 1, 1),
    ]


def test_a_second_error_at_one_place_says_nothing_new():
    report = Report()
    report.error("DR101", "first", place(1))
    report.error("DR102", "second", place(1))
    report.error("DR102", "elsewhere", place(1, 2))
    assert [problem.message for problem in report.problems()] == ["first", "elsewhere"]


def test_different_advice_at_one_place_is_all_told_and_beside_an_error():
    report = Report()
    report.warn("DR312", "a", place(1))
    report.warn("DR315", "b", place(1))
    report.warn("DR312", "again", place(1))
    report.error("DR101", "c", place(1))
    assert seen(report) == [("DR101", 1), ("DR312", 1), ("DR315", 1)]


def test_references_are_not_missed_while_a_file_is():
    report = Report()
    report.is_incomplete = True
    for code in ("DR201", "DR202", "DR203", "DR207"):
        report.error(code, "x", place(1))
    assert not report.has_errors
    report.error("DR210", "x", place(1))
    assert seen(report) == [("DR210", 1)]


def test_fifty_are_shown_without_a_count():
    report = Report()
    for line in range(MAX_SHOWN):
        report.error("DR101", "x", place(line + 1))
    assert len(report.problems()) == MAX_SHOWN
    assert not report.is_full
    report.error("DR101", "x", place(99))
    assert len(report.problems()) == MAX_SHOWN + 1
    assert report.is_full


def test_the_count_stands_where_the_first_hidden_one_does():
    report = Report()
    for line in range(60):
        report.error("DR101", "x", place(line + 1))
    last = report.problems()[-1]
    assert (last.code, last.message, last.place.line) == ("DR099", "and 10 more problems", 51)


def test_errors_are_shown_before_advice():
    report = Report()
    for line in range(60):
        report.warn("DR312", "x", place(line + 1))
    for line in range(5):
        report.error("DR101", "x", place(line + 1000))
    shown = report.problems()
    assert sum(problem.severity == "error" for problem in shown) == 5
    assert shown[-1].severity == "warning"
    assert shown[-1].message == "and 15 more problems"


def test_what_is_dropped_is_counted_too():
    report = Report()
    for line in range(5100):
        report.error("DR101", "x", place(line + 1))
    assert report.problems()[-1].message == "and 5050 more problems"


PROBLEMS = st.builds(
    Problem,
    st.sampled_from(["error", "warning"]),
    st.sampled_from(["DR001", "DR101", "DR201", "DR312", "DR401"]),
    st.text(max_size=30),
    st.builds(Place, st.sampled_from(["a.yaml", "b\\c.yaml"]), *[st.integers(1, 9)] * 3),
    st.text(max_size=9),
    st.text(max_size=9),
    st.none() | st.builds(Place, st.just("o.yaml"), *[st.integers(1, 9)] * 3),
)


@given(st.lists(PROBLEMS, max_size=80))
def test_whatever_is_reported_has_all_its_forms(found):
    report = Report()
    for problem in found:
        report.add(problem)
    shown = report.problems()
    assert len(shown) <= MAX_SHOWN + 1
    assert report.has_errors == any(problem.severity == "error" for problem in found)
    details = [as_json(problem) for problem in shown]
    assert json.loads(json.dumps(details)) == details
    assert all(each["title"] and each["status"] == 422 for each in details)
    sarif = as_sarif(shown, "1")["runs"][0]["results"]
    assert [result["ruleId"] for result in sarif] == [problem.code for problem in shown]
    for result in sarif:
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert region["endColumn"] > region["startColumn"]
        assert "\\" not in location["physicalLocation"]["artifactLocation"]["uri"]
    text = render_all(shown, {"a.yaml": "one\ntwo\n"})
    assert len(text.split("\n\n")) >= len(shown) > 0 or text == ""


def test_two_files_of_one_name_twice_are_told_in_every_form():
    problem = Problem("error", "DR204", "twice", place(3), other=place(1, 2, "b.yaml"), hint="h")
    (result,) = as_sarif([problem], "1")["runs"][0]["results"]
    related = result["relatedLocations"][0]["physicalLocation"]
    assert related["artifactLocation"]["uri"] == "b.yaml"
    assert result["message"]["text"] == "twice. first in b.yaml:1:2; h"
    assert as_json(problem)["other"] == {"file": "b.yaml", "line": 1, "column": 2}
