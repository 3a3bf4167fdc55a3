"""The cache on pages and over the API: what may be done by whom, what is refused, and what is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.test_web_pages import Browser
from tests.support.process import wait_until
from tests.support.web_site import CANARIES, WebSite

API = "/api/v1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("cache"))
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture
def ana(site: WebSite) -> Iterator[Browser]:
    browser = Browser(site, "all").log_in()
    yield browser
    browser.client.close()


@pytest.fixture
def root(site: WebSite) -> Iterator[httpx.Client]:
    with site.client(site.token("all")) as client:
        yield client


def study_of(site: WebSite, number: int) -> str:
    return site.images[number].study_instance_uid


def test_what_is_held_and_its_keys_are_told_without_a_secret(
    site: WebSite, root: httpx.Client
) -> None:
    told = root.get(f"{API}/cache").json()
    assert told["journal_bytes"] > 0 and told["max_bytes"] is None
    assert told["kept"]["instances"] + told["owed"]["instances"] == 3
    assert told["owed"]["instances"] == 3, "away is owed all of it"
    (key,) = told["keys"]
    assert (key["state"], key["exported"], len(key["key"])) == ("primary", None, 8)
    ring = (site.router.data_dir / "keys" / "keyring.json").read_text()
    for secret in re.findall(r"[A-Za-z0-9+/]{42,}=", ring):
        for path in ("/cache", "/keys", "/status"):
            assert secret not in root.get(API + path).text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/cache/evict", {}), ("/cache/evict", {"dry_run": True}), ("/cache/evict", {"study": 1}),
        ("/cache/evict", {"to_bytes": 1, "study": "1.2"}), ("/cache/evict", {"to_bytes": -1}),
        ("/cache/evict", {"older_than_seconds": -5}), ("/cache/evict", {"what": "all"}),
        ("/cache/shred", {}), ("/cache/shred", {"study": ["1.2"]}), ("/cache/verify", {}),
        ("/cache/prefetches", {"items": []}), ("/cache/prefetches", {"items": "1.2"}),
        ("/cache/prefetches", {"items": ["1.2"]}),
        ("/cache/prefetches", {"items": [{"station": "pacs", "study": "1.2", "more": 1}]}),
        ("/cache/prefetches", {"items": [{"station": "pacs", "study": 12}]}),
        ("/cache/prefetches", {"items": [{"station": "ct-1", "study": "1.2"}]}),
        ("/cache/prefetches", {"items": [{"station": "pacs", "study": "1.2"}], "batch": 0}),
        ("/cache/prefetches", {"items": [{"station": "pacs", "study": "1.2"}], "cap": 101}),
        ("/cache/prefetches", {"items": [{"station": "pacs", "study": "1.2"}] * 101}),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused_and_does_nothing(
    root: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    before = root.get(f"{API}/cache").json()["owed"]
    answer = root.post(API + path, json=body)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert root.get(f"{API}/cache").json()["owed"] == before
    assert root.get(f"{API}/cache/prefetches").json()["prefetches"] == []


def test_what_somebody_waits_for_stays(site: WebSite, root: httpx.Client) -> None:
    study = study_of(site, 0)
    told = root.post(f"{API}/cache/evict", json={"study": study, "dry_run": True}).json()
    assert told["instances"] == 0 and told["needed"] > 0
    for is_dry in (True, False):
        answer = root.post(f"{API}/cache/shred", json={"study": study, "dry_run": is_dry})
        assert answer.status_code == 409
        assert "tasks cancel" in answer.json()["detail"]
    told = root.post(f"{API}/cache/verify", json={"study": study}).json()
    assert told["damaged"] == 0 and told["records"] > 0
    assert root.get(f"{API}/cache/prefetches/77").status_code == 404
    assert root.get(f"{API}/cache/prefetches/x").status_code == 404


def test_each_deed_needs_its_scope(site: WebSite) -> None:
    study = study_of(site, 0)
    deeds = {
        "/cache/evict": ({"study": study}, "operate"),
        "/cache/verify": ({"study": study}, "operate"),
        "/cache/prefetches": ({"items": [{"station": "pacs", "study": study}]}, "operate"),
        "/cache/shred": ({"study": study}, "configure"),
        "/keys/rotate": (None, "configure"),
    }
    with site.client(site.token()) as client:
        for path, (body, scope) in deeds.items():
            answer = client.post(API + path, json=body)
            assert answer.status_code == 403, path
            assert scope in answer.text, path
    with site.client(site.token("operate", "phi")) as client:
        assert client.post(f"{API}/cache/shred", json={"study": study}).status_code == 403


def test_pages_do_what_the_api_does(site: WebSite, ana: Browser) -> None:
    study = f"/studies/{study_of(site, 0)}"
    assert "0 do not open" in ana.act(study, do="verify")
    assert "0 objects were let go of" in ana.act(study, do="evict")
    assert "tick the box first" in ana.act(study, do="shred")
    assert "still to be sent" in ana.act(study, do="shred", sure="yes")
    old = re.findall(r'"mono">([0-9a-f]{8})<', ana.get("/system").text)
    text = ana.act("/system", do="rotate")
    assert "seals from now on" in text and "escrow" in text
    wait_until(
        lambda: old[0] not in re.findall(r'"mono">([0-9a-f]{8})<', ana.get("/system").text), 40
    )
    text = ana.act("/query", do="prefetch", station="pacs", study=study_of(site, 0))
    assert "Prefetch 1: 1 studies" in text
    with site.client(site.token()) as client:

        def over() -> bool:
            (one,) = client.get(f"{API}/cache/prefetches").json()["prefetches"]
            return one["ended"] is not None

        wait_until(over, 20)
    assert "is over" in ana.act("/system", do="cancel", prefetch="1")
    assert "Nothing was done" in ana.act("/query", do="prefetch", station="pacs")


def test_r237_a_page_shreds_what_was_cancelled(site: WebSite, ana: Browser) -> None:
    uid = study_of(site, 2)
    with site.client(ana.site.token("all")) as client:
        for one in client.get(f"{API}/tasks").json()["tasks"]:
            if one["study_instance_uid"] == uid and one["direction"] == "send":
                ana.act(f"/tasks/{one['task_id']}", do="cancel")
    text = ana.act(f"/studies/{uid}", do="shred", sure="yes")
    assert "1 records were shredded" in text and "no instance of study" in text
    assert ana.get(f"/studies/{uid}").status_code == 404
    told = ana.get("/audit?event=deleted").text
    assert uid in told and "tester" in told
    assert not any(one in ana.get("/system").text for one in CANARIES)


def test_a_reader_is_offered_nothing_that_is_not_theirs(site: WebSite) -> None:
    browser = Browser(site).log_in()
    try:
        assert 'value="rotate"' not in browser.get("/system").text
        page = browser.get(f"/studies/{study_of(site, 0)}").text
        assert 'value="shred"' not in page and 'value="evict"' not in page
        answer = browser.post("/system", csrf=browser.csrf(), do="rotate")
        assert answer.status_code == 403
    finally:
        browser.client.close()


def test_f90_a_person_has_everything_verified_and_sees_how_far_it_is(
    site: WebSite, ana: Browser, root: httpx.Client
) -> None:
    assert "Verification 1 begins" in ana.act("/system", do="verify")

    def over() -> bool:
        (one,) = root.get(f"{API}/cache/verifications").json()["verifications"]
        return one["ended"] is not None

    wait_until(over, 20)
    page = ana.get("/system").text
    assert "Everything" in page and re.search(r"\b(\d+) of \1 records", page)
    assert "is over" in ana.act("/system", do="leave", verification="1")
    with site.client(site.token()) as client:
        assert client.post(f"{API}/cache/verifications", json={}).status_code == 403
        assert client.get(f"{API}/cache/verifications").status_code == 200
    for body in ({"study": 1}, {"what": "all"}, []):
        assert root.post(f"{API}/cache/verifications", json=body).status_code == 422


def test_f60_a_study_is_sent_without_who_it_is_of(site: WebSite, ana: Browser) -> None:
    before, study = len(site.pacs.stored), study_of(site, 0)
    text = ana.act(
        f"/studies/{study}", do="send", organization="Hospital A", station="pacs", anonymize="yes"
    )
    assert "objects for pacs. Queued is not sent" in text
    wait_until(lambda: len(site.pacs.stored) > before, 20)
    assert site.pacs.stored[-1].sop_instance_uid not in {
        one.sop_instance_uid for one in site.images
    }
