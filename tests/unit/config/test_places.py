"""Where a mistake is shown: the key, the value or the character, in every style YAML knows.

Each case gives the stretch of the source that must stand under the caret.
"""

from __future__ import annotations

import pytest

from router.model.problem import Problem
from tests.support.configuration import PACS, loaded


def spot(problem: Problem, text: str) -> tuple[int, str]:
    """The line, and the part of it the problem's place covers."""
    place = problem.place
    line = text.splitlines()[place.line - 1]
    return place.line, line[place.column - 1 : place.column - 1 + place.length]


def found(folder, text: str, code: str) -> list[tuple[int, str]]:
    problems = [problem for problem in loaded(folder, text).problems if problem.code == code]
    return [spot(problem, text) for problem in problems]


KEYS = [
    ("stations: {ct: {ae_title: CT, limits: {batch: {instnces: 5}}}}\n", (1, "instnces")),
    (
        "stations:\n  ct:\n    ae_title: CT\n    limits:\n      batch:\n        instnces: 5\n",
        (6, "instnces"),
    ),
    ('stations:\n  ct: {ae_title: CT, "hots": a}\n', (2, '"hots"')),
    ("stations:\n  ct: {ae_title: CT,\n       'hots'   : a}\n", (3, "'hots'")),
    ("stations:\n  ct: {ae_title: CT, ? hots : a}\n", (2, "hots")),
    ("cache:\n  keep: 1d\n  kep: 1d\n", (3, "kep")),
    ("rules:\n- name: a\n  discard: true\n  finale: true\n", (4, "finale")),
    ("rules: [{name: a, refuse: {status: 1, coment: x}}]\n", (1, "coment")),
    ("rules:\n  - name: a\n    morph:\n    - {sett: {PatientID: x}}\n", (4, "sett")),
    ("morphs:\n  m:\n    - map: {tag: Modality, tabel: {A: B}}\n", (3, "tabel")),
    ("rules:\n  - {name: a, match: {Modality: {globb: C*}}, discard: true}\n", (2, "globb")),
]


@pytest.mark.parametrize(("text", "expected"), KEYS, ids=[repr(key[1][1]) for key in KEYS])
def test_an_unknown_key_is_shown_at_the_key(tmp_path, text, expected):
    assert found(tmp_path, text, "DR101") == [expected]


VALUES = [
    ("stations: {ct: {ae_title: CT, active: ja}}\n", "DR102", (1, "ja")),
    ("stations: {ct: {ae_title: CT, active: 'ja'}}\n", "DR102", (1, "'ja'")),
    ("stations:\n  ct:\n    ae_title: CT\n    limits: {timeout: [1]}\n", "DR102", (4, "[1]")),
    ("stations:\n  ct:\n    ae_title: CT\n    limits: 5\n", "DR102", (4, "5")),
    ("stations:\n  ct:\n    ae_title: CT\n    limits:\n    - 5\n", "DR102", (5, "-")),
    (
        'listeners: {admin: {type: http, bind: "127.0.0.1:1", serve: [metrics, uii]}}\n',
        "DR104",
        (1, "uii"),
    ),
    (
        'listeners:\n  lan:\n    type: dimse\n    bind: "*:1"\n    ae_titles:\n    - A\n    - "B\\\\"\n',
        "DR105",
        (7, '"B\\\\"'),
    ),
    ("cache:\n  keep:\n    30 days\n    and more\n", "DR105", (3, "30 days")),
    ('cache:\n  keep: "30 days\n    and more"\n', "DR105", (2, '"30 days')),
    ("cache:\n  keep: |\n    30 days\n", "DR105", (2, "|")),
    ("cache:\n  keep: >-\n    30 days\n", "DR105", (2, ">")),
    ("rules:\n  - {name: a, match: {SeriesNumber: [1, x, 3]}, discard: true}\n", "DR212", (2, "x")),
    (
        (
            "rules:\n  - name: a\n    match:\n      StudyDate:\n        between:\n          - 2024\n"
            "          - tomorrow\n    discard: true\n"
        ),
        "DR212",
        (7, "tomorrow"),
    ),
    (
        "rules:\n  - {name: a, match: {any: [{Modality: CT}, {not: {PatientAge: old}}]}, discard: true}\n",
        "DR212",
        (2, "old"),
    ),
    (
        "morphs:\n  m: [{set: {AccessionNumber: 12345678901234567}}]\n",
        "DR212",
        (2, "12345678901234567"),
    ),
    ("morphs:\n  m:\n  - set:\n      ImageType: [DERIVED, lower]\n", "DR212", (4, "lower")),
    ("morphs:\n  m:\n  - blank: [PatientID, SOPInstanceUID]\n", "DR220", (3, "SOPInstanceUID")),
]


@pytest.mark.parametrize(("text", "code", "expected"), VALUES, ids=[repr(v[2][1]) for v in VALUES])
def test_a_wrong_value_is_shown_at_the_value(tmp_path, text, code, expected):
    assert found(tmp_path, text, code) == [expected]


def regex(written: str) -> str:
    return f"rules:\n  - name: a\n    match:\n      PatientID: {{regex: {written}}}\n    discard: true\n"


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ('"ab(c"', '(c"}'),
        ("'ab(c'", "(c'}"),
        ("ab(c", "(c}"),
        ("'a''b''(c'", "(c'}"),
        (r'"\\d\\w(c"', '(c"}'),
        (r'"\u0041\x42\"(c"', '(c"}'),
        ('"é放(c"', '(c"}'),
        ('"[0-9"', '[0-9"}'),
        (r'"a\\q"', r'\\q"}'),
    ],
)
def test_a_pattern_is_shown_at_its_character(tmp_path, written, rest):
    text = regex(written)
    result = loaded(tmp_path, text)
    (problem,) = [problem for problem in result.problems if problem.code == "DR211"]
    assert text.splitlines()[3][problem.place.column - 1 :] == rest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "rules:\n  - name: a\n    match:\n      PatientID:\n        regex: >-\n          ab(c\n",
            (5, ">"),
        ),
        (
            'rules:\n  - name: a\n    match:\n      PatientID: {regex: "ab\n          cd(e"}\n',
            (4, '"ab'),
        ),
    ],
    ids=["folded", "double quoted over two lines"],
)
def test_a_pattern_over_several_lines_is_shown_where_it_begins(tmp_path, text, expected):
    assert found(tmp_path, text, "DR211") == [expected]


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ("{PatientID: 'a {{ PatientI }}'}", "PatientI }}'}"),
        ('{PatientID: "\\t{{ PatientI }}"}', 'PatientI }}"}'),
        ('{PatientID: [x, "y {{ source.nam }}"]}', 'nam }}"]}'),
        ('{PatientID: "{{ PatientID | uper }}"}', 'uper }}"}'),
    ],
)
def test_a_template_is_shown_at_its_character(tmp_path, written, rest):
    text = f"morphs:\n  m:\n    - set: {written}\n"
    (problem,) = loaded(tmp_path, text).errors
    assert text.splitlines()[2][problem.place.column - 1 :] == rest


def test_a_mistake_behind_an_alias_is_shown_once_where_it_was_written(tmp_path):
    text = (
        "stations:\n  a: {ae_title: A, limits: &few {assocations: 1}}\n"
        "  b: {ae_title: B, limits: *few}\n"
    )
    assert found(tmp_path, text, "DR101") == [(2, "assocations")]


def test_a_mistake_of_what_an_alias_stands_for_is_shown_at_the_anchor(tmp_path):
    text = "stations:\n  a: {ae_title: A, description: &ok yes}\n  b: {ae_title: B, send: *ok}\n"
    assert found(tmp_path, text, "DR102") == [(2, "yes")]


def test_anchors_on_keys_and_values_do_not_move_the_place(tmp_path):
    text = "stations:\n  &name ct: &all\n    ae_title: &t CT\n    &k hots: x\n"
    assert found(tmp_path, text, "DR101") == [(4, "hots")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_move_nothing(tmp_path, end, mark):
    text = "# é放\nstations:\n  ct: {ae_title: CT, hots: x}\n".replace("\n", end)
    (tmp_path / "base.yaml").write_text("version: 1\nrouter: {name: a, ae_title: A, data_dir: d}\n")
    (tmp_path / "site.yaml").write_bytes((mark + text).encode())
    (problem,) = loaded(tmp_path).errors
    assert spot(problem, text) == (3, "hots")


def test_what_is_missing_is_shown_where_it_is_missed(tmp_path):
    text = (
        "stations:\n  ct:\n    host: a\n  cloud:\n    type: dicomweb\n"
        "    url: https://x.example\n    auth:\n      type: basic\n      username: u\n"
    )
    assert found(tmp_path, text, "DR103") == [(2, "ct"), (7, "auth")]


def test_the_path_of_a_problem_leads_there_in_the_document(tmp_path):
    text = PACS + (
        "rules:\n  - name: a\n    match: {any: [{Modality: {regex: '('}}]}\n"
        "    route: [{to: pacs, priority: now, morph: [{set: {Modality: ct}}]}]\n"
    )
    assert [problem.path for problem in loaded(tmp_path, text).errors] == [
        "rules[0].match.any[0].Modality.regex",
        "rules[0].route[0].priority",
        "rules[0].route[0].morph[0].set.Modality",
    ]
