"""`find` against Orthanc, by C-FIND and by QIDO-RS: equal as sets to what Orthanc itself says.

And against peers that cut, refuse, talk for ever or say nothing: an end in words, in bounded time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.support import corpus
from tests.support import orthanc as orthanc_peer
from tests.support.commands import dicom_router
from tests.support.orthanc import Orthanc

pytestmark = pytest.mark.peers

CHARSETS = "pydicom/charset_files"
SITE = """\
version: 1
router: {{name: edge-a, ae_title: EDGE_A, data_dir: {data_dir}}}
stations:
  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {dicom_port}, query_retrieve: true}}
  hooked:
    ae_title: ORTHANC
    host: 127.0.0.1
    port: {dicom_port}
    query_retrieve: true
    morph: &hooks
      find_request: [{{replace: {{tag: PatientID, pattern: "^HERE-", with: ""}}}}]
      find_response: [{{prefix: {{PatientID: HERE-}}}}]
  keyed:
    ae_title: ORTHANC
    host: 127.0.0.1
    port: {dicom_port}
    query_retrieve: true
    morph: {{find_request: [{{hash: [PatientID]}}]}}
  hooked-web:
    type: dicomweb
    url: {dicomweb_url}
    profile: orthanc
    allow_insecure_http: true
    query_retrieve: true
    morph: *hooks
  web:
    type: dicomweb
    url: {dicomweb_url}
    profile: orthanc
    allow_insecure_http: true
    query_retrieve: true
  away:
    ae_title: ORTHANC
    host: 127.0.0.1
    port: {dicom_port}
    query_retrieve: true
    active: false
  shy: {{ae_title: ORTHANC, host: 127.0.0.1, port: {dicom_port}, send: true}}
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc with the small files of the corpus that it takes, and one Portuguese name."""
    if not orthanc_peer.is_installed():
        pytest.skip("LOUD: Orthanc with its DICOMweb plugin is not installed")
    server = Orthanc(tmp_path_factory.mktemp("archive"))
    taken = [one for one in corpus.required() if one.storable and one.path.stat().st_size < 20_000]
    for one in taken:
        if one.name.startswith(("pydicom/", "fo-dicom/", "pynetdicom/")):
            data = one.path.read_bytes()
            try:
                server.raw("/instances", method="POST", body=data)
            except OSError:
                continue
    portuguese = pydicom.dcmread(corpus.FOLDER / CHARSETS / "chrFren.dcm")
    portuguese.PatientName = "Conceição^João"
    portuguese.PatientID = "PT-1"
    portuguese.StudyDate = "20240229"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(portuguese, keyword, generate_uid())
    portuguese.file_meta.MediaStorageSOPInstanceUID = portuguese.SOPInstanceUID
    written = io.BytesIO()
    portuguese.save_as(written)
    server.raw("/instances", method="POST", body=written.getvalue())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def site(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    text = SITE.format(
        data_dir=folder / "data",
        dicom_port=archive.dicom_port,
        dicomweb_url=archive.dicomweb_url,
    )
    (folder / "router.yaml").write_text(text)
    return folder


def found_by_us(site: Path, station: str, *words: str) -> dict:
    code, output, errors = dicom_router(
        "find", station, *words, "--config", str(site), "--format", "json"
    )
    assert code == 0, errors
    return json.loads(output)


def uids(answers: list[dict], tag: str = "0020000D") -> list[str]:
    return sorted(one[tag]["Value"][0] for one in answers)


def found_by_orthanc(archive: Orthanc, level: str, query: dict[str, str]) -> list[str]:
    keyword = {"Study": "StudyInstanceUID", "Series": "SeriesInstanceUID"}[level]
    body = {"Level": level, "Query": query, "Expand": True}
    answers = archive.rest("/tools/find", method="POST", body=body)
    return sorted({one["MainDicomTags"][keyword] for one in answers})


@pytest.mark.parametrize("station", ["hooked", "hooked-web"])
def test_hooks_change_what_is_asked_and_what_is_told(site: Path, station: str) -> None:
    answers = found_by_us(site, station, "PatientID=HERE-PT-1")["answers"]
    assert [one["00100020"]["Value"] for one in answers] == [["HERE-PT-1"]]
    assert answers[0]["00100010"]["Value"] == [{"Alphabetic": "Conceição^João"}]


def test_p4_without_the_mapping_key_nothing_is_asked_under_another(site: Path) -> None:
    code, output, errors = dicom_router("find", "keyed", "PatientID=PT-1", "--config", str(site))
    assert (code, output) == (1, "")
    assert "no mapping key" in errors
    assert "PT-1" not in errors


@pytest.mark.parametrize("station", ["pacs", "web"])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"PatientName": "*a*"},
        {"PatientName": "wang^xiao?ong*"},
        {"PatientName": "*山田*"},
        {"PatientName": "*やまだ^たろう"},
        {"PatientName": "*김희중*"},
        {"PatientName": "*吉洞*"},
        {"PatientName": "Διονυσιος"},
        {"PatientName": "*João"},
        {"PatientName": "Buc^Jérôme"},
        {"PatientName": "Люкceмбypг"},
        {"StudyDate": "20040101-20041231"},
        {"StudyDate": "19000101-20000101"},
        {"StudyDate": "20240229"},
        {"PatientID": "*1*", "StudyDate": "19900101-"},
        {"PatientID": "nobody has this"},
    ],
    ids=str,
)
def test_find_equals_what_the_archive_says(
    archive: Orthanc, site: Path, station: str, query: dict[str, str]
) -> None:
    expected = found_by_orthanc(archive, "Study", query)
    words = [f"{key}={value}" for key, value in query.items()]
    answer = found_by_us(site, station, *words, "--limit", "1000")
    assert sorted(set(uids(answer["answers"]))) == expected
    assert not answer["truncated"]
    if not query:
        assert len(expected) > 20


@pytest.mark.parametrize("station", ["pacs", "web"])
def test_find_takes_lists_of_uids_and_goes_down_to_images(
    archive: Orthanc, site: Path, station: str
) -> None:
    studies = found_by_orthanc(archive, "Study", {})[:3]
    answer = found_by_us(site, station, "StudyInstanceUID=" + "\\".join(studies))
    assert uids(answer["answers"]) == studies
    study = studies[0]
    series = found_by_us(site, station, "--level", "series", f"StudyInstanceUID={study}")
    expected = found_by_orthanc(archive, "Series", {"StudyInstanceUID": study})
    assert uids(series["answers"], "0020000E") == expected
    images = found_by_us(
        site,
        station,
        "--level",
        "image",
        f"StudyInstanceUID={study}",
        f"SeriesInstanceUID={expected[0]}",
    )
    body = {"Level": "Instance", "Query": {"SeriesInstanceUID": expected[0]}, "Expand": True}
    held = archive.rest("/tools/find", method="POST", body=body)
    assert uids(images["answers"], "00080018") == sorted(
        one["MainDicomTags"]["SOPInstanceUID"] for one in held
    )


@pytest.mark.parametrize("station", ["pacs", "web"])
def test_find_says_what_was_cut_and_which_keys_are_unknown(site: Path, station: str) -> None:
    answer = found_by_us(site, station, "--limit", "3")
    assert len(answer["answers"]) == 3
    assert answer["truncated"]
    code, output, errors = dicom_router("find", station, "--limit", "3", "--config", str(site))
    assert code == 0
    assert len(output.splitlines()) == 4
    assert "truncated: 3 answers" in errors


def test_find_explains_wrong_words(site: Path) -> None:
    for words, code, said in (
        (("pacs", "PatientNam=X"), 64, "PatientName"),
        (("pacs", "QueryRetrieveLevel=STUDY"), 64, "is no key"),
        (("pcas",), 1, "pacs"),
        (("away",), 1, "is not active"),
        (("pacs", "--timeout", "nan"), 64, "not a valid integer"),
        (("shy",), 1, "query_retrieve: true"),
        (("pacs", "--level", "series"), 1, "needs the UID of one study"),
    ):
        ended, _, errors = dicom_router("find", *words, "--config", str(site))
        assert (ended, said in errors) == (code, True), (words, errors)
