"""The cache of a running router: prefetched, read over HTTP, mended, rotated, verified, shredded."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.store.layout import HEAD_BYTES
from router.telemetry.metrics import counted
from tests.support.dicomweb_site import DicomwebSite
from tests.support.process import wait_until
from tests.support.scripted_archive import Cloud
from tests.support.scripted_http import answering
from tests.support.synthetic import Synthetic, series

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, id: 7, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port", accept: known_stations}
  web: {type: http, bind: "127.0.0.1:$http", serve: [dicomweb, api, ui, metrics]}
defaults:
  station: {heartbeat: {enabled: false}}
stations:
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
  cloud:
    type: dicomweb
    url: @url
    profile: generic
    allow_insecure_http: true
    query_retrieve: true
rules:
  - {name: all, match: {from: cloud}, route: [pacs]}
"""
NAME, ID = b"PLANTED^PATIENT^NAME", b"PLANTED-ID-4711"
PIXELS = bytes(range(100, 132))
FILE = "application/dicom; transfer-syntax=*"


def planted(seed: int, count: int = 4) -> list[Synthetic]:
    """A study of some chunks to each object, with a name and pixels that are looked for."""
    changes = {0x00100010: ("PN", NAME.decode()), 0x00100020: ("LO", ID.decode())}
    found = list(series(count, seed=seed, rows=400, columns=400, changes=changes))
    return [replace(one, data_set=one.data_set[: -len(PIXELS)] + PIXELS) for one in found]


class Site(DicomwebSite):
    """A router before a scripted cloud."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, site=SITE.replace("@url", url))
        self.viewer = self.client("phi", "read", "operate", "configure")

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.viewer.request(method, f"http://127.0.0.1:{self.http}/api/v1{path}", json=body)

    def ran(self, *words: str) -> Any:
        code, output, errors = self.router.command(*words, "--format", "json")
        assert code == 0, errors
        return json.loads(output)

    def counts(self, name: str) -> dict[str, float]:
        found = counted(self.router.data_dir / "run").get(f"dicom_router_{name}_total", {})
        return {labels[0][1]: value for labels, value in found.items()}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.router.data_dir / "ledger" / "ledger.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def flip(self, uid: str, offset: int) -> None:
        """Change one byte of a record on the disk."""
        statement = f"SELECT segment, place FROM instance WHERE sop_instance_uid = '{uid}'"
        ((segment, place),) = self.rows(f"{statement} AND segment IS NOT NULL")
        with (self.router.data_dir / "journal" / f"{segment}.seg").open("r+b") as file:
            file.seek(place + offset)
            byte = file.read(1)[0]
            file.seek(place + offset)
            file.write(bytes([byte ^ 1]))

    def file(self, one: Synthetic) -> httpx.Response:
        path = f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        return self.viewer.get(f"{path}/instances/{one.sop_instance_uid}", headers={"accept": FILE})

    def close(self) -> None:
        self.viewer.close()
        super().close()


@pytest.fixture
def cloud() -> Cloud:
    return Cloud([*planted(1), *planted(2)])


@pytest.fixture
def site(tmp_path: Path, cloud: Cloud) -> Iterator[Site]:
    with answering(cloud.handle) as url:
        made = Site(tmp_path, url)
        yield made
        made.router.assert_balanced()
        made.close()


def studies(cloud: Cloud) -> list[str]:
    return list(dict.fromkeys(one.study_instance_uid for one in cloud.images))


def prefetched(site: Site, *uids: str) -> Any:
    told = site.ran("cache", "prefetch", "cloud", *uids, "--follow")
    wait_until(lambda: len(site.rows("SELECT 1 FROM instance")) >= told["fetched"], 10)
    return told


def test_f84_what_will_be_wanted_is_here_before_and_asks_no_rule(site: Site, cloud: Cloud) -> None:
    first, second = studies(cloud)
    one = cloud.images[5]
    cloud.behave = {7: 503}
    told = prefetched(site, first, f"{second}/{one.series_instance_uid}/{one.sop_instance_uid}")
    assert (told["status"], told["fetched"], told["held"]) == ("Completed", 5, 0)
    assert site.router.deliveries()["created"] == 0, "the rules were not asked"
    asked = len(cloud.asked)
    assert site.file(one).status_code == 200
    assert len(cloud.asked) == asked, "a viewer waits for nobody"
    assert site.viewer.get("/studies/1.2.3", headers={"accept": "*/*"}).status_code == 404
    body = {"items": [{"station": "cloud", "study": uid} for uid in (first, second)], "cap": 2}
    answer = site.api("POST", "/cache/prefetches", body)
    assert answer.status_code == 202, answer.text
    number = answer.json()["prefetch"]

    def over() -> dict[str, Any]:
        told: dict[str, Any] = site.api("GET", f"/cache/prefetches/{number}").json()
        return told if told["ended"] else {}

    wait_until(over, 20)
    told = over()
    assert (told["status"], told["fetched"], told["held"], told["failed"]) == ("Failed", 2, 5, 1)
    assert "503" in told["items"][1]["message"]
    wait_until(lambda: site.counts("prefetched_objects").get("held") == 5, 10)
    assert site.counts("prefetch_items") == {"done": 3, "failed": 1}
    # Each process publishes its counters once a second.
    wait_until(lambda: site.counts("cache_requests") == {"hit": 1, "miss": 1}, 10)


def test_f84_a_prefetch_is_cancelled_and_what_is_wrong_is_refused(site: Site, cloud: Cloud) -> None:
    cloud.behave = dict.fromkeys(range(8), "stall")
    items = [{"station": "cloud", "study": uid} for uid in studies(cloud)]
    number = site.api("POST", "/cache/prefetches", {"items": items, "batch": 1}).json()["prefetch"]
    wait_until(lambda: len(cloud.asked) > 1, 15)
    code, output, errors = site.router.command("cache", "prefetches", "--cancel", str(number))
    assert (code, "Cancelled" in output or "In Progress" in output) == (0, True), errors
    wait_until(lambda: site.api("GET", f"/cache/prefetches/{number}").json()["ended"], 20)
    told = site.ran("cache", "prefetches", "--show", str(number))
    assert told["status"] == "Cancelled"
    assert {one["state"] for one in told["items"]} == {"cancelled"}
    assert site.api("POST", f"/cache/prefetches/{number}/cancel").status_code == 409
    cloud.released.set()
    for wrong in (
        [{"station": "nobody", "study": "1.2"}], [{"station": "pacs", "study": "1.2"}],
        [{"station": "cloud", "study": "1.2", "instance": "1.3"}], [],
        [{"station": "cloud", "study": "one"}],
    ):  # fmt: skip
        assert site.api("POST", "/cache/prefetches", {"items": wrong}).status_code == 422


@pytest.mark.parametrize("offset", [HEAD_BYTES - 150, HEAD_BYTES + 2000, HEAD_BYTES + 300_000, -10])
def test_f76_F7_a_flipped_byte_is_never_given_and_is_fetched_once_more(
    site: Site, cloud: Cloud, offset: int
) -> None:
    """In the wrapped key, in the header, in the pixels, in the trailer."""
    one = cloud.images[0]
    prefetched(site, one.study_instance_uid)
    before = site.file(one)
    assert before.status_code == 200 and before.content.endswith(PIXELS)
    ((length,),) = site.rows(
        f"SELECT length FROM instance WHERE sop_instance_uid = '{one.sop_instance_uid}'"
    )
    site.flip(one.sop_instance_uid, offset % length)
    code, output, _ = site.router.command("cache", "verify", "--format", "json")
    (told,) = json.loads(output)["records_that_do_not_open"]
    assert (code, told["sop_instance_uid"], told["state"]) == (1, one.sop_instance_uid, "kept")
    again = site.file(one)
    assert (again.status_code, again.content) == (200, before.content)
    assert site.router.command("cache", "verify")[0] == 0, "it is mended on the disk"
    wait_until(lambda: site.counts("cache_requests").get("refetched") == 1, 10)
    # And where the station gives nothing any more, it is an error and not other pixels.
    cloud.behave = {0: 404}
    site.flip(one.sop_instance_uid, HEAD_BYTES + 300_000)
    place = f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}/instances"
    for path in (one.sop_instance_uid, f"{one.sop_instance_uid}/frames/1"):
        with pytest.raises(httpx.RemoteProtocolError, match="closed"):
            site.viewer.get(f"{place}/{path}", headers={"accept": "*/*"})
    wait_until(lambda: site.counts("cache_requests").get("lost") == 2, 10)
    cloud.behave = {}
    assert site.file(one).content == before.content, "and mended when it can be"


def search(folder: Path) -> int:
    """Look for what was planted in every file of the data directory; how many bytes were read."""
    seen = 0
    for place, _, names in os.walk(folder):
        for name in names:
            octets = Path(place, name).read_bytes() if not name.endswith(".pipe") else b""
            seen += len(octets)
            for wanted in (NAME, ID, PIXELS):
                assert wanted not in octets, name
                assert wanted not in name.encode()
    return seen


def test_r236_f90_rotation_beside_a_running_router(site: Site, cloud: Cloud) -> None:
    """Rotate, rewrap, export, shred: all opens that should, and nothing planted lies anywhere."""
    first, second = studies(cloud)
    prefetched(site, first, second)
    wait_until(lambda: site.rows("SELECT 1 FROM catalogue WHERE sealed IS NOT NULL"), 10)
    before = [site.file(one).content for one in cloud.images]
    old = site.ran("keys", "list")["keys"][0]
    assert (old["state"], old["exported"]) == ("primary", None)
    new = site.ran("keys", "rotate")["key"]
    wait_until(lambda: [one["key"] for one in site.ran("keys", "list")["keys"]] == [new], 40)
    assert [site.file(one).content for one in cloud.images] == before
    assert site.ran("cache", "verify")["damaged"] == 0
    assert site.ran("cache", "rekey")["old_keys"] == 0
    assert site.ran("audit", "verify")["faults"] == []
    assert search(site.router.data_dir) > 8 * 300_000
    site.router.restart()
    assert [site.file(one).content for one in cloud.images] == before
    rotated = site.api("POST", "/keys/rotate")
    assert rotated.status_code == 200, rotated.text
    told = site.ran("cache", "evict", "--study", first, "--shred", "--dry-run")
    assert (told["shredded"], told["dry_run"]) == (4, True)
    assert site.file(cloud.images[0]).status_code == 200
    assert site.ran("cache", "evict", "--study", first, "--shred")["shredded"] == 4
    assert site.file(cloud.images[0]).status_code == 404
    assert site.file(cloud.images[4]).content == before[4]
    assert search(site.router.data_dir) > 8 * 300_000
    wait_until(
        lambda: (
            {"deleted", "keys_changed"}
            <= {one["event"] for one in site.ran("audit", "list")["entries"]}
        ),
        20,
    )


def evicted(site: Site, study: str) -> None:
    told = site.api("POST", "/cache/evict", {"study": study}).json()
    assert told["instances"] == 4, told


def test_f75_what_was_let_go_of_is_fetched_again_once_for_all_who_ask(
    site: Site, cloud: Cloud
) -> None:
    first, second = studies(cloud)
    prefetched(site, first, second)
    images = [one for one in cloud.images if one.study_instance_uid == first]
    before = [site.file(one).content for one in images]
    evicted(site, first)
    asked = len(cloud.asked)
    paths = [f"/studies/{first}/metadata", f"/studies/{first}"] * 3 + [
        f"/studies/{first}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
        for one in images
    ]
    with ThreadPoolExecutor(len(paths)) as threads:
        found = list(threads.map(lambda path: site.viewer.get(path).status_code, paths))
    assert found == [200] * len(paths)
    assert sorted(path.rsplit("/", 1)[1] for path in cloud.asked[asked:]) == sorted(
        one.sop_instance_uid for one in images
    ), "each is asked for once"
    assert [site.file(one).content for one in images] == before
    assert site.router.deliveries()["created"] == 0, "the rules were not asked"
    assert len(cloud.asked) == asked + len(images), "and it is here from now on"
    # One of them alone, and nothing of the others.
    evicted(site, first)
    assert site.file(images[1]).content == before[1]
    assert len(cloud.asked) == asked + len(images) + 1
    # A station that does not give it now is told of, and asked again a moment later.
    cloud.behave = dict.fromkeys(range(4), 503)
    answer = site.file(images[0])
    assert (answer.status_code, "cloud" in answer.json()["detail"]) == (503, True)
    assert int(answer.headers["retry-after"]) > 0
    part = site.viewer.get(f"/studies/{first}/metadata")
    assert (part.status_code, len(part.json()), "etag" in part.headers) == (206, 1, False)
    assert "DOE^JOHN" not in site.router.process.log.read_text()
    cloud.behave = {}
    wait_until(lambda: site.file(images[0]).status_code == 200, 30)
    assert site.viewer.get(f"/studies/{first}").status_code == 200
    # What was shredded is to be had from nowhere.
    asked = len(cloud.asked)
    assert site.api("POST", "/cache/shred", {"study": second}).status_code == 200
    assert site.viewer.get(f"/studies/{second}").status_code == 404
    assert len(cloud.asked) == asked


def test_f90_everything_held_is_verified_beside_the_work_and_followed(
    site: Site, cloud: Cloud
) -> None:
    first, second = studies(cloud)
    prefetched(site, first, second)
    bad = cloud.images[5]
    site.flip(bad.sop_instance_uid, HEAD_BYTES + 2000)
    made = site.api("POST", "/cache/verifications", {})
    assert (made.status_code, made.json()["status"]) == (202, "Ready")
    number = made.json()["verification"]

    def over() -> dict[str, Any]:
        told: dict[str, Any] = site.api("GET", f"/cache/verifications/{number}").json()
        return told if told["ended"] else {}

    wait_until(over, 20)
    told = over()
    assert (told["status"], told["records"], told["total"]) == ("Failed", 8, 8)
    assert (told["damaged"], told["progress"]) == (1, 1.0)
    (named,) = told["records_that_do_not_open"]
    assert (named["sop_instance_uid"], named["state"]) == (bad.sop_instance_uid, "kept")
    assert site.file(bad).status_code == 200, "it is mended by who reads it"
    again = site.ran("cache", "verifications", "--begin", "--study", second)["verification"]
    wait_until(lambda: site.ran("cache", "verifications")["verifications"][0]["ended"], 20)
    told = site.ran("cache", "verifications", "--show", str(again))
    assert (told["status"], told["records"], told["damaged"]) == ("Completed", 4, 0)
    code, output, _ = site.router.command("cache", "verifications", "--show", str(number))
    assert (code, bad.sop_instance_uid in output) == (1, True)
    assert site.api("POST", f"/cache/verifications/{again}/cancel").status_code == 409
    assert site.api("GET", "/cache/verifications/77").status_code == 404
    assert site.router.command("cache", "verifications", "--cancel", "77")[0] == 1
    assert site.router.command("cache", "verifications", "--study", "1.2")[0] == 64
