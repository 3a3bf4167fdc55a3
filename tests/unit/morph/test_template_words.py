"""Every filter, name and test of templates, over one value, several, none; every wrong use refused."""

from __future__ import annotations

import time

import pytest

from router.errors import MorphFailed
from router.model.plug import PlugError
from router.morph.filters import FILTERS as TEXT_FILTERS
from router.morph.filters import MAX_TEXT, FilterError
from router.morph.template import (
    FILTERS,
    MAX_OUTPUT,
    MAX_TEMPLATE,
    NAMES,
    compile_template,
    keywords,
)
from tests.unit.morph.test_template import context, data_set, rendered

# PatientID "Ab-12", ImageType two values, StudyDescription empty, SeriesNumber "7", Rows 512
USES: dict[str, list[tuple[str, str]]] = {
    "upper": [("PatientID", "AB-12"), ("ImageType", "ORIGINAL\\PRIMARY"), ("StudyDescription", "")],
    "lower": [("PatientID", "ab-12"), ("ImageType", "original\\primary"), ("Rows", "512")],
    "trim": [("PatientID", "Ab-12"), ("' a b '", "a b")],
    "first": [("PatientID", "Ab-12"), ("ImageType", "ORIGINAL"), ("StudyDescription", "")],
    "last": [("PatientID", "Ab-12"), ("ImageType", "PRIMARY")],
    "join": [("ImageType", "ORIGINALPRIMARY"), ("PatientID", "Ab-12")],
    "join('+')": [("ImageType", "ORIGINAL+PRIMARY"), ("PatientID", "Ab-12")],
    "replace('A', 'x')": [("PatientID", "xb-12"), ("ImageType", "ORIGINxL\\PRIMxRY")],
    "truncate(3)": [("PatientID", "Ab-"), ("ImageType", "ORI\\PRI"), ("StudyDescription", "")],
    "truncate(0)": [("PatientID", "")],
    "int": [("SeriesNumber", "7"), ("Rows", "512"), ("'-007'", "-7")],
    "default('D')": [
        *(("PatientID", "Ab-12"), ("BodyPartExamined", "D"), ("StudyDescription", "D")),
        ("ImageType", "ORIGINAL\\PRIMARY"),
    ],
    "default": [("BodyPartExamined", ""), ("PatientID", "Ab-12")],
    "default(Rows)": [("BodyPartExamined", "512")],
}


@pytest.mark.parametrize(
    ("used", "of", "result"),
    [(use, of, result) for use, rows in USES.items() for of, result in rows],
)
def test_what_a_filter_gives(used: str, of: str, result: str) -> None:
    assert rendered(f"[{{{{ {of} | {used} }}}}]") == f"[{result}]"


def test_every_filter_is_used_above_and_every_name_below() -> None:
    assert {use.split("(")[0] for use in USES} == set(FILTERS)
    named = {name for name, _ in VALUES}
    assert named == {f"{owner}.{field}" for owner, fields in NAMES.items() for field in fields}


VALUES = [
    ("source.name", "ct-1"),
    ("source.calling_ae_title", "CT1"),
    ("source.called_ae_title", "EDGE_A"),
    ("source.address", "10.1.1.21"),
    ("router.name", "hospital-a-edge"),
    ("router.organization", "Hospital A"),
    ("received.date", "20261123"),
    ("received.time", "080509"),
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_what_a_name_stands_for(name: str, value: str) -> None:
    assert rendered(f"{{{{ {name} }}}}") == value
    assert rendered(f"{{{{ {name} | upper }}}}") == value.upper()
    assert keywords(f"{{{{ {name} }}}}") == ()


EXPRESSIONS = [
    ("{{ 1 + 2 }}", "3"),
    ("{{ 5 - 7 }}", "-2"),
    ("{{ -(SeriesNumber | int) }}", "-7"),
    ("{{ PatientID == 'Ab-12' }}", "True"),
    ("{{ 'a' if PatientID != 'x' and not (Rows == '1') else 'b' }}", "a"),
    ("{{ 'a' if BodyPartExamined is defined or StudyID is defined else 'b' }}", "b"),
    ("{% if SeriesNumber | int > 6 %}big{% elif 1 %}x{% else %}small{% endif %}{{ '' }}", "big"),
    ("{{ '' }}{% if Rows | int < 6 %}big{% else %}small{% endif %}", "small"),
    ("{{ 'x' if 'b-' in PatientID else 'y' }}", "x"),
    ("{# said to nobody #}{{ Rows }}", "512"),
    ("{{- Rows -}}", "512"),
    ("a\\b{{ Rows }}\n", "a\\b512\n"),
    ("{{ PatientID ~ 1 ~ Rows }}", "Ab-121512"),
    ("{{ '{{' }}", "{{"),
    ("{{ Rows }}" * 3, "512" * 3),
]


@pytest.mark.parametrize(("text", "result"), EXPRESSIONS)
def test_expressions(text: str, result: str) -> None:
    assert rendered(text) == result


WRONG_ARGUMENTS = [
    *("upper(1)", "lower('a')", "trim('x')", "first(1)", "last(1)", "int(10)", "int(default=1)"),
    *("replace", "replace('a')", "replace('a', 'b', 1)", "replace(old='a')", "truncate"),
    *("truncate(1, 2)", "truncate(size=1)", "join('a', 'b')", "default('a', true)", "default(x=1)"),
]


@pytest.mark.parametrize("used", WRONG_ARGUMENTS)
def test_wrong_arguments_are_refused_at_the_filter(used: str) -> None:
    text = f"{{{{ PatientID | {used} }}}}"
    with pytest.raises(PlugError, match="wrong arguments") as caught:
        compile_template(text)
    assert caught.value.column_offset == text.index(used.split("(")[0])


@pytest.mark.parametrize(
    "text",
    [
        "{{ }}",
        "{{ PatientID",
        "{{ PatientID }",
        "{{ 'a }}",
        "{{ PatientID }}{% if %}",
        "{% if PatientID %}{{ 1 }}",
        "{{ 1 }}{% endif %}",
        "{{ PatientID.upper }}",
        "{{ source.name.x }}",
        "{{ router }}",
        "{{ received }}",
        "{{ patientid }}",
        "{{ x }}",
        "{{ none }}{{ nothing }}",
        "{{ loop }}",
        "{{ caller }}",
        "{{ '{}'.format(1) }}",
        "{{ PatientID is upper }}",
        "{{ PatientID is divisibleby(2) }}",
        "{{ PatientID | list }}",
        "{{ PatientID | tojson }}",
        "{{ PatientID | length }}",
        "{{ PatientID | default(source) }}",
        "{% for c in ImageType %}{{ c }}{% else %}{% endfor %}",
        "{% do 1 %}{{ 1 }}",
        "{{ 1 if 1 }}{% trans %}a{% endtrans %}",
        "{{ 2 ** 3 }}",
        "{{ 7 % 2 }}",
        "{{ 7 // 2 }}",
    ],
)
def test_what_is_refused_when_it_is_loaded(text: str) -> None:
    with pytest.raises(PlugError) as caught:
        compile_template(text)
    assert caught.value.code in {"DR210", "DR213"}
    assert 0 <= (caught.value.column_offset or 0) <= len(text)


FAILING = [
    "{{ StudyDescription | int }}",
    "{{ '12a' | int }}",
    "{{ '+-1' | int }}",
    "{{ '٣' | int }}",
    "{{ ImageType | int }}",
    "{{ PatientID | truncate(-1) }}",
    "{{ PatientID | truncate(true) }}",
    "{{ PatientID | replace('', 'x') }}",
    "{{ PatientID - 1 }}",
    "{{ PatientID > 1 }}",
    "{{ BodyPartExamined ~ 'x' }}",
    "{{ 'a' ~ StudyID }}",
    "{{ StudyID + 1 }}",
]


@pytest.mark.parametrize("text", FAILING)
def test_what_fails_when_it_meets_the_object_tells_no_value(text: str) -> None:
    render = compile_template(text)
    with pytest.raises(MorphFailed, match="^template: ") as caught:
        render(data_set(), context())
    for value in ("Ab-12", "ORIGINAL", "12a", "512"):
        assert value not in str(caught.value)


def test_bounds_of_text_and_template() -> None:
    assert len(rendered("{{ '' }}" + "x" * (MAX_TEMPLATE - 8))) == MAX_TEMPLATE - 8
    with pytest.raises(PlugError, match=f"at most {MAX_TEMPLATE}"):
        compile_template("{{ '' }}" + "x" * (MAX_TEMPLATE - 7))
    grow = "{{ 'abcd'" + " | replace('a', 'aaaaaaaa')" * 3 + " }}"
    assert len(rendered(grow)) == 515 <= MAX_OUTPUT


@pytest.mark.parametrize("name", sorted(TEXT_FILTERS))
def test_no_filter_lets_a_text_grow_beyond_the_bound(name: str) -> None:
    arguments = {"replace": ("x", "yy"), "truncate": (MAX_TEXT * 2,), "join": ("-",)}.get(name, ())
    started = time.process_time()
    for value in ("x" * (MAX_TEXT + 1), ("x",) * (MAX_TEXT + 1)):
        try:
            result = TEXT_FILTERS[name](value, *arguments)
        except FilterError as refused:
            assert "xx" not in str(refused)
        else:
            assert isinstance(result, tuple) or len(str(result)) <= MAX_TEXT
    assert time.process_time() - started < 5


def test_one_template_renders_the_same_for_the_same_object_again_and_again() -> None:
    render = compile_template("{{ PatientID | lower }}{{ received.time }}{{ ImageType | last }}")
    assert len({render(data_set(), context()) for _ in range(20)}) == 1
