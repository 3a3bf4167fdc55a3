"""Retrieving from a DICOMweb station: by command, and by C-MOVE and C-GET that are passed on.

Orthanc is the archive; a server that cuts, lies and refuses is scripted. What is not whole is not kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.model.task import TaskFilter
from router.telemetry.metrics import counted
from tests.conftest import RouterFactory
from tests.support import orthanc as orthanc_peer
from tests.support import storescp as storescp_peer
from tests.support.commands import dicom_router
from tests.support.data_set_bytes import data_set_digest
from tests.support.ledger_view import ledger_of
from tests.support.orthanc import Orthanc
from tests.support.process import free_port, wait_until
from tests.support.retrievers import Asker
from tests.support.router_process import Router
from tests.support.scripted_archive import Cloud
from tests.support.scripted_http import answering
from tests.support.scripted_scp import ScriptedScp
from tests.support.synthetic import JPEG_2000_LOSSLESS, Synthetic, series

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  ws:
    ae_title: WS
    host: 127.0.0.1
    port: $ws
    query_retrieve: true
    send: true
    move_destinations: reading-room
  reading-room: {ae_title: READING, host: 127.0.0.1, port: $reading, send: true}
  cloud:
    type: dicomweb
    ae_title: CLOUD
    url: $url
    profile: $profile
    allow_insecure_http: true
    query_retrieve: true
    issuer_of_patient_id: CLOUD-ISSUER
    morph:
      retrieve_request: [{replace: {tag: StudyInstanceUID, pattern: "^9[.]9$$", with: "$study"}}]
      retrieve_response: [{set: {InstitutionName: From the cloud}}]
rules:
  - {name: what comes from the cloud, match: {from: cloud}, route: [reading-room]}
"""
COUNT, PLAIN = 90, 80


@pytest.fixture(scope="module")
def images() -> list[Synthetic]:
    """One study of more objects than are fetched side by side, some compressed."""
    plain = list(series(PLAIN, rows=16, columns=16))
    return plain + [
        one
        for number, one in enumerate(
            series(COUNT, rows=16, columns=16, transfer_syntax_uid=JPEG_2000_LOSSLESS)
        )
        if number >= PLAIN
    ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, images: list[Synthetic]) -> Iterator[Orthanc]:
    if not orthanc_peer.is_installed() or not storescp_peer.is_installed():
        pytest.skip("LOUD: Orthanc or DCMTK is not installed")
    server = Orthanc(tmp_path_factory.mktemp("archive"))
    for one in images:
        server.raw("/instances", method="POST", body=one.part10())
    yield server
    server.kill()


def started(
    router: RouterFactory, url: str, study: str, *, profile: str = "orthanc", **ports: int
) -> Router:
    ports = {"ws": free_port(), "reading": free_port(), **ports}
    return router(SITE, url=url, study=study, profile=profile, **ports)


def retrieve(edge: Router, *words: str) -> tuple[int, str, str]:
    return dicom_router("retrieve", *words, "--config", str(edge.folder))


def test_f57_a_study_is_fetched_whole_and_routed_by_the_rules(
    router: RouterFactory, archive: Orthanc, images: list[Synthetic]
) -> None:
    study = images[0].study_instance_uid
    with ScriptedScp() as reading:
        edge = started(router, archive.dicomweb_url, study, reading=reading.port)
        code, output, errors = retrieve(edge, "cloud", "--study", study)
        assert code == 0, errors
        assert f"{COUNT} sent" in output
        with ledger_of(edge.data_dir) as ledger:
            task = next(one for one in ledger.tasks(wanted=TaskFilter(kind="retrieve")))
        assert (task.station, task.status, task.delivered) == ("cloud", "Completed", COUNT)
        edge.wait_until_drained()
        assert {one.sop_instance_uid for one in reading.stored} == {
            one.sop_instance_uid for one in images
        }
        code, _, errors = retrieve(edge, "cloud", "--study", "1.2.3.4")
        assert code == 1
        assert "holds no such study" in errors
        series_uid = images[0].series_instance_uid
        code, output, errors = retrieve(edge, "cloud", "--study", study, "--series", series_uid)
        assert (code, f"{COUNT} sent" in output) == (0, True), errors


def test_f55_f75_c_move_and_c_get_reach_through_and_ask_once(
    tmp_path: Path, router: RouterFactory, archive: Orthanc, images: list[Synthetic]
) -> None:
    study = images[0].study_instance_uid
    with ScriptedScp() as reading:
        edge = started(router, archive.dicomweb_url, study, reading=reading.port)
        asker = Asker(tmp_path / "asked", edge.port, called="CLOUD")
        # The hook on requests makes 9.9 the study's own UID.
        told = asker.move("StudyInstanceUID=9.9", to="READING")
        assert told.code_of_status == "0000", told.words[-3000:]
        assert {one.sop_instance_uid for one in reading.stored} == {
            one.sop_instance_uid for one in images
        }
        assert {one.move_originator[0] for one in reading.stored} == {"WS"}
        with ledger_of(edge.data_dir) as ledger:
            (task,) = ledger.tasks()
        assert (task.station, task.status, task.study_instance_uid) == (
            "reading-room",
            "Completed",
            study,
        )
        assert (task.objects, task.delivered) == (COUNT, COUNT), "one task, however many batches"
        assert task.note == "fetched from cloud"
        assert edge.account()["received"] == COUNT
        # getscu offers no compressed syntax, and nothing is recoded for it.
        told = asker.get(f"StudyInstanceUID={study}")
        assert told.code_of_status == "b000", told.words[-3000:]
        assert len(told.objects) == PLAIN
        assert {one.InstitutionName for one in told.objects} == {"From the cloud"}
        # A patient ID without an issuer gets the station's; these have one of their own.
        assert {one.IssuerOfPatientID for one in told.objects} == {"HOSPA"}
        image = f"SOPInstanceUID={images[3].sop_instance_uid}"
        series_uid = f"SeriesInstanceUID={images[3].series_instance_uid}"
        told = asker.get(f"StudyInstanceUID={study}", series_uid, image, level="IMAGE")
        assert [str(one.SOPInstanceUID) for one in told.objects] == [images[3].sop_instance_uid]
        patient = asker.get("PatientID=P000001", level="PATIENT", options=("-P",))
        assert len(patient.objects) == PLAIN
        assert edge.account()["received"] == COUNT, "nothing was asked for twice"
        assert edge.deliveries()["created"] == COUNT, "the rules were not asked"
        series = "dicom_router_cache_requests_total"
        wait_until(lambda: len(counted(edge.data_dir / "run").get(series, {})) == 2, 10)
        told_of = {labels[0][1]: n for labels, n in counted(edge.data_dir / "run")[series].items()}
        assert told_of == {"miss": COUNT, "hit": 2 * COUNT + 1}
        # What is held for the cloud is held: it is found and given under our own title too.
        ours = Asker(tmp_path / "ours", edge.port)
        wait_until(lambda: ours.find("StudyInstanceUID").uids() == [study], 10, what="listed")


def test_f33_the_destination_is_looked_at_before_anything_is_fetched(
    tmp_path: Path, router: RouterFactory, archive: Orthanc, images: list[Synthetic]
) -> None:
    edge = started(router, archive.dicomweb_url, images[0].study_instance_uid)
    asker = Asker(tmp_path / "asked", edge.port, called="CLOUD")
    for to, status in (("NOBODY", "a801"), ("CLOUD", "a801")):
        told = asker.move("StudyInstanceUID=9.9", to=to)
        assert told.code_of_status == status, told.words
    assert edge.account()["received"] == 0


def test_p3_what_is_not_whole_is_not_kept_and_is_named(
    tmp_path: Path, router: RouterFactory
) -> None:
    images = list(series(8, rows=8, columns=8))
    cloud = Cloud(images)
    cloud.behave = {1: "cut", 2: 404, 3: "other", 4: "junk", 5: 406}
    good = {images[number].sop_instance_uid for number in (0, 6, 7)}
    study = images[0].study_instance_uid
    with answering(cloud.handle) as url, ScriptedScp() as reading:
        edge = started(router, url, study, profile="generic", reading=reading.port)
        asker = Asker(tmp_path / "asked", edge.port, called="CLOUD")
        told = asker.get(f"StudyInstanceUID={study}")
        assert told.code_of_status == "b000", told.words[-3000:]
        assert {str(one.SOPInstanceUID) for one in told.objects} == good
        assert "Failed Suboperations          : 5" in told.words
        assert edge.account()["received"] == 3
        cloud.behave = {}
        code, output, errors = retrieve(edge, "cloud", "--study", study)
        assert (code, "8 sent" in output) == (0, True), errors
        edge.wait_until_drained()
        assert len({one.sop_instance_uid for one in reading.stored}) == 8
        assert edge.process is not None
        assert b"DOE^JOHN" not in edge.process.log.read_bytes()
        for number in range(8):
            cloud.behave[number] = 503
        code, output, errors = retrieve(edge, "cloud", "--study", study)
        assert code == 1
        assert "HTTP 503" in errors
        assert len([one for one in cloud.asked if "offset" not in one]) < 8 + 8 + 8, "it gave up"


def test_f55_a_server_that_stalls_does_not_keep_a_cancel_waiting(
    tmp_path: Path, router: RouterFactory
) -> None:
    images = list(series(6, rows=8, columns=8))
    cloud = Cloud(images)
    cloud.behave = dict.fromkeys(range(6), "stall")
    study = images[0].study_instance_uid
    with answering(cloud.handle) as url, ScriptedScp() as ws:
        edge = started(router, url, study, profile="generic", ws=ws.port)
        asker = Asker(tmp_path / "asked", edge.port, called="CLOUD")
        began = time.monotonic()
        told = asker.move(f"StudyInstanceUID={study}", options=("-S", "--cancel", "1"))
        assert told.code_of_status == "fe00", told.words[-2000:]
        assert time.monotonic() - began < 5
        cloud.released.set()


def test_bytes_are_those_of_the_archive(
    tmp_path: Path, router: RouterFactory, archive: Orthanc, images: list[Synthetic]
) -> None:
    """Without hooks the object leaves as the archive has it, bit for bit."""
    study = images[0].study_instance_uid
    plain = SITE.replace("    issuer_of_patient_id: CLOUD-ISSUER\n", "").replace(
        "      retrieve_response: [{set: {InstitutionName: From the cloud}}]\n", ""
    )
    edge = router(
        plain, url=archive.dicomweb_url, study=study, profile="orthanc",
        ws=free_port(), reading=free_port(),
    )  # fmt: skip
    asker = Asker(tmp_path / "asked", edge.port, called="CLOUD")
    told = asker.get(f"StudyInstanceUID={study}", options=("-S", "+B"))
    assert len(told.objects) == PLAIN
    got = {data_set_digest(path) for path in (asker.folder / "asked-1").iterdir()}
    sent = set()
    for number, one in enumerate(images[:PLAIN]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(archive.file(one.sop_instance_uid))
        sent.add(data_set_digest(path))
    assert got == sent
