"""Webhooks of a running router: signed, in order, again after a failure, and without a patient.

The signature is judged by openssl; the receiver is an HTTP server of the standard library.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import RouterFactory
from tests.support.process import free_port, wait_until
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import instance

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
tls:
  own: {cert: tls/own.pem, key: tls/own.key}
webhooks:
  ops:
    url: http://127.0.0.1:$hook/hook
    secret: {file: hook-secret}
  failures:
    url: http://127.0.0.1:$away/hook
    secret: {file: hook-secret}
    events: [task.failed]
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true}
rules:
  - {name: all, route: [pacs]}
"""
SECRET = "0123456789abcdef0123456789abcdef"
NAME, ID = "CANARYNAME^PLANTED", "CANARY-ID-77"
PLANTED = {0x00100010: ("PN", NAME), 0x00100020: ("LO", ID)}


class Receiver:
    def __init__(self, answers: list[int]) -> None:
        self.answers = answers
        self.requests: list[tuple[dict[str, str], bytes, int]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answers.pop(0) if receiver.answers else 204
                told = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((told, body, status))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def received(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, status in self.requests if status < 300]

    def types(self) -> list[str]:
        return [one["type"] for one in self.received()]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver([500, 302, 503])
    yield made
    made.close()


def test_what_happens_is_told_signed_in_order_and_again_after_failures(
    router: RouterFactory, receiver: Receiver
) -> None:
    pacs = ScriptedScp(Script(max_pdu_bytes=0))
    made = router(SITE, start=False, hook=receiver.port, away=free_port(), pacs=pacs.port)
    (made.folder / "hook-secret").write_text(SECRET + "\n")
    assert made.command("cert", "new", "own", "--for", "localhost", "--days", "10")[0] == 0
    made.start()
    images = [instance(n, study=1, rows=16, columns=16, changes=PLANTED) for n in range(3)]  # type: ignore[arg-type]
    assert set(scan(made.port, images).values()) == {0}
    wait_until(lambda: "task.completed" in receiver.types(), 60, what="the task")
    path = made.folder / "site.yaml"
    path.write_text(path.read_text().replace("name: all", "name: everything"))
    wait_until(lambda: "configuration.applied" in receiver.types(), 30, what="the change")
    assert made.stop() == 0
    made.start()
    wait_until(lambda: receiver.types().count("router.started") == 2, 30, what="the second start")
    pacs.close()

    told = receiver.received()
    assert receiver.types()[0] == "router.started"
    assert {"station.online", "certificate.expiring", "router.stopped"} < set(receiver.types())
    task = next(one["data"] for one in told if one["type"] == "task.completed")
    assert (task["router"], task["station"], task["delivered"]) == ("edge", "pacs", 3)
    certificate = next(one["data"] for one in told if one["type"] == "certificate.expiring")
    assert certificate["profile"] == "own" and 8 <= certificate["days_left"] <= 10
    assert receiver.types().count("certificate.expiring") == 1, "told once, not at every start"

    ids = [head["webhook-id"] for head, _, _ in receiver.requests]
    assert len(set(ids[:4])) == 1, "the first was tried until it was taken, before any other"
    taken = [head["webhook-id"] for head, _, status in receiver.requests if status < 300]
    assert len(taken) == len(set(taken))
    for head, body, _ in receiver.requests:
        assert head["webhook-signature"] == f"v1,{_by_openssl(head, body)}"
    whole = b"".join(body for _, body, _ in receiver.requests)
    assert ID.encode() not in whole and b"CANARYNAME" not in whole
    assert images[0].study_instance_uid.encode() not in whole


def _by_openssl(head: dict[str, str], body: bytes) -> str:
    told = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
    command = ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-binary"]
    done = subprocess.run(command, input=told, capture_output=True, check=True)
    return base64.b64encode(done.stdout).decode()
