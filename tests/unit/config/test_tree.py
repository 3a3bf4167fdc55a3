"""One folder, one document: which files are read, and how they join."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.configuration import BASE, PACS, loaded, write


def codes(result) -> list[str]:
    return [problem.code for problem in result.problems]


def test_files_join_by_section_and_rules_in_path_order(tmp_path):
    write(
        tmp_path,
        base=BASE,
        stations__b=PACS,
        stations__a="stations: {ct: {ae_title: CT}}",
        rules__20="rules: [{name: second, route: [pacs]}]",
        rules__10="rules: [{name: first, match: {from: ct}, route: [pacs]}]",
    )
    plan = loaded(tmp_path).plan
    assert sorted(plan.stations) == ["ct", "pacs"]
    assert [rule.name for rule in plan.rules] == ["first", "second"]


def test_a_name_defined_in_two_files_shows_both(tmp_path):
    write(tmp_path, base=BASE, one=PACS, two=PACS)
    result = loaded(tmp_path)
    (problem,) = result.errors
    assert problem.code == "DR204"
    assert problem.place.file.endswith("two.yaml")
    assert problem.other.file.endswith("one.yaml")
    assert "first in" in result.render()


def test_tests_hidden_files_and_other_names_are_not_read(tmp_path):
    broken = "stations: ["
    write(tmp_path, base=BASE, **{"rules.test": broken, ".hidden": broken, ".git__x": broken})
    (tmp_path / "notes.txt").write_text(broken)
    assert loaded(tmp_path).plan is not None


def test_a_volume_of_kubernetes_is_read_once(tmp_path):
    data = write(tmp_path / "..2026_11_22", base=BASE, site=PACS)
    os.symlink(data.name, tmp_path / "..data")
    for name in ("base.yaml", "site.yaml"):
        os.symlink(f"..data/{name}", tmp_path / name)
    assert list(loaded(tmp_path).plan.stations) == ["pacs"]


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = write(tmp_path / "outside", secret="stations: {}")
    inside = write(tmp_path / "inside", base=BASE)
    os.symlink(outside / "secret.yaml", inside / "file.yaml")
    os.symlink(outside, inside / "folder")
    assert codes(loaded(inside)) == ["DR005", "DR005"]


def test_a_yml_file_is_told_apart(tmp_path):
    write(tmp_path, base=BASE)
    (tmp_path / "site.yml").write_text(PACS)
    result = loaded(tmp_path)
    assert codes(result) == ["DR320"]
    assert result.plan is not None


def test_a_pipe_does_not_stop_the_loading(tmp_path):
    write(tmp_path, base=BASE)
    os.mkfifo(tmp_path / "pipe.yaml")
    started = time.perf_counter()
    assert codes(loaded(tmp_path)) == ["DR401"]
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("make", [False, True])
def test_no_folder_or_nothing_in_it(tmp_path, make):
    folder = tmp_path / "site"
    if make:
        folder.mkdir()
    result = loaded(folder)
    assert codes(result) == ["DR401"]
    assert result.render()


def test_all_files_together_are_bounded(tmp_path):
    write(tmp_path, **{f"f{i:02}": "#" * 1_048_000 for i in range(18)})
    assert "DR004" in codes(loaded(tmp_path))


def test_no_version_is_an_error(tmp_path):
    result = loaded(write(tmp_path, base=BASE.replace("version: 1\n", "")))
    assert codes(result) == ["DR103"]


def test_empty_sections_are_nothing(tmp_path):
    result = loaded(tmp_path, "stations:\nrules:\nlisteners:\ntls: ~\ncache:\n")
    assert result.problems == ()
    assert result.plan is not None


def test_places_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    folder = write(tmp_path / "rules", base=BASE, sub__x="stations: 5")
    monkeypatch.chdir(tmp_path)
    assert loaded(folder).problems[0].place.file == "rules/sub/x.yaml"
    monkeypatch.chdir(folder)
    assert loaded(folder).problems[0].place.file == "sub/x.yaml"
    monkeypatch.chdir("/")
    assert loaded(folder).problems[0].place.file.endswith("rules/sub/x.yaml")
