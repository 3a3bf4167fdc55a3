"""Health, readiness and metrics over HTTP; and no patient in log, metrics or plain file (P13)."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import dicom_router
from tests.support.ledger_view import wait_for
from tests.support.process import free_port, wait_until
from tests.support.roles import role_pids
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.sender import Sender
from tests.support.synthetic import UID_ROOT, Synthetic, instance

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  admin: {type: http, bind: "127.0.0.1:$http", serve: [metrics]}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  away: {ae_title: AWAY, host: 127.0.0.1, port: $away, send: true}
  strict: {ae_title: STRICT, host: 127.0.0.1, port: $pacs, send: true, heartbeat: {every: 2s}}
rules:
  - {name: all, route: [pacs, away]}
  - name: a morph that fails, with the patient in its hands
    match: {Modality: MR}
    morph:
      - set: {AccessionNumber: "{{ PatientName }} {{ PatientName }} {{ PatientName }}"}
    route: [strict]
"""
NAME, ID, ACCESSION = "CANARYNAME^PLANTED", "CANARY-ID-77", "CANARYACC"
PLANTED = {
    0x00100010: ("PN", NAME),
    0x00100020: ("LO", ID),
    0x00080050: ("SH", ACCESSION),
}
SILENCE_SECONDS = 5.0


class Site:
    """A router with an HTTP listener, an archive, and objects whose patient must not be seen."""

    def __init__(self, folder: Path) -> None:
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.http = free_port()
        self.router = Router(folder, SITE, http=self.http, pacs=self.pacs.port, away=free_port())
        self.images = [
            instance(n, modality=modality, rows=16, columns=16, changes=PLANTED)  # type: ignore[arg-type]
            for n, modality in enumerate(("CT", "CT", "MR", "CR"))
        ]

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def series(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of /metrics as prometheus_client's parser reads it."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The samples that have these labels, added up; 0 when there is none."""
        wanted = set(labels.items())
        return sum(
            value
            for (found, pairs), value in self.series().items()
            if found == f"dicom_router_{name}" and wanted <= set(pairs)
        )

    def counted(self) -> tuple[float, float, float]:
        """Objects received, sent to the archive, and refused, as the counters have them now."""
        return (
            self.value("instances_received_total", station="ct-1", outcome="routed"),
            self.value("send_attempts_total", station="pacs", result="delivered"),
            self.value("instances_received_total", station="ct-1", outcome="bad_data_set"),
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    made.router.start()
    assert set(scan(made.router.port, made.images).values()) == {0}
    wait_for(made.router.data_dir, delivered=len(made.images), quarantined=1)
    _store_rubbish(made.router, made.images[0])
    count = len(made.images)
    wait_until(lambda: made.counted() == (count, count, 1), what="counters of both roles move")
    yield made
    made.router.assert_balanced()
    made.router.kill()
    made.pacs.close()


def _store_rubbish(edge: Router, image: Synthetic) -> None:
    """A data set that ends too early: refused, and logged."""
    with Sender(edge.port, [(image.sop_class_uid, [image.transfer_syntax_uid])]) as sender:
        status = sender.store(
            image.sop_class_uid, "1.2.3", image.transfer_syntax_uid, image.data_set[:-100]
        )
    assert status >> 12 == 0xC or status >> 8 == 0xA9


def test_healthy_and_ready(site: Site) -> None:
    assert site.get("/-/healthy") == (200, "healthy\n")
    wait_until(lambda: site.get("/-/ready")[0] == 200, 5, what="ready")
    assert json.loads(site.get("/-/ready")[1]) == {"ready": True, "reasons": []}
    assert site.get("/nowhere")[0] == 404
    assert site.get("/-/ready", method="POST")[0] == 405


def test_metrics_are_readable_and_move(site: Site) -> None:
    received, sent, refused = site.counted()
    image = instance(50, rows=8, columns=8)
    assert scan(site.router.port, [image]) == {image.sop_instance_uid: 0}
    more = (received + 1, sent + 1, refused)
    wait_until(lambda: site.counted() == more, 10, what="one more received, one more sent")
    assert site.value("deliveries", station="away", state="held") > 0
    assert site.value("deliveries", station="strict", state="quarantined") == 1
    assert site.value("station_up", station="pacs") == 1
    wait_until(lambda: ("dicom_router_station_up", (("station", "away"),)) in site.series(), 10)
    assert site.value("station_up", station="away") == 0
    assert site.value("ledger_imbalance") == 0
    assert site.value("rule_matches_total", rule="all") == received + 1
    assert site.value("instances_received_total", sop_class="CT Image Storage") > 0
    assert site.value("rule_evaluation_seconds_count") >= received + 1
    assert 0 < site.value("task_oldest_waiting_seconds", station="away") < 60
    assert site.value("tasks", status="On Hold", station="away") > 0
    assert site.value("tasks", status="Failed", station="strict") == 1
    wait_until(lambda: 0 < site.value("station_echo_seconds", station="strict") < 5, 10)
    assert site.value("station_echo_seconds", station="away") == 0, "absent: it answers nothing"
    for name in ("pacs", "strict"):
        beat = site.value("heartbeat_last_success_timestamp_seconds", station=name)
        assert -1 <= time.time() - beat < 60, "one took an instance, the other answered"
    held = sum(path.stat().st_size for path in (site.router.data_dir / "journal").iterdir())
    owed = site.value("spool_bytes")
    assert (owed > 0, owed + site.value("cache_bytes")) == (True, held)
    assert site.value("config_info", router="edge", revision="") == 1
    assert site.value("build_info") == 1
    assert site.value("role_up") == 2, "receive and deliver"
    names = {name for name, _ in site.series()}
    assert all(name.startswith("dicom_router_") for name in names)


def test_p13_metrics_name_no_object_and_no_patient(site: Site) -> None:
    text = site.get("/metrics")[1]
    for secret in (NAME, ID, ACCESSION, UID_ROOT, "1.2.840"):
        assert secret not in text
    assert "CANARY" not in text.upper()


def test_f44_p13_no_plain_patient_or_pixel_below_the_data_directory_or_in_the_log(
    site: Site,
) -> None:
    def look() -> None:
        found = _found_in(site.router.data_dir, _secrets(site.images))
        assert found == []
        assert site.router.process is None or site.router.process.errors.exists()
        assert _found_in(site.router.work, _secrets(site.images)) == []

    look()
    # Nor in what the commands that read the ledger print, nor after an orderly stop.
    for words in (["account"], ["status"], ["tasks", "list"], ["tasks", "show", "1"]):
        _, output, errors = dicom_router(*words, "--config", str(site.router.folder))
        assert output
        assert "CANARY" not in output + errors
    assert site.router.stop() == 2
    look()
    site.router.start()


def _secrets(images: list[Synthetic]) -> list[bytes]:
    pixels = [image.data_set[-300 : -300 + 32] for image in images]
    return [b"CANARYNAME", b"CANARY-ID", ACCESSION.encode(), *pixels]


def _found_in(folder: Path, secrets: list[bytes]) -> list[tuple[str, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    return [
        (path.name, secret)
        for path in files
        for content in [path.read_bytes()]
        for secret in secrets
        if secret in content
    ]


@pytest.mark.parametrize("role", ["deliver", "receive"])
def test_a_role_that_hangs_is_not_ready_and_why(site: Site, role: str) -> None:
    image = instance(60 + len(role), rows=8, columns=8)
    assert set(scan(site.router.port, [image]).values()) == {0}
    wait_until(lambda: role in role_pids(site.router), 10, what=f"{role} has spoken")
    wait_until(lambda: site.get("/-/ready")[0] == 200, 10, what="ready")
    pid = role_pids(site.router)[role]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        wait_until(lambda: site.get("/-/ready")[0] == 503, 12, what="not ready")
        assert time.monotonic() - began > SILENCE_SECONDS - 1.5
        assert site.value("role_up", role=role) == 0
        body = json.loads(site.get("/-/ready")[1])
        assert body == {"ready": False, "reasons": [f"role {role} is silent"]}
        assert site.get("/-/healthy")[0] == 200
        assert site.value("ledger_imbalance") == 0
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: site.get("/-/ready")[0] == 200, 10, what="ready again")
