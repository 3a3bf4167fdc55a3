"""WADO-RS with pixels in other forms: transcoded objects and frames, rendered images, thumbnails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image

from tests.support.compressed import compressed, read
from tests.support.dicomweb_site import DicomwebSite, bodies, path_of, stow
from tests.support.synthetic import JPEG_2000_LOSSLESS, RLE_LOSSLESS, Synthetic, instance

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LS, JPEG, MPEG = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 50, 102))
DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'


@pytest.fixture(scope="module")
def images() -> list[Synthetic]:
    """One study: two compressed, one of three frames, one not compressed, one that is none."""
    made = [instance(seed, rows=48, columns=64, study=5) for seed in (51, 52)]
    many = instance(53, rows=48, columns=64, frames=3, study=5)
    whole = instance(55, study=5)
    without = replace(whole, data_set=whole.data_set[: whole.data_set.rindex(b"\xe0\x7f\x10\0")])
    coded = [compressed(made[0], JPEG_2000_LOSSLESS), compressed(made[1], RLE_LOSSLESS)]
    plain = instance(54, rows=48, columns=64, study=5)
    return [*coded, compressed(many, JPEG_2000_LOSSLESS), plain, without]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, images: list[Synthetic]
) -> Iterator[DicomwebSite]:
    made = DicomwebSite(tmp_path_factory.mktemp("pixels"))
    with made.client("operate", "phi") as client:
        assert stow(client, images).status_code == 200
        made.listed(client, len(images))
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture(scope="module")
def client(site: DicomwebSite) -> Iterator[httpx.Client]:
    with site.client("phi", "operate") as made:
        yield made


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_f94_the_default_is_uncompressed_and_what_is_asked_for_is_made(
    client: httpx.Client, images: list[Synthetic]
) -> None:
    for one in images[:4]:
        expected = read(one).pixel_array
        for accept, syntax in (
            (DICOM, EXPLICIT),
            (f"{DICOM}; transfer-syntax={JPEG_LS}", JPEG_LS),
            (f"{DICOM}; transfer-syntax=*", one.transfer_syntax_uid),
        ):
            ((_, body),) = bodies(client.get(path_of(one), headers={"accept": accept}))
            got = pydicom.dcmread(io.BytesIO(body))
            assert got.file_meta.TransferSyntaxUID == syntax
            assert np.array_equal(got.pixel_array, expected)
            assert got.SOPInstanceUID == one.sop_instance_uid
    refused = f"{DICOM}; transfer-syntax={MPEG}"
    assert client.get(path_of(images[0]), headers={"accept": refused}).status_code == 406
    answer = client.get(f"/studies/{images[0].study_instance_uid}", headers={"accept": DICOM})
    assert (answer.status_code, len(bodies(answer))) == (200, 5)


def test_frames_leave_in_the_form_that_is_asked_for(
    client: httpx.Client, images: list[Synthetic]
) -> None:
    many = images[2]
    pixels = read(many).pixel_array
    path = f"{path_of(many)}/frames"
    found = bodies(client.get(f"{path}/3,1", headers={"accept": OCTETS}))
    assert {kind for kind, _ in found} == {f"application/octet-stream; transfer-syntax={EXPLICIT}"}
    assert [body for _, body in found] == [pixels[2].tobytes(), pixels[0].tobytes()]
    stored = f'{OCTETS}; transfer-syntax="*"'
    ((kind, _),) = bodies(client.get(f"{path}/2", headers={"accept": stored}))
    assert kind.endswith(JPEG_2000_LOSSLESS)
    for accept, syntax in (("image/jp2", JPEG_2000_LOSSLESS), ("image/jls", JPEG_LS)):
        ((kind, _),) = bodies(
            client.get(f"{path}/2", headers={"accept": f"multipart/related; type={accept}"})
        )
        assert kind == f"{accept}; transfer-syntax={syntax}"
    ((kind, _),) = bodies(
        client.get(
            f"{path_of(images[3])}/frames/1",
            headers={"accept": 'multipart/related; type="image/jp2"'},
        )
    )
    assert kind.endswith(JPEG_2000_LOSSLESS)
    for accept in ("image/jpeg", "image/png", f"{OCTETS}; transfer-syntax={JPEG}"):
        assert client.get(f"{path}/1", headers={"accept": accept}).status_code == 406, accept
    ((_, whole),) = bodies(
        client.get(f"{path_of(many)}/bulkdata/7FE00010", headers={"accept": OCTETS})
    )
    assert whole == pixels.tobytes()
    assert client.get(f"{path}/4", headers={"accept": OCTETS}).status_code == 404
    assert client.get(f"{path_of(images[4])}/frames/1").status_code == 406


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/gif"])
def test_an_instance_is_drawn_in_the_form_that_is_asked_for(
    client: httpx.Client, images: list[Synthetic], kind: str
) -> None:
    for answer in (
        client.get(f"{path_of(images[0])}/rendered", headers={"accept": kind}),
        client.get(f"{path_of(images[0])}/rendered?accept={kind}", headers={"accept": "text/html"}),
    ):
        assert answer.headers["content-type"] == kind
        seen = picture(answer)
        assert (seen.format, seen.size) == (kind.partition("/")[2].upper(), (64, 48))


def test_study_series_and_frames_are_drawn_one_by_one(
    client: httpx.Client, images: list[Synthetic]
) -> None:
    study = f"/studies/{images[0].study_instance_uid}"
    answer = client.get(f"{study}/rendered", headers={"accept": "image/png"})
    assert (answer.status_code, len(bodies(answer))) == (200, 4), "what has no pixels is no image"
    many = path_of(images[2])
    found = bodies(client.get(f"{many}/frames/1,3/rendered", headers={"accept": "image/png"}))
    assert len(found) == 2
    middle = client.get(f"{many}/rendered", headers={"accept": "image/png"})
    named = client.get(f"{many}/frames/2/rendered", headers={"accept": "image/png"})
    assert middle.content == named.content != found[0][1]
    assert client.get(f"{many}/frames/4/rendered").status_code == 404
    for path in (study, path_of(images[0]).rpartition("/instances")[0], many, f"{many}/frames/3"):
        assert picture(client.get(f"{path}/thumbnail")).size == (128, 96)
    assert client.get(f"{path_of(images[4])}/rendered").status_code == 406
    assert client.get(f"{path_of(images[4])}9/rendered").status_code == 404


def test_the_query_says_how_it_is_drawn(client: httpx.Client, images: list[Synthetic]) -> None:
    path = f"{path_of(images[3])}/rendered"

    def seen(query: str) -> np.ndarray:
        return np.asarray(picture(client.get(f"{path}?accept=image/png&{query}")))

    assert seen("viewport=32,100").shape == (24, 32)
    assert seen("viewport=32,100,0,0,16,16").shape == (32, 32)
    assert seen("window=100000,10,linear").max() == 0
    assert seen("window=-100000,10,linear-exact").min() == 255
    small = client.get(f"{path}?quality=1").content
    assert len(small) < len(client.get(f"{path}?quality=100").content)
    told = client.get(f"{path}?annotation=patient,technique")
    assert told.status_code == 200
    assert "annotation values are not supported: patient,technique" in told.headers["warning"]
    assert len({client.get(f"{path}?quality={q}").headers["etag"] for q in (1, 2)}) == 2
    for wrong in (
        "quality=0", "quality=101", "quality=x", "window=1", "window=1,2,cubic", "window=1,0,linear",
        "window=nan,2,linear", "viewport=1", "viewport=0,5", "viewport=99999,5", "viewport=1,2,3",
    ):  # fmt: skip
        answer = client.get(f"{path}?{wrong}")
        assert answer.status_code == 400, wrong
        assert answer.json()["detail"]
    assert client.get(path, headers={"accept": "image/tiff"}).status_code == 406


def test_what_cannot_be_decoded_is_said_and_the_rest_is_given(tmp_path) -> None:
    broken = instance(61, rows=48, columns=64, study=6, transfer_syntax_uid=JPEG_2000_LOSSLESS)
    good = instance(62, rows=48, columns=64, study=6)
    hostile = instance(
        63, study=6, changes={0x00280010: ("US", 60_000), 0x00280011: ("US", 60_000)},
        transfer_syntax_uid=JPEG_2000_LOSSLESS,
    )  # fmt: skip
    site = DicomwebSite(tmp_path)
    with site.client("phi", "operate") as client:
        assert stow(client, [broken, good, hostile]).status_code == 200
        site.listed(client, 3)
        study = f"/studies/{good.study_instance_uid}"
        answer = client.get(study, headers={"accept": DICOM})
        assert (answer.status_code, len(bodies(answer))) == (206, 1)
        answer = client.get(study, headers={"accept": f"{DICOM}; transfer-syntax=*"})
        assert (answer.status_code, len(bodies(answer))) == (200, 3)
        for one, reason in ((broken, "cannot be decoded"), (hostile, "larger than the 256 MiB")):
            for path in (f"{path_of(one)}/rendered", f"{path_of(one)}/frames/1"):
                answer = client.get(path, headers={"accept": f"{OCTETS}, image/png"})
                assert (answer.status_code, reason in answer.text) == (406, True), answer.text
        assert picture(client.get(f"{path_of(good)}/rendered")).size == (64, 48)
    site.router.assert_balanced()
    site.close()


def test_metadata_and_searches_are_told_in_xml_to_whoever_asks_for_it(
    client: httpx.Client, images: list[Synthetic]
) -> None:
    study = f"/studies/{images[0].study_instance_uid}"
    accept = {"accept": 'multipart/related; type="application/dicom+xml"'}
    for path, count in ((f"{study}/metadata", 5), (f"{study}/instances", 5), ("/studies", 1)):
        found = bodies(client.get(path, headers=accept))
        documents = client.get(path).json()
        assert {kind for kind, _ in found} == {"application/dicom+xml"}
        assert len(found) == len(documents) == count
        for (_, body), members in zip(found, documents, strict=True):
            attributes = ET.fromstring(body).findall("{*}DicomAttribute")
            assert len(attributes) == len(members)
            uid = [one.find("{*}Value").text for one in attributes if one.get("tag") == "0020000D"]
            assert uid == [images[0].study_instance_uid]
    assert client.get("/studies", headers={"accept": "application/xml"}).status_code == 406


def test_dicomweb_client_reads_frames_and_rendered_images(
    site: DicomwebSite, images: list[Synthetic]
) -> None:
    headers = {"authorization": f"Bearer {site.token('phi')}"}
    theirs = DICOMwebClient(site.url, headers=headers)
    one = images[0]
    uids = one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
    (frame,) = theirs.retrieve_instance_frames(
        *uids, [1], media_types=(("application/octet-stream", EXPLICIT),)
    )
    assert frame == read(one).pixel_array.tobytes()
    shown = theirs.retrieve_instance_rendered(*uids, media_types=("image/png",))
    assert Image.open(io.BytesIO(shown)).size == (64, 48)
    got = theirs.retrieve_instance(*uids)
    assert np.array_equal(got.pixel_array, read(one).pixel_array)
