"""Templates: what they give, what they refuse, and that nothing in them can cost much."""

from __future__ import annotations

import resource
import time

import pytest

from router.dicom.dataset import EditableDataSet
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.errors import MorphFailed
from router.model.instance import Source
from router.model.plug import PlugError
from router.morph.context import MorphContext
from router.morph.template import compile_template, is_template, keywords

MORNING = time.mktime((2026, 11, 23, 8, 5, 9, 0, 0, -1))


def data_set() -> EditableDataSet:
    edited = EditableDataSet(lambda _offset, _length: b"", 0, EXPLICIT_VR_LITTLE_ENDIAN)
    fields = {
        0x00100020: "Ab-12",
        0x00080008: ["ORIGINAL", "PRIMARY"],
        0x00081030: "",
        0x00200011: "7",
        0x00280010: 512,
        0x00204000: "x" * 2000,
    }
    for tag, values in fields.items():
        edited.set(path(tag), values)
    return edited


def path(tag: int) -> object:
    from router.model.path import Path, PathStep

    return Path((PathStep(tag),), "")


def context(station: str | None = "ct-1") -> MorphContext:
    source = Source("lan", "CT1", "EDGE_A", "10.1.1.21", station)
    return MorphContext(source, MORNING, "hospital-a-edge", "Hospital A")


def rendered(text: str) -> str:
    return compile_template(text)(data_set(), context())


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ PatientID }}", "Ab-12"),
        ("A{{ PatientID | upper }}Z", "AAB-12Z"),
        ("{{ PatientID | lower | truncate(2) }}", "ab"),
        ("{{ PatientID | replace('-', '') }}", "Ab12"),
        ("{{ ' x ' | trim }}", "x"),
        ("{{ ImageType }}", "ORIGINAL\\PRIMARY"),
        ("{{ ImageType | first }}", "ORIGINAL"),
        ("{{ ImageType | last | lower }}", "primary"),
        ("{{ ImageType | join(' ') }}", "ORIGINAL PRIMARY"),
        ("{{ ImageType | lower }}", "original\\primary"),
        ("{{ PatientID | first }}", "Ab-12"),
        ("{{ SeriesNumber | int + 1 }}", "8"),
        ("{{ Rows }}", "512"),
        ("{{ BodyPartExamined | default('NONE') }}", "NONE"),
        ("{{ StudyDescription | default('NONE') }}", "NONE"),
        ("{{ PatientID | default('NONE') }}", "Ab-12"),
        ("[{{ StudyDescription }}]", "[]"),
        ("{{ source.name }} {{ source.calling_ae_title }}", "ct-1 CT1"),
        ("{{ source.called_ae_title }} {{ source.address }}", "EDGE_A 10.1.1.21"),
        ("{{ router.name }} {{ router.organization }}", "hospital-a-edge Hospital A"),
        ("{{ received.date }}{{ received.time }}", "20261123080509"),
        ("{{ 'yes' if Rows == '512' else 'no' }}", "yes"),
        ("{% if BodyPartExamined is defined %}x{{ PatientID }}{% endif %}", ""),
        ("{{ PatientID ~ '/' ~ SeriesNumber }}", "Ab-12/7"),
        ("a & b {{ '<' }}", "a & b <"),
    ],
)
def test_what_a_template_gives(text: str, result: str) -> None:
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ BodyPartExamined }}", "BodyPartExamined absent"),
        ("{{ BodyPartExamined | upper }}", "BodyPartExamined absent"),
        ("{{ 'x' if BodyPartExamined else 'y' }}", "BodyPartExamined absent"),
        ("{{ ImageComments }}", "1024"),
        ("{{ PatientID | int }}", "whole number"),
        ("{{ PatientID + 1 }}", "does not fit"),
        ("{{ ImageComments | replace('x', 'yyyyyyyyyyyyyyyyyyyy') }}", "too long"),
        ("{{ ImageComments | join('') ~ ImageComments }}", "1024"),
        ("{{ PatientID | truncate('2') }}", "number"),
    ],
)
def test_what_fails_while_rendering_names_no_value(text: str, what: str) -> None:
    with pytest.raises(MorphFailed, match=what) as caught:
        rendered(text)
    assert "Ab-12" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_sender_that_is_no_station_has_no_name() -> None:
    with pytest.raises(MorphFailed, match="undefined"):
        compile_template("{{ source.name }}")(data_set(), context(station=None))


ATTACKS = [
    "{{ 'a' * 300000000 }}",
    "{{ 300000000 * 'a' }}",
    "{{ '%0300000000d' % 1 }}",
    "{{ 'a' | center(300000000) }}",
    "{{ lipsum(n=200000) }}",
    "{{ range(10 ** 9) | join }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ source.__class__.__init__.__globals__ }}",
    "{{ source['name'] }}",
    "{{ PatientID.__class__ }}",
    "{{ PatientID | attr('__class__') }}",
    "{{ PatientID.format(PatientID) }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__ }}",
    "{{ joiner }}{{ namespace }}{{ dict }}",
    "{{ [1, 2] }}",
    "{{ {'a': 1} }}",
    "{{ (1, 2) }}",
    "{{ PatientID[0] }}",
    "{{ PatientID[:2] }}",
    "{{ 1 / 0 }}",
    "{{ 7 // 2 }}",
    "{{ PatientID | map('upper') }}",
    "{{ PatientID | format }}",
    "{{ PatientID | xmlattr }}",
    "{{ PatientID | safe }}",
    "{{ PatientID is callable }}",
    "{{ PatientID | replace(*ImageType) }}",
    "{% for x in PatientID %}{{ x }}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call PatientID() %}{{ 1 }}{% endcall %}",
    "{% import 'x' as PatientID %}{{ PatientID }}",
    "{% from 'x' import y %}{{ 1 }}",
    "{% include 'x' %}{{ 1 }}",
    "{% extends 'x' %}{{ 1 }}",
    "{% block x %}{{ 1 }}{% endblock %}",
    "{% set PatientID = 'x' %}{{ PatientID }}",
    "{% with %}{{ 1 }}{% endwith %}",
    "{% filter upper %}{{ 1 }}{% endfilter %}",
    "{% raw %}{{ 1 }}{% endraw %}{% autoescape true %}{{ 1 }}{% endautoescape %}",
    "{{ " + "(" * 500 + ")" * 500 + " }}",
    "{{ " + "-" * 900 + "1 }}",
    "{{ " + "not " * 200 + "1 }}",
    "{{ PatientID" + " | upper" * 120 + " }}",
    "{{ '" + "x" * 2000 + "' }}",
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: text[:40])
def test_M20_attacks_are_refused_when_they_are_loaded(text: str) -> None:
    start = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PlugError):
        compile_template(text)
    assert time.perf_counter() - start < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000  # kilobytes


def test_M20_growth_by_allowed_filters_is_bounded() -> None:
    text = "{{ 'aaaaaaaaaa'" + " | replace('a', 'aaaaaaaaaa')" * 20 + " }}"
    start = time.perf_counter()
    with pytest.raises(MorphFailed, match="too long"):
        rendered(text)
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("x {{ PatientIDD }}", "PatientIDD", "'PatientID'"),
        ("{{ PatientID }} {{ patient_id }}", "patient_id", ""),
        ("{{ source.nam }}", "nam }}", "'name'"),
        ("{{ source }}", "source", "source.name"),
        ("{{ PatientID | uper }}", "uper", "'upper'"),
        ("{{ PatientID | truncate }}", "truncate", ""),
        ("{{ PatientID is strange }}", "strange", "defined"),
        ("ab {{ PatientID | | upper }}", "| upper", ""),
        ("ab {{ PatientID $ }}", "$", ""),
        ("a {{ 'a' * 3 }}", "{{", ""),
    ],
)
def test_mistakes_point_at_the_character(text: str, at: str, hint: str) -> None:
    with pytest.raises(PlugError) as caught:
        compile_template(text)
    assert caught.value.column_offset == text.index(at)
    assert hint in caught.value.hint
    assert caught.value.code in {"DR210", "DR213"}


def test_what_is_a_template_and_what_it_reads() -> None:
    assert is_template("a {{ PatientID }}")
    assert not is_template("a { PatientID }")
    assert keywords("{{ source.name }}{{ Rows }}{{ PatientID | default(Rows) }}") == (
        "PatientID",
        "Rows",
    )
