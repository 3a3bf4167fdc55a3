"""`retrieve`: Orthanc sends a study here by C-MOVE; it is taken, routed and counted like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import OrthancFactory, RouterFactory
from tests.support.commands import dicom_router
from tests.support.process import wait_until
from tests.support.router_process import Router
from tests.support.synthetic import series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
stations:
  pacs: {ae_title: ORTHANC, host: 127.0.0.1, port: $pacs, query_retrieve: true}
  stranger:
    {ae_title: ORTHANC, host: 127.0.0.1, port: $pacs, query_retrieve: true, calling_ae_title: WHO}
  reading-room: {type: folder, path: "$drop", send: true}
rules:
  - {name: what the archive sends, match: {from: pacs}, route: [reading-room]}
"""
PORTLESS = 104


def retrieve(edge: Router, *words: str) -> tuple[int, str, str]:
    return dicom_router("retrieve", *words, "--config", str(edge.folder))


def test_a_study_is_sent_here_and_routed_by_the_rules(
    tmp_path: Path, router: RouterFactory, orthanc: OrthancFactory
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    edge = router(SITE, start=False, pacs=PORTLESS, drop=drop)
    archive = orthanc(settings={"DicomModalities": {"edge": ["EDGE_A", "127.0.0.1", edge.port]}})
    edge.write(SITE, pacs=archive.dicom_port, drop=drop)
    edge.start()
    images = list(series(12, rows=16, columns=16))
    for image in images:
        archive.raw("/instances", method="POST", body=image.part10())
    study = images[0].study_instance_uid

    code, output, errors = retrieve(edge, "pacs", "--study", study, "--format", "json")
    told = json.loads(output)
    assert (code, told["ok"], told["completed"], told["failed"]) == (0, True, 12, 0), errors
    wait_until(lambda: len(list(drop.rglob("*.dcm"))) == 12, 20, what="the files of the study")
    assert edge.account()["received"] == 12

    code, _, errors = retrieve(edge, "pacs", "--study", "1.2.3.4")
    assert code == 1
    assert "pacs:" in errors
    code, _, errors = retrieve(edge, "stranger", "--study", study)
    assert code == 1
    assert "C-MOVE: 0x" in errors
    for words, wanted, said in (
        (("pacs", "--study", "1.2.x"), 64, "is no UID"),
        (("reading-room", "--study", study), 1, "query_retrieve: true"),
    ):
        code, _, errors = retrieve(edge, *words)
        assert (code, said in errors) == (wanted, True), errors
    assert edge.account()["received"] == 12
