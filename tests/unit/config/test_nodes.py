"""Nodes: what a scalar means, in words and numbers, and how paths lead to places."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.nodes import is_null, node_at, place_at, plain, raw, resolve, show_path
from router.config.report import Report
from router.config.text import parse

WORDS_OF_OLD_YAML = [
    *("y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "OFF"),
    *("tRUE", "fALSE", "nUll", "TrUe", "none", "None", "nil", "undefined"),
]
NUMBERS_OF_OLD_YAML = [
    *("0012", "00", "01", "-01", "+007", "0o17", "0b101", "017", "00100010", "0008"),
    *("11:12", "1:30:45", "190:20:30.15", "23:59", "-1:30"),
    *("1_000", "1,000", "0x_1", "0x", "0X1F", "-0x10", "0xG"),
    *(".inf", "-.inf", "+.Inf", ".INF", ".nan", ".NaN", "inf", "nan", "Infinity"),
    *(
        "1e999",
        "1e",
        "e1",
        "1e+",
        ".e1",
        "1.2.3",
        "1.2.840.10008.1.2",
        "+",
        "-",
        ".",
        "-.",
        "+.",
        ".",
    ),
]
DATES_OF_OLD_YAML = [
    "2024-01-01",
    "2024-1-1",
    "20240131",
    "2001-12-14t21:59:43.10-05:00",
    "12:00:00",
]


@pytest.mark.parametrize("text", [*WORDS_OF_OLD_YAML, *NUMBERS_OF_OLD_YAML])
def test_traps_of_yaml_1_1_are_text(text):
    assert resolve(text) == text


@pytest.mark.parametrize("text", DATES_OF_OLD_YAML)
def test_no_scalar_is_a_date(text):
    assert str(resolve(text)) == text


@pytest.mark.parametrize(
    "text", ["=", "<<", "?", "*", "&", "!", "@", "`", "%", "~~", "null ", "1 "]
)
def test_signs_of_yaml_are_text_when_they_are_the_value(text):
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("", "~", "null", "Null", "NULL")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        ("0", 0),
        ("-0", 0),
        ("+104", 104),
        ("-7", -7),
        ("9" * 18, 10**18 - 1),
        ("0x0", 0),
        ("0xA700", 0xA700),
        ("0xffff", 0xFFFF),
        ("1.0", 1.0),
        ("-2.50", -2.5),
        ("0.1", 0.1),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("+.5e1", 5.0),
    ],
)
def test_words_and_numbers_of_yaml_1_2(text, value):
    seen = resolve(text)
    assert seen == value
    assert type(seen) is type(value)


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_every_whole_number_is_itself(number):
    assert resolve(str(number)) == number


@given(st.text(alphabet="0123456789+-.eExXabf_:,", max_size=12))
def test_whatever_looks_like_a_number_is_finite_or_text(text):
    seen = resolve(text)
    assert seen is None or isinstance(seen, str | int | float)
    if isinstance(seen, float):
        assert math.isfinite(seen)
        assert seen == float(text)
    if isinstance(seen, str):
        assert seen == text


def tree(text: str):
    report = Report()
    node = parse(text, "a.yaml", report)
    assert report.problems() == ()
    return node


def test_what_stands_in_quotes_or_blocks_is_text():
    text = "a: 'true'\nb: \"~\"\nc: |-\n  104\nd: >-\n  1.5\ne: ''\n"
    assert plain(tree(text)) == {"a": "true", "b": "~", "c": "104", "d": "1.5", "e": ""}


def test_keys_are_text_however_they_are_written():
    assert plain(tree("104: a\ntrue: b\n~: c\n0x1: d\n'x y': e\n")) == {
        "104": "a",
        "true": "b",
        "~": "c",
        "0x1": "d",
        "x y": "e",
    }


def test_block_scalars_keep_or_fold_their_lines():
    text = "keep: |\n  a\n   b\n\n  c\nfold: >\n  a\n  b\n\n  c\nstrip: |-\n  a\n"
    assert plain(tree(text)) == {"keep": "a\n b\n\nc\n", "fold": "a b\nc\n", "strip": "a"}


def test_an_alias_is_the_very_node():
    node = tree("a: &x {b: 1}\nc: *x\n")
    assert node.entries["a"].value is node.entries["c"].value


def test_a_null_value_is_no_value_of_a_mapping():
    node = tree("a:\nb: ~\nc: 'null'\nd: 0\n")
    assert [node.get(key) is None for key in "abcd"] == [True, True, False, False]
    assert node.get("absent") is None
    assert is_null(node.entries["a"].value)
    assert not is_null(node.entries["c"].value)


def test_raw_keeps_what_was_written_of_numbers_at_any_depth():
    node = tree("- [0012, 1.50, {a: 0x1F, b: [+7, '8']}]\n- {a: true, b: ~}\n")
    assert raw(node) == [["0012", "1.50", {"a": "0x1F", "b": ["+7", "8"]}], {"a": True, "b": None}]
    assert plain(node) == [["0012", 1.5, {"a": 31, "b": [7, "8"]}], {"a": True, "b": None}]


SITE = "stations:\n  pacs:\n    ports: [104, 11112]\n    limits: {a: 1}\n"


@pytest.mark.parametrize(
    ("path", "at_value", "at_key"),
    [
        ((), (1, 1), (1, 1)),
        (("stations",), (2, 3), (1, 1)),
        (("stations", "pacs", "ports"), (3, 12), (3, 5)),
        (("stations", "pacs", "ports", 1), (3, 18), (3, 18)),
        (("stations", "pacs", "limits", "a"), (4, 17), (4, 14)),
        (("stations", "pacs", "limits", "absent"), (4, 13), (4, 5)),
        (("stations", "pacs", "ports", 9), (3, 12), (3, 5)),
        (("stations", "pacs", "ports", "a"), (3, 12), (3, 5)),
        (("absent", "deeper"), (1, 1), (1, 1)),
    ],
)
def test_a_path_leads_to_a_place_or_to_the_last_that_is_there(path, at_value, at_key):
    node = tree(SITE)
    value = place_at(node, path)
    assert (value.line, value.column) == at_value
    key = place_at(node, path, at_key=True)
    assert (key.line, key.column) == at_key


def test_a_path_leads_to_a_node_or_to_none():
    node = tree(SITE)
    assert node_at(node, ("stations", "pacs", "ports", 1)).value == 11112
    assert node_at(node, ()) is node
    for path in (
        ("x",),
        ("stations", 0),
        ("stations", "pacs", "ports", 2),
        ("stations", "pacs", "ports", "1"),
    ):
        assert node_at(node, path) is None


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("rules",), "rules"),
        (("rules", 3, "match", "Modality"), "rules[3].match.Modality"),
        ((0, "a", 1, 2), "[0].a[1][2]"),
        (("tables", "a b"), "tables.a b"),
    ],
)
def test_a_path_as_it_is_shown(path, shown):
    assert show_path(path) == shown
