"""The Task Log by its verbs on a running router: hold, resume, priority, cancel, follow, list."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.support.process import environment, free_port, wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import Synthetic, instance, series

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true, limits: {associations: 1}}
  folder: {type: folder, path: "$drop", send: true}
rules:
  - {name: all, route: [{to: pacs, priority: low}]}
"""


class Site:
    def __init__(self, folder: Path, pause_seconds: float = 0.0) -> None:
        self.drop = folder / "drop"
        self.drop.mkdir(parents=True)
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0, pause_seconds=pause_seconds))
        self.router = Router(folder / "edge", SITE, pacs=self.pacs.port, drop=self.drop)
        self.router.start()

    def ask(self, *words: str) -> tuple[int, dict]:
        code, output, errors = self.router.command(*words, "--format", "json")
        assert output, errors
        return code, json.loads(output.splitlines()[-1] if words[1] == "follow" else output)

    def task_of(self, study: str) -> str:
        _, told = self.ask("tasks", "list", "--direction", "send", "--study", study)
        (task,) = told["tasks"]
        return str(task["task_id"])

    def close(self) -> None:
        self.router.wait_until_drained()
        self.router.assert_balanced()
        self.router.kill()
        self.pacs.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("tasks"), pause_seconds=0.03)
    yield made
    made.close()


def studies(seed: int, count: int, images: int) -> list[list[Synthetic]]:
    return [list(series(images, seed=seed + number, rows=8, columns=8)) for number in range(count)]


def sent(site: Site, of: list[Synthetic]) -> int:
    wanted = {one.sop_instance_uid for one in of}
    return len([one for one in site.pacs.stored if one.sop_instance_uid in wanted])


def settled(site: Site, of: list[Synthetic]) -> int:
    """How many have left once none has for a second."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        if sent(site, of) != seen:
            seen, since = sent(site, of), time.monotonic()
        time.sleep(0.05)
    return seen


def test_f59_hold_stops_and_resume_continues(site: Site) -> None:
    (study,) = studies(100, 1, 200)
    assert set(scan(site.router.port, study).values()) == {0}
    task = site.task_of(study[0].study_instance_uid)
    assert site.ask("tasks", "hold", task) == (0, {"tasks held": 1})
    before = settled(site, study)  # what lanes hold already leaves
    assert before < 200
    _, told = site.ask("tasks", "list", "--status", "On Hold")
    assert told["tasks"][0]["status_reason"].startswith("held by ")
    site.router.restart()
    assert settled(site, study) == before, "it is held over a restart too"
    assert site.ask("tasks", "resume", task) == (0, {"tasks resumed": 1})
    code, told = site.ask("tasks", "follow", task)
    assert (code, told["status"], told["delivered"]) == (0, "Completed", 200)
    assert sent(site, study) == 200
    assert site.ask("tasks", "resume", task)[0] == 1


def test_f60_a_study_that_is_made_high_overtakes(site: Site) -> None:
    # What is sent first keeps the others waiting while they are held.
    several = [*studies(200, 1, 200), *studies(210, 3, 30)]
    for study in several:
        assert set(scan(site.router.port, study).values()) == {0}
    tasks = [site.task_of(study[0].study_instance_uid) for study in several]
    site.ask("tasks", "hold", *tasks[1:])
    last, task = several[-1], tasks[-1]
    assert site.ask("tasks", "priority", "stat", task) == (0, {"tasks now high": 1})
    before = sum(settled(site, study) for study in several[:-1])
    site.ask("tasks", "resume", *tasks[1:])
    wait_until(lambda: sent(site, last) == 30, 30, what="the study")
    # After every ten of a higher priority goes one of a lower; what is leased before it leaves too.
    assert sum(sent(site, study) for study in several[:-1]) - before < 30
    (high,) = {
        one.priority
        for one in site.pacs.stored
        if one.sop_instance_uid == last[-1].sop_instance_uid
    }
    assert high == 1, "the DIMSE Priority of high (PS3.7 E.1)"
    code, output, errors = site.router.command("tasks", "priority", "urgently", task)
    assert (code, "high, medium or low" in errors) == (64, True)
    site.router.wait_until_drained()


def test_f58_cancel_sends_nothing_more_and_the_balance_holds(site: Site) -> None:
    (study,) = studies(300, 1, 200)
    assert set(scan(site.router.port, study).values()) == {0}
    task = site.task_of(study[0].study_instance_uid)
    site.ask("tasks", "hold", task)
    code, told = site.ask("tasks", "cancel", task)
    cancelled = told["deliveries cancelled"]
    assert (code, cancelled > 50) == (0, True)
    code, told = site.ask("tasks", "follow", task)
    assert (code, told["status"]) == (1, "Cancelled")
    assert settled(site, study) == 200 - cancelled
    assert site.ask("tasks", "cancel", task) == (1, {"deliveries cancelled": 0})


def test_f73_list_sorts_filters_and_writes_csv(site: Site) -> None:
    code, output, _ = site.router.command(
        "tasks", "list", "--csv", "--direction", "send", "--sort", "objects"
    )
    rows = list(csv.DictReader(io.StringIO(output)))
    assert code == 0
    assert [int(row["objects"]) for row in rows] == sorted(int(row["objects"]) for row in rows)
    assert rows[0]["created_at"].endswith("Z")
    assert rows[0]["requester"] == "all"
    _, told = site.ask("tasks", "list", "--sort", "created", "--requester", "all")
    ids = [one["task_id"] for one in told["tasks"]]
    assert ids == sorted(ids)
    assert site.ask("tasks", "list", "--requester", "nobody")[1] == {"tasks": []}
    assert len(
        site.ask("tasks", "list", "--since", "1h", "--direction", "send", "--reverse")[1]["tasks"]
    ) == len(ids)
    assert site.router.command("tasks", "list", "--since", "soon")[0] == 64
    high = site.ask("tasks", "list", "--priority", "high")[1]["tasks"]
    assert {one["priority"] for one in high} == {"high"}


def test_follow_ends_when_it_is_interrupted(site: Site, tmp_path: Path) -> None:
    edge = Router(
        tmp_path / "away", SITE, pacs=free_port(), drop=site.drop
    )  # a destination that is not there
    edge.start()
    image = instance(1, study=400, rows=8, columns=8)
    scan(edge.port, [image])
    wait_until(lambda: bool(edge.tasks()["tasks"]), 5, what="the task")
    number = str(edge.tasks()["tasks"][0]["task_id"])
    command = [sys.executable, "-m", "router", "tasks", "follow", number]
    with subprocess.Popen(
        [*command, "--config", str(edge.folder)], env=environment(), stdout=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        assert b"0/1" in following.stdout.readline()
        following.send_signal(2)
        assert following.wait(10) == 130
    edge.kill()


def test_send_anonymized_is_a_copy_and_failure_sends_nothing(site: Site) -> None:
    named = instance(7, study=500, rows=8, columns=8, changes={0x00100010: ("PN", "PLANTED^NAME")})
    scan(site.router.port, [named])
    site.router.wait_until_drained()
    study = named.study_instance_uid
    code, output, errors = site.router.command("send", "folder", "--study", study, "--anonymize")
    assert code == 0, errors
    wait_until(lambda: len(list(site.drop.rglob("*.dcm"))) == 1, 10, what="the copy")
    (path,) = site.drop.rglob("*.dcm")
    copy = pydicom.dcmread(path)
    assert b"PLANTED" not in path.read_bytes()
    assert copy.PatientIdentityRemoved == "YES"
    assert copy.StudyInstanceUID != study
    held = instance(7, study=500, rows=8, columns=8)
    code, output, _ = site.router.command("explain", "--instance", held.sop_instance_uid)
    assert code == 0, "what is held is as it came"
    burned = instance(8, study=600, rows=8, columns=8, changes={0x00280301: ("CS", "YES")})
    scan(site.router.port, [burned])
    site.router.command("send", "folder", "--study", burned.study_instance_uid, "--anonymize")
    wait_until(lambda: site.router.deliveries()["quarantined"] == 1, 10, what="the failure is kept")
    assert len(list(site.drop.rglob("*.dcm"))) == 1
