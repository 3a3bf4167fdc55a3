"""Files and words around the configuration: order, secrets' files, suggestions, masked secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.config.folder import read_folder, shown_folder
from router.config.load import load, load_texts
from router.config.report import Report
from router.config.secrets import find_file
from router.config.suggest import did_you_mean, nearest
from tests.support.configuration import BASE, PACS, all_plugs, checked, loaded, write


def names(folder: Path) -> list[str]:
    return [source.relative for source in read_folder(folder, Report())]


def test_files_are_read_in_path_order_folder_by_folder(tmp_path):
    for name in ("b", "a__z", "a", "a__b__c", "a-b", "B", "10", "9"):
        write(tmp_path, **{name: "# nothing"})
    assert names(tmp_path) == [
        *("10.yaml", "9.yaml", "B.yaml", "a/b/c.yaml", "a/z.yaml"),
        *("a-b.yaml", "a.yaml", "b.yaml"),
    ]


def test_texts_are_compiled_in_the_order_of_their_files(tmp_path):
    rules = {
        f"{name}.yaml": f"rules: [{{name: '{name}', discard: true}}]"
        for name in ("b", "a/x", "a-b")
    }
    plan = load_texts({**rules, "base.yaml": BASE}, tmp_path, all_plugs()).plan
    write(
        tmp_path, base=BASE, b=rules["b.yaml"], a__x=rules["a/x.yaml"], **{"a-b": rules["a-b.yaml"]}
    )
    assert [rule.name for rule in plan.rules] == ["a/x", "a-b", "b"]
    assert load(tmp_path, all_plugs()).plan.rules == plan.rules


def test_a_linked_folder_inside_is_not_entered_twice(tmp_path):
    write(tmp_path, base=BASE, sub__a="stations: {}")
    os.symlink(tmp_path / "sub", tmp_path / "again")
    assert names(tmp_path) == ["base.yaml", "sub/a.yaml"]


def test_the_folder_itself_may_be_a_link(tmp_path):
    write(tmp_path / "real", base=BASE, site=PACS)
    os.symlink(tmp_path / "real", tmp_path / "link")
    result = load(tmp_path / "link", all_plugs())
    assert result.plan.folder == (tmp_path / "real").resolve()


def test_a_file_that_cannot_be_read_leaves_the_others(tmp_path):
    write(tmp_path, base=BASE, site=PACS)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    report = Report()
    assert [source.relative for source in read_folder(tmp_path, report)] == [
        "base.yaml",
        "site.yaml",
    ]
    assert [problem.code for problem in report.problems()] == ["DR001"]
    assert report.is_incomplete


def test_how_a_folder_is_named_in_messages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_folder(tmp_path / "rules") == "rules"
    assert shown_folder(Path("a/../rules")) == "rules"
    assert shown_folder(tmp_path) == "."
    assert shown_folder(Path("/etc/dicom-router")) == "dicom-router"
    assert shown_folder(Path("/")) == "/"


def test_the_file_of_a_secret_is_looked_for_where_the_service_manager_puts_it_first(tmp_path):
    folder, credentials = tmp_path / "site", tmp_path / "credentials"
    for place in (folder, credentials):
        place.mkdir()
        (place / "both").write_text("x")
    (folder / "mine").write_text("x")
    (folder / "is-a-folder").mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert find_file("both", folder, environment) == credentials / "both"
    assert find_file("both", folder, {}) == folder / "both"
    assert find_file("mine", folder, environment) == folder / "mine"
    assert find_file(str(folder / "mine"), credentials, {}) == folder / "mine"
    for name in ("nowhere", "is-a-folder", "x\0y", "x" * 5000):
        assert find_file(name, folder, environment) is None


def test_a_secret_among_the_credentials_is_enough(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("x")
    text = (
        "stations:\n  a: {type: dicomweb, url: 'https://a.example',"
        " auth: {type: bearer, token: {file: token}}}\n"
    )
    assert [p.code for p in loaded(tmp_path / "site", text).errors] == ["DR401"]
    found = loaded(tmp_path / "site", text, CREDENTIALS_DIRECTORY=str(credentials))
    assert found.errors == ()


CLEAR = "hunter2-is-no-secret"


@pytest.mark.parametrize(
    "written",
    [
        f"auth: {{type: bearer, token: {CLEAR}}}",
        f'auth: {{type: bearer, token: "{CLEAR}"}}',
        f"auth:\n      type: bearer\n      token:\n        {CLEAR}",
        f"auth: {{type: basic, username: u, password: '{CLEAR}'}}",
        f"auth: {{type: oauth2, token_url: 'https://u:{CLEAR}@t.example', client_id: c, client_secret: {{env: S}}}}",
        f"auth: {{type: oauth2, token_url: 'https://t.example', client_id: c, private_key: {CLEAR}}}",
    ],
)
def test_a_secret_in_clear_is_refused_and_comes_back_nowhere(tmp_path, written):
    text = f"stations:\n  a:\n    type: dicomweb\n    url: https://a.example\n    {written}\n"
    result = loaded(tmp_path, text, S="x")
    assert "DR107" in [problem.code for problem in result.errors]
    assert CLEAR not in repr(result) + result.render()
    assert [source for source in result.sources if "*" * 8 in source.text]


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("pcs", ["pacs", "cloud"], "pacs"),
        ("PACS", ["pacs"], "pacs"),
        ("ae-title", ["ae_title", "host"], "ae_title"),
        ("Modality", ["modality"], "modality"),
        ("xyz", ["pacs"], None),
        ("", ["pacs"], None),
        ("pacs", [], None),
        ("p" * 101, ["p" * 101], None),
    ],
)
def test_the_nearest_word(word, known, expected):
    assert nearest(word, known) == expected


def test_few_words_are_listed_and_many_are_not():
    assert did_you_mean("pacz", ["pacs", "ct"]) == "did you mean 'pacs'?"
    assert did_you_mean("xyz", ["pacs", "ct"]) == "one of: ct, pacs"
    assert did_you_mean("xyz", [f"station-{i}" for i in range(10)]).startswith("one of: ")
    assert did_you_mean("xyz", [f"station-{i}" for i in range(11)]) == ""
    assert did_you_mean("xyz", []) == ""


USED = PACS + "  ct: {ae_title: CT, host: ct.example}\n"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{name: a, route: [pacs]}", []),
        ("{name: a, match: {from: ct}, route: [pacs]}", []),
        ("{name: a, match: {from: [ct, pacs]}, route: [pacs]}", ["DR314"]),
        ("{name: a, match: {from: pacs}, route: [pacs]}", ["DR312", "DR314"]),
        ("{name: a, match: {from: pacs}, discard: true}", ["DR312"]),
        ("{name: a, match: {from: ct}, enabled: false, route: [pacs]}", ["DR312", "DR312"]),
        ("{name: a, final: true}", []),
        ("{name: a}", ["DR311"]),
        ("{name: a, route: [pacs], final: true}, {name: b, discard: true}", ["DR310"]),
        (
            "{name: a, match: {Modality: CT}, route: [pacs], final: true}, {name: b, discard: true}",
            [],
        ),
        (
            "{name: a, route: [pacs], final: true, enabled: false}, {name: b, discard: true}",
            [],
        ),
        ("{name: a, route: [pacs], final: true}, {name: b, enabled: false}", []),
    ],
)
def test_advice_is_given_where_it_helps_and_only_there(tmp_path, rules, expected):
    write(tmp_path, base=BASE, site=f"{USED}rules: [{rules}]\n")
    result = checked(tmp_path)
    assert sorted(problem.code for problem in result.problems) == expected, result.render()
    assert result.plan is not None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("ae_title: CT, host: ct.example", True),
        ("ae_title: CT, host: other.example", False),
        ("ae_title: CT2, host: ct.example", False),
        ("type: folder, path: x", False),
    ],
)
def test_two_stations_of_one_title_and_host(tmp_path, other, same):
    result = loaded(tmp_path, f"{USED}  again: {{{other}}}\nrules: [{{name: a, route: [pacs]}}]\n")
    assert ("DR315" in [problem.code for problem in result.problems]) is same
