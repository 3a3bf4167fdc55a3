"""What is small to write and large to compile ends in a message, soon; what is only large passes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from router.config.load import Loaded, load
from router.plugs import all_plugs

HEAD = """\
version: 1
router: {name: e, ae_title: E, data_dir: /var/lib/dicom-router}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:11112", accept: any}
stations:
  pacs: {ae_title: P, host: 127.0.0.1, port: 104, send: true}
"""
# Two seconds of an idle machine; of processor time, with room for caches that others fill.
SECONDS = 4.0


def rules(count: int, match: str) -> str:
    written = (
        f"  - {{name: r{n}, match: {match.replace('NUMBER', str(n))}, route: [pacs]}}\n"
        for n in range(count)
    )
    return HEAD + "rules:\n" + "".join(written)


def steps(count: int, step: str) -> str:
    return (
        HEAD
        + "rules:\n  - name: a\n    route: [pacs]\n    morph:\n"
        + "".join(f"      - {step.replace('NUMBER', str(n))}\n" for n in range(count))
    )


def named_list() -> str:
    listed = "".join(f"    - {{set: {{PatientID: a{n}}}}}\n" for n in range(999))
    used = "".join(f"  - {{name: r{n}, morph: m, route: [pacs]}}\n" for n in range(3000))
    return f"{HEAD}morphs:\n  m:\n{listed}rules:\n{used}"


def table() -> str:
    entries = ", ".join(f"k{n}: v{n}" for n in range(60_000))
    used = steps(900, "map: {tag: PatientID, table: t}").removeprefix(HEAD)
    return f"{HEAD}tables:\n  t: {{{entries}}}\n{used}"


def aliases() -> str:
    return "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )


BOMBS = {
    "aliases": (aliases(), "DR004"),
    "patterns": (rules(4000, '{PatientID: {regex: "((a{1,10}){1,10}){1,10}xNUMBER"}}'), "DR004"),
    "large patterns": (rules(2000, r'{PatientID: {regex: "(\\pL{1,30}){1,30}NUMBER"}}'), "DR004"),
    "replacements": (
        steps(900, 'replace: {tag: PatientID, pattern: "(b{1,1000}){1,9}NUMBER", with: x}'),
        "DR004",
    ),
    "templates": (
        steps(900, f'set: {{PatientID: "{"{{ PatientID|upper }}" * 40}NUMBER"}}'),
        "DR004",
    ),
    "deep templates": (
        steps(900, f'set: {{PatientID: "{{{{ {"(" * 300}PatientID{")" * 300} }}}}NUMBER"}}'),
        "DR213",
    ),
    "a list named by all": (named_list(), "DR004"),
    "a table inlined by all": (table(), "DR004"),
    "mistakes": (rules(12_000, "{PatientIDxNUMBER: a}"), "DR210"),
    "JSON in flow style": ("a: " + '{"a":[' * 100_000 + "\n", "DR004"),
}


def compiled(folder: Path, text: str) -> tuple[Loaded, float]:
    (folder / "site.yaml").write_text(text)
    plugs = all_plugs()
    begin = time.process_time()
    loaded = load(folder, plugs)
    return loaded, time.process_time() - begin


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_a_message_soon(name: str, tmp_path: Path) -> None:
    text, code = BOMBS[name]
    loaded, seconds = compiled(tmp_path, text)
    assert loaded.plan is None
    assert code in {problem.code for problem in loaded.errors}
    assert seconds < SECONDS


def test_many_files_are_one_configuration(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.yaml").write_text(f"x{number}: [{'x, ' * 60_000}x]\n")
    loaded, seconds = compiled(tmp_path, HEAD)
    assert "DR004" in {problem.code for problem in loaded.errors}
    assert seconds < SECONDS


def test_a_large_configuration_is_no_bomb(tmp_path: Path) -> None:
    stations = "".join(
        f"  s{n}:\n    ae_title: S{n}\n    host: 10.1.1.1\n    port: 104\n    send: true\n"
        for n in range(900)
    )
    written = "".join(
        f"  - name: r{n}\n    match:\n      Modality: [CT, MR]\n"
        f'      StudyDescription: {{regex: "(?i)chest|thorax|room {n}"}}\n    morph:\n'
        f'      - set: {{InstitutionName: H {n}, StationName: "{{{{ source.name }}}} {n}"}}\n'
        f'      - replace: {{tag: StudyDescription, pattern: "^RX {n}", with: XR}}\n'
        f"    route: [s{n}]\n"
        for n in range(900)
    )
    text = f"{HEAD}{stations}rules:\n{written}"
    assert text.count("\n") > 10_000
    loaded, seconds = compiled(tmp_path, text)
    assert loaded.errors == ()
    assert seconds < SECONDS
