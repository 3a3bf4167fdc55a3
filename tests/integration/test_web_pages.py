"""The pages as a browser meets them: log-in, forms, both languages, and no patient without `phi`."""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from tests.support.commitment import Modality, request
from tests.support.key_objects import SAFETY, key_object
from tests.support.process import wait_until
from tests.support.web_site import CANARIES, ID, WebSite

PAGES = (
    "/", "/stations", "/stations/pacs", "/tasks", "/tasks?status=Failed", "/tasks/1", "/studies",
    "/query", "/rules", "/configuration", "/configuration/files/site.yaml", "/audit", "/system",
)  # fmt: skip
VOID = {
    "meta",
    "link",
    "input",
    "br",
    "img",
    "path",
    "rect",
    "circle",
    "line",
    "polygon",
    "polyline",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("pages"))
    yield made
    made.router.assert_balanced()
    made.close()


class Browser:
    """A client with a cookie jar that sends what browsers send."""

    def __init__(self, site: WebSite, *scopes: str, once: bool = True) -> None:
        self.site = site
        self.client = site.client()
        self.client.headers["accept-language"] = "en"
        self.token = site.token(*scopes, more=("--once",) if once else ())

    def log_in(self) -> Browser:
        answer = self.post("/login", token=self.token)
        assert answer.status_code == 303, answer.text
        return self

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def post(
        self, path: str, origin: str = "", files: object = None, **form: object
    ) -> httpx.Response:
        return self.client.post(
            path,
            data=form,
            files=files,
            headers={"origin": origin or self.site.url},  # type: ignore[arg-type]
        )

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get("/").text)
        assert found is not None
        return found.group(1)

    def act(self, path: str, **form: object) -> str:
        """Press a button; the text of the page that comes."""
        answer = self.post(path, csrf=self.csrf(), **form)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
def ana(site: WebSite) -> Iterator[Browser]:
    browser = Browser(site, "all").log_in()
    yield browser
    browser.client.close()


@pytest.fixture
def reader(site: WebSite) -> Iterator[Browser]:
    browser = Browser(site).log_in()
    yield browser
    browser.client.close()


class Checker(HTMLParser):
    """What must hold for every page: well formed, nothing inline, everything labelled."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.labels = 0
        self.heads = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "style" in given or any(name.startswith("on") for name in given):
            self.wrong.append(f"inline on {tag}")
        if tag == "script" and "src" not in given:
            self.wrong.append("inline script")
        for name in ("src", "href", "action"):
            if re.match(r"(https?:)?//", given.get(name) or ""):
                self.wrong.append(f"{tag} leads elsewhere: {given[name]}")
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "h1":
            self.heads += 1
        is_field = tag in {"input", "select", "textarea"} and given.get("type") != "hidden"
        if (
            is_field
            and "label" not in self.open
            and "aria-label" not in given
            and "id" not in given
        ):
            self.wrong.append(f"{tag} {given.get('name')} has no label")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")


def _check(text: str) -> None:
    checker = Checker()
    checker.feed(text)
    assert (checker.wrong, checker.open, checker.heads) == ([], [], 1)
    assert len(checker.ids) == len(set(checker.ids))


def test_who_is_not_logged_in_comes_to_the_log_in_and_back(site: WebSite) -> None:
    browser = Browser(site)
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/login?next=")
    page = browser.get("/login?next=/tasks%3Fstatus%3DFailed")
    _check(page.text)
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    answer = browser.post(html.unescape(action.group(1)), token=browser.token)
    assert answer.headers["location"] == "/tasks?status=Failed"
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        other = Browser(site)
        answer = other.client.post("/login", params={"next": elsewhere},
                                   data={"token": other.token}, headers={"origin": site.url})  # fmt: skip
        assert answer.headers["location"] == "/"


def test_f4_a_one_time_token_opens_one_session_and_nothing_else(site: WebSite) -> None:
    browser = Browser(site, "all").log_in()
    assert browser.get("/").status_code == 200
    again = Browser(site)
    assert again.post("/login", token=browser.token).status_code == 401
    with site.client(site.token("all", more=("--once",))) as client:
        assert client.get("/api/v1/status").status_code == 401
    assert site.tokens()[2]["state"] == "used"


def test_F34_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(site: WebSite) -> None:
    answer = Browser(site).post("/login", token=site.token())
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-dicom-router-session=")
    for word in ("httponly", "secure", "samesite=strict", "path=/"):
        assert word in cookie
    assert "domain" not in cookie


def test_F34_wrong_tokens_are_told_and_slowed_down(site: WebSite) -> None:
    browser = Browser(site)
    statuses = [browser.post("/login", token="drt_1_guess").status_code for _ in range(12)]
    assert statuses[:10] == [401] * 10 and statuses[-1] == 429
    assert "Wait a minute" in browser.post("/login", token="drt_1_guess").text
    browser.log_in()


def test_F34_a_change_needs_the_token_of_the_page_and_our_own_origin(
    site: WebSite, ana: Browser
) -> None:
    form = {"do": "test"}
    csrf = ana.csrf()
    other = Browser(site, "all").log_in()
    for origin, token in (
        (site.url, ""),
        (site.url, "0" * 64),
        (site.url, other.csrf()),
        ("https://evil.example", csrf),
        ("null", csrf),
    ):
        answer = ana.post("/stations/pacs", origin=origin, csrf=token, **form)
        assert answer.status_code == 403 and "answered in" not in answer.text, origin
    bare = ana.client.post("/stations/pacs", data={**form, "csrf": csrf})
    assert bare.status_code == 403
    crossed = ana.get("/tasks", **{"sec-fetch-site": "cross-site"})
    assert crossed.status_code == 303
    api = "/api/v1/tasks/1/cancel"
    assert ana.client.post(api, headers={"origin": site.url}).status_code == 401
    proof = {"origin": site.url, "x-csrf-token": csrf}
    assert ana.client.post(api, headers=proof).status_code in {200, 409}
    assert ana.post("/login", origin="https://evil.example", token=site.token()).status_code == 403


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_every_page_is_sound_in_both_languages(ana: Browser, language: str) -> None:
    lead = {"en": "Overview", "pt-BR": "Visão geral"}[language]
    study = re.search(r'href="(/studies/[0-9.]+)"', ana.get("/studies").text)
    assert study is not None
    for path in (*PAGES, study.group(1)):
        answer = ana.get(path, **{"accept-language": f"{language},en;q=0.5"})
        assert answer.status_code == 200, path
        _check(answer.text)
        assert f'<html lang="{language}">' in answer.text and lead in answer.text
        assert answer.headers["cache-control"] == "no-store"


def test_a_chosen_language_stays(ana: Browser) -> None:
    answer = ana.get("/language?to=pt-BR&next=/system")
    assert answer.headers["location"] == "/system"
    assert "Processos" in ana.get("/system").text
    ana.get("/language?to=en")
    assert "Processes" in ana.get("/system").text
    assert ana.get("/language?to=xx&next=//evil.example").headers["location"] == "/"


def test_p13_no_page_names_a_patient_without_the_scope_phi(site: WebSite) -> None:
    browser = Browser(site, "operate", "configure").log_in()
    study = re.search(r'href="(/studies/[0-9.]+)"', browser.get("/studies").text)
    assert study is not None
    for path in (*PAGES, study.group(1)):
        text = browser.get(path).text
        assert not any(canary in text for canary in CANARIES), path
    for form in ({"do": "search", "patient_id": ID}, {"do": "search", "station": "pacs",
                                                      "organization": "Hospital A"}):  # fmt: skip
        for path in ("/studies", "/query"):
            text = browser.post(path, csrf=browser.csrf(), **form).text
            assert not any(canary in text for canary in CANARIES[:1]), path
    tried = browser.act("/rules", do="try", files={"file": ("x", site.images[0].part10())})
    assert not any(canary in tried for canary in CANARIES)


def test_who_sees_patients_sees_them(ana: Browser) -> None:
    for path in ("/tasks", "/studies", "/tasks/1"):
        assert ID in ana.get(path).text, path
    assert ID in ana.act("/studies", do="search", patient_name="canary*")
    assert ID not in ana.act("/studies", do="search", patient_id="someone")


def test_a_reader_is_shown_no_button_and_refused_the_press(reader: Browser) -> None:
    for path, button in (
        ("/stations/pacs", "test"), ("/stations/pacs", "disable"), ("/tasks", "retry"),
        ("/configuration", "apply"), ("/configuration/files/site.yaml", "save"),
    ):  # fmt: skip
        assert f'value="{button}"' not in reader.get(path).text
        answer = reader.post(path, csrf=reader.csrf(), do=button, task="1", text="x")
        assert answer.status_code == 403 and "scope" in answer.text, path


def test_the_buttons_do_what_they_say(site: WebSite, ana: Browser) -> None:
    assert "pacs answered in" in ana.act("/stations/pacs", do="test")
    assert "away did not answer" in ana.act("/stations/away", do="test")
    failed = re.findall(r'name="task" value="(\d+)"', ana.get("/tasks?status=Failed").text)
    assert len(failed) == 1
    assert "Begun again: 1 deliveries" in ana.act("/tasks", do="retry", task=failed[0])
    wait_until(
        lambda: f'value="{failed[0]}"' in ana.get("/tasks?status=Failed").text,
        what="it fails again",
    )
    assert "Nothing was done" in ana.act("/tasks", do="retry")
    assert "nothing of task" in ana.act(f"/tasks/{failed[0]}", do="cancel")
    study = re.search(r'href="(/studies/[0-9.]+)"', ana.get("/studies").text)
    assert study is not None
    queued = ana.act(study.group(1), do="send", organization="Hospital A", station="pacs",
                     priority="low")  # fmt: skip
    follow = re.search(r'href="(/tasks/\d+)"', queued)
    assert "Queued: 1 objects for pacs" in queued and follow is not None
    wait_until(lambda: "Completed" in ana.get(follow.group(1)).text, what="it is delivered")
    assert "there is no station" in ana.act(
        study.group(1), do="send", organization="Hospital A", station="nowhere"
    )


def test_a_commitment_is_a_task_in_both_languages(site: WebSite, ana: Browser) -> None:
    named = [(one.sop_class_uid, one.sop_instance_uid) for one in site.images]
    assert Modality(site.router.port, 0, "AWAY").ask(request(named)) == 0
    found = re.search(r'href="(/tasks/\d+)"', ana.get("/tasks?direction=commit").text)
    assert found is not None
    path = found.group(1)
    shown = ana.get(path).text
    Checker().feed(shown)
    assert "a storage commitment that away asks for" in shown and "Not decided yet" in shown
    assert all(uid in shown for _, uid in named)
    assert 'value="retry"' in shown and 'value="hold"' not in shown
    translated = ana.get(path, **{"accept-language": "pt-BR"}).text
    assert "confirmação de armazenamento pedida por away" in translated
    assert "Ainda sem decisão" in translated
    assert "it can be retried or cancelled, no more" in ana.act(path, do="hold")
    assert "Cancelled: 1" in ana.act(path, do="cancel")
    assert "cancelled by tester" in ana.get(path).text


def test_stations_are_imported_from_a_file(site: WebSite, ana: Browser) -> None:
    document = ana.get("/api/v1/stations/export?names=pacs").text
    changed = document.replace('"description": null', '"description": "The archive"')
    assert changed != document
    files = {"file": ("stations.json", changed.encode(), "application/json")}
    assert "nothing is written yet" in ana.act("/stations", do="import", files=files)
    assert "The archive" not in ana.get("/stations/pacs").text
    assert "Applied" in ana.act("/stations", do="import", write="yes", files=files)
    wait_until(lambda: "The archive" in ana.get("/stations/pacs").text, what="the router follows")
    rubbish = {"file": ("stations.json", b"\x00\xff", "application/json")}
    assert "no JSON" in ana.act("/stations", do="import", files=rubbish)


def test_a_file_is_checked_and_saved_and_what_was_typed_stays(site: WebSite, ana: Browser) -> None:
    path = "/configuration/files/site.yaml"
    text = (site.router.folder / "site.yaml").read_text()
    page = ana.get(path).text
    etag = html.unescape(re.search(r'name="etag" value="([^"]+)"', page).group(1))  # type: ignore[union-attr]
    typed = text.replace("name: all,", "nmae: all,")
    refused = ana.act(path, do="save", text=typed, etag=etag)
    assert "DR101" in refused and "site.yaml:" in refused and "nmae: all," in html.unescape(refused)
    assert (site.router.folder / "site.yaml").read_text() == text
    better = text.replace("name: all,", "name: all to the archive,").replace("\n", "\r\n")
    assert "nothing is written yet" in ana.act(path, do="check", text=better, etag=etag)
    assert "Applied" in ana.act(path, do="save", text=better, etag=etag)
    assert "\r" not in (site.router.folder / "site.yaml").read_bytes().decode()
    wait_until(lambda: "all to the archive" in ana.get("/rules").text, what="the router follows")
    assert "it was changed since" in ana.act(path, do="save", text=text, etag=etag)


def test_rules_are_tried_with_a_file(site: WebSite, ana: Browser) -> None:
    files = {"file": ("mr.dcm", site.images[2].part10(), "application/dicom")}
    text = ana.act("/rules", do="try", files=files, **{"from": "ct-1"})
    assert "What would happen" in text and "It would be quarantined" in text
    _check(text)
    note = {"file": ("ko.dcm", key_object(SAFETY, site.images[:2]).part10(), "application/dicom")}
    text = ana.act("/rules", do="try", files=note, **{"from": "ct-1"})
    assert f"A rejection note: {SAFETY} Rejected for Patient Safety Reasons" in text
    rubbish = {"file": ("x.dcm", b"nothing" * 100, "application/dicom")}
    assert "would be refused" in ana.act("/rules", do="try", files=rubbish)


def test_log_out_ends_the_session_here_and_there(site: WebSite) -> None:
    browser = Browser(site).log_in()
    cookie = dict(browser.client.cookies)
    assert browser.post("/logout").headers["location"].startswith("/login")
    assert browser.get("/").status_code == 200, "a log-out without the token is none"
    browser.post("/logout", csrf=browser.csrf())
    assert browser.get("/").status_code == 303
    for name, value in cookie.items():
        browser.client.cookies.set(name, value)
    assert browser.get("/").status_code == 303


def test_a_revoked_token_ends_its_sessions(site: WebSite) -> None:
    browser = Browser(site, once=False).log_in()
    assert browser.get("/").status_code == 200
    assert site.router.command("token", "revoke", str(site.tokens()[0]["id"]))[0] == 0
    assert browser.get("/").status_code == 303


def test_the_first_page_is_light_and_needs_nothing_from_elsewhere(ana: Browser) -> None:
    page = ana.get("/").text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(files) == 3
    total = len(gzip.compress(page.encode()))
    for one in files:
        answer = ana.get(one)
        assert "immutable" in answer.headers["cache-control"]
        total += len(gzip.compress(answer.content))
    assert total < 100_000, f"{total} bytes"
    assert ana.get("/static/../texts.json").status_code == 404
    assert len(ana.get(next(one for one in files if ".js" in one)).text.splitlines()) <= 150


def test_pages_over_plain_http_stay_on_the_loopback_and_work(site: WebSite) -> None:
    base = f"http://127.0.0.1:{site.http}"
    with site.client(base=base) as client:
        answer = client.post("/login", data={"token": site.token()}, headers={"origin": base})
        assert answer.status_code == 303 and "secure" not in answer.headers["set-cookie"].lower()
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "edge.example"}).status_code == 421


def test_f73_the_states_of_tasks_are_tabs_that_keep_the_other_filters(ana: Browser) -> None:
    text = ana.get("/tasks?status=Failed&station=pacs").text
    tabs = dict(re.findall(r'<a href="(/tasks\?status=[^"]*)"( aria-current="page")?>', text))
    assert [path for path, mark in tabs.items() if mark] == [
        "/tasks?status=Failed&amp;station=pacs&amp;direction="
    ]
    assert len(tabs) == 7 and all("station=pacs" in path for path in tabs)
    assert '<input type="hidden" name="status" value="Failed">' in text
    for path in tabs:
        assert ana.get(html.unescape(path)).status_code == 200


def test_a_study_shows_what_is_in_it_before_what_may_be_done_to_it(
    site: WebSite, ana: Browser
) -> None:
    text = ana.get(f"/studies/{site.images[0].study_instance_uid}").text
    places = [text.index(word) for word in ('value="send"', "Series Instance UID", 'value="shred"')]
    assert places == sorted(places)
    assert 'value="reject"' in text and 'name="anonymize"' in text


def test_a_condition_of_a_rule_is_read_without_knowing_json(ana: Browser) -> None:
    text = ana.get("/rules").text
    assert '<code>Modality</code> <span class="chip">MR</span>' in text
