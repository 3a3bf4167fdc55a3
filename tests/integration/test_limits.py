"""What a station may be asked to carry: bytes a second, and the hours it is sent to."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.support.ledger_view import wait_for
from tests.support.process import free_port
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import series

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  thin: {ae_title: DEST, host: 127.0.0.1, port: $thin, send: true, limits: {bandwidth: 1MB/s}}
  late:
    {ae_title: DEST2, host: 127.0.0.1, port: $late, send: true, limits: {hours: "$hours"}}
rules:
  - {name: all, route: [thin, late]}
"""


def _hours_in_which_it_is_not_now() -> str:
    hour = time.localtime().tm_hour
    return f"{(hour + 6) % 24:02}:00-{(hour + 12) % 24:02}:00"


def test_f74_a_thin_line_is_not_filled_and_a_closed_station_is_left_alone(tmp_path: Path) -> None:
    thin = ScriptedScp(Script(max_pdu_bytes=0))
    names = {"thin": thin.port, "late": free_port(), "hours": _hours_in_which_it_is_not_now()}
    edge = Router(tmp_path, SITE, **names)
    edge.start()
    try:
        images = list(series(8, rows=360, columns=360))
        sent_bytes = sum(len(one.data_set) for one in images)
        began = time.monotonic()
        assert set(scan(edge.port, images).values()) == {0}
        took = time.monotonic() - began
        wait_for(edge.data_dir, station="thin", delivered=8)
        assert max(one.at for one in thin.stored) - began > sent_bytes / 1e6 - 0.4
        assert took < sent_bytes / 1e6 / 2, "who hands in waits for nobody"
        wait_for(edge.data_dir, station="late", held=8)
        code, output, _ = edge.command("tasks", "list", "--station", "late", "--format", "json")
        (task,) = json.loads(output)["tasks"]
        assert (code, task["status"]) == (0, "On Hold")
        assert task["status_reason"] == f"station is outside its hours, {names['hours']}"
        edge.assert_balanced()
    finally:
        edge.kill()
        thin.close()
