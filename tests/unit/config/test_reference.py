"""`docs KEY` and docs/CONFIGURATION.md: every key, operator, step and code, in the editors' words."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from router.cli.author import docs
from router.config.codes import CODES
from router.config.reference import entries, explain, markdown
from router.config.shapes_stations import HOOKS
from tests.support.configuration import all_plugs
from tests.support.sources import product
from tests.unit.config.test_codes import CODE


def said(key: str) -> str:
    text, is_known = explain(key, all_plugs())
    assert is_known, text
    return text


def test_every_key_is_explained_and_shows_what_may_be_written():
    listed = entries(all_plugs())
    assert len(listed) > 120
    for entry in listed:
        assert entry.description.strip(), entry.path
        assert entry.value.strip(), entry.path
        assert entry.path in said(entry.path)
        assert entry.path in said(entry.key)
    paths = {entry.path for entry in listed}
    assert {f"stations.NAME.morph.{hook}" for hook in HOOKS} <= paths
    for operator in all_plugs().operators:
        assert f"match: {operator.name}" in paths
    for morph in all_plugs().steps:
        assert f"morph: {morph.name}" in paths


def test_texts_and_numbers_have_an_example_a_default_or_a_choice():
    bare = [
        entry.path
        for entry in entries(all_plugs())
        if entry.value.startswith(("a text", "a whole number", "a path", "a duration", "a size"))
        and not (entry.examples or entry.default)
        and not entry.path.startswith("morph: ")
    ]
    assert bare == []


def test_a_key_is_found_by_its_path_with_or_without_names():
    text = said("stations.limits.batch.size")
    assert text == said("stations.NAME.limits.batch.size")
    assert "default   64MiB" in text
    assert "of kind   dicom, dicomweb" in text
    assert "one of: keep, discard, refuse" in said("unmatched")
    assert said("type").count("\n\n") >= 2


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("unmatchd", "unmatched"), ("prefx", "prefix"), ("calling_ae_titel", "calling_ae_title")],
)
def test_an_unknown_key_is_answered_with_the_nearest(slip, meant):
    done = CliRunner().invoke(docs, [slip], standalone_mode=False)
    assert done.return_value == 1
    assert f"did you mean '{meant}'?" in done.output + (done.stderr if done.stderr_bytes else "")


def test_every_code_is_explained_and_none_that_is_gone():
    used = {
        code
        for source in product()
        if source.module != "router.config.codes"
        for code in CODE.findall(source.text)
    }
    assert set(CODES) == used
    for code, words in CODES.items():
        assert words in said(code.lower())
        assert words.endswith(".")


def test_the_document_has_every_key_once_and_cells_that_hold():
    text = markdown(all_plugs())
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    names = [row.split("`")[1] for row in rows]
    assert len(names) == len(set(names)) == len(entries(all_plugs()))
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
