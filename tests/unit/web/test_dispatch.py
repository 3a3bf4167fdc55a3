"""The dispatcher: every endpoint by one path, with a real book of tokens behind it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from router.errors import ConfigError, StoreDown, Undeliverable
from router.store.access import AccessBook
from router.web.access import Identity, Throttled
from router.web.api.call import (
    DICOM,
    Body,
    Endpoint,
    Parameter,
    Reply,
    Wrong,
    flag,
    record,
    text,
    whole,
)
from router.web.api.dispatch import Api, etag_of
from router.web.api.openapi import document
from tests.support.store_making import TestClock

ALL = frozenset({"read", "operate", "configure", "phi"})
SCHEMA = record({"a": text("A.")})


class Site:
    """An application of the endpoints it is given; `identity` is who asks."""

    def __init__(self, folder, *endpoints):
        self.identity = Identity("ana", ALL, 1)
        self.book = AccessBook.open(folder / "ledger.db", TestClock())
        self.calls = []
        api = Api(SimpleNamespace(book=self.book), lambda _request: self._who())
        self.app = Starlette(routes=api.routes(endpoints))

    def _who(self):
        if isinstance(self.identity, Exception):
            raise self.identity
        return self.identity

    def ask(self, method, path, **more):
        async def asked():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.request(method, f"/api/v1{path}", **more)

        return anyio.run(asked)


@pytest.fixture
def make(tmp_path):
    made = []

    def site(*endpoints):
        made.append(Site(tmp_path, *endpoints))
        return made[-1]

    yield site
    for one in made:
        one.book.close()


def get(answer, path="/a", **more):
    return Endpoint("GET", path, "read", "A.", answer, SCHEMA, **more)


def post(answer, path="/a", **more):
    return Endpoint("POST", path, "operate", "A.", answer, SCHEMA, **more)


def test_who_asks_is_known_before_anything_runs(make):
    ran = []
    site = make(get(lambda *_: ran.append(1)))
    for identity, status in (
        (None, 401), (Identity("x", frozenset()), 403), (Identity("x", frozenset({"phi"})), 403),
        (Throttled(7), 429),
    ):  # fmt: skip
        site.identity = identity
        answer = site.ask("GET", "/a")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert answer.headers["retry-after"] == "7" and ran == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Wrong(409, "not now", why="because"), 409, "not now"),
        (StoreDown("the ledger cannot be read"), 503, "the ledger cannot be read"),
        (Undeliverable("refused for good"), 500, "refused for good"),
        (ConfigError(["a.yaml: wrong", "b.yaml: wrong"]), 422, "2 problems"),
    ],
)
def test_what_goes_wrong_is_a_problem_document(make, error, status, words):
    def fail(*_):
        raise error

    answer = make(get(fail)).ask("GET", "/a")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, status) and words in told["detail"]
    if isinstance(error, ConfigError):
        assert told["problems"] == ["a.yaml: wrong", "b.yaml: wrong"]
    if isinstance(error, Wrong):
        assert told["why"] == "because"


PARAMETERS = (
    Parameter("count", {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}, "N."),
    Parameter("deep", {"type": "boolean", "default": False}, "D."),
    Parameter("kind", {"type": "string", "enum": ["a", "b"]}, "K."),
    Parameter("from", {"type": "string"}, "F."),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"count": 3, "deep": False, "kind": None, "from": None}),
        ("count=9&deep=true&kind=b&from=x%20y", {"count": 9, "deep": True, "kind": "b", "from": "x y"}),
        ("count=0", "count"), ("count=10", "count"), ("count=1.5", "count"), ("count=%C2%B2", "count"),
        ("count=", "count"), ("deep=yes", "deep"), ("kind=c", "a, b"), ("count=1&count=1", "count"),
        ("Count=1", "Count"), ("x=1", "count, deep, kind, from"),
    ],
)  # fmt: skip
def test_parameters_are_checked_against_their_description(make, query, found):
    site = make(get(lambda _, call: dict(call.query), parameters=PARAMETERS))
    answer = site.ask("GET", f"/a?{query}")
    if isinstance(found, dict):
        assert answer.json() == found
    else:
        assert answer.status_code == 400 and found in answer.json()["detail"]


BODY = Body(
    "B.",
    schema=record({"a": text("A."), "n": whole("N."), "f": flag("F.")}, optional=("n", "f")),
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"a": "x"}, 200), ({"a": "x", "n": 1, "f": True}, 200), ({}, 422), ({"a": 1}, 422),
        ({"a": "x", "n": True}, 422), ({"a": "x", "n": 1.5}, 422), ({"a": "x", "f": 1}, 422),
        ({"a": "x", "z": 1}, 422), ([], 422), ("a", 422),
    ],
)  # fmt: skip
def test_bodies_are_checked_against_their_description(make, body, status):
    answer = make(post(lambda _, call: call.body, body=BODY)).ask("POST", "/a", json=body)
    assert answer.status_code == status, answer.text


def test_a_body_has_the_media_type_that_was_asked_for(make):
    site = make(
        post(lambda _, call: {"a": str(len(call.body))}, body=Body("B.", DICOM)),
        post(lambda _, call: call.body, path="/json", body=BODY),
    )
    header = {"content-type": f"{DICOM}; transfer-syntax=*"}
    assert site.ask("POST", "/a", content=b"abc", headers=header).json() == {"a": "3"}
    assert site.ask("POST", "/a", json={}).status_code == 415
    for content in (b"{", b"\xff", b"[" * 200_000):
        header = {"content-type": "application/json"}
        assert site.ask("POST", "/json", content=content, headers=header).status_code == 400


def test_an_entity_tag_spares_the_body_and_changes_with_it(make):
    data = {"a": "x"}
    site = make(get(lambda *_: dict(data)), get(lambda *_: Reply({"a": "y"}, etag='"own"'), "/own"))
    first = site.ask("GET", "/a")
    tag = first.headers["etag"]
    assert tag == etag_of(first.content) and first.headers["cache-control"] == "no-cache, private"
    for written in (tag, f'"other", {tag}', f"W/{tag}"):
        again = site.ask("GET", "/a", headers={"if-none-match": written})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    data["a"] = "changed"
    assert site.ask("GET", "/a", headers={"if-none-match": tag}).json() == data
    assert site.ask("GET", "/own").headers["etag"] == '"own"'


def test_what_must_match_is_not_done_without(make):
    site = make(post(lambda _, call: {"a": call.if_match}, needs_match=True))
    assert site.ask("POST", "/a").status_code == 428
    assert site.ask("POST", "/a", headers={"if-match": '"x"'}).json() == {"a": '"x"'}


def test_the_same_key_acts_once_for_the_same_request_of_the_same_token(make):
    done = []

    def act(_, call):
        done.append(call.body["a"])
        return Reply({"a": str(len(done))}, 202)

    site = make(post(act, body=BODY, acts=True), post(act, "/other", body=BODY, acts=True))

    def ask(body, key, path="/a"):
        return site.ask("POST", path, json=body, headers={"idempotency-key": key} if key else {})

    first, again = ask({"a": "x"}, "k"), ask({"a": "x"}, "k")
    assert (
        (first.status_code, first.json()) == (again.status_code, again.json()) == (202, {"a": "1"})
    )
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert ask({"a": "y"}, "k").status_code == 422
    assert ask({"a": "x"}, "k", "/other").status_code == 422
    assert ask({"a": "x"}, "x" * 200).status_code == 400
    site.identity = Identity("ben", ALL, 2)
    assert ask({"a": "x"}, "k").json() == {"a": "2"}
    assert ask({"a": "x"}, "").json() == {"a": "3"} and ask({"a": "x"}, "").json() == {"a": "4"}


def test_a_refusal_is_not_kept_under_a_key(make):
    found = [Wrong(409, "busy"), {"a": "done"}]

    def act(*_):
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    site = make(post(act, acts=True))
    header = {"idempotency-key": "k"}
    assert site.ask("POST", "/a", headers=header).status_code == 409
    assert site.ask("POST", "/a", headers=header).json() == {"a": "done"}


def test_two_at_once_under_one_key_act_once(make):
    begun, go = threading.Event(), threading.Event()

    def act(*_):
        begun.set()
        assert go.wait(10)
        return {"a": "done"}

    site = make(post(act, acts=True))
    header = {"idempotency-key": "k"}
    found = []
    thread = threading.Thread(target=lambda: found.append(site.ask("POST", "/a", headers=header)))
    thread.start()
    assert begun.wait(10)
    assert site.ask("POST", "/a", headers=header).status_code == 409
    go.set()
    thread.join(10)
    assert found[0].json() == {"a": "done"}


def test_paths_carry_names_and_whole_paths(make):
    site = make(
        get(lambda _, call: dict(call.path), "/files/{path}"),
        get(lambda _, call: dict(call.path), "/things/{name}/parts/{id}"),
    )
    assert site.ask("GET", "/files/a/b.yaml").json() == {"path": "a/b.yaml"}
    assert site.ask("GET", "/things/x%20y/parts/7").json() == {"name": "x y", "id": "7"}


def test_the_document_says_what_the_description_says():
    one = Endpoint(
        "PUT", "/things/{name}", "configure", "Change it.", lambda *_: None, SCHEMA,
        parameters=PARAMETERS, body=BODY, acts=True, needs_match=True,
    )  # fmt: skip
    told = document([one], "9.9")["paths"]["/things/{name}"]["put"]
    assert told["operationId"] == "put_things_name" and "`configure`" in told["description"]
    names = {(each["in"], each["name"], each.get("required", False)) for each in told["parameters"]}
    assert names == {
        ("path", "name", True), ("query", "count", False), ("query", "deep", False),
        ("query", "kind", False), ("query", "from", False), ("header", "Idempotency-Key", False),
        ("header", "If-Match", True),
    }  # fmt: skip
    assert told["requestBody"]["content"]["application/json"]["schema"]["required"] == ["a"]
    assert told["responses"]["200"]["content"]["application/json"]["schema"] == SCHEMA
