"""F34 for every address there is, taken from the tables of the application itself: none can be forgotten.

Behind the guard are services of which nothing may be touched: a handler that runs answers 500 here.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from router.store.access import AccessBook
from router.web.app import Readings, Site, make_app
from router.web.dicomweb.routes import cache_routes, routes
from router.web.gate import Gate
from router.web.pages.routes import PAGES
from tests.support.store_making import TestClock

URL = "https://edge.example"
OPEN = {"/-/healthy", "/-/ready", "/login", "/language", "/static/{name}"}
"""What anybody may ask for: it holds nothing of patients, stations or tasks."""
VALUES = {
    "{name}": "pacs", "{id}": "1", "{uid}": "1.2.3", "{path:path}": "site.yaml", "{study}": "1.2.3",
    "{series}": "1.2.3.1", "{instance}": "1.2.3.1.1", "{frames}": "1",
}  # fmt: skip
SERVE = frozenset({"ui", "api", "metrics", "dicomweb", "cache"})


class Guarded:
    def __init__(self, folder):
        self.clock = TestClock()
        self.book = AccessBook.open(folder / "ledger.db", self.clock)
        gate = Gate(self.book, self.clock, lambda *_: None)
        settings = SimpleNamespace(name="edge", organization="Hospital A")
        services = SimpleNamespace(plan=SimpleNamespace(router=settings))
        more = [
            *routes(SimpleNamespace(), gate.authenticate, "web"),
            *cache_routes(SimpleNamespace(), gate.authenticate),
        ]
        self.app = make_app(
            Readings(lambda: (), lambda: b""), SERVE, Site(services, gate, SimpleNamespace(stream=_never)),
            is_tls=True, more=more,
        )  # fmt: skip
        self.addresses = [
            (method, _filled(one.path), one.path)
            for one in self.app._app.routes
            for method in sorted(one.methods)
        ]

    def token(self, *scopes, seconds=3600):
        return self.book.issue("ana", set(scopes), seconds)[1]

    def ask(self, asked, **headers):
        """(status, where it sends) of each (method, path), asked one after the other."""

        async def one_of_them(number, method, path):
            # Each from an address of its own: nobody is slowed down for guessing.
            client = (f"10.0.{number // 250}.{number % 250}", 1)
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=client)
            form = {} if method in {"GET", "HEAD"} else {"data": {"do": "retry"}}
            async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
                answer = await browser.request(method, path, headers=headers, **form)
            return answer.status_code, answer.headers.get("location", "")

        async def all_of_them():
            return [await one_of_them(number, *one) for number, one in enumerate(asked)]

        return asyncio.run(all_of_them())

    def cookie(self, token):
        async def log_in():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                headers = {"origin": URL}
                answer = await client.post("/login", data={"token": token}, headers=headers)
                assert answer.status_code == 303
                return answer.headers["set-cookie"].partition(";")[0]

        return asyncio.run(log_in())


async def _never(_request):
    raise AssertionError("nobody may listen")


def _filled(path):
    for name, value in VALUES.items():
        path = path.replace(name, value)
    assert "{" not in path, f"give a value for {path}"
    return path


@pytest.fixture
def guarded(tmp_path):
    made = Guarded(tmp_path)
    yield made
    made.book.close()


def _is_refused(status, location):
    return status in {401, 403} or (status == 303 and location.startswith("/login"))


def test_F34_every_address_refuses_whoever_is_not_let_in(guarded):
    closed = [(method, path) for method, path, route in guarded.addresses if route not in OPEN]
    assert len(closed) > 100, "the tables are read"
    expired = guarded.token("read", "phi", "operate", "configure", seconds=1)
    cookie = guarded.cookie(guarded.token("read", "phi", "operate", "configure"))
    callers = {
        "anonymous": {},
        "expired": {"authorization": f"Bearer {expired}"},
        "forged": {"authorization": f"Bearer {guarded.token('read')}x"},
        "of another site": {"cookie": cookie, "sec-fetch-site": "cross-site"},
        "of another name of this site": {"cookie": cookie, "sec-fetch-site": "same-site"},
        "without a scope": {"authorization": f"Bearer {guarded.token()}"},
        "without a scope, logged in": {"cookie": guarded.cookie(guarded.token())},
    }
    guarded.clock.time += 2
    for caller, headers in callers.items():
        answers = guarded.ask(closed, **headers)
        let_in = [one for one, told in zip(closed, answers, strict=True) if not _is_refused(*told)]
        assert let_in == [], caller


def test_F34_what_changes_something_needs_a_page_of_ours(guarded):
    """A cookie, and a form that another site wrote, in a browser that tells nothing of where from."""
    scopes = ("read", "phi", "operate", "configure")
    headers = {"cookie": guarded.cookie(guarded.token(*scopes)), "origin": "https://evil.example"}
    asked = [
        (method, path)
        for method, path, route in guarded.addresses
        if method not in {"GET", "HEAD"} and route not in OPEN
    ]
    answers = guarded.ask(asked, **headers)
    assert [
        (one, told) for one, told in zip(asked, answers, strict=True) if not _is_refused(*told)
    ] == []


def test_F34_what_shows_patients_or_acts_is_not_for_who_may_read(guarded):
    """Over DICOMweb all but the state of the cache; of the API `test_web_access` asks each scope."""
    asked = [(m, path) for m, path, route in guarded.addresses if route.startswith("/dicomweb")]
    assert len(asked) > 30
    reader = {"authorization": f"Bearer {guarded.token('read', 'configure')}"}
    assert {status for status, _ in guarded.ask(asked, **reader)} == {403}
    shown = [one for one in asked if one[0] in {"GET", "HEAD"}]
    operator = {"authorization": f"Bearer {guarded.token('read', 'configure', 'operate')}"}
    assert {status for status, _ in guarded.ask(shown, **operator)} == {403}


def test_F34_every_action_of_a_page_needs_its_scope():
    """None is open to whoever may only read."""
    actions = [action for page in PAGES for action in page.actions.values()]
    assert len(actions) > 10 and {one.scope for one in actions} == {"operate", "configure"}
