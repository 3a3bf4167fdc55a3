"""Each mistake, and exactly what people read about it: file, line, column, code, caret and hint.

The pairs stand in `mistakes/`: a title, the configuration, `>>>`, the problems.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from router.config.load import load
from tests.support.configuration import BASE, all_plugs, checked, write

FOLDER = Path(__file__).parent / "mistakes"


def pairs() -> list[tuple[str, str, str]]:
    found = []
    for file in sorted(FOLDER.glob("*.txt")):
        for block in re.split(r"^=== ", file.read_text("utf-8"), flags=re.M)[1:]:
            title, rest = block.split("\n", 1)
            written, expected = rest.split(">>>\n")
            found.append((f"{file.stem}: {title}", written, expected.strip()))
    return found


PAIRS = pairs()


@pytest.mark.parametrize(("title", "written", "expected"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_a_mistake_is_shown_at_its_place(title, written, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "site", site=written)
    if "version:" not in written:
        write(tmp_path / "site", **{"00": BASE})
    seen = checked(Path("site")).render()
    assert seen.replace(os.path.realpath(tmp_path), "/here") == expected


@pytest.mark.parametrize(("title", "written", "expected"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_every_caret_stands_under_what_the_place_names(title, written, expected):
    """The golden texts themselves: line and column in the head agree with the source and caret."""
    lines = written.splitlines()
    for problem in expected.split("\n\n"):
        head, _, source, caret, *example = problem.split("\n")
        assert all(line.startswith("  = for example ") for line in example)
        line, column = map(int, re.match(r"site/site\.yaml:(\d+):(\d+): ", head).groups())
        shown = source.split(" | ", 1)[1]
        if "…" not in shown and shown.isascii() and "****" not in shown:
            assert shown == lines[line - 1].replace("\t", " ").rstrip()
            assert caret.index("^", caret.index("|")) - caret.index("|") - 1 == column


def test_there_are_enough_of_them():
    assert len(PAIRS) >= 40
    codes = {code for _, _, expected in PAIRS for code in re.findall(r"DR\d{3}", expected)}
    assert {code[:3] for code in codes} == {"DR0", "DR1", "DR2", "DR3", "DR4"}


def test_at_most_fifty_and_then_how_many_more(tmp_path):
    stations = "".join(f"  st-{i}: {{ae_title: A{i}, prot: {i}}}\n" for i in range(120))
    write(tmp_path, base=BASE, site=f"stations:\n{stations}")
    problems = load(tmp_path, all_plugs(), environment={}).problems
    assert len(problems) == 51
    assert problems[-1].message == "and 70 more problems"
    assert {problem.code for problem in problems[:-1]} == {"DR101"}


def test_errors_are_not_hidden_behind_warnings(tmp_path):
    stations = "".join(f"  st-{i}: {{ae_title: A{i}, iocm: true}}\n" for i in range(80))
    write(tmp_path, base=BASE, site=f"stations:\n{stations}", zzz="cache: {keep: 3}\n")
    result = load(tmp_path, all_plugs(), environment={})
    assert [problem.code for problem in result.errors] == ["DR102"]
    assert result.plan is None


def test_a_secret_in_clear_is_nowhere_in_what_comes_back(tmp_path):
    written = (
        "stations:\n  cloud:\n    type: dicomweb\n    url: https://me:hunter2@cloud.example\n"
        "    auth: {type: basic, username: x, password: hunter2}\n"
    )
    write(tmp_path, base=BASE, site=written)
    result = load(tmp_path, all_plugs(), environment={})
    assert [problem.code for problem in result.problems] == ["DR107", "DR107"]
    assert "hunter2" not in result.render()
    assert "hunter2" not in repr(result)


def test_a_file_that_cannot_be_read_does_not_bring_mistakes_upon_others(tmp_path):
    write(
        tmp_path,
        base=BASE,
        stations="stations: {pacs: [",
        rules="rules: [{name: a, route: [pacs]}]",
    )
    result = load(tmp_path, all_plugs(), environment={})
    assert [problem.code for problem in result.problems] == ["DR001"]
