"""STOW-RS in: the same intake as DIMSE, durable before it is answered, each part told by itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicomweb_site import DicomwebSite, post, stow, uids
from tests.support.process import run
from tests.support.router_process import Router
from tests.support.synthetic import instance, series

RELATED = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomwebSite]:
    made = DicomwebSite(tmp_path_factory.mktemp("store"))
    yield made
    made.router.wait_until_drained()
    made.router.assert_balanced()
    made.close()


def received(site: DicomwebSite) -> int:
    return int(site.router.account()["received"])


def test_f85_what_is_stored_is_durable_routed_and_named(site: DicomwebSite) -> None:
    images = list(series(20, seed=11, rows=16, columns=16))
    before = received(site)
    with site.client("operate") as client:
        answer = stow(client, images)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/dicom+json")
        assert answer.headers["api-supported-versions"] == "1"
        assert uids(answer.json(), "stored") == [one.sop_instance_uid for one in images]
        site.router.wait_until_drained()
        sent = {one.sop_instance_uid for one in site.pacs.stored}
        assert sent >= {one.sop_instance_uid for one in images}
        again = stow(client, images[:3], f"/studies/{images[0].study_instance_uid}")
        assert again.status_code == 200
        assert again.json()["00081190"]["Value"][0].endswith(images[0].study_instance_uid)
    assert received(site) == before + 23


def test_the_answer_says_which_parts_failed_and_why(site: DicomwebSite) -> None:
    good, other = instance(1, study=21), instance(2, study=22)
    with site.client("operate") as client:
        path = f"/studies/{good.study_instance_uid}"
        mixed = post(client, [good.part10(), other.part10(), b"no dicom at all" * 20], path)
        assert mixed.status_code == 202
        assert uids(mixed.json(), "stored") == [good.sop_instance_uid]
        failed = mixed.json()["00081198"]["Value"]
        assert failed[0]["00081155"]["Value"] == [other.sop_instance_uid]
        assert failed[0]["00081197"]["Value"] == [0xA900]
        assert failed[1]["00081197"]["Value"] == [0xC000]
        none = post(client, [other.part10()], path)
        assert none.status_code == 409
        cut = post(client, [good.part10()[:-3000]])
        assert (cut.status_code, uids(cut.json(), "failed")) == (409, [good.sop_instance_uid])


def test_p3_a_body_that_is_cut_or_no_multipart_keeps_nothing_of_its_last_part(
    site: DicomwebSite,
) -> None:
    data = instance(3, study=31).part10()
    whole = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data
    before = received(site)
    with site.client("operate") as client:
        for body, content_type, status in (
            (whole, RELATED, 400),
            (whole[:-100], RELATED, 400),
            (b"", RELATED, 400),
            (b"--b--\r\n", RELATED, 400),
            (whole, "application/dicom", 415),
            (whole, "multipart/related", 415),
            (b"x" * 100_000, RELATED, 400),
            (b"--b\r\n" + b"A: b\r\n" * 10_000, RELATED, 400),
        ):
            answer = client.post("/studies", content=body, headers={"content-type": content_type})
            assert answer.status_code == status, (body[:30], content_type, answer.text)
            assert answer.json()["detail"]
        refused = client.post(
            "/studies", content=whole, headers={"content-type": RELATED, "accept": "text/html"}
        )
        assert refused.status_code == 406
    assert received(site) == before


def test_a_large_object_streams_and_memory_stays(site: DicomwebSite) -> None:
    big = instance(4, study=41, rows=4096, columns=4096)
    with site.client("operate") as client:
        assert stow(client, [big, instance(5, study=41)]).status_code == 200


def test_p2_a_sender_that_vanishes_leaves_nothing_half(site: DicomwebSite) -> None:
    token = site.token("operate")
    data = instance(6, study=61, rows=512, columns=512).part10()
    before = received(site)
    head = (
        f"POST /dicomweb/v1/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {RELATED}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 9999999\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", site.http)) as connection:
        connection.sendall(head + b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data)
        time.sleep(0.5)
    with site.client("operate") as client:
        assert stow(client, [instance(7, study=61)]).status_code == 200
    assert received(site) == before + 1


def test_f34_who_may_not_store_does_not(site: DicomwebSite) -> None:
    image = [instance(8, study=81)]
    with site.client() as client:
        assert stow(client, image).status_code == 401
    with site.client("read", "phi") as client:
        assert stow(client, image).status_code == 403


def test_a_token_of_a_station_speaks_for_it(site: DicomwebSite) -> None:
    image = instance(9, study=91)
    with site.client("operate", "phi", name="viewer") as client:
        assert stow(client, [image]).status_code == 200
        path = f"/studies/{image.study_instance_uid}/instances"
        (found,) = site.listed(client, 1, f"{path}?includefield=InstitutionName")
        assert found["00080080"]["Value"] == ["By web"]
        (whole,) = client.get(f"{path.removesuffix('/instances')}/metadata").json()
        assert whole["00080080"]["Value"] == ["By web"]
        assert whole["00081010"]["Value"] == ["FOR-VIEWER"], "its hook on send acts on what it gets"


@pytest.mark.peers
def test_curl_stores(site: DicomwebSite, tmp_path: Path) -> None:
    body = tmp_path / "body"
    data = instance(10, study=101).part10()
    body.write_bytes(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n")
    done = run(
        ["curl", "-sS", "--fail-with-body", "-H", f"Content-Type: {RELATED}",
         "-H", f"Authorization: Bearer {site.token('operate')}",
         "--data-binary", f"@{body}", f"{site.url}/studies"]
    )  # fmt: skip
    assert '"00081199"' in done.stdout, done.stdout + done.stderr


def test_p2_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    site = DicomwebSite(tmp_path / "killed")
    images = list(series(40, seed=12, rows=16, columns=16))
    with site.client("operate") as client:
        answer = stow(client, images)
    site.router.kill()
    stored = uids(answer.json(), "stored")
    assert len(stored) == 40
    edge: Router = site.router
    edge.start()
    edge.wait_until_drained()
    assert {one.sop_instance_uid for one in site.pacs.stored} >= set(stored)
    edge.assert_balanced()
    site.close()


def test_f82_an_upload_that_was_begun_before_a_reload_ends_after_it(site: DicomwebSite) -> None:
    """It takes longer than anybody waits for: the connection keeps the configuration it began with."""
    image = instance(7, study=71, rows=64, columns=64)
    path = site.router.folder / "site.yaml"
    good = path.read_text()
    gone = threading.Event()

    def body() -> Iterator[bytes]:
        data = image.part10()
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data[:1000]
        path.write_text(good.replace("name: all", "name: everything"))
        assert site.router.command("apply")[0] == 0
        gone.wait(7.0)
        yield data[1000:] + b"\r\n--b--\r\n"

    try:
        with site.client("operate") as client:
            answer = client.post("/studies", content=body(), headers={"content-type": RELATED})
    finally:
        path.write_text(good)
    assert answer.status_code == 200, answer.text
    assert uids(answer.json(), "stored") == [image.sop_instance_uid]
