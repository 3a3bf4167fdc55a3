"""f14: who is limited to an organization sees nothing of another, at any address there is."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from router.web.api.endpoints import ENDPOINTS
from router.web.dicomweb.routes import routes
from router.web.pages.routes import PAGES
from tests.support.dicomweb_site import stow
from tests.support.ledger_view import ledger_of, wait_for, wait_until_listed
from tests.support.process import free_port
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import Synthetic, instance

API = "/api/v1"
SITE = """\
version: 1
router: {name: edge, organization: Group, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  web: {type: http, bind: "127.0.0.1:$http", serve: [ui, api, dicomweb, cache]}
defaults:
  station: {heartbeat: {enabled: false}}
organizations:
  Alpha: {}
  Alpha Radiology: {parent: Alpha, defaults: {station: {issuer_of_patient_id: ALPHA-ISSUER}}}
  Bravo Hospital: {description: "The other one"}
stations:
  ct-alpha: {ae_title: CTALPHA, host: 127.0.0.1, organization: Alpha Radiology}
  pacs-alpha: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true, query_retrieve: true,
               organization: Alpha}
  ct-bravo: {ae_title: CTBRAVO, host: 127.0.0.1, organization: Bravo Hospital}
  pacs-bravo: {ae_title: DESTBRAVO, host: 127.0.0.1, port: $away, send: true, query_retrieve: true,
               organization: Bravo Hospital}
rules:
  - {name: alpha keeps, match: {from: ct-alpha}, route: [pacs-alpha]}
  - {name: bravo keeps, match: {from: ct-bravo}, route: [pacs-bravo]}
"""
ALL = ("read", "operate", "configure", "phi")


def image(number: int, whose: str, study: int | None = None) -> Synthetic:
    changes = {
        0x00100010: ("PN", f"{whose}NAME^PLANTED"),
        0x00100020: ("LO", f"{whose}-ID"),
        0x00080050: ("SH", f"{whose}ACC"),
    }
    return instance(number, rows=8, columns=8, study=study, changes=changes)  # type: ignore[arg-type]


class Houses:
    """One router for two houses, each with a scanner and an archive; Bravo's archive is down.

    `shared` is a study that both sent an image of: it is nobody's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.http = free_port()
        self.router = Router(folder, SITE, http=self.http, pacs=self.pacs.port, away=free_port())
        self.router.start()
        self.alpha, self.bravo = image(1, "ALPHA"), image(2, "BRAVO")
        self.shared = image(3, "BRAVO", study=9)
        theirs = {"CTALPHA": [self.alpha, image(4, "ALPHA", study=9)],
                  "CTBRAVO": [self.bravo, self.shared]}  # fmt: skip
        for title in ("CTBRAVO", "CTALPHA"):
            answers = scan(self.router.port, theirs[title], calling_ae_title=title)
            assert set(answers.values()) == {0}
        wait_for(self.router.data_dir, delivered=2, queued=2)
        wait_until_listed(self.router.data_dir, 3)
        with ledger_of(self.router.data_dir) as ledger:
            self.tasks = {one.task_id: one.station for one in ledger.tasks(limit=50)}
        self.bravo_task = min(key for key, name in self.tasks.items() if name == "pacs-bravo")
        self.canaries = (
            "ct-bravo", "pacs-bravo", "CTBRAVO", "DESTBRAVO", "Bravo Hospital", "The other one",
            "BRAVONAME", "BRAVO-ID", "BRAVOACC", "bravo keeps", self.bravo.study_instance_uid,
            self.bravo.series_instance_uid, self.bravo.sop_instance_uid,
            self.shared.sop_instance_uid,
        )  # fmt: skip

    def token(self, *options: str, name: str = "ana", scopes: tuple[str, ...] = ALL) -> str:
        """A token; its scopes are written behind the command's back, which allows not all of them."""
        code, output, errors = self.router.command("token", "new", name, *options)
        assert code == 0, errors
        text = output.strip()
        with sqlite3.connect(self.router.data_dir / "ledger" / "ledger.db") as connection:
            connection.execute(
                "UPDATE web_token SET scopes = ? WHERE token_id = ?",
                (" ".join(scopes), int(text.split("_")[1])),
            )
        return text

    def client(self, token: str) -> httpx.Client:
        url = f"http://127.0.0.1:{self.http}"
        headers = {"authorization": f"Bearer {token}", "accept-language": "en"}
        return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def browser(self, token: str) -> tuple[httpx.Client, str]:
        """A client that is logged in, and the proof for its forms."""
        client = self.client(token)
        del client.headers["authorization"]
        client.headers["origin"] = str(client.base_url).rstrip("/")
        assert client.post("/login", data={"token": token}).status_code == 303
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/").text)
        assert found is not None
        return client, found.group(1)

    def leaked(self, answer: httpx.Response, asked: str) -> list[str]:
        """What an answer tells of Bravo that was not in the question."""
        return [one for one in self.canaries if one in answer.text and one not in asked]

    def close(self) -> None:
        self.router.kill()
        self.pacs.close()


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    made = Houses(tmp_path_factory.mktemp("houses"))
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture(scope="module")
def limited(houses: Houses) -> str:
    return houses.token("--organization", "Alpha")


@pytest.fixture
def ana(houses: Houses, limited: str) -> Iterator[httpx.Client]:
    with houses.client(limited) as client:
        yield client


def _filled(path: str, houses: Houses) -> str:
    values = {
        "{name}": "pacs-bravo", "{id}": str(houses.bravo_task),
        "{uid}": houses.bravo.study_instance_uid, "{path}": "site.yaml", "{path:path}": "site.yaml",
        "{study}": houses.bravo.study_instance_uid, "{series}": houses.bravo.series_instance_uid,
        "{instance}": houses.bravo.sop_instance_uid, "{frames}": "1",
    }  # fmt: skip
    for name, value in values.items():
        path = path.replace(name, value)
    assert "{" not in path, f"give a value for {path}"
    return path


def _body(one: Any, houses: Houses) -> dict[str, Any]:
    """A body that asks for Bravo's, as the description of the endpoint wants it."""
    if one.body is None:
        return {}
    if one.body.media_type != "application/json":
        return {"content": houses.bravo.part10(), "headers": {"content-type": one.body.media_type}}
    study = houses.bravo.study_instance_uid
    known = {
        "station": "pacs-bravo", "study": study, "studies": [study], "priority": "high",
        "organization": "Bravo Hospital", "keys": [], "limit": 5, "as": "safety", "text": SITE,
        "items": [{"station": "pacs-bravo", "study": study}], "revision": "main",
        "patient_name": "BRAVO*", "dry_run": True,
    }  # fmt: skip
    names = one.body.schema.get("properties", {})
    body = {name: known[name] for name in names if name in known}
    if not names:
        settings = {"name": "ct-bravo", "aeTitle": "TAKEN"}
        body = {"schema": "dicom-router/stations/v1", "stations": [settings]}
    return {"json": body}


def _state(houses: Houses) -> list[tuple[Any, ...]]:
    """What people may change of tasks; time and stations change their status by themselves."""
    with ledger_of(houses.router.data_dir) as ledger:
        return [
            (
                one.task_id,
                one.station,
                one.priority,
                one.cancelled,
                one.status_reason.startswith("held by"),
            )
            for one in ledger.tasks(limit=99)
        ]


def test_f14_no_address_of_the_api_tells_or_touches_what_is_anothers(
    houses: Houses, ana: httpx.Client
) -> None:
    before, told, walked = _state(houses), set(), 0
    with houses.client(houses.token()) as root:
        for one in ENDPOINTS:
            path = API + _filled(one.path, houses)
            more = _body(one, houses)
            headers = {"if-match": "*", **more.pop("headers", {})}
            answer = ana.request(one.method, path, headers=headers, **more)
            asked = path + json.dumps(more.get("json", ""))
            assert houses.leaked(answer, asked) == [], (one.method, path, answer.text)
            is_named = "{" in one.path.replace("{path}", "") or one.method != "GET"
            is_search = one.path == "/studies/search"
            assert answer.status_code < 500, (path, answer.text)
            assert (answer.status_code >= 400) or not is_named or is_search, (path, answer.text)
            assert one.within or answer.status_code == 403, (path, answer.text)
            walked += 1
            if one.method == "GET":
                told.update(c for c in houses.canaries if c in root.get(path).text)
    assert walked == len(ENDPOINTS) > 45
    known = set(houses.canaries) - {houses.shared.sop_instance_uid}
    assert told == known, "who is not limited is told all of it"
    assert _state(houses) == before


def test_f14_no_page_and_no_button_tells_or_touches_what_is_anothers(
    houses: Houses, limited: str
) -> None:
    client, csrf = houses.browser(limited)
    before = _state(houses)
    form = {
        "csrf": csrf, "station": "pacs-bravo", "organization": "Bravo Hospital", "as": "safety",
        "study": houses.bravo.study_instance_uid, "task": str(houses.bravo_task), "sure": "yes",
        "patient_name": "BRAVO*", "etag": "*", "text": SITE, "revision": "main", "prefetch": "1",
        "from": "ct-bravo", "document": "{}", "write": "yes", "priority": "high",
    }  # fmt: skip
    with closing(client):
        for page in PAGES:
            path = _filled(page.path, houses)
            answers = [(path, client.get(path))]
            answers += [
                (path + json.dumps(form), client.post(path, data={**form, "do": name}))
                for name in (*page.actions, "search", "try", "choose")
            ]
            for asked, answer in answers:
                assert houses.leaked(answer, asked) == [], (path, answer.text)
                assert answer.status_code < 500, path
                assert page.within or answer.status_code == 403, path
        text = client.get("/").text
        assert "Alpha" in text and 'href="/rules"' not in text and 'href="/audit"' not in text
        for path in ("/query?organization=B", "/query?organization=Bravo+Hospital"):
            assert "pacs-bravo" not in client.get(path).text
    assert _state(houses) == before


def test_f14_dicomweb_gives_and_takes_nothing_of_anothers(
    houses: Houses, ana: httpx.Client
) -> None:
    found = routes(SimpleNamespace(), lambda _: None, "web")  # type: ignore[arg-type]
    asked = 0
    for one in found:
        path = _filled(one.path, houses)  # type: ignore[attr-defined]
        if "POST" in one.methods:  # type: ignore[attr-defined]
            continue
        answer = ana.get(path, headers={"accept": "*/*"})
        assert houses.leaked(answer, path) == [], (path, answer.text)
        assert answer.status_code in {200, 403, 404}, path
        assert answer.status_code != 200 or "{" not in one.path, path  # type: ignore[attr-defined]
        asked += 1
    assert asked > 20
    base = "/dicomweb/v1"
    assert ana.get(f"{base}/studies?PatientName=BRAVO*").status_code == 204
    assert ana.get(f"{base}/changefeed").status_code == 403
    seen = [one["0020000D"]["Value"][0] for one in ana.get(f"{base}/studies?limit=1").json()]
    assert seen == [houses.alpha.study_instance_uid]
    assert "additional" not in ana.get(f"{base}/studies?limit=1").headers.get("warning", "")
    counted = ana.get(f"{base}/instances?includefield=00201200").json()[0]
    assert "00201200" not in counted, "a patient's studies are counted over all organizations"
    url = f"{base}/studies/{houses.alpha.study_instance_uid}"
    assert ana.get(
        url, headers={"accept": 'multipart/related; type="application/dicom"'}
    ).is_success
    cache = ana.get("/DICOMcache").text
    assert cache.startswith("Get Image blob API") and "instances" not in cache
    ana.base_url = httpx.URL(f"http://127.0.0.1:{houses.http}{base}")
    assert stow(ana, [image(20, "ALPHA")]).status_code == 403


def test_f14_who_stores_speaks_for_a_station_of_theirs_only(houses: Houses) -> None:
    for name, status in (("ct-bravo", 403), ("ct-alpha", 200)):
        token = houses.token("--organization", "Alpha", name=name)
        with houses.client(token) as client:
            client.base_url = httpx.URL(f"http://127.0.0.1:{houses.http}/dicomweb/v1")
            answer = stow(client, [houses.alpha])
            assert answer.status_code == status, answer.text


def test_f14_what_is_theirs_is_there(houses: Houses, ana: httpx.Client) -> None:
    names = [one["name"] for one in ana.get(f"{API}/stations").json()["stations"]]
    assert names == ["ct-alpha", "pacs-alpha"]
    told = ana.get(f"{API}/organizations").json()
    assert [one["name"] for one in told["organizations"]] == ["Alpha", "Alpha Radiology"]
    tasks = ana.get(f"{API}/tasks").json()["tasks"]
    assert {one["station"] for one in tasks} == {"ct-alpha", "pacs-alpha"}
    studies = ana.get(f"{API}/studies").json()["studies"]
    assert [one["study_instance_uid"] for one in studies] == [houses.alpha.study_instance_uid]
    assert studies[0]["patient"]["patient_name"].startswith("ALPHANAME")
    sent = ana.post(f"{API}/tasks", json={"station": "pacs-alpha", "organization": "Alpha",
                                          "study": houses.alpha.study_instance_uid})  # fmt: skip
    assert sent.status_code == 202, sent.text
    wrong = ana.post(f"{API}/tasks", json={"station": "pacs-alpha", "organization": "Group",
                                           "study": houses.alpha.study_instance_uid})  # fmt: skip
    assert wrong.status_code == 422 and "'Alpha'" in wrong.json()["detail"]
    query = {"organization": "Alpha", "station": "pacs-alpha"}
    assert ana.post(f"{API}/query", json=query).status_code == 200
    below = houses.token("--organization", "Alpha Radiology")
    with houses.client(below) as client:
        names = [one["name"] for one in client.get(f"{API}/stations").json()["stations"]]
        assert names == ["ct-alpha"], "one organization sees not the one above it"
        one = client.get(f"{API}/organizations").json()["organizations"][0]
        assert (one["name"], one["parent"]) == ("Alpha Radiology", None)


def test_f14_a_study_that_another_has_a_part_of_is_nobodys(
    houses: Houses, ana: httpx.Client
) -> None:
    """Who sends an image into another's study sees its task, and neither study nor patient."""
    study = houses.shared.study_instance_uid
    assert ana.get(f"{API}/studies/{study}").status_code == 404
    theirs = [one for one in ana.get(f"{API}/tasks").json()["tasks"]
              if one["study_instance_uid"] == study]  # fmt: skip
    assert theirs and all(one["patient"] is None for one in theirs)
    again = ana.post(f"{API}/tasks", json={"station": "pacs-alpha", "study": study})
    assert again.status_code == 404
    with houses.client(houses.token()) as root:
        assert root.get(f"{API}/studies/{study}").status_code == 200


def test_f14_the_stream_tells_of_theirs_only(houses: Houses, limited: str) -> None:
    async def heard(token: str) -> str:
        url = f"http://127.0.0.1:{houses.http}{API}/events"
        headers = {"authorization": f"Bearer {token}"}
        found: list[str] = []
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            async with client.stream("GET", url, headers=headers) as stream:
                async for line in stream.aiter_lines():
                    found.append(line)
                    if len(found) == 1:
                        await asyncio.sleep(1.5)  # the first look only learns how things are
                        await asyncio.to_thread(_send_both, houses)
                    if "pacs-alpha" in line and "Completed" in line:
                        return "\n".join(found)
        return ""

    told = asyncio.run(heard(limited))
    assert "pacs-alpha" in told and not any(one in told for one in houses.canaries)


def _send_both(houses: Houses) -> None:
    for whose, number in (("BRAVO", 30), ("ALPHA", 31)):
        made = image(number, whose)
        scan(houses.router.port, [made], calling_ae_title=f"CT{whose}")


def test_f14_the_command_makes_only_tokens_that_make_sense(houses: Houses) -> None:
    make = ("token", "new", "ana", "--organization")
    code, _, errors = houses.router.command(*make, "Alhpa")
    assert code == 64 and "did you mean 'Alpha'?" in errors
    code, _, errors = houses.router.command(*make, "Alpha", "--scope", "all")
    assert code == 64 and "configure" in errors
    code, output, _ = houses.router.command(*make, "Bravo Hospital", *make[3:], "Alpha",
                                            "--scope", "phi", "--format", "json")  # fmt: skip
    assert code == 0 and json.loads(output)["organizations"] == ["Alpha", "Bravo Hospital"]
    listed = houses.router.command("token", "list")[1].splitlines()
    assert "Alpha, Bravo Hospital" in listed[1]


def test_f16_names_by_their_beginning_in_a_stable_order(houses: Houses) -> None:
    with houses.client(houses.token(scopes=("read",))) as client:

        def asked(path: str, **query: object) -> list[str]:
            answer = client.get(f"{API}/{path}", params=query).json()  # type: ignore[arg-type]
            return [one["name"] for one in answer[path]]

        assert asked("organizations") == ["Alpha", "Alpha Radiology", "Bravo Hospital", "Group"]
        assert asked("organizations", prefix="al") == ["Alpha", "Alpha Radiology"]
        assert asked("organizations", prefix="ALPHA R") == ["Alpha Radiology"]
        assert asked("organizations", prefix="x") == []
        assert asked("organizations", prefix="a", limit=1) == ["Alpha"]
        cut = client.get(f"{API}/organizations?prefix=a&limit=1").json()
        assert (cut["beyond"], cut["organizations"][0]["stations"]) == (1, 1)
        assert asked("stations", prefix="pa") == ["pacs-alpha", "pacs-bravo"]
        assert asked("stations", prefix="ct", limit=1) == ["ct-alpha"]
        assert asked("stations", prefix="dest", organization="Alpha") == ["pacs-alpha"]
        assert asked("stations", organization="Bravo Hospital") == ["ct-bravo", "pacs-bravo"]
        assert client.get(f"{API}/organizations?limit=0").status_code == 400
        shown = client.get(f"{API}/stations/ct-alpha").json()["effective"]
        issuer = next(one for one in shown if one["key"] == "issuer_of_patient_id")
        assert (issuer["value"], issuer["from"]) == ("ALPHA-ISSUER", "Alpha Radiology")


def test_f53_f62_an_organization_then_one_of_its_devices(houses: Houses) -> None:
    client, csrf = houses.browser(houses.token())
    study = f"/studies/{houses.alpha.study_instance_uid}"

    def offered(text: str, which: str) -> list[str]:
        found = re.search(f'<datalist id="{which}">(.*?)</datalist>', text)
        assert found is not None
        return re.findall(r'value="([^"]*)"', found.group(1))

    with closing(client):
        for path in ("/query", study):
            first = client.get(path).text
            assert offered(first, "organizations") == ["Alpha", "Bravo Hospital"], path
            assert offered(first, "devices") == [], "first whose"
            assert offered(client.get(f"{path}?organization=br").text, "organizations") == [
                "Bravo Hospital"
            ]
            begun = client.get(f"{path}?organization=Alpha&station=PA").text
            assert offered(begun, "devices") == ["pacs-alpha"]
            assert offered(client.get(f"{path}?organization=Alpha&station=x").text, "devices") == []
            chosen = client.post(path, data={"csrf": csrf, "do": "choose",
                                             "organization": "Bravo Hospital"})  # fmt: skip
            assert offered(chosen.text, "devices") == ["pacs-bravo"]
        send = {"csrf": csrf, "do": "send", "organization": "Alpha"}
        for stations, words in (
            ([], "station: choose one"),
            (["pacs-alpha", "pacs-bravo"], "station: choose exactly one"),
            (["pacs-bravo"], "not of &#39;Alpha&#39;"),
        ):
            told = client.post(study, data={**send, "station": stations}).text
            assert words in told, told
        assert "organization: choose one" in client.post(
            study, data={**send, "organization": "", "station": "pacs-alpha"}
        ).text  # fmt: skip
        both = {"csrf": csrf, "do": "search", "organization": "Alpha",
                "station": ["pacs-alpha", "pacs-bravo"]}  # fmt: skip
        assert "choose exactly one" in client.post("/query", data=both).text
        assert "Queued" in client.post(study, data={**send, "station": "pacs-alpha"}).text


def test_f97_a_task_names_its_rule_and_the_configuration_it_came_under(houses: Houses) -> None:
    with houses.client(houses.token()) as client:
        plan = client.get(f"{API}/status").json()["plan"]
        task = client.get(f"{API}/tasks/{houses.bravo_task}").json()["task"]
        assert (task["rule"], task["requester"], task["plan"]) == (
            "bravo keeps",
            "bravo keeps",
            plan,
        )
    browser, _ = houses.browser(houses.token())
    with closing(browser):
        page = browser.get(f"/tasks/{houses.bravo_task}").text
    assert "bravo keeps" in page and plan[:12] in page
    listed = houses.router.command("tasks", "show", str(houses.bravo_task), "--format", "json")[1]
    assert json.loads(listed)["task"]["rule"] == "bravo keeps"


def test_f15_stations_show_tells_where_each_setting_is_from(houses: Houses) -> None:
    shown = houses.router.command("stations", "show", "ct-alpha")[1]
    line = next(one for one in shown.splitlines() if one.startswith("issuer_of_patient_id"))
    assert re.search(r"ALPHA-ISSUER +Alpha Radiology +\S*site\.yaml:\d+", line)
    told = json.loads(houses.router.command("stations", "show", "ct-alpha", "--format", "json")[1])
    assert {"heartbeat.enabled": "defaults", "ae_title": "station"}.items() <= {
        one["key"]: one["from"] for one in told["effective"]
    }.items()
