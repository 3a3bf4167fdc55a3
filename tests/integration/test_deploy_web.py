"""The deployment over HTTP: API and page show it, and do what the command does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.deployed import Followed


class Web:
    """A site that follows its branch, with pages and API, and clients of people."""

    def __init__(self, folder: Path) -> None:
        self.site = Followed(folder, web=True)
        self.site.write_section(every="1h")
        self.one = self.site.begin("one")
        self.site.until("in_sync", self.one)

    def client(self, *scopes: str) -> httpx.Client:
        words = [word for scope in scopes for word in ("--scope", scope)]
        self.token = self.site.edge.command("token", "new", "ana", *words)[1].strip()
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.site.http}", trust_env=False, timeout=60,
            headers={"authorization": f"Bearer {self.token}"},
        )  # fmt: skip

    @contextmanager
    def browser(self, *scopes: str, language: str = "en") -> Iterator[httpx.Client]:
        """Logged in with cookies and nothing else, as a browser without scripts is."""
        base = f"http://127.0.0.1:{self.site.http}"
        headers = {"accept-language": language, "origin": base, "sec-fetch-site": "same-origin"}
        with self.client(*scopes):
            token = self.token
        with httpx.Client(base_url=base, trust_env=False, timeout=60, headers=headers) as made:
            assert made.post("/login", data={"token": token}).status_code == 303
            yield made


def press(browser: httpx.Client, button: str, **fields: str) -> httpx.Response:
    """Press a button of the page's form, as it stands on the page."""
    page = browser.get("/configuration").text
    assert f'name="do" value="{button}"' in page
    csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert csrf is not None
    return browser.post("/configuration", data={"csrf": csrf[1], "do": button, **fields})


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.site.close()


def test_f101_the_api_shows_deploys_fetches_and_rolls_back(web: Web) -> None:
    site = web.site
    with web.client("configure") as asked, web.client("operate") as operator:
        api = "/api/v1/deployment"
        told = asked.get(api).json()["deployment"]
        assert (told["current"], told["sync"], told["branch"]) == (web.one, "in_sync", "main")
        assert asked.get("/api/v1/status").json()["deployment"]["current"] == web.one
        for what in ("fetch", "rollback"):
            assert operator.post(f"{api}/{what}").status_code == 403
        assert operator.post(f"{api}/deploy", json={"revision": "main"}).status_code == 403

        two = site.repository.commit("two")
        answer = asked.post(f"{api}/fetch").json()
        assert (answer["state"], answer["commit"]) == ("applied", two)
        site.until("in_sync", two)
        answer = asked.post(f"{api}/rollback").json()
        assert (answer["state"], answer["commit"]) == ("applied", web.one)
        site.until("rolled_back", web.one)
        # A branch nobody reviewed, in a repository everyone can push to, is not for the pages.
        site.repository.git("checkout", "-q", "-b", "side")
        side = site.repository.commit("side")
        site.repository.git("checkout", "-q", "main")
        for revision in (side, "side", "--help", "no-such"):
            answer = asked.post(f"{api}/deploy", json={"revision": revision}).json()
            assert (answer["state"], answer["why"]) == ("refused", "revision"), answer
        three = site.repository.commit("three")
        answer = asked.post(f"{api}/deploy", json={"revision": "main"}).json()
        assert (answer["state"], answer["commit"]) == ("applied", three), answer
        assert site.until("in_sync", three)["history"][0]["by"] == "ana"
        listed = site.edge.command("audit", "list", "--format", "json")[1]
        assert "POST /deployment/deploy" in listed and "POST /deployment/fetch" in listed

        bad = site.repository.commit("failing", expected="ct-1")
        answer = asked.post(f"{api}/fetch").json()
        assert (answer["state"], answer["why"], answer["commit"]) == ("refused", "tests", bad)
        assert "site/rules.test.yaml:2:" in answer["problems"]
        text = asked.get("/metrics").text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        assert float(values["dicom_router_deployment_refused"]) == 1
        assert float(values["dicom_router_deployment_commits_behind"]) == 1
        assert float(values["dicom_router_deployment_fetch_failures"]) == 0
        fetched = float(values["dicom_router_deployment_last_fetch_timestamp_seconds"])
        assert abs(fetched - time.time()) < 120


def test_f101_the_page_shows_what_was_refused_and_where_and_its_buttons_act(web: Web) -> None:
    site = web.site
    with web.browser("configure") as ana, web.browser("read", language="pt-BR") as rui:
        bad = site.repository.commit("bad: [")
        answer = press(ana, "fetch")
        assert answer.status_code == 200 and "was refused" in answer.text
        page = ana.get("/configuration").text
        assert bad[:12] in page and web.one[:12] in page
        assert "site/router.yaml:10:" in page and "1 behind, 0 ahead" in page
        good = site.repository.commit("good")
        answer = press(ana, "deploy", revision="main")
        assert f"{good[:12]} is in use." in answer.text
        site.until("in_sync", good)
        assert f"{web.one[:12]} is in use." in press(ana, "rollback").text
        site.until("rolled_back", web.one)
        assert "name a revision" in press(ana, "deploy", revision=" ").text

        page = rui.get("/configuration").text
        assert "Implantação a partir do git" in page and "revertido" in page
        for button in ("deploy", "fetch", "rollback"):
            assert f'value="{button}"' not in page, "who may only read has no button"
