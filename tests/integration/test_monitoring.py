"""What we ship for Prometheus and Grafana fits what the router tells: judged by Prometheus itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.process import Process, free_port, wait_until
from tests.support.scanner import scan
from tests.support.synthetic import instance
from tests.support.web_site import CANARIES, WebSite
from tests.support.wire import RejectedAssociation

SHIPPED = Path(__file__).parents[2] / "samples" / "monitoring"
DESIGNED = (
    "build_info", "config_last_reload_successful", "config_last_reload_success_timestamp_seconds",
    "config_info", "associations_open", "associations_total", "instances_received_total",
    "received_bytes_total", "rule_matches_total", "rule_evaluation_seconds", "tasks",
    "task_oldest_waiting_seconds", "send_attempts_total", "send_seconds", "station_up",
    "station_echo_seconds", "heartbeat_last_success_timestamp_seconds",
    "oauth_token_refresh_total", "cache_bytes", "cache_requests_total", "spool_bytes",
    "storage_free_bytes", "tls_certificate_expiry_timestamp_seconds",
)  # fmt: skip
METRIC = re.compile(r"\bdicom_router_\w+")


def promtool(*words: str, cwd: Path = SHIPPED, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *words], cwd=cwd, input=text, capture_output=True, text=True, timeout=60
    )


def queries() -> dict[str, list[str]]:
    """The queries of the dashboard, by panel, as Grafana sends them."""
    board = json.loads((SHIPPED / "dashboard.json").read_text("utf-8"))
    return {
        panel["title"]: [
            target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            for target in panel["targets"]
        ]
        for panel in board["panels"]
        if panel["type"] != "row"
    }


@dataclass
class Watched:
    """A router that did a bit of everything, and a Prometheus that has looked at it twice."""

    site: WebSite
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False)
        answer.raise_for_status()
        return answer.json()["data"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        return list(self.ask("query", query=query)["result"])

    def text(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.site.http}/metrics", trust_env=False).text


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, promtool: None) -> Iterator[Watched]:
    work = tmp_path_factory.mktemp("watched")
    site = WebSite(work / "site")
    with pytest.raises(RejectedAssociation):
        scan(site.router.port, [instance(9, rows=8, columns=8)], calling_ae_title="NOBODY")
    assert site.client("no-such-token").get("/api/v1/status").status_code == 401
    for name in ("alerts.yml", "prometheus.yml"):
        shutil.copy(SHIPPED / name, work / name)
    settings = (work / "prometheus.yml").read_text("utf-8")
    settings = settings.replace("127.0.0.1:8080", f"127.0.0.1:{site.http}").replace("15s", "1s")
    (work / "prometheus.yml").write_text(settings, "utf-8")
    port = free_port()
    command = [
        "prometheus", f"--config.file={work / 'prometheus.yml'}",
        f"--storage.tsdb.path={work / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    prometheus = Process(command, work / "prometheus.log")
    made = Watched(site, f"http://127.0.0.1:{port}")

    def has_looked() -> bool:
        try:
            rows = made.rows("count_over_time(dicom_router_web_refused_total[1m])")
            # The station that is away is found to be so a moment after the start.
            is_offline = bool(made.rows("dicom_router_station_up == 0"))
        except httpx.HTTPError:
            return False
        return is_offline and bool(rows) and int(rows[0]["value"][1]) >= 2

    try:
        wait_until(has_looked, 30, what="two scrapes")
        yield made
    finally:
        prometheus.kill()
        site.router.assert_balanced()
        site.close()


def test_promtool_finds_nothing_to_say_of_our_metrics(watched: Watched) -> None:
    done = promtool("check", "metrics", text=watched.text())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    bad = promtool("check", "metrics", text="# TYPE a_seconds counter\na_seconds 1\n")
    assert bad.returncode != 0, "it can find something"


def test_every_metric_of_the_design_is_told_and_none_names_a_patient(watched: Watched) -> None:
    text = watched.text()
    families = set(re.findall(r"(?m)^# TYPE dicom_router_(\w+) ", text))
    assert set(DESIGNED) <= families
    assert not [canary for canary in (*CANARIES, "1.2.") if canary in text]


def test_every_panel_shows_something_of_a_router_at_work(watched: Watched) -> None:
    text = watched.text()
    empty = set()
    for panel, asked in queries().items():
        for query in asked:
            if watched.rows(query):
                continue
            # Empty it may be when nothing of the kind has happened here, not by a wrong name.
            for name in METRIC.findall(query):
                family = re.sub(r"_(bucket|sum|count)$", "", name)
                assert f"# TYPE {family} " in text, f"{panel}: there is no {name}"
                assert f"\n{name}{{" not in text, f"{panel}: {query} finds no sample, and there is"
            empty.add(panel)
    # No token endpoint, no retrieval, no change of the configuration, no heartbeat yet.
    assert empty <= {"Access tokens", "Index and cache", "Running", "Heartbeats",
                     "Probes and changes of status", "Connections that came to nothing"}  # fmt: skip


def test_every_alert_asks_for_metrics_that_are_told_by_labels_they_have(watched: Watched) -> None:
    rules = watched.ask("rules")["groups"][0]["rules"]
    assert len(rules) == 24
    assert [one["name"] for one in rules if one["health"] != "ok"] == []
    told = {
        name: set(re.findall(r"(\w+)=\"", labels))
        for name, labels in re.findall(r"(?m)^(dicom_router_\w+)(?:{(.*)})? ", watched.text())
    }
    families = set(re.findall(r"(?m)^# TYPE (dicom_router_\w+) ", watched.text()))
    for one in rules:
        for name, labels in re.findall(r"(dicom_router_\w+)(?:{([^}]*)})?", one["query"]):
            assert name in families, one["name"]
            if name in told:
                assert set(re.findall(r"(\w+)=", labels)) <= told[name], one["name"]
        assert {"summary", "action"} == set(one["annotations"])
    # The station that is away is an alert in the making.
    (offline,) = [one for one in rules if one["name"] == "DicomRouterStationOffline"]
    wait_until(lambda: bool(watched.rows('ALERTS{alertname="DicomRouterStationOffline"}')), 10)
    assert offline["duration"] == 900


def test_every_alert_fires_when_it_should_and_only_then(promtool: None) -> None:
    done = _tested("alerts.test.yml", SHIPPED)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = set(re.findall(r"alert: (\w+)", (SHIPPED / "alerts.yml").read_text("utf-8")))
    tests = (SHIPPED / "alerts.test.yml").read_text("utf-8")
    assert {name for name in alerts if name not in tests} == set()


def test_an_alert_that_was_broken_fails_its_test(tmp_path: Path, promtool: None) -> None:
    text = (SHIPPED / "alerts.yml").read_text("utf-8")
    (tmp_path / "alerts.yml").write_text(text.replace('state="dead"', 'state="deadd"'), "utf-8")
    shutil.copy(SHIPPED / "alerts.test.yml", tmp_path)
    done = _tested("alerts.test.yml", tmp_path)
    assert done.returncode != 0 and "DicomRouterDeadLetters" in done.stdout + done.stderr


def _tested(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return promtool("test", "rules", name, cwd=folder)
