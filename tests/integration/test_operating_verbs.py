"""What whoever runs a router has around it: the device, doctor, check --online, bundle, service."""

from __future__ import annotations

import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RouterFactory
from tests.integration.test_web_pages import Browser
from tests.support.ledger_view import wait_for, wait_until_listed
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import instance
from tests.support.web_site import ACCESSION, CANARIES, ID, NAME, WebSite

SECRET = "canary-secret-0815"
MORE = """\
stations:
  cloud: {type: dicomweb, url: "http://127.0.0.1:$dead/x", allow_insecure_http: true,
          auth: {type: bearer, token: {file: secret}}}
webhooks:
  w: {url: "http://127.0.0.1:$dead/hook", secret: {file: secret}, events: [station.online]}
tables:
  numbers: {CANARY-ID-77: CANARYMAPPED}
rules:
  - name: one patient
    match: {PatientID: CANARY-ID-77, Modality: XC}
    morph: [{set: {PatientName: CANARYNAME}}]
    route: [pacs]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("operate"))
    yield made
    made.close()


def test_f13_the_device_record_is_in_status_api_and_page(site: WebSite) -> None:
    code, output, _ = site.router.command("status", "--format", "json")
    told = json.loads(output)
    device = told["device"]
    assert code == 0
    assert (device["type"], device["name"], device["ae_title"]) == (
        "dicom-router",
        "edge",
        "EDGE_A",
    )
    assert device["version"] == told["version"]
    assert device["first_start"] is not None
    (dimse,) = device["dimse"]
    assert (dimse["listener"], dimse["port"], dimse["ae_titles"]) == (
        "lan", site.router.port, ["EDGE_A"],
    )  # fmt: skip
    assert device["dicomweb"] == [], "none of its listeners serves DICOMweb"
    with site.client(site.token()) as client:
        assert client.get("/api/v1/status").json()["device"] == device
    page = Browser(site).log_in().get("/system").text
    assert "First started" in page
    assert '<span class="chip">EDGE_A</span>' in page, "the AE titles of the DICOM listener"
    code, output, _ = site.router.command("status")
    assert f"version {device['version']}, no link id, AE title EDGE_A" in output
    assert f"first started {device['first_start']}" in output


def test_f13_link_id_and_first_start_are_the_same_after_a_restart(router: RouterFactory) -> None:
    edge = router(start=False, destination=free_port())
    web = free_port()
    text = (edge.folder / "site.yaml").read_text()
    listeners = (
        f'listeners:\n  web: {{type: http, bind: "127.0.0.1:{web}", serve: [dicomweb, api]}}'
    )
    text = text.replace("{name: edge,", "{name: edge, id: 42,").replace("listeners:", listeners)
    (edge.folder / "site.yaml").write_text(text)

    def device() -> dict[str, object]:
        return dict(json.loads(edge.command("status", "--format", "json")[1])["device"])

    edge.start()
    first = device()
    assert first["id"] == 42
    assert first["dicomweb"] == [
        {"listener": "web", "bind": "127.0.0.1", "port": web, "tls": False, "serve": ["dicomweb"]}
    ]
    edge.restart()
    assert device() == first
    assert "link id 42" in edge.command("status")[1]
    assert edge.stop() == 0
    assert device() == first, "also while it does not run"


def test_f5_the_log_in_says_why_a_token_is_refused(site: WebSite) -> None:
    browser = Browser(site)
    assert browser.log_in().get("/").status_code == 200
    assert (
        "for a single log-in, and is used" in Browser(site).post("/login", token=browser.token).text
    )
    revoked = site.token()
    assert site.router.command("token", "revoke", revoked.split("_")[1])[0] == 0
    answer = Browser(site).post("/login", token=revoked)
    assert answer.status_code == 401
    assert "This token was revoked" in answer.text
    assert "not known here" in Browser(site).post("/login", token="drt_1_guess").text
    words = ("token", "new", "x", "--once", "--expires", "61m")
    code, _, errors = site.router.command(*words)
    assert (code, "with --once at most 60m" in errors) == (64, True)


def test_f2_the_service_manager_hears_when_it_is_ready_and_when_it_stops(
    router: RouterFactory, tmp_path: Path
) -> None:
    edge = router(start=False, destination=free_port())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        edge.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        assert edge.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_f3_doctor_says_what_is_wrong_with_its_fix_and_exits_1(site: WebSite) -> None:
    key = site.router.folder / "tls" / "web.key"
    code, output, errors = site.router.command("doctor")
    assert code == 0, output + errors
    assert "listener lan" in output
    assert "the router runs" in output
    key.chmod(0o644)
    try:
        code, output, _ = site.router.command("doctor", "--format", "json")
    finally:
        key.chmod(0o600)
    told = json.loads(output)
    assert (code, told["problems"]) == (1, 1)
    (wrong,) = [one for one in told["findings"] if one["level"] == "problem"]
    assert (wrong["check"], wrong["fix"]) == ("key web", f"chmod 600 {key.resolve()}")


def test_f51_check_online_names_each_station_that_does_not_answer(site: WebSite) -> None:
    code, output, _ = site.router.command("check", "--online")
    assert code == 0, "a station that is away is no error"
    assert "warning DR405: station 'away' does not answer: AWAY at 127.0.0.1:" in output
    assert "connection refused" in output
    assert "'pacs' does not answer" not in output
    assert "1 of 2 stations that can be asked answered" in output, "ct-1 has no port"
    code, output, _ = site.router.command(
        "check", "--online", "--deny-warnings", "--format", "json"
    )
    told = json.loads(output)
    assert code == 1
    assert {one["station"]: one["ok"] for one in told["online"]} == {"away": False, "pacs": True}
    (problem,) = [one for one in told["problems"] if one["code"] == "DR405"]
    assert (problem["file"].rpartition("/")[2], problem["severity"]) == ("site.yaml", "warning")
    assert "online" not in json.loads(site.router.command("check", "--format", "json")[1])


def test_check_online_asks_nobody_while_there_are_errors(site: WebSite) -> None:
    broken = site.router.write("rules: [{name: x, route: [nowhere]}]", "zz.yaml")
    try:
        code, output, _ = site.router.command("check", "--online")
    finally:
        broken.unlink()
    assert (code, "DR405" in output) == (1, False)


def everything_in(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            one.name.partition("/")[2]: archive.extractfile(one).read().decode()  # type: ignore[union-attr]
            for one in archive
        }


def test_p13_a_support_bundle_has_what_helps_and_no_patient_and_no_secret(tmp_path: Path) -> None:
    """Planted: in images, in what a peer answers, in rules and tables, in the log; and secrets."""
    planted = {0x00100010: ("PN", NAME), 0x00100020: ("LO", ID), 0x00080050: ("SH", ACCESSION)}
    image = instance(0, modality="CT", rows=8, columns=8, changes=planted)  # type: ignore[arg-type]
    script = Script(
        max_pdu_bytes=0, statuses=(0xA900,), comment=f"{NAME} {ID} {image.sop_instance_uid}"[:64]
    )
    with ScriptedScp(script) as pacs:
        edge = Router(tmp_path, destination=pacs.port)
        try:
            (edge.folder / "secret").write_text(SECRET)
            (edge.folder / "secret").chmod(0o600)
            edge.write(MORE, "more.yaml", dead=free_port())
            assert (
                edge.command("support-bundle", "--output", str(tmp_path / "early.tar.gz"))[0] == 0
            )
            early = everything_in(tmp_path / "early.tar.gz")
            assert "no router has run" in json.loads(early["account.json"])["missing"]
            edge.start()
            assert set(scan(edge.port, [image]).values()) == {0}
            wait_for(edge.data_dir, dead=1)
            assert edge.process is not None
            log = tmp_path / "log.jsonl"
            said = edge.process.errors.read_text()
            extra = {
                "event": "extra",
                "reason": f"{NAME}: {SECRET}",
                "patient_name": "ZAPHOD^ELSE",
            }
            log.write_text(said + json.dumps(extra) + "\n")
            bundle = tmp_path / "help.tar.gz"
            words = ("support-bundle", "--log", str(log), "--output", str(bundle))
            at_once = everything(edge, words, bundle)
            wait_until_listed(edge.data_dir, 1)
            parts = everything(edge, words, bundle)
            edge.stop()
        finally:
            edge.kill()
    text = "\n".join((*at_once.values(), *parts.values()))
    forbidden = (*CANARIES, "CANARY", SECRET, "ZAPHOD", "1.2.826.0",
                 image.sop_instance_uid, image.study_instance_uid)  # fmt: skip
    assert not [word for word in forbidden if word.casefold() in text.casefold()]
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert set(parts) == {
        "about.json", "configuration.json", "problems.json", "status.json", "account.json",
        "ledger.json", "doctor.json", "metrics.txt", "log.jsonl",
    }  # fmt: skip
    assert json.loads(parts["account.json"])["dead"] == 1
    assert json.loads(parts["ledger.json"])["schema"] >= 27
    configuration = json.loads(parts["configuration.json"])
    assert configuration["stations"]["pacs"]["port"] == pacs.port
    assert configuration["webhooks"]["w"]["secret"] == {"file": "secret"}
    assert configuration["tables"] == {"numbers": "1 entries"}
    assert json.loads(parts["status.json"])["device"]["ae_title"] == "EDGE_A"
    assert json.loads(parts["doctor.json"])["findings"]
    assert "dicom_router_instances_received_total" in parts["metrics.txt"]
    lines = [json.loads(line) for line in parts["log.jsonl"].splitlines()]
    assert {"starting", "extra"} <= {line["event"] for line in lines}
    (reason,) = [line["reason"] for line in lines if line["event"] == "extra"]
    assert reason == "…: …", "what else a peer said stays"


def test_p13_a_damaged_ledger_does_not_keep_anybody_from_being_helped(
    router: RouterFactory, tmp_path: Path
) -> None:
    edge = router(destination=free_port())
    assert edge.stop() == 0
    edge.expect_balanced = False
    ledger = edge.data_dir / "ledger" / "ledger.db"
    ledger.write_bytes(b"not a database at all" * 1000)
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"event": "failed", "reason": "0xC000: GONE^PATIENT"}) + "\n")
    parts = everything(
        edge, ("support-bundle", "--log", str(log), "--output", str(tmp_path / "b.tar.gz")),
        tmp_path / "b.tar.gz",
    )  # fmt: skip
    assert "the ledger failed: SQLITE_NOTADB" in json.loads(parts["account.json"])["missing"]
    assert json.loads(parts["log.jsonl"]) == {"event": "failed", "reason": "…"}
    assert json.loads(parts["doctor.json"])["findings"]


def everything(edge: Router, words: tuple[str, ...], bundle: Path) -> dict[str, str]:
    bundle.unlink(missing_ok=True)
    code, output, errors = edge.command(*words, "--format", "json")
    assert code == 0, errors
    assert json.loads(output)["file"] == str(bundle)
    return everything_in(bundle)


def test_f9_a_service_with_undelivered_instances_is_not_removed(
    router: RouterFactory, tmp_path: Path
) -> None:
    edge = router(destination=free_port())
    root = tmp_path / "root"
    root.mkdir()
    code, output, errors = edge.command("service", "install", "--root", str(root), "--replace")
    assert code == 0, output + errors
    unit = root / "etc/systemd/system/dicom-router.service"
    assert f"run --config {edge.folder}" in unit.read_text()
    assert "next: systemctl start dicom-router" in output
    code, output, _ = edge.command("service", "install", "--root", str(root), "--format", "json")
    told = json.loads(output)
    assert (code, told["done"], told["problems"]) == (1, [], 1), "it is there already"

    images = [instance(number, rows=8, columns=8) for number in range(2)]
    assert set(scan(edge.port, images).values()) == {0}
    wait_until(lambda: edge.open_deliveries() == 2, what="both are owed")
    code, output, _ = edge.command("service", "remove", "--root", str(root))
    assert code == 2
    assert "not delivered: 2 " in output
    assert unit.exists()
    code, output, _ = edge.command(
        "service", "remove", "--root", str(root), "--force", "--format", "json"
    )
    told = json.loads(output)
    assert (code, told["removed"]) == (2, True)
    assert sum(told["undelivered"].values()) == 2
    assert not unit.exists()
    assert str(edge.data_dir) in told["message"], "the images are where they were"
    assert edge.command("service", "remove", "--root", str(root))[0] == 1


def test_f6_an_occupied_port_is_told_and_nothing_is_written(
    router: RouterFactory, tmp_path: Path
) -> None:
    edge = router(start=False, destination=free_port())
    with socket.create_server(("127.0.0.1", edge.port)):
        code, output, _ = edge.command("service", "install", "--root", str(tmp_path))
    assert code == 1
    assert "problem" in output
    assert f"cannot listen on 127.0.0.1:{edge.port}: Address already in use" in output
    assert "nothing was written" in output
    assert not (tmp_path / "etc").exists()
    code, output, _ = edge.command("service", "install", "--print")
    assert (code, output.startswith("# Written by")) == (0, True)
    assert edge.command("service", "install", "--print", "--name", "A b")[0] == 64
