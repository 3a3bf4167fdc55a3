"""A line feed behind a value, a number with a point: what looks right and is not, is told."""

from __future__ import annotations

import pytest

from router.config.load import load_texts
from tests.support.configuration import BASE, all_plugs, loaded, write

WRONG = {
    "keep": 'cache: {keep: "10m\\n"}',
    "max_size": "cache:\n  max_size: |\n    10MB\n",
    "ae_title": 'stations: {a: {ae_title: "PACS\\n"}}',
    "host": 'stations: {a: {ae_title: A, host: "a\\n"}}',
    "hours": 'stations: {a: {ae_title: A, limits: {hours: "19:00-07:00\\n"}}}',
    "bandwidth": 'stations: {a: {ae_title: A, limits: {bandwidth: "1MB/s\\n"}}}',
    "bind": 'listeners: {a: {type: dimse, bind: "127.0.0.1:1\\n"}}',
    "url": 'stations: {a: {type: dicomweb, url: "https://a.example\\n"}}',
    "path": 'stations: {a: {type: folder, path: "x\\0y"}}',
    "cert": 'tls: {a: {cert: "x\\n", key: base.yaml}}',
}


@pytest.mark.parametrize("key", WRONG)
def test_a_line_feed_or_control_character_is_no_part_of_a_value(tmp_path, key):
    result = loaded(tmp_path, WRONG[key])
    (problem,) = [problem for problem in result.errors if problem.code == "DR105"]
    assert problem.path.endswith(key)
    assert result.plan is None
    result.render()


def test_texts_for_people_may_have_several_lines(tmp_path):
    text = "stations:\n  a:\n    ae_title: A\n    description: |\n      one\n      two\n"
    assert loaded(tmp_path, text).plan.stations["a"].description == "one\ntwo\n"


@pytest.mark.parametrize(("written", "path"), [("port: 104.0", "port"), ("port: 1e2", "port")])
def test_a_number_with_a_point_is_no_whole_number(tmp_path, written, path):
    (problem,) = loaded(tmp_path, f"stations: {{a: {{ae_title: A, {written}}}}}").errors
    assert (problem.code, problem.path) == ("DR102", f"stations.a.{path}")


@pytest.mark.parametrize("written", ["true", "1.0", "'1'", "2", "[1]", "{a: 1}"])
def test_the_version_is_the_number_1(tmp_path, written):
    write(tmp_path, base=BASE.replace("version: 1", f"version: {written}"))
    assert [problem.code for problem in loaded(tmp_path).errors] == ["DR104"]


def test_the_version_may_be_said_in_several_files_but_not_differently(tmp_path):
    fine = load_texts({"a.yaml": BASE, "b.yaml": "version: 1"}, tmp_path, all_plugs())
    assert fine.problems == ()
    wrong = load_texts({"a.yaml": BASE, "b.yaml": "version: 2"}, tmp_path, all_plugs())
    assert [(p.code, p.place.file.rsplit("/")[-1]) for p in wrong.problems] == [("DR104", "b.yaml")]
