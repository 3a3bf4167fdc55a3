"""Several files are one document: sections join, names clash with both places, mistakes stay apart."""

from __future__ import annotations

import pytest

from router.config.load import load_texts
from tests.support.configuration import BASE, PACS, all_plugs


def merged(folder, **texts: str):
    files = {"00.yaml": BASE, **{f"{name}.yaml": text for name, text in texts.items()}}
    return load_texts(files, folder, all_plugs(), environment={})


def told(result) -> list[tuple[str, str, int]]:
    return [
        (problem.code, problem.place.file.rsplit("/")[-1], problem.place.line)
        for problem in result.errors
    ]


JOINED = {
    "stations": ("a: {ae_title: A}", "b: {ae_title: B}"),
    "listeners": ('a: {type: dimse, bind: "*:1"}', 'b: {type: dimse, bind: "*:2"}'),
    "tls": ("a: {}", "b: {}"),
    "cache": ("keep: 1d", "max_size: 1GB"),
    "defaults": ("retry: {first: 1s}", "station: {heartbeat: {every: 1m}}"),
    "tables": ("a: {x: y}", "b: {x: z}"),
    "organizations": ("a: {}", "b: {parent: a}"),
    "morphs": ("a: [{blank: StudyID}]", "b: [a]"),
}


@pytest.mark.parametrize("section", JOINED)
def test_a_section_may_be_spread_over_files(tmp_path, section):
    one, other = JOINED[section]
    apart = merged(tmp_path, a=f"{section}: {{{one}}}", b=f"{section}:\n  {other}\n")
    together = merged(tmp_path, a=f"{section}: {{{one}, {other}}}")
    assert apart.errors == (), apart.render()
    assert apart.plan == together.plan
    assert apart.plan.digest == together.plan.digest


@pytest.mark.parametrize("section", JOINED)
def test_f18_a_name_given_in_two_files_is_told_at_the_second_with_the_first(tmp_path, section):
    one, _ = JOINED[section]
    result = merged(tmp_path, a=f"\n{section}: {{{one}}}", b=f"{section}:\n  {one}\n")
    (problem,) = result.errors
    assert (problem.code, problem.path) == ("DR204", f"{section}.{one.split(':')[0]}")
    assert (problem.place.file[-6:], problem.place.line) == ("b.yaml", 2)
    assert (problem.other.file[-6:], problem.other.line) == ("a.yaml", 2)


def test_of_a_name_given_twice_the_first_counts_for_the_rest_of_the_check(tmp_path):
    rules = "rules: [{name: a, route: [pacs]}]"
    result = merged(tmp_path, a=PACS, b="stations: {pacs: {ae_title: X}}", c=rules)
    assert told(result) == [("DR204", "b.yaml", 1)]


def test_mistakes_of_all_files_are_told_together_each_in_its_file(tmp_path):
    result = merged(
        tmp_path,
        a="stations:\n  ct: {ae_title: CT, hots: x}\n",
        b="\n\nrules:\n  - {name: a, match: {Modalty: CT}, discard: true}\n",
        c="sations: {}\n",
        d="- a list\n",
        e="rules: {name: a}\n",
        f="stations: [a]\n",
    )
    assert told(result) == [
        ("DR101", "a.yaml", 2),
        ("DR210", "b.yaml", 4),
        ("DR101", "c.yaml", 1),
        ("DR102", "d.yaml", 1),
        ("DR102", "e.yaml", 1),
        ("DR102", "f.yaml", 1),
    ]


def test_one_unreadable_file_hides_no_mistake_of_another(tmp_path):
    result = merged(tmp_path, a="stations: {", b="stations: {ct: {ae_title: CT, hots: x}}")
    assert told(result) == [("DR001", "a.yaml", 1), ("DR101", "b.yaml", 1)]
    assert result.plan is None


def test_an_anchor_ends_with_its_file(tmp_path):
    result = merged(tmp_path, a="stations: {a: &a {ae_title: A}}", b="stations: {b: *a}")
    assert told(result) == [("DR003", "b.yaml", 1)]


def test_rules_of_several_files_are_one_list_and_their_names_one_space(tmp_path):
    one = "rules: [{name: a, discard: true}, {name: b, match: {Modality: CT}, discard: true}]"
    result = merged(tmp_path, a=one, b="rules:\n- {name: b, discard: true}\n")
    (problem,) = result.errors
    assert (problem.code, problem.path) == ("DR204", "rules[2].name")
    assert problem.other.file.endswith("a.yaml")


def test_a_rule_may_use_what_a_later_file_defines(tmp_path):
    rule = "rules: [{name: a, morph: [m], route: [pacs]}]"
    lists = "morphs: {m: [{map: {tag: Modality, table: t}}]}"
    result = merged(tmp_path, a=rule, b=lists, c="tables: {t: {DX: CR}}", d=PACS)
    assert result.errors == ()
    assert result.plan.rules[0].sends[0].recipe.unpacked()[0][1]["table"] == {"DX": "CR"}


@pytest.mark.parametrize("empty", ["", "# nothing", "---", "stations:", "rules: ~", "rules: []"])
def test_a_file_with_nothing_in_it_is_no_mistake(tmp_path, empty):
    result = merged(tmp_path, a=empty)
    assert result.errors == ()
    assert result.plan is not None


def test_the_router_may_stand_in_one_file_only_in_parts_in_several(tmp_path):
    result = load_texts(
        {"a.yaml": "version: 1\nrouter: {name: a, ae_title: A}", "b.yaml": "router: {data_dir: d}"},
        tmp_path,
        all_plugs(),
    )
    assert result.plan.router.name == "a"
    assert result.plan.router.data_dir.name == "d"
