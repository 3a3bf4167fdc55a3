"""F34: what every request passes, against peers that dribble, flood, or never read."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from router.web import bounds, server
from router.web.bounds import bounded
from router.web.server import HttpServer
from tests.support.process import wait_until


async def echo(request):
    return PlainTextResponse(str(len(await request.body())))


async def broken(_request):
    raise RuntimeError("Novak^Petra")


async def endless(_request):
    async def flood():
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    return StreamingResponse(flood())


class Served:
    def __init__(self, *, most=None, is_tls=False, origins=()):
        app = Starlette(
            routes=[
                Route("/echo", echo, methods=["POST", "GET"]),
                Route("/endless", endless),
                Route("/broken", broken),
            ]
        )
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.bugs = []
        made = bounded(
            app,
            is_tls=is_tls,
            body_bytes=lambda _: most,
            origins=origins,
            on_bug=self.bugs.append,
        )
        self.server = HttpServer(made, listening)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def ask(self, method="GET", path="/echo", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def raw(self, *parts, pause=0.0):
        """What is answered to bytes sent piece by piece; '' when we are hung up on."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            try:
                for part in parts:
                    peer.sendall(part)
                    time.sleep(pause)
                return peer.recv(65_536).decode()
            except ConnectionError:
                return ""

    def end(self):
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def served(monkeypatch):
    made = []

    def make(**options):
        made.append(Served(**options))
        return made[-1]

    yield make
    for one in made:
        one.end()


HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"


def test_a_body_too_long_is_refused_declared_or_not(served):
    site = served(most=100)
    assert site.ask("POST", body=b"x" * 100)[2] == b"100"
    assert site.ask("POST", body=b"x" * 101)[0] == 413
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + b"50\r\n" + b"x" * 80 + b"\r\n"
    assert site.raw(HEAD + chunked, b"50\r\n" + b"x" * 80 + b"\r\n").startswith("HTTP/1.1 413")
    assert served(most=None).ask("POST", body=b"x" * 3_000_000)[2] == b"3000000"


def test_a_body_that_dribbles_is_given_up(served, monkeypatch):
    monkeypatch.setattr(bounds, "BODY_GRACE_SECONDS", 0.3)
    site = served()
    began = time.monotonic()
    answer = site.raw(HEAD + b"Content-Length: 100\r\n\r\nx")
    assert answer.startswith("HTTP/1.1 408") and time.monotonic() - began < 5
    assert site.ask("POST", body=b"x" * 1000)[0] == 200


def test_a_body_that_comes_steadily_may_take_its_time(served, monkeypatch):
    monkeypatch.setattr(bounds, "BODY_GRACE_SECONDS", 0.4)
    site = served()
    parts = [b"x" * 4096] * 5
    answer = site.raw(HEAD + b"Content-Length: 20480\r\n\r\n", *parts, pause=0.2)
    assert answer.startswith("HTTP/1.1 200") and answer.endswith("20480")


def test_a_header_that_dribbles_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.4)
    site = served()
    began = time.monotonic()
    assert site.raw(*[b"GET /echo HTTP/1.1\r\n", *[b"X: y\r\n"] * 20], pause=0.1) == ""
    assert site.raw(b"", pause=0.0) == ""
    assert time.monotonic() - began < 6
    assert site.ask()[0] == 200


def test_a_second_request_that_dribbles_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.4)
    site = served()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as peer:
        peer.sendall(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n0"):
            answer += peer.recv(65_536)
        peer.sendall(b"GET /echo HTTP/1.1\r\n")
        assert peer.recv(65_536) == b""


def test_who_goes_on_sending_after_the_answer_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.4)
    site = served(most=10)
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as peer:
        peer.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        assert peer.recv(65_536).startswith(b"HTTP/1.1 413")
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 5:
                peer.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 4


def test_an_answer_that_nobody_reads_ends(served, monkeypatch):
    monkeypatch.setattr(server, "READER_SECONDS", 0.4)
    site = served()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as peer:
        peer.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1.5)
        peer.settimeout(10)
        taken = 0
        try:
            while data := peer.recv(1 << 20):
                taken += len(data)
                assert taken < 200_000_000, "it goes on for ever"
        except ConnectionError:
            pass
    assert site.ask()[0] == 200


def test_a_header_too_large_is_refused(served):
    site = served()
    assert site.ask(**{"x-long": "x" * 40_000})[0] in {400, 431}
    assert site.ask(**{"x-long": "x" * 20_000})[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:99", 200), ("127.0.0.1", 200), ("127.9.9.9:1", 200),
        ("[::1]", 200), ("[::1]:80", 200), ("", 421), ("evil.example", 421), ("10.0.0.1", 421),
        ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421), ("[::2]", 421),
    ],
)  # fmt: skip
def test_without_tls_only_loopback_names_are_answered(served, host, status):
    assert served().ask(host=host)[0] == status


def test_with_tls_any_name_is_answered_and_told_to_stay_with_tls(served):
    status, headers, _ = served(is_tls=True).ask(host="edge.hospital-a.example")
    assert status == 200 and "max-age" in headers["strict-transport-security"]
    assert "strict-transport-security" not in served().ask(host="localhost")[1]


def test_nothing_is_cached_and_refusals_carry_the_headers_too(served):
    site = served(most=10)
    for status, headers, _ in (site.ask(), site.ask("POST", body=b"x" * 11), site.ask(path="/no")):
        assert headers["cache-control"] == "no-store", status
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_other_origins_are_told_nothing_unless_named(served):
    origin = "https://viewer.example"
    preflight = {"origin": origin, "access-control-request-method": "POST",
                 "access-control-request-headers": "authorization"}  # fmt: skip
    named = served(origins=[origin])
    status, headers, _ = named.ask("OPTIONS", **preflight)
    assert status == 200 and headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in headers
    assert named.ask("OPTIONS", **{**preflight, "origin": "https://evil.example"})[0] == 400
    assert "access-control-allow-origin" not in served().ask(origin=origin)[1]


def test_p13_a_fault_of_ours_is_told_to_us_alone(served, capfd):
    site = served()
    status, headers, body = site.ask(path="/broken")
    assert (status, b"Novak" in body) == (500, False)
    assert headers["cache-control"] == "no-store"
    wait_until(lambda: bool(site.bugs), 5, what="it is told, perhaps after the answer")
    assert [type(error) for error in site.bugs] == [RuntimeError]
    assert "Novak" not in "".join(capfd.readouterr())
    assert site.ask()[0] == 200
