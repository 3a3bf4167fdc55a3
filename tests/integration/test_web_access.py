"""F34: who may ask over HTTPS. Anonymous, expired, revoked, of the wrong scope, cross-site: refused."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

import pytest

from router.web.api.endpoints import ENDPOINTS
from tests.support.process import wait_until
from tests.support.web_site import WebSite

API = "/api/v1"
SCOPES = ("read", "operate", "configure", "phi")
_PATHS = {"{name}": "pacs", "{id}": "1", "{uid}": "1.2.3", "{path}": "site.yaml"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    made = WebSite(tmp_path_factory.mktemp("web"))
    yield made
    made.close()


def _asked() -> list[tuple[str, str, str]]:
    """(method, path, scope) of everything that is guarded."""
    found = [("GET", f"{API}/openapi.json", "read"), ("GET", "/metrics", "read")]
    for one in ENDPOINTS:
        path = one.path
        for name, value in _PATHS.items():
            path = path.replace(name, value)
        found.append((one.method, f"{API}{path}", one.scope))
    return found


def test_F34_nobody_is_anonymous(site: WebSite) -> None:
    with site.client() as client:
        for method, path, _ in [*_asked(), ("GET", f"{API}/events", "read")]:
            answer = client.request(method, path, content=b"x" * 100)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("missing", SCOPES)
def test_F34_every_endpoint_needs_its_scope_and_no_other(site: WebSite, missing: str) -> None:
    token = site.token(*(one for one in SCOPES if one != missing))
    if missing == "read":  # every token may read: make one that may not
        with sqlite3.connect(site.router.data_dir / "ledger" / "ledger.db") as connection:
            connection.execute("UPDATE web_token SET scopes = 'operate configure phi'"
                               " WHERE token_id = (SELECT max(token_id) FROM web_token)")  # fmt: skip
    with site.client(token) as client:
        for method, path, scope in _asked():
            if scope != missing and method != "GET":
                continue  # it would act
            status = client.request(method, path).status_code
            assert (status == 403) == (scope == missing), (method, path, status)


def test_F34_a_token_ends_when_it_expires_and_when_it_is_revoked(site: WebSite) -> None:
    short = site.token(more=("--expires", "2s"))
    with site.client(short) as client:
        assert client.get(f"{API}/status").status_code == 200
        time.sleep(2.1)
        assert client.get(f"{API}/status").status_code == 401
    with site.client(site.token()) as client:
        assert client.get(f"{API}/status").status_code == 200
        newest = site.tokens()[0]
        assert (newest["name"], newest["scopes"], newest["state"]) == ("tester", ["read"], "valid")
        assert site.router.command("token", "revoke", str(newest["id"]))[0] == 0
        assert client.get(f"{API}/status").status_code == 401
        assert site.router.command("token", "revoke", str(newest["id"]))[0] == 1
        assert site.tokens()[0]["state"] == "revoked"


def test_p13_the_secret_of_a_token_is_nowhere_on_disk_nor_in_the_log(site: WebSite) -> None:
    token = site.token("phi")
    with site.client(token) as client:
        assert client.get(f"{API}/tasks").status_code == 200
    secret = token.split("_", 2)[2].encode()
    looked = 0
    for path in site.router.work.rglob("*"):
        if path.is_file():
            looked += 1
            assert secret not in path.read_bytes(), path
    assert looked > 5


def test_F34_forged_tokens_are_refused_and_guessing_is_slowed_down(site: WebSite) -> None:
    token = site.token()
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for text in ("x", "drt_1_", "drt_99999999999999999999_x", "drt_²_x", token[:-1], forged):
        with site.client() as client:
            answer = client.get(
                f"{API}/status", headers={"authorization": f"Bearer {text}".encode()}
            )
            assert answer.status_code == 401, text
    with site.client(forged) as client:
        statuses = [client.get(f"{API}/status").status_code for _ in range(12)]
        assert statuses[-1] == 429 and set(statuses) == {401, 429}
        assert int(client.get(f"{API}/status").headers["retry-after"]) <= 61
    with site.client(site.token()) as client:  # others of the same address go on
        assert client.get(f"{API}/status").status_code == 200
    with site.client(site.token()) as client:
        counted = 'dicom_router_web_refused_total{reason="throttled"}'
        wait_until(lambda: counted in client.get("/metrics").text, what="the refusals are counted")


def test_F34_a_body_is_not_read_before_it_is_known_who_sends_it(site: WebSite) -> None:
    start = f"POST {API}/rules/try HTTP/1.1\r\nHost: localhost\r\n"
    assert site.raw(f"{start}Content-Length: 60000000\r\n\r\n").startswith("HTTP/1.1 401")
    assert site.raw(f"{start}Content-Length: {1 << 40}\r\n\r\n").startswith("HTTP/1.1 413")


def test_f83_the_cache_is_there_only_where_a_listener_serves_it(site: WebSite) -> None:
    """`serve: [cache]` turns it on; `test_f80_curl_and_the_cache` asks one that is on."""
    with site.client(site.token("phi")) as client:
        assert client.get("/DICOMcache").status_code == 404
        assert client.get("/dicomweb/v1/studies").status_code == 404


def test_an_unknown_path_of_the_api_is_a_problem_document(site: WebSite) -> None:
    with site.client(site.token()) as client:
        answer = client.get(f"{API}/nowhere")
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
