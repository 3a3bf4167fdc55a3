"""The API over HTTPS against a running router: it says what it describes, and does what verbs do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from tests.support.key_objects import SAFETY, key_object
from tests.support.ledger_view import wait_for
from tests.support.process import wait_until
from tests.support.scanner import scan
from tests.support.synthetic import instance
from tests.support.web_site import CANARIES, ID, NAME, WebSite

API = "/api/v1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("api"))
    yield made
    made.router.assert_balanced()
    made.close()


@pytest.fixture
def root(site: WebSite) -> Iterator[httpx.Client]:
    with site.client(site.token("all")) as client:
        yield client


@pytest.fixture
def reader(site: WebSite) -> Iterator[httpx.Client]:
    with site.client(site.token("operate", "configure")) as client:
        yield client


def _paths(site: WebSite, root: httpx.Client) -> dict[str, str]:
    """A value that exists for each name in a path."""
    study = root.get(f"{API}/studies").json()["studies"][0]["study_instance_uid"]
    if not root.get(f"{API}/cache/prefetches").json()["prefetches"]:
        items = [{"station": "pacs", "study": study}]
        assert root.post(f"{API}/cache/prefetches", json={"items": items}).status_code == 202
        assert root.post(f"{API}/cache/verifications", json={}).status_code == 202
    return {"{name}": "pacs", "{id}": "1", "{uid}": study, "{path}": "site.yaml"}


def _gets(site: WebSite, root: httpx.Client) -> Iterator[tuple[str, str, Any]]:
    """(described path, path to ask, its schema) of everything that can be got."""
    values = _paths(site, root)
    for path, methods in root.get(f"{API}/openapi.json").json()["paths"].items():
        if "get" not in methods or path == "/events":
            continue
        asked = path
        for name, value in values.items():
            asked = asked.replace(name, value)
        answers = methods["get"]["responses"]["200"]["content"]
        yield path, f"{API}{asked}", answers["application/json"]["schema"]


def test_the_openapi_document_is_whole(root: httpx.Client) -> None:
    told = root.get(f"{API}/openapi.json").json()
    assert told["openapi"] == "3.1.0" and told["servers"] == [{"url": API}]
    names = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) > 25
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(told)):
        found: Any = told
        for part in reference.split("/"):
            found = found[part]
        assert found
    for path, methods in told["paths"].items():
        for one in methods.values():
            written = {each["name"] for each in one.get("parameters", ()) if each["in"] == "path"}
            assert written == set(re.findall(r"{(\w+)}", path)), path
    for path in ("/tasks", "/retrievals", "/cache/prefetches", "/cache/verifications", "/priors"):
        assert {"200", "202"} <= told["paths"][path]["post"]["responses"].keys(), path


def _asked_twice(root: httpx.Client, asked: str) -> httpx.Response:
    """The answer to who has it already; a heartbeat may end between two requests, but not always."""
    for _ in range(5):
        etag = root.get(asked).headers["etag"]
        again = root.get(asked, headers={"if-none-match": etag})
        if again.status_code == 304:
            break
    return again


def test_every_answer_is_as_described_and_has_an_entity_tag(
    site: WebSite, root: httpx.Client
) -> None:
    count = 0
    for path, asked, schema in _gets(site, root):
        answer = root.get(asked)
        assert answer.status_code == 200, (asked, answer.text)
        jsonschema.validate(answer.json(), schema)
        again = _asked_twice(root, asked)
        if path not in {"/status", "/rates", "/account"}:  # these change by themselves
            assert (again.status_code, again.content) == (304, b""), asked
        count += 1
    assert count >= 14


def test_p13_without_the_scope_phi_no_answer_names_a_patient(
    site: WebSite, reader: httpx.Client, root: httpx.Client
) -> None:
    for _, asked, _ in _gets(site, root):
        text = reader.get(asked).text
        assert not any(canary in text for canary in CANARIES), asked
    told = root.get(f"{API}/tasks").json()["tasks"]
    assert {one["patient"]["patient_name"] for one in told} == {NAME}
    assert ID in root.get(f"{API}/studies").text


def test_status_and_account_say_what_the_verbs_say(site: WebSite, root: httpx.Client) -> None:
    status = root.get(f"{API}/status").json()
    assert status["ready"] is True and status["reasons"] == []
    assert set(status["roles"]) == {"deliver", "receive", "watch", "web"}
    assert status["certificates"][0]["names"] == ["localhost", "127.0.0.1"]
    assert root.get(f"{API}/account").json() == site.router.account()
    rates = root.get(f"{API}/rates").json()
    assert len(rates["received"]) == len(rates["sent"]) == 60


def test_bad_parameters_are_told_by_name(root: httpx.Client) -> None:
    for query, word in (
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=Lost", "Ready, In Progress"),
        ("nonsense=1", "nonsense"),
        ("cursor=x", "cursor"),
    ):
        answer = root.get(f"{API}/tasks?{query}")
        assert answer.status_code == 400 and word in answer.json()["detail"], query


def test_tasks_are_paged_from_the_newest_and_filtered(root: httpx.Client) -> None:
    whole = [one["task_id"] for one in root.get(f"{API}/tasks").json()["tasks"]]
    assert whole == sorted(whole, reverse=True) and len(whole) > 3
    found, cursor = [], ""
    while True:
        page = root.get(
            f"{API}/tasks", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        found += [one["task_id"] for one in page.json()["tasks"]]
        cursor = page.json()["next"]
        if cursor is None:
            break
    assert found == whole
    held = root.get(f"{API}/tasks", params={"station": "away"}).json()["tasks"]
    assert {one["station"] for one in held} == {"away"}
    failed = root.get(f"{API}/tasks", params={"status": "Failed"}).json()["tasks"]
    assert [one["status"] for one in failed] == ["Failed"]
    assert failed[0]["progress"] == 0


def test_f69_retry_and_cancel_act_once_under_an_idempotency_key(
    site: WebSite, reader: httpx.Client
) -> None:
    (failed,) = reader.get(f"{API}/tasks", params={"status": "Failed"}).json()["tasks"]
    key = {"idempotency-key": "retry-1"}
    first = reader.post(f"{API}/tasks/{failed['task_id']}/retry", headers=key)
    assert first.json() == {"task": failed["task_id"], "deliveries": 1}
    wait_until(
        lambda: reader.get(f"{API}/tasks/{failed['task_id']}").json()["task"]["status"] == "Failed",
        what="it fails again",
    )
    again = reader.post(f"{API}/tasks/{failed['task_id']}/retry", headers=key)
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    events = reader.get(f"{API}/tasks/{failed['task_id']}").json()["events"]
    assert [one["kind"] for one in events].count("retried") == 1
    assert "by tester" in next(one["message"] for one in events if one["kind"] == "retried")
    other = reader.post(f"{API}/tasks/{failed['task_id']}/cancel", headers=key)
    assert other.status_code == 422 and "Idempotency-Key" in other.json()["detail"]
    refused = reader.post(f"{API}/tasks/{failed['task_id']}/cancel")
    assert refused.status_code == 409 and "Failed" in refused.json()["detail"]
    assert reader.post(f"{API}/tasks/999999/retry").status_code == 404
    assert reader.post(f"{API}/tasks/x/retry").status_code == 404


def test_f59_a_held_study_is_queued_for_one_station_and_arrives(
    site: WebSite, root: httpx.Client
) -> None:
    study = root.get(f"{API}/studies").json()["studies"][0]
    before = len(site.pacs.stored)
    body = {"study": study["study_instance_uid"], "station": "pacs", "priority": "high"}
    answer = root.post(f"{API}/tasks", json=body)
    assert answer.status_code == 202, answer.text
    (task,) = answer.json()["tasks"]
    assert answer.json()["queued"] == study["instances"]

    def shown() -> dict[str, Any]:
        return dict(root.get(f"{API}/tasks/{task}").json()["task"])

    wait_until(lambda: shown()["status"] == "Completed", what="it is delivered")
    assert len(site.pacs.stored) == before + study["instances"]
    assert (shown()["priority"], shown()["requester"]) == ("high", "tester")
    hidden = root.post(f"{API}/tasks", json={**body, "anonymize": True}).json()["tasks"][0]
    wait_until(lambda: len(site.pacs.stored) == before + 2 * study["instances"])
    assert hidden != task
    names = {one.sop_instance_uid for one in site.images}
    assert site.pacs.stored[-1].sop_instance_uid not in names, "what leaves is de-identified"
    for wrong, status in (
        ({**body, "anonymize": "yes"}, 422),
        ({**body, "station": "ct-1"}, 409),
        ({**body, "station": "nowhere"}, 404),
        ({**body, "study": "1.2.3"}, 404),
        ({**body, "priority": "urgent"}, 422),
        ({**body, "more": 1}, 422),
        ({"station": "pacs"}, 422),
    ):
        assert root.post(f"{API}/tasks", json=wrong).status_code == status, wrong


def test_a_station_answers_or_says_why_not(reader: httpx.Client) -> None:
    good = reader.post(f"{API}/stations/pacs/test").json()
    assert good["ok"] is True and good["message"].startswith("C-ECHO: 0x0000")
    bad = reader.post(f"{API}/stations/away/test").json()
    assert bad["ok"] is False and "refused" in bad["message"]
    missing = reader.post(f"{API}/stations/pcas/test")
    assert missing.status_code == 404 and "pacs" in missing.json()["detail"]


def test_stations_go_out_as_json_and_come_back_as_yaml(site: WebSite, reader: httpx.Client) -> None:
    document = reader.get(f"{API}/stations/export", params={"names": "pacs"}).json()
    assert document["stations"][0]["aeTitle"] == "DEST"
    same = reader.post(f"{API}/stations/import", json=document).json()
    assert (same["state"], same["changes"]) == ("unchanged", [])
    document["stations"][0]["description"] = "Main archive"
    pending = reader.post(f"{API}/stations/import", json=document).json()
    assert pending["state"] == "pending"
    assert pending["changes"][0]["keys"]["description"]["after"] == "Main archive"
    site_text = (site.router.folder / "site.yaml").read_text()
    assert "Main archive" not in site_text
    done = reader.post(f"{API}/stations/import", params={"write": "true"}, json=document)
    assert done.json()["state"] == "applied", done.text
    assert "Main archive" in (site.router.folder / "site.yaml").read_text()
    document["stations"][0]["aeTitel"] = "X"
    wrong = reader.post(f"{API}/stations/import", json=document)
    assert wrong.status_code == 422 and "aeTitle" in json.dumps(wrong.json()["problems"])


def test_a_station_is_switched_off_and_on_only_by_who_saw_how_it_is(
    site: WebSite, reader: httpx.Client
) -> None:
    def etag() -> str:
        return reader.get(f"{API}/stations/away").headers["etag"]

    assert reader.post(f"{API}/stations/away/disable").status_code == 428
    weak = {"if-match": f"W/{etag()}"}
    assert reader.post(f"{API}/stations/away/disable", headers=weak).status_code == 412
    stale = {"if-match": '"0123"'}
    assert reader.post(f"{API}/stations/away/disable", headers=stale).status_code == 412
    several = {"if-match": f'"0123", {etag()}'}
    done = reader.post(f"{API}/stations/away/disable", headers=several)
    assert done.json()["state"] == "applied", done.text
    wait_until(
        lambda: reader.get(f"{API}/stations/away").json()["station"]["status"] == "inactive",
        what="the router follows",
    )
    done = reader.post(f"{API}/stations/away/enable", headers={"if-match": etag()})
    assert done.json()["state"] == "applied", done.text
    assert reader.get(f"{API}/stations/away").json()["station"]["active"] is True


def test_a_file_is_changed_only_as_a_sound_whole(site: WebSite, reader: httpx.Client) -> None:
    path = f"{API}/configuration/files/site.yaml"
    seen = reader.get(path)
    text, match = seen.json()["text"], {"if-match": seen.headers["etag"]}
    bad = text.replace("match: {Modality: MR}", "match: {Modalyti: MR}")
    assert bad != text
    refused = reader.put(path, json={"text": bad}, headers=match)
    assert refused.status_code == 422
    (problem,) = [one for one in refused.json()["problems"] if one["severity"] == "error"]
    assert problem["code"] == "DR210" and "Modality" in problem["hint"]
    line = next(n for n, each in enumerate(bad.split("\n"), 1) if "Modalyti" in each)
    assert (problem["line"], problem["file"].endswith("site.yaml")) == (line, True)
    assert bad.split("\n")[line - 1][problem["column"] - 1 :].startswith("Modalyti")
    assert (site.router.folder / "site.yaml").read_text() == text

    good = text.replace("name: all", "name: all of it")
    dry = reader.put(path, params={"dry_run": "true"}, json={"text": good}, headers=match)
    assert (
        dry.json()["state"] == "pending" and (site.router.folder / "site.yaml").read_text() == text
    )
    assert reader.put(path, json={"text": good}).status_code == 428
    done = reader.put(path, json={"text": good}, headers=match).json()
    assert done["state"] == "applied", done
    assert {one["path"] for one in done["changes"]} >= {"rules.all of it"}
    assert reader.get(f"{API}/rules").json()["rules"][0]["name"] == "all of it"
    assert reader.put(path, json={"text": good}, headers=match).status_code == 412
    for wrong in ("../data/keys/keyring.json", "tls/web.key", "nowhere.yaml"):
        assert reader.get(f"{API}/configuration/files/{wrong}").status_code == 404


def test_what_is_written_and_does_not_run_is_told_and_applied(
    site: WebSite, reader: httpx.Client
) -> None:
    broken = site.router.folder / "extra.yaml"
    broken.write_text("rulez: []\n")
    told = reader.get(f"{API}/configuration").json()
    assert told["in_sync"] is False and told["written"] is None
    assert told["problems"][0]["file"].endswith("extra.yaml")
    assert reader.get(f"{API}/configuration/changes").status_code == 422
    refused = reader.post(f"{API}/configuration/apply").json()
    assert refused["state"] == "refused" and "extra.yaml" in refused["problems"]
    broken.unlink()
    assert reader.post(f"{API}/configuration/apply").json()["state"] == "unchanged"
    assert reader.get(f"{API}/configuration").json()["in_sync"] is True


def test_rules_are_told_and_tried_on_a_file(site: WebSite, root: httpx.Client) -> None:
    rules = root.get(f"{API}/rules").json()["rules"]
    failing = rules[-1]
    assert failing["match"] == {"Modality": "MR"} and failing["matches"] == 1
    assert failing["route"][0]["station"] == "pacs" and failing["written_in"].startswith("config/")
    header = {"content-type": "application/dicom"}
    told = root.post(
        f"{API}/rules/try", params={"from": "ct-1"}, headers=header, content=site.images[2].part10()
    ).json()
    assert told["outcome"] == "routed"
    assert [one["matched"] for one in told["rules"]] == [True, True]
    assert [one["held"] for one in told["rules"][1]["predicates"]] == [True]
    assert any(one["failure"] for one in told["deliveries"])
    assert told["rejects"] is None
    note = key_object(SAFETY, site.images[:2]).part10()
    told = root.post(f"{API}/rules/try", headers=header, content=note).json()
    assert (told["rejects"]["code"], told["rejects"]["objects"]) == (SAFETY, 2)
    rubbish = root.post(f"{API}/rules/try", headers=header, content=b"no DICOM at all" * 50)
    assert rubbish.status_code == 422, rubbish.text
    assert root.post(f"{API}/rules/try", json={}).status_code == 415
    for path in site.router.data_dir.rglob("*"):
        assert not path.is_file() or NAME.encode() not in path.read_bytes(), path


def test_studies_are_searched_in_a_body_and_paged(site: WebSite, root: httpx.Client) -> None:
    whole = root.get(f"{API}/studies").json()["studies"]
    assert [one["patient"]["patient_id"] for one in whole] == [ID] * len(whole)
    first = root.get(f"{API}/studies", params={"limit": 1}).json()
    assert first["studies"] == whole[:1]
    search = f"{API}/studies/search"
    assert root.post(search, json={"patient_name": "canary*"}).json()["studies"] == whole
    assert root.post(search, json={"patient_id": "someone else"}).json()["studies"] == []
    assert root.get(f"{API}/studies", params={"modality": "XA"}).json()["studies"] == []
    assert root.get(f"{API}/studies", params={"patient_id": ID}).status_code == 400
    uid = whole[0]["study_instance_uid"]
    shown = root.get(f"{API}/studies/{uid}").json()
    assert sum(one["instances"] for one in shown["series"]) == whole[0]["instances"]
    listed = root.get(f"{API}/studies/{uid}/instances").json()["instances"]
    assert len(listed) == whole[0]["instances"] and listed[0]["source"] == "ct-1"
    assert root.get(f"{API}/studies/1.2.3").status_code == 404


def test_f52_a_query_names_organization_and_station_or_nothing_is_asked(
    root: httpx.Client,
) -> None:
    whole = {"organization": "Hospital A", "station": "pacs"}
    for missing in whole:
        body = {name: value for name, value in whole.items() if name != missing}
        answer = root.post(f"{API}/query", json=body)
        assert answer.status_code == 422 and missing in answer.json()["detail"]
    for wrong, status, word in (
        ({**whole, "organization": "B"}, 422, "Hospital A"),
        ({**whole, "station": "away"}, 409, "query_retrieve"),
        ({**whole, "keys": ["PatientNam=X"]}, 422, "PatientName"),
        ({**whole, "limit": 0}, 422, "limit"),
    ):
        answer = root.post(f"{API}/query", json=wrong)
        assert (answer.status_code, word in answer.json()["detail"]) == (status, True), wrong
    assert root.post(f"{API}/query", json=whole).json()["answers"] == []
    for studies in ([], ["x"], [1], ["1.2"] * 5):
        body = {"station": "pacs", "studies": studies}
        assert root.post(f"{API}/retrievals", json=body).status_code == 422, studies


def test_f24_f99_what_is_not_held_is_neither_rejected_nor_asked_for(root: httpx.Client) -> None:
    for path, body, status, word in (
        ("/studies/1.2.3/reject", {"as": "safety"}, 409, "held here"),
        ("/studies/1.2.3/reject", {"as": "because"}, 422, "as"),
        ("/studies/1.2.3/reject", {"as": "safety", "instances": [1]}, 422, "instances"),
        ("/priors", {"study": "1.2.3"}, 409, "held here"),
        ("/priors", {"study": "1.2.3", "rule": "none"}, 422, "fetch_priors"),
    ):
        answer = root.post(f"{API}{path}", json=body)
        assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert root.get(f"{API}/priors").json() == {"priors": []}


def test_F34_malformed_bodies_are_refused_in_bounded_time(root: httpx.Client) -> None:
    header = {"content-type": "application/json"}
    for content in (b"", b"{", b"[" * 100_000, b"[]", b"null", b'{"station": 1, "study": "1"}'):
        answer = root.post(f"{API}/tasks", headers=header, content=content)
        assert answer.status_code in {400, 422}, content[:20]
        assert answer.headers["content-type"].startswith("application/problem+json")
    assert root.post(f"{API}/tasks", headers=header, content=b" " * 2_000_000).status_code == 413
    # Half a surrogate pair, and numbers no clock has.
    for path, text in (
        ("/tasks", rb'{"station": "pacs", "study": "\ud800"}'),
        ("/cache/evict", rb'{"study": "\udfff"}'),
        ("/cache/evict", rb'{"\ud800": 1}'),
        ("/cache/evict", b'{"older_than_seconds": 1' + b"0" * 400 + b"}"),
        ("/cache/evict", b'{"to_bytes": 1' + b"0" * 400 + b"}"),
        ("/studies/search", rb'{"patient_name": "\ud800*"}'),
    ):
        answer = root.post(f"{API}{path}", headers=header, content=text)
        assert answer.status_code in {400, 422}, (path, answer.text)


def _guessed(random: Random, kind: str) -> str:
    """A value nobody would send on purpose."""
    texts = ("", "0", "-1", "9" * 40, "null", "true", "*", "%", "\u0000", "😀", "' OR 1=1 --",
             "../../etc/passwd", "a" * 3000, "{{7*7}}", "1.2.3", "pacs", "\r\nX: y")  # fmt: skip
    return random.choice(texts) + (kind if random.random() < 0.2 else "")


def _guessed_json(random: Random, depth: int = 0) -> Any:
    made: list[Any] = [None, True, -1, 1e300, _guessed(random, ""), [], {}]
    if depth < 3:
        made += [[_guessed_json(random, depth + 1) for _ in range(3)],
                 {_guessed(random, "k"): _guessed_json(random, depth + 1)}]  # fmt: skip
    return random.choice(made)


def test_F34_no_request_brings_down_what_answers(site: WebSite, root: httpx.Client) -> None:
    random = Random(34)
    told = root.get(f"{API}/openapi.json").json()["paths"]
    for path, methods in told.items():
        for method, one in methods.items():
            for _ in range(6):
                asked = re.sub(r"{\w+}", lambda _: quote(_guessed(random, ""), safe=""), path)
                given = [each for each in one.get("parameters", ()) if each["in"] == "query"]
                query = {
                    each["name"]: _guessed(random, "") for each in given if random.random() < 0.5
                }
                body = _guessed_body(random, one)
                header = {"if-match": '"x"', "idempotency-key": str(random.random())}
                header |= body.pop("headers", {})
                if path == "/events" or path.startswith(("/configuration/apply", "/retrievals")):
                    continue  # a stream; and what acts without being asked anything
                answer = root.request(method, f"{API}{asked}", params=query, headers=header, **body)
                assert answer.status_code < 500, (method, asked, query, answer.text)
                assert answer.headers["content-type"].startswith("application/")
    assert root.get(f"{API}/status").json()["ready"] is True


def _guessed_body(random: Random, one: dict[str, Any]) -> dict[str, Any]:
    if "requestBody" not in one:
        return {}
    (kind, described), *_ = one["requestBody"]["content"].items()
    if kind != "application/json":
        noise = bytes(random.randrange(256) for _ in range(300))
        return {"content": random.choice((b"", noise, b"\0" * 128 + b"DICM" + noise)),
                "headers": {"content-type": kind}}  # fmt: skip
    names = list(described["schema"].get("properties", {"stations": 0}))
    return {"json": {name: _guessed_json(random) for name in names if random.random() < 0.8}}


def test_changes_are_told_as_they_happen(site: WebSite, reader: httpx.Client) -> None:
    told: list[str] = []
    begun, done = threading.Event(), threading.Event()

    def listen() -> None:
        with reader.stream("GET", f"{API}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                told.append(line)
                begun.set()
                if line.startswith("data:") and '"pacs"' in line and '"Completed"' in line:
                    done.set()
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert begun.wait(10)
    threading.Event().wait(1.5)  # the first look only learns how things are
    image = instance(70, rows=8, columns=8)
    assert scan(site.router.port, [image]) == {image.sop_instance_uid: 0}
    assert done.wait(15), told
    thread.join(5)
    assert "event: task" in told
    assert not any(canary in "\n".join(told) for canary in CANARIES)
    wait_for(site.router.data_dir, quarantined=1)


def test_f70_the_task_log_has_patient_and_study_for_whoever_asks_with_the_key_ring(
    site: WebSite,
) -> None:
    _, plain, _ = site.router.command("tasks", "list")
    assert not any(canary in plain for canary in CANARIES)
    code, output, errors = site.router.command("tasks", "list", "--phi")
    assert code == 0 and all(canary in output for canary in CANARIES), errors
    _, written, _ = site.router.command("tasks", "list", "--phi", "--csv")
    assert "patient_name" in written.splitlines()[0] and NAME in written
    _, told, _ = site.router.command("tasks", "list", "--phi", "--format", "json")
    assert ID in {one["patient"]["patient_id"] for one in json.loads(told)["tasks"]}
