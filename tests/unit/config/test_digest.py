"""The digest of a plan: every written value changes it, nothing that is not meant does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.compile import digest
from router.config.folder import Source
from router.config.load import load_texts
from router.config.report import Report
from router.config.text import parse
from router.config.tree import merge
from tests.support.configuration import BASE, all_plugs

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text("utf-8")
WRITTEN = yaml.safe_load(EXAMPLE)


def digest_of(*texts: str) -> str:
    report = Report()
    sources = [Source(f"{i}.yaml", f"{i}.yaml", text) for i, text in enumerate(texts)]
    document = merge(sources, report)
    assert report.problems() == ()
    return digest(document)


def dumped(document: Any, **options: Any) -> str:
    return yaml.safe_dump(document, allow_unicode=True, **options)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))]
    return [path]


def changed(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], value)
    return copy


def without(document: Any, path: tuple[str | int, ...]) -> Any:
    copy = dict(document) if isinstance(document, dict) else list(document)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(document[path[0]], path[1:])
    return copy


LEAVES = [path for path in leaves(WRITTEN) if path != ("version",)]
ORIGINAL = digest_of(dumped(WRITTEN))


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_every_written_value_counts(path):
    assert digest_of(dumped(changed(WRITTEN, path, "another value"))) != ORIGINAL
    assert digest_of(dumped(without(WRITTEN, path))) != ORIGINAL


def test_no_two_changes_look_the_same():
    seen = {digest_of(dumped(changed(WRITTEN, path, "another value"))) for path in LEAVES}
    assert len(seen) == len(LEAVES)


def shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        dice.shuffle(keys)
        return {key: shuffled(value[key], dice) for key in keys}
    return [shuffled(item, dice) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(5))
def test_order_of_mappings_style_and_comments_do_not_count(seed):
    document = shuffled(WRITTEN, random.Random(seed))
    assert digest_of(dumped(document, sort_keys=False)) == ORIGINAL
    assert digest_of(dumped(document, default_flow_style=True, width=70)) == ORIGINAL
    commented = "# a comment\n" + dumped(document, indent=4).replace("\n", "   # more\n", 1)
    assert digest_of(commented) == ORIGINAL


def test_the_text_of_the_example_has_the_digest_of_its_values():
    assert digest_of(EXAMPLE) == ORIGINAL


def test_order_of_rules_and_of_lists_counts():
    rules = list(reversed(WRITTEN["rules"]))
    assert digest_of(dumped({**WRITTEN, "rules": rules})) != ORIGINAL
    match = ("rules", 1, "match", "Modality")
    assert digest_of(dumped(changed(WRITTEN, match, ["MR", "CT"]))) != ORIGINAL


def test_in_which_file_a_section_stands_does_not_count():
    parts = [dumped({name: section}) for name, section in WRITTEN.items()]
    assert digest_of(*parts) == digest_of(*reversed(parts)) == ORIGINAL


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("rules: [{match: {PatientID: 0012}}]", "rules: [{match: {PatientID: 12}}]", False),
        ("rules: [{match: {PatientID: 12}}]", "rules: [{match: {PatientID: '12'}}]", True),
        ("rules: [{match: {PatientID: 1.5}}]", "rules: [{match: {PatientID: 1.50}}]", False),
        ("tables: {t: {a: 007}}", "tables: {t: {a: 7}}", False),
        ("stations: {a: {port: 104}}", "stations: {a: {port: 0x68}}", True),
        ("stations: {a: {port: 104}}", "stations: {a: {port: '104'}}", False),
        ("stations: {a: {send: true}}", "stations: {a: {send: True}}", True),
        ("stations: {a: {send: true}}", "stations: {a: {send: 'true'}}", False),
        ("stations: {a: &x {b: 1}, c: *x}", "stations: {a: {b: 1}, c: {b: 1}}", True),
        ("cache: {keep: 60m}", "cache: {keep: 1h}", False),
        ("stations: {a: {}}", "stations: {a: {}, b: {}}", False),
        ("stations: {é: 1}", 'stations: {"\\u00e9": 1}', True),
        ("stations: {}", "", False),
        ("stations:", "", True),
    ],
)
def test_what_means_the_same_as_written_is_the_same(one, other, alike):
    start = "version: 1\n"
    assert (digest_of(start + one) == digest_of(start + other)) is alike


def test_the_digest_of_a_text_never_changes_between_versions():
    """Tasks and log lines carry it: the same folder must have the same digest after an update."""
    report = Report()
    node = parse("version: 1\nrules: [{name: é, match: {PatientID: 0012}}]\n", "a", report)
    # printf '{"rules":[{"match":{"PatientID":"0012"},"name":"é"}],"version":1}' | sha256sum
    assert digest(node) == "ee08f862b61a8587e4b46365e3f6ac388b8d57daadd3821d4ceb00d78f0a1008"


def test_plans_of_one_text_are_equal_wherever_the_folder_is_but_not_the_folder(tmp_path):
    texts = {"a.yaml": BASE}
    one = load_texts(texts, tmp_path / "one", all_plugs()).plan
    two = load_texts(texts, tmp_path / "two", all_plugs()).plan
    assert one.digest == two.digest
    assert one.folder != two.folder
