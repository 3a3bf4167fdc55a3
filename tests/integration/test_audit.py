"""The audit trail of a running router: what is in it, that it is whole, and that a receiver gets all of it.

The receiver is `openssl s_server`, which knows nothing of us; the messages are judged by the rules of
the schema in tests/support/audit_schema.py.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.audit_schema import faults
from tests.support.ledger_view import wait_for, wait_until_listed
from tests.support.process import free_port, wait_until
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import instance

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  admin: {type: http, bind: "127.0.0.1:$http", serve: [ui, api, metrics, dicomweb]}
tls:
  audit: {ca: tls/audit.pem}
audit:
  syslog: {host: localhost, port: $syslog, tls: audit}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
rules:
  - {name: all, route: [pacs]}
"""
NAME, ID = "CANARYNAME^PLANTED", "CANARY-ID-77"
PLANTED = {0x00100010: ("PN", NAME), 0x00100020: ("LO", ID)}
FRAME = re.compile(rb"<85>1 \S+ \S+ dicom-router \d+ DICOM\+RFC3881 \[meta sequenceId=\"(\d+)\"\] ")


class Receiver:
    """`openssl s_server` behind a certificate, writing down what it reads."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._files: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = self._folder / f"received-{len(self._files)}"
        self._files.append(path)
        tls = self._folder / "config" / "tls"
        command = ["openssl", "s_server", "-quiet", "-accept", str(self._port),
                   "-cert", str(tls / "audit.pem"), "-key", str(tls / "audit.key")]  # fmt: skip
        with path.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.DEVNULL
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def messages(self) -> dict[int, bytes]:
        """By sequence number, each frame taken apart by its own length (RFC 5425 4.3)."""
        found: dict[int, bytes] = {}
        for path in self._files:
            rest = path.read_bytes()
            while rest:
                length, _, rest = rest.partition(b" ")
                frame, rest = rest[: int(length)], rest[int(length) :]
                if len(frame) < int(length):
                    break
                head = FRAME.match(frame)
                assert head is not None, frame[:200]
                text = frame[head.end() :]
                assert text.startswith(b"\xef\xbb\xbf")
                number, message = int(head.group(1)), text[3:]
                assert found.setdefault(number, message) == message
        return found


class Audited:
    def __init__(self, folder: Path) -> None:
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.http, self.syslog = free_port(), free_port()
        self.router = Router(folder, SITE, http=self.http, syslog=self.syslog, pacs=self.pacs.port)
        assert self.router.command("cert", "new", "audit", "--for", "localhost")[0] == 0
        self.receiver = Receiver(folder, self.syslog)
        self.url = f"http://127.0.0.1:{self.http}"

    def rows(self, *options: str) -> list[dict[str, object]]:
        code, output, errors = self.router.command(
            "audit", "list", "--format", "json", "--limit", "1000", *options
        )
        assert code == 0, errors
        return list(json.loads(output)["entries"])

    def events(self) -> Counter[str]:
        return Counter(str(one["event"]) for one in self.rows())

    def verdict(self) -> tuple[int, dict[str, object]]:
        code, output, _ = self.router.command("audit", "verify", "--format", "json")
        return code, json.loads(output)

    def close(self) -> None:
        self.router.kill()
        self.receiver.stop()
        self.pacs.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    made = Audited(tmp_path_factory.mktemp("audit"))
    yield made
    made.router.assert_balanced()
    made.close()


def test_a_day_of_a_router_is_in_its_trail(site: Audited) -> None:
    """Start, refused callers, images in and out, log-in, studies shown, queries: all told once."""
    site.router.start()
    images = [instance(n, study=1, rows=16, columns=16, changes=PLANTED) for n in range(4)]  # type: ignore[arg-type]
    assert set(scan(site.router.port, images).values()) == {0}
    for _ in range(3):
        with pytest.raises(Exception):  # noqa: B017 - whatever the scanner makes of it
            scan(site.router.port, images[:1], calling_ae_title="STRANGER")
    wait_for(site.router.data_dir, delivered=4)
    wait_until_listed(site.router.data_dir, len({one.series_instance_uid for one in images}))
    study = images[0].study_instance_uid
    token = site.router.command("token", "new", "ana", "--scope", "all")[1].strip()
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        form = {"origin": site.url}
        assert client.post("/login", data={"token": "drt_1_wrong"}, headers=form).status_code == 401
        assert client.post("/login", data={"token": token}, headers=form).status_code == 303
        assert client.get(f"/studies/{study}").status_code == 200
        bearer = {"authorization": f"Bearer {token}"}
        wanted = client.get(f"/dicomweb/v1/studies?PatientID={ID}", headers=bearer)
        assert wanted.status_code == 200
        whole = {**bearer, "accept": 'multipart/related; type="application/dicom"'}
        assert client.get(f"/dicomweb/v1/studies/{study}", headers=whole).status_code == 200
        page = client.get("/audit")
        assert page.status_code == 200 and ID not in page.text and study in page.text
    wait_until(lambda: site.events()["sent"] >= 1, 40, what="the task in the trail")
    wait_until(lambda: site.events()["received"] >= 1, 40, what="the images in the trail")
    events = site.events()
    once = ("start", "association_refused", "login", "login_refused", "access_changed", "accessed")
    assert {kind: events[kind] for kind in once} == dict.fromkeys(once, 1), events
    assert events["transfer_begun"] == 1 and events["queried"] == 1
    text = json.dumps(site.rows())
    assert ID not in text and "CANARYNAME" not in text
    assert site.verdict()[0] == 0


def test_messages_are_of_the_schema_and_name_the_patient(site: Audited) -> None:
    sent = site.rows("--event", "sent")[0]
    target = site.router.work / "audit.jsonl"
    code, _, errors = site.router.command("audit", "export", str(target))
    assert code == 0, errors
    assert target.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [one["id"] for one in lines] == list(range(1, len(lines) + 1))
    assert {
        line["id"]: found for line in lines if (found := faults(line["message"].encode()))
    } == {}
    by_id = {line["id"]: line["message"] for line in lines}
    root = ET.fromstring(by_id[sent["id"]])
    objects = root.findall("ParticipantObjectIdentification")
    assert objects[0].attrib["ParticipantObjectID"] == sent["what"]
    assert objects[0].find("*/SOPClass").attrib["NumberOfInstances"] == "4"  # type: ignore[union-attr]
    assert objects[1].attrib["ParticipantObjectID"] == ID
    assert objects[1].findtext("ParticipantObjectName") == NAME
    shown = site.router.command("audit", "show", str(sent["id"]))[1]
    assert ID in shown and ET.fromstring(shown).tag == "AuditMessage"
    assert site.events()["audit_used"] == 2, "reading the trail is told too"


def test_no_patient_is_in_clear_on_disk(site: Audited) -> None:
    for file in site.router.data_dir.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert ID.encode() not in content and b"CANARYNAME" not in content, file


def test_F30_nothing_is_lost_while_the_receiver_is_away(site: Audited) -> None:
    """It was away from the start; it comes, goes in the middle, and comes again."""
    assert site.receiver.messages() == {}
    before = len(site.rows())
    site.receiver.start()
    wait_until(lambda: len(site.receiver.messages()) >= before, 60, what="the backlog")
    site.receiver.stop()
    bearer = site.router.command("token", "new", "ben")[1].strip()
    assert bearer
    time.sleep(2.5)
    site.receiver.start()
    last = len(site.rows())
    assert last > before
    wait_until(lambda: len(site.receiver.messages()) >= last, 60, what="what came meanwhile")
    found = site.receiver.messages()
    assert sorted(found) == list(range(1, last + 1))
    assert all(faults(one) == [] for one in found.values())
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        answer = client.get("/api/v1/audit", headers={"authorization": f"Bearer {bearer}"}).json()
        assert answer["shipped"] <= answer["last"] and answer["entries"][0]["id"] == answer["last"]
        number = answer["entries"][0]["id"]
        denied = client.get(
            f"/api/v1/audit/{number}", headers={"authorization": f"Bearer {bearer}"}
        )
        assert denied.status_code == 403


def test_a_changed_configuration_and_the_end_are_told(site: Audited) -> None:
    path = site.router.folder / "site.yaml"
    good = path.read_text()
    path.write_text(good.replace("name: all", "name: everything"))
    wait_until(lambda: site.events()["configuration_changed"] == 1, 30, what="the change")
    token = site.router.command("token", "new", "watcher")[1].strip()
    path.write_text(good.replace("route: [pacs]", "route: [nobody]"))
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=site.url, trust_env=False, headers=headers) as client:
        address = "/api/v1/audit?event=configuration_refused"
        wait_until(lambda: bool(client.get(address).json()["entries"]), 30, what="the refusal")
    path.write_text(good)
    assert site.router.stop() == 0
    assert site.rows()[0]["event"] == "stop"
    assert site.verdict()[0] == 0


def test_a_flipped_byte_and_a_missing_row_are_found(site: Audited) -> None:
    code, whole = site.verdict()
    assert code == 0 and whole["whole"]
    anchor = f"{whole['last']}:{whole['digest']}"
    assert site.router.command("audit", "verify", "--expect", anchor)[0] == 0
    wrong = f"{whole['last']}:{'0' * 64}"
    assert site.router.command("audit", "verify", "--expect", wrong)[0] == 1
    with sqlite3.connect(site.router.data_dir / "ledger" / "ledger.db") as connection:
        (sealed,) = connection.execute("SELECT sealed FROM audit WHERE audit_id = 3").fetchone()
        flipped = bytearray(sealed)
        flipped[40] ^= 1
        connection.execute("UPDATE audit SET sealed = ? WHERE audit_id = 3", (bytes(flipped),))
        connection.execute("DELETE FROM audit WHERE audit_id = 5")
    connection.close()
    code, found = site.verdict()
    assert code == 1
    assert [fault for fault in found["faults"] if "row 3 " in fault]  # type: ignore[attr-defined]
    assert "row 5 is missing" in found["faults"]  # type: ignore[operator]
    copy = site.router.work / "after.jsonl"
    code, output, errors = site.router.command("audit", "export", str(copy), "--format", "json")
    assert code == 1 and json.loads(output)["damaged"] == [3] and "the first is 3" in errors
    lines = [json.loads(line) for line in copy.read_text().splitlines()]
    assert len(lines) > 10 and [one["id"] for one in lines if one["message"] is None] == [3]
