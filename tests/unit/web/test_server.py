"""How the server ends: what was begun is finished, or told to come again; nobody new is let in."""

from __future__ import annotations

import socket
import threading

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from router.web.bounds import bounded
from router.web.server import HttpServer
from tests.support.process import wait_until

HEAD = b"POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"


class Site:
    def __init__(self):
        self.taking = threading.Event()

        async def take(request: Request):
            taken = 0
            async for chunk in request.stream():
                taken += len(chunk)
                self.taking.set()
            return PlainTextResponse(f"took {taken}\n")

        app = Starlette(routes=[Route("/take", take, methods=["POST"])])
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.server = HttpServer(
            bounded(app, is_tls=False, body_bytes=lambda _path: None), listening
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def begun(self):
        """A connection whose body has half come."""
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        peer.sendall(HEAD + b"12345")
        assert self.taking.wait(5)
        return peer

    def is_open(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True

    def close(self):
        self.server.stop()
        self.thread.join(5)
        assert not self.thread.is_alive(), "the server does not end"


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


def everything(peer):
    found = b""
    while data := peer.recv(4096):
        found += data
    return found


def test_what_was_begun_is_finished_however_long_and_nobody_new_is_let_in(site):
    with site.begun() as peer:
        site.server.retire()
        wait_until(lambda: not site.is_open(), 5, what="the end of accepting")
        site.thread.join(0.5)
        assert site.thread.is_alive(), "it waits for the body"
        peer.sendall(b"67890")
        answer = everything(peer)
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"took 10\n")
    site.thread.join(5)
    assert not site.thread.is_alive()


@pytest.mark.parametrize("is_retiring", [False, True])
def test_a_stop_tells_what_is_not_finished_to_come_again(site, is_retiring):
    with site.begun() as peer:
        if is_retiring:
            site.server.retire()
            wait_until(lambda: not site.is_open(), 5, what="the end of accepting")
        site.server.stop()
        answer = everything(peer)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 10" in answer and b"send it again" in answer
    site.thread.join(5)
    assert not site.thread.is_alive()


def test_a_stop_before_the_start_is_a_stop():
    listening = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(bounded(Starlette(), is_tls=False, body_bytes=lambda _: 0), listening)
    server.stop()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
