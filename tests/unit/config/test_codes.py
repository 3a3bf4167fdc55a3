"""Every code of a problem has its golden text: those of one file in `mistakes/`, the rest here.

The codes are collected from the source, so a new one without an example of what people read fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from router.cli import online
from router.config.load import load
from router.peers.peer import Probe
from router.pixels import syntaxes
from tests.support.configuration import BASE, all_plugs, checked, write
from tests.support.sources import product
from tests.unit.config.test_mistakes import PAIRS

CODE = re.compile(r'"(DR\d{3})"')


def codes_of_the_source() -> set[str]:
    return {code for source in product() for code in CODE.findall(source.text)}


def too_large(site: Path) -> None:
    (site / "a.yaml").write_text("#" * 1_048_577)


def too_much(site: Path) -> None:
    for index in range(17):
        (site / f"f{index:02}.yaml").write_text("#" * 1_040_000)


def link_outside(site: Path) -> None:
    outside = write(site.parent / "outside", secret="stations: {}")
    os.symlink(outside / "secret.yaml", site / "link.yaml")


def other_suffix(site: Path) -> None:
    (site / "rules.yml").write_text("rules: []")


def too_many(site: Path) -> None:
    stations = "".join(f"  s{i}: {{ae_title: A{i}, prot: 1}}\n" for i in range(53))
    write(site, site=f"stations:\n{stations}")


def unreadable(site: Path) -> None:
    (site / "gone.yaml").symlink_to("nowhere.yaml")


def levels(site: Path) -> None:
    write(site, site="morphs: " + "[" * 64 + "]" * 64)


def too_many_to_compare(site: Path) -> None:
    (site / "00.yaml").unlink()
    rules = "".join(
        f"- {{name: r{i}, match: {{PatientID: {{regex: '^[A-{'ABCD'[i % 4]}].*X{i}.*Y'}}}}, "
        "discard: true, final: true}\n"
        for i in range(150)
    )
    write(site, site=f"{BASE}rules:\n{rules}")


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file that is too large": (
        too_large,
        "site/a.yaml:1:1: error DR004: the file is larger than 1024 KiB",
    ),
    "files that are too much together": (
        too_much,
        "site/f16.yaml:1:1: error DR004: the folder holds more than 10000 files or 16 MiB",
    ),
    "a text nested too deeply": (
        levels,
        "site/site.yaml:1:72: error DR004: nested deeper than 64 levels",
    ),
    "a link that leads out": (
        link_outside,
        "site/link.yaml:1:1: error DR005: this link leads out of the configuration folder",
    ),
    "a file with another suffix": (
        other_suffix,
        "site/rules.yml:1:1: warning DR320: 'rules.yml' is not read",
    ),
    "more problems than are shown": (
        too_many,
        "site/site.yaml:52:24: error DR099: and 3 more problems",
    ),
    "more rules than are compared": (
        too_many_to_compare,
        "site/site.yaml:4:10: warning DR325: 11114 comparisons of rules were left out: there are too many",
    ),
    "a link to nothing": (
        unreadable,
        "site/gone.yaml:1:1: error DR401: the file cannot be read: no such file or directory",
    ),
}


@pytest.mark.parametrize("title", FOLDERS)
def test_a_mistake_of_the_folder_is_shown(title, tmp_path, monkeypatch):
    prepare, head = FOLDERS[title]
    monkeypatch.chdir(tmp_path)
    site = write(tmp_path / "site", **{"00": BASE})
    prepare(site)
    result = checked(Path("site"))
    shown = [block.split("\n")[0] for block in result.render().split("\n\n")]
    assert shown[-1] == head
    assert (result.plan is None) == ("error" in head)


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (False, "site:1:1: error DR401: no such configuration folder"),
        (True, "site:1:1: error DR401: no *.yaml file in this folder"),
    ],
)
def test_no_folder_and_an_empty_one_are_shown(make, head, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if make:
        (tmp_path / "site").mkdir()
    result = load(Path("site"), all_plugs(), environment={})
    assert result.render().split("\n")[0] == head
    assert ("init DIR" in result.render()) is make


WITHOUT_CODECS = {
    "ImplicitVRLittleEndian": (
        "site/site.yaml:2:40: warning DR330: compressed objects cannot be decoded for it"
    ),
    "RLELossless": "site/site.yaml:2:40: error DR404: 'RLELossless' needs codecs",
}


SILENT = "site/site.yaml:2:3: warning DR405: station 'ct' does not answer: refused"


@pytest.mark.parametrize("name", WITHOUT_CODECS)
def test_that_codecs_are_not_installed_is_shown(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(syntaxes, "_is_there", lambda module: False)
    text = f"stations:\n  ct: {{ae_title: CT1, transfer_syntax: {name}}}\n"
    text += "rules: [{name: a, match: {from: ct}, discard: true}]"
    write(tmp_path / "site", **{"00": BASE}, site=text)
    head, *_, last = checked(Path("site")).render().split("\n\n")[0].split("\n")
    assert head == WITHOUT_CODECS[name]
    assert last.endswith("the extra 'pixel' is not installed (pip install 'dicom-router[pixel]')")


def test_a_station_that_does_not_answer_is_shown_at_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(online, "roll_call", lambda *_: {"ct": Probe(False, 0.1, "refused")})
    write(tmp_path / "site", **{"00": BASE}, site="stations:\n  ct: {ae_title: CT1}\n")
    found = online.ask_stations(checked(Path("site"))).loaded.render()
    assert SILENT in found.split("\n")
    assert found.endswith("try it alone: dicom-router echo ct")


def test_every_code_has_a_golden_text():
    shown_alone = set(re.findall(r"DR\d{3}", SILENT))
    shown = {code for _, _, golden in PAIRS for code in re.findall(r"DR\d{3}", golden)}
    shown |= {code for head in WITHOUT_CODECS.values() for code in re.findall(r"DR\d{3}", head)}
    shown |= {code for _, head in FOLDERS.values() for code in re.findall(r"DR\d{3}", head)}
    assert codes_of_the_source() - shown - shown_alone == set()


def test_no_golden_text_is_about_a_code_that_is_gone():
    shown = {code for _, _, golden in PAIRS for code in re.findall(r"(DR\d{3}):", golden)}
    assert shown <= codes_of_the_source()


def test_a_warning_never_has_the_code_of_an_error():
    severities: dict[str, set[str]] = {}
    for _, _, golden in PAIRS:
        for severity, code in re.findall(r"(error|warning) (DR\d{3}):", golden):
            severities.setdefault(code, set()).add(severity)
    assert {code for code, kinds in severities.items() if len(kinds) > 1} == set()
    advice = {code for code, kinds in severities.items() if kinds == {"warning"}}
    assert all(code.startswith("DR3") or code == "DR402" for code in advice)
