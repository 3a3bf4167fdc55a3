"""WADO-RS: files, metadata, frames and bulk data as they are stored, asked with dicomweb-client and curl."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.support import corpus
from tests.support.data_set_bytes import data_set_digest
from tests.support.dicomweb_site import SITE, DicomwebSite, bodies, path_of, post, stow
from tests.support.process import run
from tests.support.synthetic import Synthetic, instance, series

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'
DECODED = 'multipart/related; type="application/octet-stream"'
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
COUNT = 6


@pytest.fixture(scope="module")
def images() -> list[Synthetic]:
    return list(series(COUNT, seed=71, rows=16, columns=16))


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, images: list[Synthetic]
) -> Iterator[DicomwebSite]:
    made = DicomwebSite(tmp_path_factory.mktemp("retrieve"))
    with made.client("operate", "phi") as client:
        assert stow(client, images).status_code == 200
        made.listed(client, COUNT)
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture(scope="module")
def client(site: DicomwebSite) -> Iterator[httpx.Client]:
    with site.client("phi", "operate") as made:
        yield made


def test_f87_files_come_back_bit_for_bit(
    client: httpx.Client, images: list[Synthetic], tmp_path: Path
) -> None:
    study = f"/studies/{images[0].study_instance_uid}"
    for path, count in ((study, COUNT), (f"{study}/series/{images[0].series_instance_uid}", COUNT),
                        (path_of(images[2]), 1)):  # fmt: skip
        answer = client.get(path, headers={"accept": ANY})
        assert answer.status_code == 200, answer.text
        found = bodies(answer)
        assert {kind for kind, _ in found} == {"application/dicom"}
        assert len(found) == count
    (tmp_path / "sent.dcm").write_bytes(images[2].part10())
    (tmp_path / "got.dcm").write_bytes(found[0][1])
    assert data_set_digest(tmp_path / "got.dcm") == data_set_digest(tmp_path / "sent.dcm")
    alone = client.get(path_of(images[2]), headers={"accept": "application/dicom"})
    assert alone.headers["content-type"].startswith("application/dicom")
    assert alone.content == found[0][1]
    again = client.get(
        path_of(images[2]),
        headers={"accept": "application/dicom", "if-none-match": alone.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("accept", "status"),
    [("image/png", 406), ("multipart/related; type=image/png", 406), ("text/html, */*;q=0.1", 200),
     ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2', 200),
     ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', 406),
     ("multipart/related;type=application/dicom", 200), ("application/dicom", 406)],
)  # fmt: skip
def test_what_the_client_accepts_decides(
    client: httpx.Client, images: list[Synthetic], accept: str, status: int
) -> None:
    study = f"/studies/{images[0].study_instance_uid}"
    answer = client.get(study, headers={"accept": accept})
    assert answer.status_code == status
    if status == 200 and "1.2.840.10008.1.2" in accept:
        read = pydicom.dcmread(io.BytesIO(bodies(answer)[0][1]))
        assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"


def test_what_is_not_here_is_404(client: httpx.Client, images: list[Synthetic]) -> None:
    one = images[0]
    for path in ("/studies/1.2.3", f"/studies/{one.study_instance_uid}/series/1.2",
                 path_of(one) + "9", "/studies/1.2/metadata", path_of(one) + "/frames/2",
                 path_of(one) + "/bulkdata/00100010/x", path_of(one) + "/bulkdata/0009FFFF",
                 "/studies/..%2f..%2fetc%2fpasswd", "/nothing"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for frames in ("0", "-1", "x", "1,,2", "1" * 40):
        assert client.get(f"{path_of(one)}/frames/{frames}").status_code == 400, frames


def test_f87_metadata_frames_and_bulk_data(
    site: DicomwebSite, client: httpx.Client, images: list[Synthetic]
) -> None:
    one = images[1]
    (found,) = client.get(f"{path_of(one)}/metadata").json()
    address = found["7FE00010"]["BulkDataURI"]
    assert address == f"{site.url}{path_of(one)}/bulkdata/7FE00010"
    del found["7FE00010"]
    sent = pydicom.dcmread(io.BytesIO(one.part10()))
    pixels = sent.PixelData
    del sent.PixelData

    def bulk(_tag: str, _vr: str, address: str) -> bytes:
        answer = client.get(address, headers={"accept": "application/octet-stream"})
        assert answer.status_code == 200
        return answer.content

    read = pydicom.Dataset.from_json(found, bulk)
    told = sent.to_json_dict()
    told["00080005"]["Value"] = ["ISO_IR 192"]  # what the texts of a document are in
    assert read.to_json_dict() == told
    assert len(client.get(f"/studies/{one.study_instance_uid}/metadata").json()) == COUNT
    answer = client.get(f"{path_of(one)}/frames/1", headers={"accept": OCTETS})
    ((kind, frame),) = bodies(answer)
    assert kind == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert frame == pixels
    plain = {"accept": "application/octet-stream"}
    whole = client.get(f"{path_of(one)}/bulkdata/7FE00010", headers=plain)
    assert (whole.status_code, whole.content) == (200, pixels)
    for wanted, expected in (("bytes=10-19", pixels[10:20]), ("bytes=500-", pixels[500:]),
                             ("bytes=-7", pixels[-7:])):  # fmt: skip
        part = client.get(f"{path_of(one)}/bulkdata/7FE00010", headers={**plain, "range": wanted})
        assert (part.status_code, part.content) == (206, expected)
    beyond = client.get(
        f"{path_of(one)}/bulkdata/7FE00010", headers={**plain, "range": "bytes=99999-"}
    )
    assert beyond.status_code == 416


def test_dicomweb_client_retrieves(site: DicomwebSite, images: list[Synthetic]) -> None:
    theirs = DICOMwebClient(site.url, headers={"Authorization": f"Bearer {site.token('phi')}"})
    one = images[3]
    uids = one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
    assert len(theirs.retrieve_study(uids[0])) == COUNT
    assert theirs.retrieve_instance(*uids).SOPInstanceUID == uids[2]
    assert len(theirs.retrieve_series_metadata(*uids[:2])) == COUNT
    sent = pydicom.dcmread(io.BytesIO(one.part10()))
    (frame,) = theirs.retrieve_instance_frames(*uids, frame_numbers=[1])
    assert frame == sent.PixelData


REAL = (
    "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
    "image_dfl.dcm", "emri_small_jpeg_2k_lossless.dcm", "emri_small.dcm", "liver_1frame.dcm",
    "test-SR.dcm", "rtplan.dcm", "chrH32.dcm", "693_J2KI.dcm",
)  # fmt: skip


def test_real_objects_of_every_encoding_are_given(
    site: DicomwebSite, client: httpx.Client, tmp_path: Path
) -> None:
    found = [
        one for one in corpus.required()
        if one.storable and Path(one.name).name in REAL and one.name.startswith("pydicom/")
    ]  # fmt: skip
    assert len(found) >= 6
    for one in found:
        sent = pydicom.dcmread(one.path, force=True)
        if not sent.get("StudyInstanceUID") or not sent.get("SeriesInstanceUID"):
            continue
        assert post(client, [one.path.read_bytes()]).status_code == 200, one.name
        path = (
            f"/studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}"
            f"/instances/{sent.SOPInstanceUID}"
        )
        site.listed(client, 1, f"/instances?SOPInstanceUID={sent.SOPInstanceUID}")
        answer = client.get(path, headers={"accept": ANY})
        assert answer.status_code == 200, (one.name, answer.text)
        got = tmp_path / "got.dcm"
        got.write_bytes(bodies(answer)[0][1])
        # What is deflated gets the byte that makes its length even.
        same = data_set_digest(got) == data_set_digest(one.path)
        assert same or pydicom.dcmread(got) == sent, one.name
        (document,) = client.get(f"{path}/metadata").json()
        assert document["00080018"]["Value"] == [str(sent.SOPInstanceUID)], one.name
        if "PixelData" not in sent:
            continue
        syntax = sent.file_meta.TransferSyntaxUID
        count = int(sent.get("NumberOfFrames", 1))
        if syntax in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"):
            ((kind, frame),) = bodies(client.get(f"{path}/frames/{count}"))
            assert kind.endswith("transfer-syntax=1.2.840.10008.1.2.1"), one.name
            size = sent.pixel_array.nbytes // count
            little = sent.pixel_array.astype(sent.pixel_array.dtype.newbyteorder("<")).tobytes()
            assert frame == little[size * (count - 1) :], one.name
            continue
        answer = client.get(f"{path}/frames/{count}", headers={"accept": OCTETS})
        assert answer.status_code == 200, (one.name, answer.text)
        ((kind, frame),) = bodies(answer)
        assert kind.endswith(f"transfer-syntax={syntax}")
        if syntax.is_compressed:
            frames = list(pydicom.encaps.generate_frames(sent.PixelData, number_of_frames=count))
            assert frame == frames[count - 1], one.name
            answer = client.get(f"{path}/frames/{count}", headers={"accept": DECODED})
            ((kind, frame),) = bodies(answer)
            assert kind.endswith("transfer-syntax=1.2.840.10008.1.2.1"), one.name
            decoded = sent.pixel_array if count == 1 else sent.pixel_array[count - 1]
            assert frame == decoded.tobytes(), one.name
        else:
            size = len(sent.PixelData) // count
            assert frame == sent.PixelData[(count - 1) * size :][: len(frame)], one.name


def test_p4_what_a_hook_fails_on_is_not_given(tmp_path: Path) -> None:
    text = SITE.replace(
        "send: [{set: {StationName: FOR-VIEWER}}]",
        'send: [{set: {AccessionNumber: "{{ PatientID }}{{ PatientID }}{{ PatientID }}"}}]',
    )
    site = DicomwebSite(tmp_path / "failing", site=text)
    good = instance(1, study=81, rows=8, columns=8, changes={0x00100020: ("LO", "A")})
    bad = instance(2, study=81, rows=8, columns=8, changes={0x00100020: ("LO", "LONGERTHAN")})
    with site.client("operate", "phi") as client, site.client("phi", name="viewer") as viewer:
        assert stow(client, [good, bad]).status_code == 200
        site.listed(client, 2)
        answer = viewer.get(f"/studies/{good.study_instance_uid}", headers={"accept": ANY})
        assert answer.status_code == 206
        (file,) = (data for _, data in bodies(answer))
        assert pydicom.dcmread(io.BytesIO(file)).AccessionNumber == "AAA"
        assert viewer.get(path_of(bad)).status_code == 406
        assert viewer.get(f"{path_of(bad)}/frames/1").status_code == 406
        assert viewer.get(f"{path_of(bad)}/metadata").status_code == 500
        assert client.get(path_of(bad)).status_code == 200
    site.router.wait_until_drained()
    site.router.assert_balanced()
    site.close()


def test_f88_the_change_feed_follows_what_comes(
    site: DicomwebSite, client: httpx.Client, images: list[Synthetic]
) -> None:
    first = client.get("/changefeed?limit=2").json()
    assert [one["action"] for one in first] == ["create", "create"]
    assert first[0]["sopInstanceUid"] == images[0].sop_instance_uid
    latest = client.get("/changefeed/latest").json()["sequence"]
    assert client.get(f"/changefeed?offset={latest}").json() == []
    one = instance(50, study=950, rows=8, columns=8)
    assert stow(client, [one]).status_code == 200
    site.listed(client, 1, f"/studies?StudyInstanceUID={one.study_instance_uid}")
    other = instance(50, study=950, rows=16, columns=8)
    assert other.sop_instance_uid == one.sop_instance_uid
    assert stow(client, [other]).status_code == 200
    site.router.wait_until_drained()
    states = [change["state"] for change in client.get(f"/changefeed?offset={latest}").json()]
    assert states == ["replaced", "current"]
    assert client.get("/changefeed?offset=x").status_code == 400


@pytest.mark.peers
def test_f80_curl_and_the_cache(
    site: DicomwebSite, images: list[Synthetic], tmp_path: Path
) -> None:
    header = f"Authorization: Bearer {site.token('phi', 'read')}"
    target = tmp_path / "out.dcm"
    run(["curl", "-sSf", "-H", header, "-H", "Accept: application/dicom", "-o", str(target),
         f"{site.url}{path_of(images[0])}"])  # fmt: skip
    assert pydicom.dcmread(target).SOPInstanceUID == images[0].sop_instance_uid
    base = site.url.removesuffix("/dicomweb/v1")
    done = run(["curl", "-sS", "-H", header, f"{base}/DICOMcache"])
    assert done.stdout.startswith("Get Image blob API\n")
    assert "instances " in done.stdout
    code, output, errors = site.router.command("cache", "stat", "--format", "json")
    assert (code, json.loads(output)["received"] >= COUNT) == (0, True), errors
    done = run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{base}/DICOMcache"])
    assert done.stdout == "401"
    assert json.loads(run(["curl", "-sS", "-H", header, f"{site.url}/changefeed/latest"]).stdout)
