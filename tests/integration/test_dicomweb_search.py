"""QIDO-RS: the standard's matching over HTTP, asked with httpx, curl and dicomweb-client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.support.dicomweb_site import DicomwebSite, stow
from tests.support.process import run
from tests.support.storescp import dcmsend, is_installed
from tests.support.synthetic import Synthetic, instance

NAMES = ("Silva^Ana", "Conceição^João", "SILVA^Bruno", "O'Neil^Pat", "Silva-Santos^Caio")


def planted(number: int, name: str) -> Synthetic:
    changes = {
        0x00100010: ("PN", name),
        0x00100020: ("LO", f"ID {number}"),
        0x00080020: ("DA", f"202401{10 + number}"),
    }
    return instance(number, study=500 + number, rows=8, columns=8, changes=changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomwebSite]:
    made = DicomwebSite(tmp_path_factory.mktemp("search"))
    images = [planted(number, name) for number, name in enumerate(NAMES)]
    images += [instance(100 + n, study=600, rows=8, columns=8) for n in range(30)]
    with made.client("operate", "phi") as client:
        assert stow(client, images).status_code == 200
        made.listed(client, len(NAMES) + 1, "/studies")
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture(scope="module")
def client(site: DicomwebSite) -> Iterator[httpx.Client]:
    with site.client("phi") as made:
        yield made


def names(answer: httpx.Response) -> list[str]:
    if answer.status_code == 204:
        return []
    assert answer.status_code == 200, answer.text
    return sorted(one["00100010"]["Value"][0]["Alphabetic"] for one in answer.json())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientName=Silva*", ["SILVA^Bruno", "Silva-Santos^Caio", "Silva^Ana"]),
        ("PatientName=Silva^*", ["SILVA^Bruno", "Silva^Ana"]),
        ("PatientName=Silva%5E%2A", ["SILVA^Bruno", "Silva^Ana"]),
        ("00100010=*Jo%C3%A3o", ["Conceição^João"]),
        ("PatientName=O'Neil^Pat", ["O'Neil^Pat"]),
        ("PatientName=?ilva^Ana", ["Silva^Ana"]),
        ("PatientID=ID+2", ["SILVA^Bruno"]),
        ("PatientID=ID%202", ["SILVA^Bruno"]),
        ("StudyDate=20240111-20240112", ["Conceição^João", "SILVA^Bruno"]),
        ("StudyDate=-20240110&PatientName=*", ["Silva^Ana"]),
        ("PatientName=nobody", []),
        ("patientname=x", None),
        ("NoSuchKeyword=x", None),
        ("limit=x", None),
        ("limit=-1", None),
        ("fuzzymatching=perhaps", None),
    ],
)
def test_f86_matching_is_that_of_the_standard_raw_or_percent_encoded(
    client: httpx.Client, query: str, expected: list[str] | None
) -> None:
    answer = client.get(f"/studies?{query}")
    if expected is None:
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        return
    assert names(answer) == sorted(expected)


def test_f86_lists_of_uids_levels_and_fields(site: DicomwebSite, client: httpx.Client) -> None:
    studies = client.get("/studies").json()
    assert len(studies) == len(NAMES) + 1
    two = [one["0020000D"]["Value"][0] for one in studies[:2]]
    for separator in (",", "%5C", "\\"):
        found = client.get(f"/studies?StudyInstanceUID={separator.join(two)}").json()
        assert sorted(one["0020000D"]["Value"][0] for one in found) == sorted(two)
    study = planted(0, NAMES[0]).study_instance_uid
    (one,) = client.get(f"/studies?StudyInstanceUID={study}").json()
    assert one["00201208"]["Value"] == [1]
    assert one["00081190"]["Value"] == [f"{site.url}/studies/{study}"]
    assert "00100032" not in one
    assert "00104000" in client.get(f"/studies?StudyInstanceUID={study}&includefield=all").json()[0]
    (row,) = client.get(f"/studies/{study}/series").json()
    assert row["00080060"]["Value"] == ["CT"]
    assert "00100010" not in row, "what the path names is not told again"
    series_uid = row["0020000E"]["Value"][0]
    (image,) = client.get(
        f"/studies/{study}/series/{series_uid}/instances?includefield=PhotometricInterpretation,Rows"
    ).json()
    assert (image["00280010"]["Value"], image["00280004"]["Value"]) == ([8], ["MONOCHROME2"])
    assert client.get(f"/studies/{study}/instances").json()[0]["0020000E"]["Value"] == [series_uid]
    (found,) = client.get(f"/series?SeriesInstanceUID={series_uid}").json()
    assert found["00100010"]["Value"] == [{"Alphabetic": NAMES[0]}]
    assert len(client.get("/instances?PatientName=Silva*&Rows=8").json()) == 3


def test_f86_pages_and_warnings(client: httpx.Client) -> None:
    study = instance(100, study=600).study_instance_uid
    path = f"/studies/{study}/instances"
    pages = [client.get(f"{path}?limit=12&offset={offset}") for offset in (0, 12, 24, 36)]
    assert [len(one.json()) for one in pages[:3]] == [12, 12, 6]
    assert pages[3].status_code == 204
    found = {one["00080018"]["Value"][0] for page in pages[:3] for one in page.json()}
    assert len(found) == 30
    assert ["additional results" in one.headers.get("warning", "") for one in pages] == [
        True,
        True,
        False,
        False,
    ]
    fuzzy = client.get("/studies?PatientName=silva&fuzzymatching=true")
    assert "fuzzymatching parameter is not supported" in fuzzy.headers["warning"]
    nested = client.get("/studies?RequestAttributesSequence.StudyInstanceUID=1&PatientID=ID+1")
    assert (len(nested.json()), "not matched" in nested.headers["warning"]) == (1, True)
    forged = client.get("/studies?a.b%0d%0aSet-Cookie:x=1&PatientID=ID+1")
    assert "set-cookie" not in forged.headers
    assert client.get("/studies?" + "&".join(["limit=1"] * 300)).status_code == 400
    assert client.get("/studies", headers={"accept": "image/png"}).status_code == 406


def test_f34_patients_need_the_scope_phi(site: DicomwebSite) -> None:
    with site.client("read", "operate", "configure") as other, site.client() as nobody:
        for path in ("/studies", "/series", "/instances", "/studies/1.2/metadata", "/changefeed"):
            assert other.get(path).status_code == 403, path
            assert nobody.get(path).status_code == 401, path
    text = site.router.process.log.read_text() if site.router.process else ""
    assert not any(name in text for name in NAMES)


def test_dicomweb_client_finds_what_is_here(site: DicomwebSite) -> None:
    headers = {"Authorization": f"Bearer {site.token('phi')}"}
    theirs = DICOMwebClient(site.url, headers=headers)
    found = theirs.search_for_studies(search_filters={"PatientName": "Silva^*"}, fields=["StudyID"])
    assert len(found) == 2
    study = planted(0, NAMES[0]).study_instance_uid
    assert len(theirs.search_for_series(study)) == 1
    assert len(theirs.search_for_instances(study)) == 1
    assert theirs.search_for_studies(search_filters={"PatientName": "nobody"}) == []
    assert len(theirs.search_for_instances(limit=7, offset=3)) == 7


@pytest.mark.peers
def test_curl_searches_with_raw_and_encoded_values(site: DicomwebSite) -> None:
    header = f"Authorization: Bearer {site.token('phi')}"
    for value in (f"{quote('Conceição')}^*", quote("Conceição^*")):
        done = run(["curl", "-sS", "-g", "-H", header, f"{site.url}/studies?PatientName={value}"])
        assert len(json.loads(done.stdout)) == 1, done.stdout


@pytest.mark.peers
def test_dimse_and_web_see_the_same_objects(site: DicomwebSite, tmp_path) -> None:
    if not is_installed():
        pytest.skip("LOUD: DCMTK is not installed")
    image = instance(300, study=700, rows=8, columns=8)
    dcmsend(site.router.port, [image.write(tmp_path)], tmp_path, calling_ae_title="CT1")
    with site.client("phi") as client:
        (found,) = site.listed(client, 1, f"/studies?StudyInstanceUID={image.study_instance_uid}")
    assert found["00100020"]["Value"][0].startswith("HERE-")
