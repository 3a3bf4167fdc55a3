"""Every verb as a user types it: text, JSON, exit codes, and what it says when it says no."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import dicom_router
from tests.support.ledger_view import wait_for
from tests.support.process import free_port, is_listening, wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Synthetic, instance, series

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  picky: {ae_title: PICKY, host: 127.0.0.1, port: $picky, send: true}
  away: {ae_title: AWAY, host: 127.0.0.1, port: $away, send: true}
rules:
  - name: CT to the archive
    match: {Modality: CT, StudyDescription: {regex: CHEST}}
    morph:
      - prefix: {AccessionNumber: HSPA-}
    route: [{to: pacs, priority: high}]
  - {name: MR to the picky one, match: {Modality: MR}, route: [picky]}
"""
SPOILED = """\
rules:
  - {name: wrong, match: {Modalty: CT}, route: [pacs]}
"""
CANNOT_UNDERSTAND = 0xA900
WORDS = "wrong kind of picture"


class Site:
    """A running router with three stations: one takes everything, one refuses, one is away."""

    def __init__(self, folder: Path) -> None:
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.mood = [CANNOT_UNDERSTAND]
        self.picky = ScriptedScp(Script(statuses=self.mood, comment=WORDS))
        ports = {"pacs": self.pacs.port, "picky": self.picky.port, "away": free_port()}
        self.router = Router(folder, SITE, **ports)

    def say(self, *words: str) -> tuple[int, str, str]:
        """Run a verb; nothing it prints may hold a colour code, since nothing here is a terminal."""
        code, output, errors = dicom_router(*words, "--config", str(self.router.folder))
        assert "\x1b" not in output + errors
        assert "Traceback" not in errors, errors
        return code, output, errors

    def ask(self, *words: str) -> tuple[int, Any]:
        """Run a verb with JSON output: exit code and what it printed."""
        code, output, errors = self.say(*words, "--format", "json")
        assert output, errors
        return code, json.loads(output)

    def close(self) -> None:
        self.router.kill()
        self.pacs.close()
        self.picky.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    made.router.start()
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture(scope="module")
def images() -> dict[str, Synthetic]:
    chest = {0x00081030: ("LO", "CHEST ROUTINE")}
    return {
        "ct": instance(1, modality="CT", rows=8, columns=8, changes=chest),
        "mr": instance(2, modality="MR", rows=8, columns=8),
        "cr": instance(3, modality="CR", rows=8, columns=8),
    }


def plain(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """A command without a configuration of its own."""
    code, output, errors = dicom_router(*words, cwd=cwd)
    assert "\x1b" not in output + errors
    return code, output, errors


def test_before_the_first_start_there_is_nothing_to_tell(tmp_path: Path) -> None:
    edge = Router(tmp_path, SITE, pacs=1, picky=2, away=3)
    for words in (["account"], ["status"], ["tasks", "list"]):
        verb, *rest = words
        code, output, errors = plain(verb, *rest, "--config", str(edge.folder))
        assert (code, output) == (1, "")
        assert "dicom-router run" in errors
    assert not edge.data_dir.exists(), "looking makes nothing"


def test_f8_check_tells_the_plan_or_every_problem(site: Site) -> None:
    code, output, _ = site.say("check")
    assert code == 0
    assert "1 listener, 4 stations, 2 rules, plan " in output
    assert output.splitlines()[-1].startswith("0 errors")
    code, answer = site.ask("check")
    assert (code, answer["errors"], len(answer["digest"])) == (0, 0, 64)
    spoiled = site.router.write(SPOILED, "zz.yaml")
    try:
        code, output, _ = site.say("check")
        assert code == 1
        assert "zz.yaml:2:27: error DR210: 'Modalty' is no DICOM keyword" in output
        code, answer = site.ask("check")
        assert (code, answer["errors"], answer["digest"]) == (1, 1, None)
        (problem,) = [one for one in answer["problems"] if one["severity"] == "error"]
        assert (problem["code"], problem["line"]) == ("DR210", 2)
        for words in (["run", "--strict"], ["test"], ["apply"]):
            code, output, errors = site.say(*words)
            assert (code, output) == (1, "")
            assert "DR210" in errors
    finally:
        spoiled.unlink()


def test_schema_and_init_make_a_folder_that_checks_and_runs(tmp_path: Path) -> None:
    code, output, _ = plain("schema")
    assert code == 0
    schema = json.loads(output)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {"stations", "rules", "listeners"} <= set(schema["properties"])

    folder = tmp_path / "my-hospital"
    code, output, _ = plain("init", str(folder))
    assert code == 0
    assert f"next: dicom-router check --config {folder}" in output
    (written,) = folder.glob("*.json")
    assert json.loads(written.read_text()) == schema
    code, output, _ = plain("check", "--config", str(folder), "--deny-warnings")
    assert (code, output.splitlines()[-1]) == (0, "0 errors, 0 warnings")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, _, errors = plain("init", str(folder))
    assert code == 1
    assert "not empty" in errors
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "No such command"),
        (["status", "--config", "/no/such/folder"], "is not a folder"),
        (["status", "--format", "xml"], "'xml' is not one of"),
        (["status"], "dicom-router init DIR"),
        (["send", "pacs"], "give files, or --study UID"),
        (["tasks", "retry"], "give task ids, or --all"),
        (["tasks", "show", "one"], "not a valid integer"),
        (["explain", "no-such-file"], "does not exist"),
        (["explain"], "give one of: FILE, --instance UID or ID, --task ID"),
        (["explain", "--task", "1", "--instance", "2"], "give one of"),
        (["explain", "--task", "1", "--from", "ct-1"], "go with FILE"),
        (["plan", "--days", "-1"], "is not in the range"),
        (["init"], "Missing argument"),
    ],
)
def test_wrong_usage_is_64_and_says_how(words: list[str], said: str, tmp_path: Path) -> None:
    code, output, errors = plain(*words, cwd=tmp_path)
    assert (code, output) == (64, "")
    assert said in errors


def test_help_names_every_verb() -> None:
    code, output, _ = plain("--help")
    assert code == 0
    verbs = re.findall(r"^  ([a-z]+)  ", output, re.MULTILINE)
    assert verbs == sorted(verbs)
    assert set(verbs) >= {
        *("account", "check", "demo", "echo", "explain", "init", "plan", "run", "schema", "send"),
        *("status", "tasks"),
    }


def test_f66_status_account_and_tasks_tell_the_same_story(
    site: Site, images: dict[str, Synthetic]
) -> None:
    code, answer = site.ask("account")
    assert (code, answer["balanced"]) == (0, True)
    assert set(scan(site.router.port, images.values()).values()) == {0}
    wait_for(site.router.data_dir, delivered=1, dead=1)

    code, answer = site.ask("account")
    assert code == 2, "something is dead and something is unmatched: a person is needed"
    told = {name: answer[name] for name in ("received", "delivered", "dead", "unmatched")}
    assert told == {"received": 3, "delivered": 1, "dead": 1, "unmatched": 1}
    assert answer["stations"]["picky"]["dead"] == 1
    code, output, _ = site.say("account")
    assert code == 2
    assert "3 received" in output
    assert output.rstrip().endswith("balanced")

    code, answer = site.ask("status")
    assert (code, answer["running"], answer["router"]) == (0, True, "edge")
    states = {one["name"]: one["status"] for one in answer["stations"]}
    assert states == {"ct-1": "unknown", "pacs": "online", "picky": "unknown", "away": "unknown"}
    assert {"deliver", "receive"} <= answer["roles"].keys()
    code, output, _ = site.say("status")
    assert code == 0
    assert output.startswith("edge  running\n")
    assert re.search(r"^pacs +online ", output, re.MULTILINE)

    code, answer = site.ask("tasks", "list", "--direction", "send")
    assert code == 0
    assert [(one["station"], one["status"]) for one in answer["tasks"]] == [
        ("picky", "Failed"),
        ("pacs", "Completed"),
    ]
    assert answer["tasks"][1]["requester"] == "CT to the archive"
    assert answer["tasks"][1]["priority"] == "high"
    code, answer = site.ask("tasks", "list", "--status", "Completed", "--station", "pacs")
    assert [one["station"] for one in answer["tasks"]] == ["pacs"]
    code, output, _ = site.say("tasks", "list", "--direction", "send")
    assert output.splitlines()[0].split()[:4] == ["ID", "DIRECTION", "STATUS", "PRI"]
    assert len(output.splitlines()) == 3


def test_what_runs_is_told_though_the_folder_is_broken(site: Site) -> None:
    """The router goes on with the plan that ran last: so do the verbs that look at it."""
    path = site.router.folder / "spoiled.yaml"
    path.write_text(SPOILED)
    try:
        wait_until(
            lambda: site.ask("status")[1]["reload"]["state"] == "refused", 30, what="the refusal"
        )
        code, output, errors = site.say("status")
        assert code == 0 and "did you mean 'Modality'" in output
        assert "has errors, as `dicom-router check` tells" in errors
        assert site.say("tasks", "list")[0] == 0 and site.say("top", "--once")[0] == 0
        assert site.say("account")[0] in {0, 2}
        assert site.say("priors", "list")[0] == 0
        code, _, errors = site.say("reject", "1.2.3", "--as", "safety")
        assert code == 1 and "nothing of it is held here" in errors
        code, output, errors = site.say("apply")
        assert code == 1 and "did you mean 'Modality'" in errors
        assert "the plan that runs goes on" in errors
    finally:
        path.unlink()
    wait_until(lambda: site.ask("status")[1]["reload"]["state"] != "refused", 30, what="the cure")


def test_f67_f69_what_came_in_is_a_task_too_and_cannot_be_changed(site: Site) -> None:
    code, answer = site.ask("tasks", "list", "--direction", "receive")
    assert code == 0
    assert {(one["station"], one["priority"]) for one in answer["tasks"]} == {("ct-1", "medium")}
    assert {one["status"] for one in answer["tasks"]} <= {"In Progress", "Completed"}
    number = str(answer["tasks"][0]["task_id"])
    for words in (("cancel",), ("retry",), ("hold",), ("priority", "high")):
        code, _, errors = site.say("tasks", *words, number)
        assert code == 1 and f"task {number} receives from ct-1" in errors, (words, errors)
    code, output, _ = site.say("tasks", "show", number)
    assert code == 0 and "SOP INSTANCE UID" not in output


def test_a_task_that_does_not_exist_is_named(site: Site) -> None:
    for words in (("cancel",), ("retry",), ("hold",), ("resume",), ("priority", "high")):
        code, _, errors = site.say("tasks", *words, "999")
        assert code == 1 and "there is no task 999; see: dicom-router tasks list" in errors, words


def test_a_refused_object_keeps_the_words_of_the_peer_and_can_be_retried(
    site: Site, images: dict[str, Synthetic]
) -> None:
    code, answer = site.ask("tasks", "list", "--station", "picky")
    (task,) = answer["tasks"]
    number = str(task["task_id"])
    code, answer = site.ask("tasks", "show", number)
    assert code == 0
    (delivery,) = answer["deliveries"]
    assert delivery["state"] == "dead"
    assert delivery["last_status"] == CANNOT_UNDERSTAND
    assert WORDS in delivery["last_error"]
    assert delivery["sop_instance_uid"] == images["mr"].sop_instance_uid
    assert any(WORDS in event["message"] for event in answer["events"])
    code, output, _ = site.say("tasks", "show", number)
    assert code == 0
    assert "0xA900" in output
    assert WORDS in output

    site.mood[0] = 0x0000
    code, output, _ = site.say("tasks", "retry", number)
    assert (code, output) == (0, "1 deliveries queued again\n")
    wait_for(site.router.data_dir, station="picky", delivered=1, dead=0)
    code, answer = site.ask("tasks", "show", number)
    assert answer["task"]["status"] == "Completed"
    kinds = [event["kind"] for event in answer["events"]]
    assert kinds.index("dead") < kinds.index("retried")

    code, answer = site.ask("tasks", "retry", "--all")
    assert (code, answer) == (1, {"queued": 0}), "there was nothing left to retry"
    code, _, errors = site.say("tasks", "show", "999")
    assert code == 1
    assert "there is no task 999" in errors


def test_f51_echo_says_online_or_why_not(site: Site) -> None:
    code, output, _ = site.say("echo", "pacs")
    assert code == 0
    assert output.startswith("online  pacs  ")
    assert output.rstrip().endswith(" ms")
    assert site.pacs.echoes >= 1
    code, answer = site.ask("echo", "away")
    assert (code, answer["ok"], answer["station"]) == (1, False, "away")
    assert "refused" in answer["message"]
    code, output, _ = site.say("echo", "away")
    assert code == 1
    assert output.startswith("OFFLINE  away  ")
    code, _, errors = site.say("echo", "paks")
    assert code == 1
    assert "there is no station 'paks'" in errors
    assert "pacs" in errors


def test_f63_send_queues_the_good_files_and_names_the_bad_ones(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    folder.mkdir()
    good = list(series(3, seed=40, rows=8, columns=8))
    for image in good:
        image.write(folder)
    bad = folder / "README.TXT"
    bad.write_text("This CD needs a viewer, which needs Windows 98 and 64 MB of memory.\n" * 9)
    cut = folder / "cut.dcm"
    cut.write_bytes(good[0].part10()[:-40])
    missing = tmp_path / "missing.dcm"
    before = len(site.pacs.stored)
    code, answer = site.ask("send", "pacs", str(folder), str(missing), "--priority", "high")
    assert (code, answer["queued"], answer["station"]) == (1, 3, "pacs")
    reasons = {Path(one["file"]).name: one["reason"] for one in answer["failed"]}
    assert set(reasons) == {"README.TXT", "cut.dcm", "missing.dcm"}
    assert reasons["missing.dcm"] == "No such file or directory"
    wait_until(lambda: len(site.pacs.stored) == before + 3, 10, what="the running router sends")
    sent = {one.sop_instance_uid: one for one in site.pacs.stored[before:]}
    assert sent.keys() == {image.sop_instance_uid for image in good}
    assert {one.priority for one in sent.values()} == {1}
    assert {one.length for one in sent.values()} == {len(image.data_set) for image in good}

    code, _, errors = site.say("send", "paks", str(folder))
    assert code == 1
    assert "there is no station 'paks'" in errors
    assert "pacs" in errors
    code, output, errors = site.say("send", "pacs", str(bad))
    assert (code, output) == (1, "0 instances queued for pacs, priority medium\n")
    assert "README.TXT: not queued" in errors


def test_f32_a_station_without_send_is_no_target_of_a_rule_nor_of_a_person(
    site: Site, tmp_path: Path
) -> None:
    instance(48, rows=8, columns=8).write(tmp_path)
    code, output, errors = site.say("send", "ct-1", str(tmp_path))
    assert (code, output) == (1, "")
    assert "station ct-1 has send: false; nothing was queued" in errors
    aimed = "rules:\n  - {name: back to the scanner, route: [ct-1]}\n"
    path = site.router.write(aimed, "zz.yaml")
    try:
        code, output, _ = site.say("check")
    finally:
        path.unlink()
    assert code == 1 and "DR207: the route leads to 'ct-1', which may not be sent to" in output


def test_send_gives_a_deflated_file_the_byte_it_lacks(site: Site, tmp_path: Path) -> None:
    # PS3.5 A.5: the deflated stream has even length; many files do without, and peers then abort.
    made = (
        instance(seed, rows=8, columns=8, transfer_syntax_uid=DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
        for seed in range(90, 130)
    )
    image = next(one for one in made if _padding(one.data_set))
    path = image.write(tmp_path, "odd.dcm")
    path.write_bytes(path.read_bytes()[:-1])
    before = len(site.pacs.stored)
    assert site.say("send", "pacs", str(path))[0] == 0
    wait_until(lambda: len(site.pacs.stored) == before + 1, 10, what="the file is sent")
    assert site.pacs.stored[-1].sha256 == hashlib.sha256(image.data_set).hexdigest()


def _padding(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=-15)
    inflater.decompress(deflated)
    return inflater.unused_data


def test_send_a_study_that_is_held_here(site: Site, images: dict[str, Synthetic]) -> None:
    study = images["cr"].study_instance_uid
    before = len(site.pacs.stored)
    code, output, _ = site.say("send", "pacs", "--study", study)
    assert (code, output) == (0, "1 instances queued for pacs, priority medium\n")
    wait_until(lambda: len(site.pacs.stored) == before + 1, 10, what="the study is sent")
    assert site.pacs.stored[-1].sop_instance_uid == images["cr"].sop_instance_uid
    code, _, errors = site.say("send", "pacs", "--study", "1.2.3.4")
    assert code == 1
    assert "no instance of study 1.2.3.4 is held here" in errors


def test_send_without_a_running_router_waits_for_its_start(site: Site, tmp_path: Path) -> None:
    image = instance(77, rows=8, columns=8)
    path = image.write(tmp_path)
    assert site.router.stop() in (0, 2)
    before = len(site.pacs.stored)
    code, answer = site.ask("send", "pacs", str(path))
    assert (code, answer["queued"], answer["failed"]) == (0, 1, [])
    code, answer = site.ask("status")
    assert (code, answer["running"], answer["roles"]) == (0, False, {})
    code, answer = site.ask("account")
    assert (answer["queued"] + answer["held"], answer["balanced"]) == (1, True)
    code, answer = site.ask("tasks", "list", "--limit", "1")
    assert answer["tasks"][0]["kind"] == "send"
    assert len(site.pacs.stored) == before
    site.router.start()
    wait_until(lambda: len(site.pacs.stored) == before + 1, 10, what="it is sent after the start")
    assert is_listening(site.router.port)


def test_explain_shows_facts_predicates_changes_and_destinations(
    site: Site, images: dict[str, Synthetic], tmp_path: Path
) -> None:
    path = images["ct"].write(tmp_path, "ct.dcm")
    code, output, _ = site.say("explain", str(path), "--from", "ct-1")
    assert code == 0
    assert "CT to the archive   MATCH" in output
    assert "MR to the picky one   no match" in output
    assert re.search(r"Modality.* CT +yes", output)
    assert re.search(r"Modality.* CT +no", output)
    assert "→ pacs   priority high   CT to the archive" in output
    assert re.search(r"\(0008,0050\) AccessionNumber  A0000001 → HSPA-A0000001", output)

    code, answer = site.ask("explain", str(path), "--from", "ct-1")
    assert (code, answer["outcome"]) == (0, "routed")
    assert [rule["matched"] for rule in answer["rules"]] == [True, False]
    (delivery,) = answer["deliveries"]
    assert (delivery["station"], delivery["priority"]) == ("pacs", "high")
    assert delivery["changes"] == [
        {
            "tag": "(0008,0050)",
            "keyword": "AccessionNumber",
            "before": "A0000001",
            "after": "HSPA-A0000001",
        }
    ]
    code, output, _ = site.say("explain", str(images["cr"].write(tmp_path, "cr.dcm")))
    assert code == 0
    assert "→ nowhere: unmatched" in output
    text = tmp_path / "notes.txt"
    text.write_text("nothing a router would take\n" * 20)
    code, output, errors = site.say("explain", str(text))
    assert (code, output) == (1, "")
    assert "no DICOM" in errors
    code, _, errors = site.say("explain", str(path), "--from", "ct-9")
    assert code == 64
    assert "there is no station 'ct-9'" in errors
