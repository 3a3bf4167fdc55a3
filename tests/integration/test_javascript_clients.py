"""JavaScript clients at our servers: dicomweb-client over HTTP, dcmjs-dimse over DIMSE."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RouterFactory
from tests.support.compressed import compressed, read
from tests.support.dicomweb_site import DicomwebSite, stow
from tests.support.javascript_clients import told
from tests.support.process import free_port, wait_until
from tests.support.retrievers import Asker
from tests.support.storescp import dcmsend
from tests.support.synthetic import JPEG_2000_LOSSLESS, Synthetic, instance

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("javascript_clients")]

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ws: {ae_title: WS, host: 127.0.0.1, port: $ws, query_retrieve: true, send: true}
"""


@pytest.fixture
def image() -> Synthetic:
    return compressed(instance(71, rows=48, columns=64, study=7), JPEG_2000_LOSSLESS)


def test_dicomweb_client_stores_searches_retrieves_and_draws(
    tmp_path: Path, image: Synthetic
) -> None:
    other = instance(72, rows=48, columns=64, study=8).write(tmp_path)
    site = DicomwebSite(tmp_path / "site")
    with site.client("phi", "operate") as client:
        assert stow(client, [image]).status_code == 200
        site.listed(client, 1)
        token = site.token("phi", "operate", name="script")
        uids = image.study_instance_uid, image.series_instance_uid, image.sop_instance_uid
        answer = told("dicomweb.cjs", site.url, token, *uids, other)
        site.listed(client, 2)
    assert (answer["studies"], answer["instances"], answer["metadata"]) == (1, 1, 1)
    assert answer["frame"] == [len(read(image).pixel_array.tobytes())]
    assert answer["study"] == answer["instance"]
    assert answer["instance"][0] > answer["frame"][0] > answer["jp2"][0] > 1000
    assert answer["png"] == "PNG"
    site.router.assert_balanced()
    site.close()


def test_dcmjs_dimse_echoes_stores_finds_and_gets(
    tmp_path: Path, router: RouterFactory, image: Synthetic
) -> None:
    edge = router(SITE, ws=free_port())
    dcmsend(edge.port, [image.write(tmp_path)], tmp_path, calling_ae_title="WS")
    asker = Asker(tmp_path / "asked", edge.port)
    study = image.study_instance_uid
    wait_until(lambda: study in asker.find("StudyInstanceUID").uids(), 20, what="listed")
    other = instance(73, study=9).write(tmp_path)
    answer = told("dimse.cjs", edge.port, "WS", "EDGE_A", study, other)
    assert answer["echo"]["statuses"] == answer["store"]["statuses"] == [0]
    assert (answer["find"]["statuses"], answer["find"]["found"]) == ([0xFF00, 0], [study])
    assert answer["get"]["statuses"][-1] == 0
    # It takes no JPEG 2000, so it is decoded for it.
    assert answer["get"]["stored"] == [[image.sop_instance_uid, "1.2.840.10008.1.2.1"]]
