"""`top` and `tap` beside a running router: what they show, what they leave out, and that they end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import dicom_router
from tests.support.process import Process, environment, wait_until
from tests.support.scanner import scan
from tests.support.synthetic import instance
from tests.support.web_site import CANARIES, ID, WebSite
from tests.support.wire import RejectedAssociation

UID = "1.2.826"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("site"))
    yield made
    made.router.assert_balanced()
    made.close()


class Tapping:
    """`tap` as a process whose output is read while it runs."""

    def __init__(self, site: WebSite, work: Path, *words: str) -> None:
        command = [sys.executable, "-m", "router", "tap", "--config", str(site.router.folder)]
        self.site = site
        self.process = Process([*command, *words], work / "tap.log")
        wait_until(self._is_heard_by_all, 20, what="the roles tell")

    def _is_heard_by_all(self) -> bool:
        name = f'"{self.process.pid}.'
        errors = self.site.router.process.errors.read_text()  # type: ignore[union-attr]
        roles = [line for line in errors.split("\n") if '"tapped"' in line and name in line]
        return len(roles) >= 4

    def lines(self) -> list[str]:
        return self.process.log.read_text().split("\n")[:-1]

    def end(self) -> int:
        self.process.signal(signal.SIGINT)
        return self.process.wait(10)


def test_tap_tells_what_passes_and_names_no_patient(site: WebSite, tmp_path: Path) -> None:
    tapping = Tapping(site, tmp_path, "--format", "json")
    image = site.images[0]
    with pytest.raises(RejectedAssociation):
        scan(site.router.port, [image], calling_ae_title="NOBODY")
    fresh = instance(70, rows=8, columns=8)
    assert scan(site.router.port, [fresh])[fresh.sop_instance_uid] == 0

    def told() -> list[dict[str, object]]:
        return [json.loads(line) for line in tapping.lines()]

    wait_until(lambda: any(one["kind"] == "delivery" for one in told()), 15, what="the delivery")
    wait_until(lambda: any(one["event"] == "association_ended" for one in told()), 15)
    assert tapping.end() == 0
    (arrived,) = [one for one in told() if one["kind"] == "instance"]
    assert arrived["station"] == "ct-1" and arrived["to"] == ["away", "pacs"]
    assert (arrived["outcome"], arrived["sop_class"]) == ("routed", "CT Image Storage")
    (sent,) = [one for one in told() if one["kind"] == "delivery" and one["station"] == "pacs"]
    assert (sent["outcome"], sent["attempt"]) == ("delivered", 1)
    words = [one["event"] for one in told() if one["kind"] == "association"]
    assert {"association refused", "association_opened", "association_ended"} <= set(words)
    output = "\n".join(tapping.lines())
    assert not [secret for secret in (*CANARIES, UID) if secret in output]
    assert list((site.router.data_dir / "run").glob("*.tap")) == []


def test_tap_with_phi_names_them_and_the_log_says_that_it_did(
    site: WebSite, tmp_path: Path
) -> None:
    words = ("--phi", "--kind", "instance", "--station", "p*", "--limit", "2")
    tapping = Tapping(site, tmp_path, *words)
    assert set(scan(site.router.port, site.images).values()) == {0}
    assert tapping.process.wait(15) == 0, "it ends by itself"
    first, second = tapping.lines()
    assert ID in first and "CANARYACC" in second and UID in first
    assert "  instance     ct-1 → " in first
    log = site.router.process.errors.read_text()  # type: ignore[union-attr]
    assert f'"{tapping.process.pid}.phi.tap"' in log
    assert ID not in log


def test_tap_filters_and_refuses_where_nothing_runs(site: WebSite, tmp_path: Path) -> None:
    tapping = Tapping(site, tmp_path, "--kind", "instance", "--failed", "--seconds", "2")
    fresh = instance(71, rows=8, columns=8)
    assert scan(site.router.port, [fresh])[fresh.sop_instance_uid] == 0
    assert (tapping.process.wait(10), tapping.lines()) == (0, [])
    off = "version: 1\nrouter: {name: off, ae_title: A, data_dir: data}\n"
    (tmp_path / "off.yaml").write_text(off, "utf-8")
    code, _, errors = dicom_router("tap", "--config", str(tmp_path))
    assert code == 1 and "no router runs with" in errors


def test_top_shows_stations_queues_and_failures_once_where_there_is_no_terminal(
    site: WebSite,
) -> None:
    wait_until(lambda: "offline" in site.router.command("status")[1], 20, what="away is offline")
    code, text, _ = site.router.command("top", "--every", "0.5")
    assert code == 0
    assert "\x1b" not in text
    lines = text.split("\n")
    assert lines[0].startswith("edge  running  ")
    for role in ("deliver", "receive", "watch", "web"):
        assert f"{role} ok" in lines[1]
    away = next(line for line in lines if line.startswith("away"))
    assert "offline" in away and "connection refused" in away
    assert "latest failures" in text and "quarantined" in text
    assert not [secret for secret in (*CANARIES, UID) if secret in text]


def test_top_json_tells_rates_of_what_happened_between_two_looks(
    site: WebSite, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "router", "top", "--config", str(site.router.folder)]
    looking = Process([*command, "--format", "json", "--every", "3"], tmp_path / "top.log")
    number = 80
    while looking.poll() is None:
        assert set(scan(site.router.port, [instance(number, rows=8, columns=8)]).values()) == {0}
        number += 1
        time.sleep(0.2)  # the pace of a modality: what happens between the two looks is counted
    assert looking.wait(20) == 0
    told = json.loads(looking.log.read_text())
    assert told["received_per_second"] > 0 and told["delivered_per_second"] > 0
    assert told["received_bytes_per_second"] > 100
    stations = {one["name"]: one for one in told["stations"]}
    assert stations["ct-1"]["received_per_second"] == pytest.approx(
        told["received_per_second"], 0.1
    )
    assert stations["pacs"]["delivered_per_second"] > 0
    assert stations["away"]["queued"] > 0 and stations["away"]["oldest_seconds"] > 0
    assert told["account"]["balanced"] is True and told["roles"].keys() >= {"receive", "deliver"}
    assert told["failures"][0].keys() == {"at", "station", "task_id", "kind", "message", "status"}


def test_top_on_a_terminal_draws_until_ctrl_c_and_gives_the_screen_back(site: WebSite) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        words = ["-m", "router", "top", "--every", "0.5", "--config", str(site.router.folder)]
        os.execve(sys.executable, [sys.executable, *words], environment())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 16, 60, 0, 0))
    seen = b""
    while seen.count(b"\x1b[J") < 2:
        seen += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    try:
        while block := os.read(terminal, 65536):
            seen += block
    except OSError:
        pass  # the terminal has closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert b"\x1b[?1049h" in seen and seen.rstrip().endswith(b"\x1b[?1049l")
    picture = seen.decode().split("\x1b[H")[2].split("\x1b[J")[0]
    lines = [line.replace("\x1b[1m", "").split("\x1b")[0] for line in picture.split("\x1b[K\r\n")]
    assert len(lines) <= 16
    assert max(map(len, lines)) <= 60
