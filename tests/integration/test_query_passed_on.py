"""C-FIND for a DICOMweb station, asked by findscu under the station's AE title, answered by its QIDO-RS.

Orthanc is the archive behind it and is asked by C-FIND too: both answers must be equal. What servers
say that refuse, stall or are gone becomes a status; their words, which may repeat the keys, do not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.conftest import RouterFactory
from tests.support import corpus
from tests.support import orthanc as orthanc_peer
from tests.support import storescp as storescp_peer
from tests.support.orthanc import Orthanc
from tests.support.process import free_port
from tests.support.retrievers import Asker, as_options
from tests.support.router_process import Router
from tests.support.scripted_http import answering

pytestmark = pytest.mark.peers

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: any}
stations:
  ws: {ae_title: WS, host: 127.0.0.1, port: 104, query_retrieve: true, heartbeat: {enabled: false}}
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  cloud:
    type: dicomweb
    ae_title: CLOUD
    url: $url
    profile: $profile
    allow_insecure_http: true
    query_retrieve: true
    heartbeat: {enabled: false}
  hooked:
    type: dicomweb
    ae_title: HOOKED
    url: $url
    profile: $profile
    allow_insecure_http: true
    query_retrieve: true
    heartbeat: {enabled: false}
    morph:
      find_request: [{replace: {tag: PatientID, pattern: "^HERE-", with: ""}}]
      find_response: [{prefix: {PatientID: HERE-}}]
"""
QUERIES = [
    ("STUDY", {"PatientName": "*a*"}),
    ("STUDY", {"PatientName": "WANG^xiao?ong*"}),
    ("STUDY", {"StudyDate": "20040101-", "PatientID": "", "PatientName": ""}),
    ("STUDY", {"ModalitiesInStudy": "CT", "StudyDescription": ""}),
    ("SERIES", {"Modality": "MR", "SeriesInstanceUID": ""}),
]


class Both:
    """Orthanc, asked by name, and the router which asks it by QIDO-RS."""

    def __init__(self, folder: Path, edge: Router, archive: Orthanc) -> None:
        self.edge = edge
        self.passed_on = Asker(folder / "ours", edge.port, called="CLOUD")
        self.hooked = Asker(folder / "hooked", edge.port, called="HOOKED")
        self.theirs = Asker(folder / "theirs", archive.dicom_port, called="ORTHANC")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    if not orthanc_peer.is_installed() or not storescp_peer.is_installed():
        pytest.skip("LOUD: Orthanc or DCMTK is not installed")
    folder = tmp_path_factory.mktemp("both")
    archive = Orthanc(folder / "archive")
    for one in corpus.required():
        if one.storable and one.path.stat().st_size < 20_000 and one.name.startswith("pydicom/"):
            try:
                archive.raw("/instances", method="POST", body=one.path.read_bytes())
            except OSError:
                continue
    edge = Router(folder / "edge", SITE, url=archive.dicomweb_url, profile="orthanc")
    edge.start()
    yield Both(folder, edge, archive)
    edge.assert_balanced()
    edge.stop()
    archive.kill()


@pytest.mark.parametrize(("level", "query"), QUERIES)
def test_f57_what_is_passed_on_equals_what_the_archive_says_itself(
    both: Both, level: str, query: dict[str, str]
) -> None:
    if level == "SERIES":
        study = both.theirs.find("StudyInstanceUID", "ModalitiesInStudy=MR").uids()[0]
        query = {**query, "StudyInstanceUID": study}
    uid = "SeriesInstanceUID" if level == "SERIES" else "StudyInstanceUID"
    words = as_options({uid: "", **query})
    ours = both.passed_on.find(*words, level=level)
    theirs = both.theirs.find(*words, level=level)
    assert ours.code_of_status == "0000"
    # Orthanc lists a study of two patients twice; by its UID it is one.
    assert set(ours.uids(uid)) == set(theirs.uids(uid)) != set()
    assert {str(one.RetrieveAETitle) for one in ours.objects} == {"CLOUD"}


def test_hooks_of_the_station_act_on_keys_and_answers(both: Both) -> None:
    whom = both.theirs.find("PatientID", "StudyInstanceUID", "PatientName=*a*").objects[0].PatientID
    told = both.hooked.find("StudyInstanceUID", f"PatientID=HERE-{whom}")
    assert {one.PatientID for one in told.objects} == {f"HERE-{whom}"}
    plain = both.passed_on.find("StudyInstanceUID", f"PatientID={whom}")
    assert told.uids() == plain.uids() != []


def test_a_whole_archive_is_not_listed_and_strangers_are_refused(both: Both) -> None:
    told = both.passed_on.find("PatientName", "StudyInstanceUID")
    assert (told.code_of_status, told.objects) == ("a900", ())
    assert "add a key" in told.comment
    stranger = Asker(both.passed_on.folder / "ct", both.edge.port, calling="CT1", called="CLOUD")
    assert stranger.find("PatientName=a*").code_of_status == "0124"


@pytest.mark.parametrize(
    ("http", "status", "tries"),
    [(400, "a900", 1), (401, "a700", 1), (404, "c000", 1), (503, "a700", 2), (500, "a700", 2)],
)
def test_what_the_server_refuses_is_a_status_without_its_words(
    tmp_path: Path, router: RouterFactory, http: int, status: str, tries: int
) -> None:
    seen: list[str] = []

    def refuse(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.path)
        words = b"no such patient DOE^JOHN"
        request.send_response(http)
        request.send_header("Content-Length", str(len(words)))
        request.end_headers()
        request.wfile.write(words)

    with answering(refuse) as url:
        edge = router(SITE, url=url, profile="generic")
        told = Asker(tmp_path / "asked", edge.port, called="CLOUD").find("PatientID=DOE-1")
        assert told.code_of_status == status
        assert "DOE^JOHN" not in told.words
        assert len(seen) == tries
        assert edge.process is not None
        assert b"DOE" not in edge.process.log.read_bytes()


def test_a_server_that_is_gone_or_stalls_keeps_nobody_waiting(
    tmp_path: Path, router: RouterFactory
) -> None:
    edge = router(SITE, url=f"http://127.0.0.1:{free_port()}/dicom-web", profile="generic")
    told = Asker(tmp_path / "gone", edge.port, called="CLOUD").find("PatientID=A")
    assert told.code_of_status == "a700"

    ended = threading.Event()
    with answering(lambda _request: ended.wait(20)) as url:
        slow = router(SITE, url=url, profile="generic")
        asker = Asker(tmp_path / "slow", slow.port, called="CLOUD")
        began = time.monotonic()
        told = asker.find("PatientID=A", options=("-S", "--cancel", "0", "-td", "2"))
        assert time.monotonic() - began < 10
        assert told.objects == ()
        ours = Asker(tmp_path / "ours", slow.port).find("PatientID=A")
        assert ours.code_of_status == "0000", "what is held here is answered meanwhile"
        ended.set()
