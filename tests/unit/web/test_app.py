"""What a browser, a scraper and a load balancer hear, from a real server on a real port."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

from router.errors import StoreDown, StoreFull
from router.telemetry.metrics import CONTENT_TYPE
from router.web import server as module
from router.web.app import Readings, make_app
from router.web.server import HttpServer


class Site:
    """A server at a port of its own; what its pages read can be changed by the test."""

    def __init__(self, *serve: str) -> None:
        self.reasons: tuple[str, ...] = ()
        self.breaks = False
        self.trouble: Exception | None = None
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.server = HttpServer(
            make_app(Readings(lambda: self.reasons, self.metrics), frozenset(serve)), listening
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def metrics(self) -> bytes:
        if self.trouble is not None:
            raise self.trouble
        if self.breaks:
            raise RuntimeError("Novak^Petra in /srv/data")
        return b"# HELP x y\nx 1.0\n"

    def ask(self, path, method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def end(self):
        self.server.stop()
        self.thread.join(5)
        return not self.thread.is_alive()


@pytest.fixture
def site():
    made = Site("metrics")
    yield made
    assert made.end(), "the server does not end"


def test_healthy_while_it_lives(site):
    status, headers, body = site.ask("/-/healthy")
    assert (status, body) == (200, b"healthy\n")
    assert "server" not in {name.lower() for name in headers}, "nobody is told what we run"


def test_ready_says_what_is_missing(site):
    assert site.ask("/-/ready")[0] == 200
    assert json.loads(site.ask("/-/ready")[2]) == {"ready": True, "reasons": []}
    site.reasons = ("role deliver is silent", "no room")
    status, headers, body = site.ask("/-/ready")
    assert status == 503
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"ready": False, "reasons": ["role deliver is silent", "no room"]}
    assert site.ask("/-/healthy")[0] == 200, "not ready is not dead"


def test_metrics_in_the_exposition_format(site):
    status, headers, body = site.ask("/metrics")
    assert (status, headers["content-type"], body) == (200, CONTENT_TYPE, b"# HELP x y\nx 1.0\n")


def test_metrics_only_where_the_listener_serves_them():
    site = Site()
    assert site.ask("/metrics")[0] == 404
    assert site.ask("/-/healthy")[0] == 200
    assert site.end()


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/-/", "/metrics/", "/../etc/passwd", "/%2e%2e/etc/passwd", "/docs"]
)
def test_p14_there_is_nothing_else(site, path):
    status, _, body = site.ask(path)
    assert status in {404, 307}
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_p14_nothing_can_be_changed(site, method):
    assert site.ask("/-/ready", method)[0] == 405


def test_p13_a_fault_of_ours_tells_no_secret_and_the_next_is_served(site):
    site.breaks = True
    status, _, body = site.ask("/metrics")
    assert status == 500
    assert b"Novak" not in body
    assert b"Traceback" not in body
    site.breaks = False
    assert site.ask("/metrics")[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 4_000_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\x01\x00\x00\x00\x00\xca\x00\x01" + b"EDGE".ljust(32) + b"\r\n\r\n",
    ],
    ids=["huge header", "TLS", "two lengths", "blank lines", "DICOM"],
)
def test_p14_other_protocols_and_too_much_are_refused_and_the_next_is_served(site, request_bytes):
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as peer:
        try:
            peer.sendall(request_bytes)
            answer = peer.recv(1000)
        except (TimeoutError, ConnectionError):
            answer = b""
    assert not answer or answer.split()[1][:1] == b"4"
    assert site.ask("/-/healthy")[0] == 200


def test_p14_silent_connections_are_bounded_and_a_probe_still_hears_something(site):
    peers = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(100)]
    try:
        time.sleep(0.1)
        assert site.ask("/-/healthy")[0] in {200, 503}
        assert module.MAX_CONNECTIONS < 100
    finally:
        for peer in peers:
            peer.close()
    time.sleep(0.2)
    assert site.ask("/-/healthy")[0] == 200


def test_stopping_ends_although_a_connection_is_open():
    site = Site()
    with socket.create_connection(("127.0.0.1", site.port)) as peer:
        peer.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert site.end()
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("trouble", [StoreDown("the ledger failed"), StoreFull("no room left")])
def test_F29_a_store_in_trouble_is_told_with_when_to_ask_again(trouble):
    site = Site("metrics")
    site.trouble = trouble
    status, headers, body = site.ask("/metrics")
    assert (status, headers["retry-after"], body.decode()) == (503, "10", f"{trouble}\n")
    site.trouble = None
    assert site.ask("/metrics")[0] == 200
    assert site.end()
