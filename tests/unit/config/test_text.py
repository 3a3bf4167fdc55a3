"""Texts become nodes with places; traps of YAML 1.1 are gone; bombs end as problems, and soon."""

from __future__ import annotations

import time

import pytest

from router.config.nodes import plain, raw, resolve, show_path
from router.config.report import Report
from router.config.text import MAX_FILE_BYTES, decode, parse


def read(text: str):
    report = Report()
    return parse(text, "a.yaml", report), report.problems()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("11:12", "11:12"),
        ("0012", "0012"),
        ("00100010", "00100010"),
        ("0x10", 16),
        ("0o17", "0o17"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("104", 104),
        ("-7", -7),
        ("0", 0),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".", "."),
        ("-", "-"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("1.2.840.10008.1.2", "1.2.840.10008.1.2"),
        ("=", "="),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text, value):
    seen = resolve(text)
    assert seen == value
    assert type(seen) is type(value)


def test_quotes_make_text():
    node, _ = read("a: '104'\nb: \"true\"\nc: |\n  12\n")
    assert plain(node) == {"a": "104", "b": "true", "c": "12\n"}


def test_match_and_morph_keep_the_text_of_numbers():
    node, _ = read("PatientID: 0012\n00100010: 1.50\nx: [7, true, ~, 0x1F]\n")
    assert raw(node) == {"PatientID": "0012", "00100010": "1.50", "x": ["7", True, None, "0x1F"]}


def test_every_key_and_value_knows_its_place():
    node, _ = read("é:\n  - 'a''b'\n  - {c: [d, e]}\n")
    places = {}

    def walk(at, path):
        places[show_path(path)] = (at.place.line, at.place.column, at.place.length)
        if hasattr(at, "entries"):
            for key, entry in at.entries.items():
                walk(entry.value, (*path, key))
        for index, item in enumerate(getattr(at, "items", ())):
            walk(item, (*path, index))

    walk(node, ())
    assert places["é[0]"] == (2, 5, 6)
    assert places["é[1]"] == (3, 5, 11)
    assert places["é[1].c[1]"] == (3, 13, 1)
    assert node.entries["é"].key.place.line == 1


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 200_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n"
            for i in range(20)
        ),
        "a: &a {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*a, *a]}}\n" for i in range(30)),
        "a: &a x\nb: [" + "*a, " * 5000 + "]\n",
        "a: &a [*a]\n",
        "".join(" " * i + "a:\n" for i in range(1200)),
        "x: [" + "a, " * 300_000 + "]\n",
        "'" * 400_001,
        "a: " + "!" * 1000,
        "&a " * 10_000,
        "#" * 1_000_000 + "\n[",
        "- x\n" * 260_000,
    ],
    ids=lambda bomb: bomb[:12].replace("\n", "~"),
)
def test_m17_bombs_end_as_problems_soon(bomb):
    started = time.process_time()
    _, problems = read(bomb)
    # About one second; twice that where the machine is slow. Unbounded it would take hours.
    assert time.process_time() - started < 4
    assert problems
    assert all(problem.code in ("DR001", "DR003", "DR004") for problem in problems)


def test_aliases_are_allowed_within_bounds():
    node, problems = read("a: &a {x: 1}\nb: *a\nc: [*a, *a]\n")
    assert not problems
    assert plain(node) == {"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1}]}


def test_aliases_do_not_lead_deeper_than_the_bound():
    deep = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n"
    assert read(deep)[1][0].code == "DR004"


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"a: 1\nb: \xff\n", 2, 4),
        ("a: 1".encode("utf-16"), 1, 1),
        (b"x" * (MAX_FILE_BYTES + 1), 1, 1),
        ("é: 1\n".encode() + b"\xc3", 2, 1),
    ],
)
def test_what_is_no_utf_8_is_refused(data, line, column):
    report = Report()
    assert decode(data, "a.yaml", report) is None
    (problem,) = report.problems()
    assert (problem.place.line, problem.place.column) == (line, column)


def test_a_byte_order_mark_is_taken_off():
    assert decode(b"\xef\xbb\xbfa: 1", "a.yaml", Report()) == "a: 1"


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x85", "\u2028", "\ufeff", "\ud800", "\x7f"])
def test_control_characters_are_refused_at_their_place(sign):
    _, (problem,) = read(f"a: 1\nb: x{sign}y\n")
    assert (problem.code, problem.place.line, problem.place.column) == ("DR001", 2, 5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_count_the_same(end):
    _, (problem,) = read(end.join(["a: 1", "b: 2", "a: 3"]))
    assert (problem.place.line, problem.other.line) == (3, 1)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n...\n"])
def test_an_empty_file_is_fine(text):
    node, problems = read(text)
    assert not problems
    assert node is None or plain(node) is None
