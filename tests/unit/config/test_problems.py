"""How problems look: carets in their column whatever the line holds, JSON, SARIF."""

from __future__ import annotations

import json

import pytest

from router.config.context import offset_in_source
from router.config.problems import MAX_SOURCE_WIDTH, as_json, as_sarif, render
from router.model.problem import Place, Problem


def problem(column: int, length: int = 1, line: int = 1, **more) -> Problem:
    return Problem("error", "DR101", "wrong", Place("rules/a.yaml", line, column, length), **more)


def test_it_looks_as_in_the_manual():
    wrong = Problem(
        "error",
        "DR210",
        "'StudyDescripton' is no DICOM keyword",
        Place("rules/20-cloud.yaml", 9, 7, 15),
        hint="did you mean 'StudyDescription' (0008,1030)?",
    )
    lines = [""] * 8 + ["      StudyDescripton: {regex: chest}"]
    assert render(wrong, lines) == (
        "rules/20-cloud.yaml:9:7: error DR210: 'StudyDescripton' is no DICOM keyword\n"
        "  |\n"
        "9 |       StudyDescripton: {regex: chest}\n"
        "  |       ^^^^^^^^^^^^^^^ did you mean 'StudyDescription' (0008,1030)?"
    )


@pytest.mark.parametrize(
    ("line", "column", "length", "indent", "width"),
    [
        ("abc", 2, 1, 1, 1),
        ("放射x", 3, 1, 4, 1),
        ("x放射", 2, 2, 1, 4),
        ("e\u0301x", 3, 1, 1, 1),
        ("\tx", 2, 1, 1, 1),
        ("abc", 4, 1, 3, 1),
        ("abc", 40, 9, 3, 1),
        ("abc", 2, 99, 1, 2),
        ("", 1, 1, 0, 1),
    ],
)
def test_the_caret_stands_in_its_column(line, column, length, indent, width):
    caret = render(problem(column, length), [line]).split("\n")[-1]
    assert caret == "  | " + " " * indent + "^" * width


@pytest.mark.parametrize("column", [1, 50, 2500, 4990, 5000])
@pytest.mark.parametrize("sign", ["x", "放"])
def test_long_lines_are_cut_around_the_caret(column, sign):
    line = sign * (column - 1) + "!" + sign * (5000 - column)
    *_, source, caret = render(problem(column, 3), [line]).split("\n")
    assert len(source) <= MAX_SOURCE_WIDTH + 8
    before = source[4 : source.index("!")]
    wide = sum(2 if each == "放" else 1 for each in before)
    assert caret.index("^") - 4 == wide


def test_nothing_from_a_file_controls_the_terminal():
    wrong = Problem("error", "DR101", "unknown key '\x1b[31m\u202e'", Place("a\x1b.yaml", 1, 1))
    shown = render(wrong, ["\x1b]0;title\x07 \u202eevil"])
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_a_place_outside_the_text_still_shows():
    assert (
        render(problem(1, line=9, hint="why"), ["x"])
        == "rules/a.yaml:9:1: error DR101: wrong\n  = why"
    )


def test_problem_details_hold_what_a_page_needs():
    other = Place("rules/b.yaml", 4, 2)
    details = as_json(problem(3, 2, path="stations.a", hint="h", other=other))
    assert details["type"] == "urn:dicom-router:problem:DR101"
    assert (details["file"], details["line"], details["column"], details["length"]) == (
        ("rules/a.yaml", 1, 3, 2)
    )
    assert details["other"] == {"file": "rules/b.yaml", "line": 4, "column": 2}
    assert details["hint"] == "first in rules/b.yaml:4:2; h"
    assert details["title"]
    json.dumps(details)


def test_sarif_names_rule_level_and_region():
    log = as_sarif([problem(3, 2)], "0.1.0")
    (result,) = log["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("DR101", "error")
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 3, "endColumn": 5}


@pytest.mark.parametrize(
    ("written", "style", "offset", "expected"),
    [
        ("abc", "", 2, 2),
        ("'a''bc'", "'", 2, 4),
        (r'"a\tbc"', '"', 2, 4),
        (r'"\u0041bc"', '"', 1, 7),
        (r'"\x41b"', '"', 1, 5),
        ('"ab"', '"', 9, 4),
    ],
)
def test_characters_of_a_value_are_found_in_what_was_written(written, style, offset, expected):
    assert offset_in_source(written, style, offset) == expected
