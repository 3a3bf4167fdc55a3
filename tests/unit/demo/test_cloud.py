"""The pretend cloud itself: it refuses what the strictest service refuses, and holds no body."""

from __future__ import annotations

import http.client
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.demo.cloud import Cloud
from router.demo.cloud_faults import Fault
from tests.support.synthetic import IMPLICIT_VR_LITTLE_ENDIAN, file_meta, instance, large_chunks

IMAGE = instance(1, rows=8, columns=8)
TYPE = 'multipart/related; type="application/dicom"; boundary=b'
ACCEPT = {"Accept": "application/dicom+json"}
PART = b"Content-Type: application/dicom"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(require_token=False) as running:
        yield running


def body(*files: bytes, header: bytes = PART, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + header + b"\r\n\r\n" + one + b"\r\n" for one in files) + end


def ask(
    cloud: Cloud,
    method: str,
    path: str,
    sent: bytes | Iterator[bytes] = b"",
    **headers: str,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", int(cloud.url.split(":")[2][:-3]))
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, sent, fields)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def store(cloud: Cloud, sent: bytes, content_type: str = TYPE) -> tuple[int, bytes]:
    return ask(cloud, "POST", "/v2/studies", sent, Content_Type=content_type, **ACCEPT)


def failures(answer: tuple[int, bytes]) -> list[dict[str, dict[str, list[int]]]]:
    found: list[dict[str, dict[str, list[int]]]] = json.loads(answer[1])["00081198"]["Value"]
    return found


def test_f93_stored_then_duplicate() -> None:
    with Cloud(require_token=False) as cloud:
        assert store(cloud, body(IMAGE.part10()))[0] == 200
        again = store(cloud, body(IMAGE.part10()))
        assert again[0] == 409
        assert failures(again)[0]["00081197"]["Value"] == [45070]
        (held,) = cloud.stored()
        assert held.length == len(IMAGE.part10())
        assert held.study_instance_uid == IMAGE.study_instance_uid


def test_f93_one_bad_file_among_good_ones_has_no_uid_in_the_answer(cloud: Cloud) -> None:
    answer = store(cloud, body(b"not a file", IMAGE.part10(), IMAGE.part10()[:-40]))
    assert answer[0] == 202
    assert failures(answer) == [{"00081197": {"vr": "US", "Value": [43264]}}] * 2
    assert [one.sop_instance_uid for one in cloud.stored()] == [IMAGE.sop_instance_uid]


def test_f93_implicit_vr_is_stored_with_a_warning(cloud: Cloud) -> None:
    image = instance(2, rows=8, columns=8, transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN)
    status, answer = store(cloud, body(image.part10()))
    assert status == 202
    assert json.loads(answer)["00081199"]["Value"][0]["00081196"]["Value"] == [45063]


@pytest.mark.parametrize(
    ("sent", "content_type", "status"),
    [
        (body(IMAGE.part10(), header=PART + b"; transfer-syntax=*"), TYPE, 415),
        (body(IMAGE.part10()), "application/json", 415),
        (body(IMAGE.part10()), "multipart/related; type=application/dicom; boundary=b", 400),
        (body(IMAGE.part10()), TYPE + "; start=x", 400),
        (b"no boundary at all", TYPE, 400),
        (b"--b\r\n" + b"x" * 100_000, TYPE, 400),
        (body(), TYPE, 204),
    ],
)
def test_f93_what_the_service_refuses(
    sent: bytes, content_type: str, status: int, cloud: Cloud
) -> None:
    assert store(cloud, sent, content_type)[0] == status
    assert cloud.stored() == ()


def test_f93_version_segment_and_accept_are_mandatory(cloud: Cloud) -> None:
    assert ask(cloud, "POST", "/studies", body(), Content_Type=TYPE, **ACCEPT)[0] == 404
    assert ask(cloud, "GET", "/studies", **ACCEPT)[0] == 404
    assert ask(cloud, "POST", "/v2/studies", body(), Content_Type=TYPE)[0] == 406
    assert ask(cloud, "GET", "/v2/studies")[0] == 406


def test_f95_a_search_is_empty_or_a_page(cloud: Cloud) -> None:
    assert ask(cloud, "GET", "/v2/studies?limit=1", **ACCEPT)[0] == 204
    store(cloud, body(IMAGE.part10()))
    status, answer = ask(cloud, "GET", "/v2/studies?limit=1", **ACCEPT)
    assert status == 200
    assert json.loads(answer) == [{"0020000D": {"vr": "UI", "Value": [IMAGE.study_instance_uid]}}]
    assert ask(cloud, "GET", "/v2/studies?limit=201", **ACCEPT)[0] == 400


def test_f41_a_token_is_given_to_who_proves_itself_and_ends() -> None:
    with Cloud(token_seconds=0.0) as cloud:
        form = "grant_type=client_credentials&client_id=edge-a&client_secret="
        assert ask(cloud, "POST", "/token", (form + "wrong").encode())[0] == 401
        assert ask(cloud, "POST", "/token", b"grant_type=password")[0] == 400
        status, answer = ask(cloud, "POST", "/token", (form + "demo-secret").encode())
        assert status == 200
        token = json.loads(answer)["access_token"]
        assert ask(cloud, "GET", "/v2/studies", Authorization=f"Bearer {token}", **ACCEPT)[0] == 401


def test_F18_what_is_scripted_happens_once_and_in_order(cloud: Cloud) -> None:
    cloud.stow_script.add(Fault(status=503, keep=0), Fault(drop=True))
    assert store(cloud, body(IMAGE.part10()))[0] == 503
    assert cloud.stored() == ()
    with pytest.raises(http.client.RemoteDisconnected):
        store(cloud, body(IMAGE.part10()))
    assert len(cloud.stored()) == 1
    assert store(cloud, body(IMAGE.part10()))[0] == 409


def test_with_a_folder_each_instance_is_a_file(tmp_path: Path) -> None:
    with Cloud(require_token=False, folder=tmp_path) as cloud:
        cloud.stow_script.add(Fault(), Fault(keep=0, fail=272))
        store(cloud, body(IMAGE.part10()))
        store(cloud, body(instance(2, rows=8, columns=8).part10()))
        store(cloud, body(IMAGE.part10(), b"rubbish"))
        (held,) = cloud.stored()
        assert held.path is not None
        assert held.path.read_bytes() == IMAGE.part10()
        assert list(tmp_path.iterdir()) == [held.path]


def test_an_instance_of_any_size_costs_no_memory(cloud: Cloud) -> None:
    facts, chunks = large_chunks(3, 200 << 20)
    head = b"--b\r\n" + PART + b"\r\n\r\n" + file_meta(facts)
    sizes = [len(chunk) for chunk in chunks]
    length = len(head) + sum(sizes) + len(b"\r\n--b--\r\n")
    _, chunks = large_chunks(3, 200 << 20)

    def stream() -> Iterator[bytes]:
        yield head
        yield from chunks
        yield b"\r\n--b--\r\n"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, _ = ask(
        cloud,
        "POST",
        "/v2/studies",
        stream(),
        Content_Type=TYPE,
        Content_Length=str(length),
        **ACCEPT,
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert status == 200
    assert cloud.stored()[0].length == length - len(head) - 9 + len(file_meta(facts))
    assert grown < 40 * 1024
