"""Whatever is written: loading never raises, every problem has a place, and every place can be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.config.compile import digest
from router.config.load import Loaded, load_texts
from router.config.nodes import plain, raw
from router.config.problems import as_json, as_sarif
from router.config.report import Report
from router.config.text import parse
from tests.support.configuration import BASE, all_plugs

PROJECT = Path(__file__).parents[2]
EXAMPLE = (PROJECT / "tests/unit/config/example.yaml").read_text("utf-8")

WORDS = st.sampled_from(
    [
        *("type", "dimse", "dicomweb", "folder", "url", "send", "route", "to", "match", "from"),
        *(
            "morph",
            "set",
            "map",
            "table",
            "Modality",
            "not",
            "any",
            "all",
            "regex",
            "(",
            "0010,0020",
        ),
        *(
            "auth",
            "oauth2",
            "client_secret",
            "file",
            "env",
            "tls",
            "bind",
            "0.0.0.0:11112",
            "serve",
        ),
        *("heartbeat", "every", "10m", "limits", "hours", "name", "refuse", "status", "discard"),
        *(
            "",
            "{{ x",
            "a\nb",
            "放",
            "-1",
            "0012",
            "\\",
            "http://x",
            "https://a/b",
            "first_of",
            "when",
        ),
        *("Sequence[*].PatientID", "0009,[ACME],01", "ref", "replace", "copy", "prefix", "x" * 300),
    ]
)
SCALARS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = ("version", "router", "listeners", "tls", "defaults", "stations", "rules", "morphs")
DOCUMENTS = st.dictionaries(
    st.sampled_from([*SECTIONS, "tables", "cache", "organizations", "x"]), VALUES
)


def assert_sound(result: Loaded) -> None:
    assert result.problems or result.plan is not None
    assert (result.plan is None) == any(problem.severity == "error" for problem in result.problems)
    for problem in result.problems:
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        assert problem.message
        json.dumps(as_json(problem))
    json.dumps(as_sarif(result.problems, "0"))
    result.render()


def load(*texts: str) -> Loaded:
    named = {f"{index}.yaml": text for index, text in enumerate(texts)}
    return load_texts(named, Path("/nonexistent/site"), all_plugs(), environment={})


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_loads_or_says_why(text):
    assert_sound(load(text))
    assert_sound(load(BASE, text))


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_any_document_loads_or_says_why(document):
    assert_sound(load(BASE, json.dumps(document, ensure_ascii=False)))


@settings(max_examples=200, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_any_rule_and_station_loads_or_says_why(one, two, three):
    stations = json.dumps({"stations": {"a": one, "b": {"type": "dicomweb", "auth": two}}})
    rules = json.dumps(
        {"rules": [one, {"name": "r", "match": two, "morph": three, "route": [one, {"to": three}]}]}
    )
    assert_sound(load(BASE, stations, rules))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 12),
    st.sampled_from(["", "[", "}", ": ", "\t", "*a", "0", "'", "- "]),
)
def test_any_slip_in_a_good_file_is_told(at, cut, put):
    assert_sound(load(EXAMPLE[:at] + put + EXAMPLE[at + cut :]))


NUMBERS = st.integers(-(10**17), 10**17) | st.floats(-1e9, 1e9).filter(lambda x: abs(x) > 1e-90)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        NUMBERS | st.text(max_size=20) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=20,
    )
)
def test_what_json_says_is_what_is_read(value):
    """JSON is YAML: values come back as they were, quoted text never changes."""
    report = Report()
    node = parse(json.dumps({"v": value}), "a.yaml", report)
    if report.problems():  # an empty key, or a character YAML does not take
        return
    assert plain(node)["v"] == value
    assert digest(node)
    raw(node)


@pytest.mark.parametrize("text", ["a: {b: [1, 'x']}\n", "- 1\n- {c: ~}\n"])
def test_plain_and_raw_agree_but_for_numbers(text):
    node = parse(text, "a.yaml", Report())
    assert json.dumps(plain(node)).replace("1", '"1"') == json.dumps(raw(node)).replace('""', '"')
