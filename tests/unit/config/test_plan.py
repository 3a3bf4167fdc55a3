"""What was written becomes the plan that runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from router.config.load import load
from router.model.delivery import Priority
from router.model.rule import Silence
from router.model.station import Heartbeat, OAuth, Secret
from tests.support.configuration import BASE, PACS, all_plugs, loaded, write

PROJECT = Path(__file__).parents[3]
EXAMPLE = PROJECT / "tests" / "unit" / "config" / "example.yaml"


def with_files(folder: Path) -> Path:
    (folder / "tls").mkdir(parents=True, exist_ok=True)
    for name in ("edge.pem", "edge.key", "hospital-ca.pem", "web.pem", "web.key"):
        (folder / "tls" / name).write_text("for the test")
    (folder / "cloud-secret").write_text("for the test")
    return folder


@pytest.fixture
def example(tmp_path):
    with_files(tmp_path)
    write(tmp_path, site=EXAMPLE.read_text("utf-8"))
    result = loaded(tmp_path)
    assert result.errors == (), result.render()
    return result.plan


def test_the_example_of_the_product_loads(example):
    assert sorted(example.listeners) == ["admin", "lan", "lan-tls", "web"]
    assert sorted(example.stations) == ["cloud", "ct-1", "pacs", "reading-room"]
    assert [rule.name for rule in example.rules] == [
        "everything to the archive",
        "chest CT to the cloud",
    ]


def test_router_and_store(example):
    router = example.router
    assert (router.name, router.id, router.organization) == ("hospital-a-edge", 42, "Hospital A")
    assert (router.ae_title, router.unmatched) == ("EDGE_A", "keep")
    assert str(router.data_dir) == "/var/lib/dicom-router"
    assert (example.store.max_bytes, example.store.keep_seconds) == (500 * 10**9, 30 * 86400)


def test_listeners(example):
    lan = example.listeners["lan"]
    assert (lan.kind, lan.host, lan.port, lan.accept) == (
        "dimse",
        "0.0.0.0",
        11112,
        "known_stations",
    )
    assert lan.ae_titles == ("EDGE_A",)
    assert example.listeners["lan-tls"].tls == "hospital"
    assert example.listeners["admin"].serve == ("ui", "api", "metrics")
    assert example.tls["hospital"].client_auth == "required"
    assert example.tls["hospital"].cert == example.folder / "tls/edge.pem"


def test_stations(example):
    ct, pacs, cloud = (example.stations[name] for name in ("ct-1", "pacs", "cloud"))
    assert ct.heartbeat == Heartbeat(enabled=False)
    assert ct.port is None
    assert pacs.heartbeat == Heartbeat(True, 600, 10)
    assert (pacs.send, pacs.query_retrieve, pacs.archive_server, pacs.iocm) == (True,) * 4
    assert (pacs.character_set, pacs.issuer_of_patient_id) == ("ISO_IR 100", "HOSPA")
    assert (cloud.kind, cloud.profile) == ("dicomweb", "azure")
    assert cloud.auth == OAuth(
        "https://login.cloud.example/oauth2/v2.0/token",
        "edge-a",
        ("https://dicom.cloud.example/.default",),
        Secret("file", "cloud-secret"),
    )
    assert (cloud.limits.batch_instances, cloud.limits.batch_bytes) == (8, 64_000_000)
    assert cloud.limits.bandwidth_bytes_per_second == 20_000_000
    assert cloud.limits.hours == (19 * 60, 7 * 60)
    assert (pacs.retry.first_seconds, pacs.retry.give_up_seconds) == (30, 7 * 86400)


def test_rules(example):
    everything, chest = example.rules
    assert [send.station for send in everything.sends] == ["pacs"]
    assert everything.sends[0].recipe.is_empty
    (send,) = chest.sends
    assert (send.station, send.priority) == ("cloud", Priority.LOW)
    assert send.silence == Silence("study", 30)
    assert [name for name, _ in send.recipe.unpacked()] == ["set", "prefix", "replace"]
    assert {path.text for path in example.needs} == {"Modality", "StudyDescription", "PatientID"}


def test_route_morphs_come_after_rule_morphs_and_lists_and_tables_are_inlined(tmp_path):
    plan = loaded(
        tmp_path,
        PACS
        + """
tables: {units: {A: Hospital A, 7: Seven}}
morphs:
  words: [{map: {tag: InstitutionName, table: units}}, more]
  more: [{blank: PatientComments}]
rules:
  - name: a
    morph: words
    route: [{to: pacs, morph: [{set: {StationName: 0012}}]}]
""",
    ).plan
    assert plan.rules[0].sends[0].recipe.unpacked() == (
        ("map", {"tag": "InstitutionName", "table": {"A": "Hospital A", "7": "Seven"}}),
        ("blank", "PatientComments"),
        ("set", {"StationName": "0012"}),
    )


def test_raw_text_reaches_match(tmp_path):
    plan = loaded(
        tmp_path, "rules: [{name: a, match: {PatientID: 0012, 00100010: [1.50]}, discard: true}]"
    ).plan
    assert plan.rules[0].condition.spec == '{"00100010":["1.50"],"PatientID":"0012"}'
    assert {path.steps[0].tag for path in plan.needs} == {0x00100010, 0x00100020}


def test_refuse_discard_final_and_disabled(tmp_path):
    plan = loaded(
        tmp_path,
        """
rules:
  - {name: a, match: {Modality: SR}, refuse: {status: 0xA700, comment: not now}, final: true}
  - {name: b, match: {Modality: KO}, refuse: {}}
  - {name: c, discard: true, enabled: false}
""",
    ).plan
    a, b, c = plan.rules
    assert (a.refuse.status, a.refuse.comment, a.final) == (0xA700, "not now", True)
    assert b.refuse.status == 0xC001
    assert (c.discard, c.enabled, c.condition.spec) == (True, False, "{}")


def test_loopback_in_clear_is_allowed_and_said(tmp_path):
    text = "stations: {o: {type: dicomweb, url: 'http://127.0.0.1:8042/x', send: true}}\nrules: [{name: a, route: [o]}]"
    result = loaded(tmp_path, text)
    assert [problem.code for problem in result.problems] == ["DR313"]
    assert result.plan.stations["o"].allow_insecure_http is False


@pytest.mark.parametrize(
    ("syntax", "uid"),
    [("ExplicitVRLittleEndian", "1.2.840.10008.1.2.1"), ("1.2.840.10008.1.2", "1.2.840.10008.1.2")],
)
def test_transfer_syntax_by_name_or_uid(tmp_path, syntax, uid):
    text = f"{PACS}rules: [{{name: a, route: [{{to: pacs, transfer_syntax: {syntax}}}]}}]"
    assert loaded(tmp_path, text).plan.rules[0].sends[0].recipe.transfer_syntax_uid == uid


def test_digest_is_of_what_was_written(tmp_path):
    one = "stations:\n  a: {ae_title: A, description: x}\n  b: {ae_title: B}\nrules: [{name: r, discard: true}]"
    same = "# words\nrules:\n  - discard: true\n    name: 'r'\nstations: {b: {ae_title: B}, a: {description: \"x\", ae_title: A}}"
    digests = [
        loaded(tmp_path / str(index), text).plan.digest for index, text in enumerate((one, same))
    ]
    assert digests[0] == digests[1]
    split = write(
        tmp_path / "split",
        base=BASE,
        x__a=one.split("rules:")[0],
        y="rules:" + one.split("rules:")[1],
    )
    assert loaded(split).plan.digest == digests[0]
    changed = one.replace("description: x", "description: y")
    assert loaded(tmp_path / "changed", changed).plan.digest != digests[0]
    numbers = [
        loaded(
            tmp_path / text, f"rules: [{{name: r, match: {{PatientID: {text}}}, discard: true}}]"
        ).plan
        for text in ("0012", "12", "'12'")
    ]
    assert numbers[0].digest != numbers[1].digest
    assert numbers[1].digest == numbers[2].digest


def test_equal_texts_give_equal_plans(tmp_path):
    write(
        tmp_path, base=BASE, site=PACS + "rules: [{name: a, match: {Modality: CT}, route: [pacs]}]"
    )
    assert loaded(tmp_path).plan == loaded(tmp_path).plan


def test_the_default_rules_load_without_a_word():
    started = time.perf_counter()
    result = load(PROJECT / "rules", all_plugs(), environment={})
    assert time.perf_counter() - started < 5
    assert result.problems == ()


@pytest.mark.parametrize("name", ["community-hospital", "teleradiology", "research-drop"])
def test_the_samples_load(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(PROJECT / "samples" / name, folder)
    with_files(folder)
    environment = {"AZURE_CLIENT_SECRET": "x", "ARCHIVE_TOKEN": "x"}
    result = load(folder, all_plugs(), environment=environment)
    assert result.problems == (), result.render()
    assert load(folder, all_plugs(), environment={}).errors == ()


def test_five_hundred_stations_and_rules_load_in_linear_time(tmp_path):
    station = "  st-{0}:\n    ae_title: ST{0}\n    host: 10.1.1.{1}\n    port: 104\n    send: true\n    heartbeat: {{every: 10m}}\n"
    rule = (
        "  - name: rule {0}\n    match:\n      from: st-{0}\n      Modality: [CT, MR]\n"
        '      StudyDescription: {{regex: "(?i)chest|thorax{0}"}}\n'
        "    morph:\n      - set: {{InstitutionName: Hospital {0}}}\n    route:\n      - {{to: st-{1}}}\n"
    )
    text = "stations:\n" + "".join(station.format(i, i % 250) for i in range(500))
    text += "rules:\n" + "".join(rule.format(i, (i + 1) % 500) for i in range(500))
    write(tmp_path, base=BASE, site=text)
    started = time.process_time()
    result = loaded(tmp_path)
    assert time.process_time() - started < 5
    assert len(result.plan.rules) == 500
