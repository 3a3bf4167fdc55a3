"""The log never tells what it must not, and nobody else can write its lines."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.telemetry.log import FORBIDDEN_FIELDS, MAX_TEXT, open_log

HOSTILE = [
    "CT1\n2026-01-01T00:00:00Z error   all is lost",
    "CT1\r\nready",
    "\x1b[2J\x1b[31mred",
    'a" level="error',
    'a\\" level=error',
    "a level=error",
    "\u2028line\u2029separators",
    "\u202eright to left",
    "nul\x00byte",
    "\ud800",
]


@pytest.fixture(params=["json", "text"])
def told(request):
    stream = io.StringIO()
    return open_log(stream, request.param, {"router": "edge"}), stream, request.param


@pytest.mark.parametrize("field", sorted(FORBIDDEN_FIELDS))
def test_p13_fields_of_patients_and_secrets_never_come_out(told, field):
    log, stream, _ = told
    log.info("one", **{field: "PLANTED-VALUE"}, station="pacs")
    log.bind(**{field: "PLANTED-VALUE"}).error("two", station="pacs")
    text = stream.getvalue()
    assert "PLANTED-VALUE" not in text
    assert text.count("pacs") == 2


def test_p13_a_bug_is_told_by_its_place_and_kind_not_by_its_words(told):
    log, stream, _ = told

    def deep():
        raise ValueError("Novak^Petra 19700704")

    try:
        deep()
    except ValueError as error:
        log.bug("sending failed", error)
    text = stream.getvalue()
    assert "ValueError" in text
    assert "test_log.py" in text
    assert "Novak" not in text
    assert "19700704" not in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_field_and_its_line(told, text):
    log, stream, form = told
    log.warning("association refused", calling_ae_title=text, listener="lan")
    written = stream.getvalue()
    assert written.isascii()
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert not set(written[:-1]) & set("\r\x1b\x00")
    if form == "json":
        assert json.loads(written)["calling_ae_title"] == text
        assert json.loads(written)["level"] == "warning"
    else:
        outside = re.sub(r'"(?:\\.|[^"\\])*"', '""', written)
        assert outside.split()[1:] == [
            *("warning", "association", "refused"),
            *("router=edge", 'calling_ae_title=""', "listener=lan"),
        ]


@given(st.text())
def test_any_text_is_one_line_in_either_form(text):
    for form in ("json", "text"):
        stream = io.StringIO()
        open_log(stream, form, {}).info("event", reason=text)
        assert stream.getvalue().count("\n") == 1
        assert len(stream.getvalue().splitlines()) == 1


def test_what_is_told_is_told_with_level_time_and_fields(told):
    log, stream, form = told
    bound = log.bind(role="receive", pid=42)
    bound.info("starting", roles="receive deliver")
    bound.warning("slow")
    bound.error("down", seconds=1.5)
    lines = stream.getvalue().splitlines()
    if form == "json":
        found = [json.loads(line) for line in lines]
        assert [one["level"] for one in found] == ["info", "warning", "error"]
        assert all(
            (one["router"], one["role"], one["pid"]) == ("edge", "receive", 42) for one in found
        )
        assert found[0]["timestamp"].endswith("Z")
        assert found[2]["seconds"] == 1.5
    else:
        assert [line.split()[1] for line in lines] == ["info", "warning", "error"]
        assert 'roles="receive deliver"' in lines[0]
        assert all("router=edge role=receive pid=42" in line for line in lines)


def test_a_long_text_is_cut_and_the_bound_logger_is_not_changed(told):
    log, stream, _ = told
    log.bind(station="other")
    log.info("answered", reason="x" * 100_000)
    assert len(stream.getvalue()) < MAX_TEXT + 300
    assert "other" not in stream.getvalue()
