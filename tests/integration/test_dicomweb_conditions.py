"""WADO-RS and HTTP: entity tags, ranges, several wishes in Accept, one part or several."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.dicomweb_site import DicomwebSite, bodies, path_of, stow
from tests.support.synthetic import Synthetic, series

STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JPEG = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
OCTETS = "application/octet-stream"
PRIVATE = bytes(range(256)) * 8


@pytest.fixture(scope="module")
def images() -> list[Synthetic]:
    changes = {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00090010: ("LO", "SYNTHETIC"),
        0x00091001: ("OB", PRIVATE),
    }
    return list(series(2, seed=72, rows=16, columns=16, changes=changes))


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, images: list[Synthetic]
) -> Iterator[httpx.Client]:
    site = DicomwebSite(tmp_path_factory.mktemp("conditions"))
    with site.client("phi", "operate") as made:
        assert stow(made, images).status_code == 200
        site.listed(made, len(images))
        yield made
    site.router.assert_balanced()
    site.close()


@pytest.fixture
def one(images: list[Synthetic]) -> str:
    return path_of(images[0])


@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        ("", STORED), ("", "application/dicom"), ("/metadata", "application/dicom+json"),
        ("/frames/1", FRAMES), ("/bulkdata/7FE00010", OCTETS), ("/bulkdata/7FE00010", FRAMES),
        ("/bulkdata/00091001", OCTETS), ("/rendered", "image/png"), ("/thumbnail", "image/jpeg"),
        ("/../../metadata", "application/dicom+json"),
        ("/../../../../metadata", 'multipart/related; type="application/dicom+xml"'),
    ],
)  # fmt: skip
def test_f94_what_has_not_changed_is_not_given_once_more(
    client: httpx.Client, one: str, tail: str, accept: str
) -> None:
    first = client.get(one + tail, headers={"accept": accept})
    assert first.status_code == 200, first.text
    etag = first.headers["etag"]
    for condition, status in (
        (etag, 304), ("*", 304), (f'"x", W/{etag}', 304), ('"x"', 200), (f'"x{etag[1:]}', 200),
    ):  # fmt: skip
        headers = {"accept": accept, "if-none-match": condition}
        again = client.get(one + tail, headers=headers)
        assert again.status_code == status, condition
        assert again.headers["etag"] == etag
        assert bool(again.content) == (status == 200)


def test_a_tag_belongs_to_one_form(client: httpx.Client, one: str) -> None:
    tags = {
        client.get(one + tail, headers={"accept": accept}).headers["etag"]
        for tail, accept in (
            ("", STORED), ("/metadata", "application/dicom+json"),
            ("/metadata", 'multipart/related; type="application/dicom+xml"'),
            ("/bulkdata/00091001", OCTETS), ("/rendered", "image/png"), ("/rendered", "image/jpeg"),
        )
    }  # fmt: skip
    assert len(tags) == 6


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        (b"bytes=0-0", 206, slice(0, 1)), (b"bytes=510-9999", 206, slice(510, 512)),
        (b"bytes=-9999", 206, slice(0, 512)), (b"bytes=512-", 416, None), (b"bytes=-0", 416, None),
        (b"bytes=9-3", 416, None),
        # What is no range of whole numbers is no condition.
        (b"bytes=\xb2-", 200, slice(0, 512)), (b"bytes=abc", 200, slice(0, 512)),
        (b"bytes=-", 200, slice(0, 512)), (b"bytes=1-\xb9", 200, slice(0, 512)),
        (b"bytes=0-1,4-5", 200, slice(0, 512)), (b"pixels=0-1", 200, slice(0, 512)),
        (b"bytes=" + b"9" * 400 + b"-", 200, slice(0, 512)),
    ],
)  # fmt: skip
def test_a_range_is_given_or_told_or_ignored(
    client: httpx.Client, one: str, asked: bytes, status: int, expected: slice | None
) -> None:
    address, plain = f"{one}/bulkdata/7FE00010", {b"accept": OCTETS.encode()}
    whole = client.get(address, headers=plain)
    assert len(whole.content) == 512
    answer = client.get(address, headers={**plain, b"range": asked})
    assert answer.status_code == status, answer.text
    if expected is None:
        assert answer.headers["content-range"] == "bytes */512"
    else:
        assert answer.content == whole.content[expected]
        assert ("content-range" in answer.headers) == (status == 206)


def test_a_range_of_something_else_by_now_is_given_whole(client: httpx.Client, one: str) -> None:
    address, plain = f"{one}/bulkdata/7FE00010", {"accept": OCTETS, "range": "bytes=0-9"}
    etag = client.get(address, headers=plain).headers["etag"]
    for condition, status in (
        (etag, 206), ('"old"', 200), (f"W/{etag}", 200), ("Fri, 27 Nov 2026 10:00:00 GMT", 200),
    ):  # fmt: skip
        answer = client.get(address, headers={**plain, "if-range": condition})
        assert answer.status_code == status, condition


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (f"{JPEG}, {STORED}", 200), (f"{JPEG}, {STORED};q=0.1", 200), (f"{STORED};q=0, {JPEG}", 406),
        (f"text/html, {JPEG}", 406), (", ".join([JPEG] * 90), 406),
    ],
)  # fmt: skip
def test_the_next_wish_counts_where_the_best_cannot_be_met(
    client: httpx.Client, one: str, accept: str, status: int
) -> None:
    answer = client.get(one, headers={"accept": accept})
    assert answer.status_code == status, answer.text


def test_who_cannot_set_a_header_says_it_in_the_address(client: httpx.Client, one: str) -> None:
    nothing = {"accept": "text/html"}
    for path, kind in (
        (f"{one}?accept=application/dicom", "application/dicom"),
        (f"{one}/metadata?accept=application/dicom%2Bjson", "application/dicom+json"),
        ("/instances?accept=application/dicom%2Bjson&charset=utf-8", "application/dicom+json"),
        (f"{one}/rendered?accept=image/png", "image/png"),
    ):
        answer = client.get(path, headers=nothing)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert client.get(path.partition("?")[0], headers=nothing).status_code == 406


def test_one_part_or_several_as_the_client_takes_them(client: httpx.Client, one: str) -> None:
    whole = client.get(f"{one}/bulkdata/7FE00010", headers={"accept": OCTETS}).content
    alone = client.get(f"{one}/frames/1", headers={"accept": OCTETS})
    assert alone.headers["content-type"] == f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.1"
    assert alone.content == whole
    ((_, frame),) = bodies(client.get(f"{one}/frames/1", headers={"accept": "*/*"}))
    assert frame == whole
    assert len(bodies(client.get(f"{one}/frames/1,1", headers={"accept": OCTETS}))) == 2
    for path, value in (("00091001", PRIVATE), ("7FE00010", whole)):
        parts = bodies(client.get(f"{one}/bulkdata/{path}", headers={"accept": FRAMES}))
        assert [body for _, body in parts] == [value]
        answer = client.get(f"{one}/bulkdata/{path}", headers={"accept": OCTETS})
        assert (answer.headers["content-type"], answer.content) == (OCTETS, value)


def test_documents_say_that_they_are_utf_8_and_files_stay_as_they_are(
    client: httpx.Client, one: str
) -> None:
    (found,) = client.get(f"{one}/metadata").json()
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    file = client.get(one, headers={"accept": "application/dicom; transfer-syntax=*"}).content
    assert b"ISO_IR 100" in file and b"ISO_IR 192" not in file


def test_a_body_in_a_content_coding_is_not_guessed_at(
    client: httpx.Client, images: list[Synthetic]
) -> None:
    headers = {
        "content-type": 'multipart/related; type="application/dicom"; boundary=x',
        "content-encoding": "gzip",
    }
    answer = client.post("/studies", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
