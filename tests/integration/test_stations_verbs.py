"""`stations` as a person types it, against a running router with real peers and a real folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import dicom_router
from tests.support.process import free_port, run, wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import instance

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults: {station: {heartbeat: {every: 1s}}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs:   # the archive
    ae_title: DEST
    host: 127.0.0.1
    port: $destination   # as registered
    send: true
  night: {type: folder, path: $night, send: true}
rules:
  - {name: everything to the archive, route: [pacs]}
"""
RouterFactory = Callable[..., Router]


def say(edge: Router, *words: str) -> tuple[int, str, str]:
    code, output, errors = dicom_router("stations", *words, "--config", str(edge.folder))
    assert "Traceback" not in errors, errors
    return code, output, errors


def ask(edge: Router, *words: str) -> tuple[int, dict]:
    code, output, errors = say(edge, *words, "--format", "json")
    assert output, errors
    return code, json.loads(output)


def listed(edge: Router, name: str) -> dict:
    return next(each for each in ask(edge, "list")[1]["stations"] if each["name"] == name)


@pytest.fixture
def edge(tmp_path: Path, router: RouterFactory) -> Router:
    return router(SITE, start=False, destination=free_port(), night=tmp_path / "night")


def exported(edge: Router) -> dict:
    code, output, _ = say(edge, "export")
    assert code == 0
    return json.loads(output)


def test_f31_stations_are_listed_shown_and_tested_with_what_they_answer(
    tmp_path: Path, router: RouterFactory
) -> None:
    peer = ScriptedScp(Script(max_pdu_bytes=0))
    edge = router(SITE, destination=peer.port, night=tmp_path / "night")
    try:
        wait_until(lambda: listed(edge, "pacs")["status"] == "online", 20, what="online")
        known = listed(edge, "pacs")
        assert (known["kind"], known["ae_title"]) == ("dicom", "DEST")
        assert known["address"] == f"127.0.0.1:{peer.port}"
        assert known["seconds"] > 0
        assert known["since"].endswith("Z")
        code, output, _ = say(edge, "list")
        assert code == 0
        assert output.split("\n")[0].split()[:3] == ["STATION", "KIND", "AE"]
        code, shown = ask(edge, "show", "pacs")
        assert [each["status"] for each in shown["changes"]][0] == "online"
        assert shown["written_in"].endswith("site.yaml:8")
        code, answer = ask(edge, "test", "pacs")
        assert (code, answer["ok"]) == (0, True)
        assert exported(edge)["stations"][1]["status"] == "online"
    finally:
        peer.close()
    code, answer = ask(edge, "test", "pacs")
    assert (code, answer["ok"]) == (1, False)
    assert "refused" in answer["message"]


def test_f30_before_the_first_start_stations_are_listed_and_nothing_is_made(edge: Router) -> None:
    assert listed(edge, "pacs")["status"] == "unknown"
    assert not edge.data_dir.exists()
    code, _, errors = say(edge, "show", "pasc")
    assert code == 1
    assert "did you mean 'pacs'?" in errors


def test_f28_a_disabled_station_gets_nothing_and_its_work_goes_when_it_is_enabled(
    tmp_path: Path, router: RouterFactory
) -> None:
    peer = ScriptedScp(Script(max_pdu_bytes=0))
    edge = router(SITE, destination=peer.port, night=tmp_path / "night")
    try:
        before = (edge.folder / "site.yaml").read_text()
        code, told = ask(edge, "disable", "pacs")
        assert (code, told["state"]) == (0, "applied")
        text = (edge.folder / "site.yaml").read_text()
        assert text == before.replace("    send: true\n", "    send: true\n    active: false\n", 1)
        wait_until(lambda: listed(edge, "pacs")["status"] == "inactive", 10, what="inactive")
        assert set(scan(edge.port, [instance(1, rows=8, columns=8)]).values()) == {0}
        wait_until(lambda: edge.deliveries()["held"] == 1, 10, what="held")
        assert ask(edge, "disable", "pacs")[1]["state"] == "unchanged"
        assert ask(edge, "enable", "pacs") == (
            0,
            told
            | {
                "changes": [{"station": "pacs", "is_new": False, "keys": {"active": [False, True]}}]
            },
        )
        edge.wait_until_drained(20)
        assert edge.deliveries()["delivered"] == 1
    finally:
        peer.close()


def test_f27_an_import_is_shown_first_and_written_with_yes(edge: Router, tmp_path: Path) -> None:
    data = exported(edge)
    assert [each["name"] for each in data["stations"]] == ["ct-1", "pacs"], "a folder is left out"
    data["stations"][1] |= {"port": 105, "isFileServer": True, "status": "online"}
    del data["stations"][1]["isArchiveServer"]
    data["stations"].append({"name": "mr-1", "aeTitle": "MR1"})
    file = tmp_path / "stations.json"
    file.write_text(json.dumps(data))
    before = (edge.folder / "site.yaml").read_text()

    code, output, _ = say(edge, "import", str(file))
    assert code == 2
    assert "+ mr-1" in output
    assert "-> 105" in output
    assert (edge.folder / "site.yaml").read_text() == before
    code, told = ask(edge, "import", str(file), "--yes")
    assert (code, told["state"]) == (0, "written")
    assert told["files"] == ["site.yaml", "stations/mr-1.yaml"]
    assert "port: 105   # as registered" in (edge.folder / "site.yaml").read_text()
    again = exported(edge)
    assert [each["name"] for each in again["stations"]] == ["ct-1", "mr-1", "pacs"]
    assert again["stations"][2]["isArchiveServer"] is True
    file.write_text(json.dumps(again))
    assert ask(edge, "import", str(file)) == (
        0,
        {"state": "unchanged", "changes": [], "files": [], "patch": ""},
    )


@pytest.mark.parametrize(
    ("station", "words"),
    [
        ({"name": "pacs", "prot": 105}, "unknown key 'prot'; did you mean 'port'?"),
        ({"name": "pacs", "port": None}, "needs 'port', because send is on"),
        ({"name": "new"}, "new is new and needs an aeTitle"),
        ({"name": "../x", "aeTitle": "X"}, "'../x' cannot be a name"),
        ({"name": "night", "aeTitle": "X"}, "night is a folder station"),
        ({"name": "pacs", "enableTls": True, "tlsProfile": "no"}, "'no'"),
    ],
)
def test_f27_a_wrong_import_changes_nothing(
    edge: Router, tmp_path: Path, station: dict, words: str
) -> None:
    file = tmp_path / "stations.json"
    file.write_text(json.dumps({"schema": "dicom-router/stations/v1", "stations": [station]}))
    before = {path: path.read_bytes() for path in edge.folder.rglob("*")}
    code, output, errors = say(edge, "import", str(file), "--yes")
    assert code == 1
    assert words in output + errors
    assert "nothing was changed" in errors
    assert {path: path.read_bytes() for path in edge.folder.rglob("*")} == before


def test_f27_in_a_release_the_change_is_a_patch_that_git_applies(
    edge: Router, tmp_path: Path
) -> None:
    current = tmp_path / "current"
    current.symlink_to(edge.folder)
    before = (edge.folder / "site.yaml").read_text()
    words = ("stations", "disable", "pacs", "--config", str(current))
    code, output, errors = dicom_router(*words, "--format", "json")
    assert code == 2, errors
    assert (edge.folder / "site.yaml").read_text() == before
    change = tmp_path / "change.patch"
    change.write_text(json.loads(output)["patch"])
    done = run(["git", "-C", str(edge.folder), "apply", str(change)])
    assert done.returncode == 0, done.stderr
    assert listed(edge, "pacs")["active"] is False
