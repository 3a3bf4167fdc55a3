"""A running router with pages and API over HTTPS, an archive beside it, and clients with tokens."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import httpx

from tests.support.ledger_view import wait_for, wait_until_listed
from tests.support.process import free_port
from tests.support.router_process import Router
from tests.support.scanner import scan
from tests.support.scripted_scp import Script, ScriptedScp
from tests.support.synthetic import instance

SITE = """\
version: 1
router: {name: edge, organization: Hospital A, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  admin: {type: http, bind: "127.0.0.1:$http", serve: [ui, api, metrics]}
  web: {type: https, bind: "127.0.0.1:$https", tls: web, serve: [ui, api, metrics]}
tls:
  web: {cert: tls/web.pem, key: tls/web.key}
stations:
  ct-1: {ae_title: CT1, host: 127.0.0.1, description: "CT scanner"}
  pacs: {ae_title: DEST, host: 127.0.0.1, port: $pacs, send: true, query_retrieve: true}
  away: {ae_title: AWAY, host: 127.0.0.1, port: $away, send: true}
rules:
  - {name: all, route: [pacs, away]}
  - name: a morph that fails
    match: {Modality: MR}
    morph:
      - set: {AccessionNumber: "{{ PatientName }} {{ PatientName }} {{ PatientName }}"}
    route: [pacs]
"""
NAME, ID, ACCESSION = "CANARYNAME^PLANTED", "CANARY-ID-77", "CANARYACC"
CANARIES = ("CANARYNAME", ID, ACCESSION)
_PLANTED = {0x00100010: ("PN", NAME), 0x00100020: ("LO", ID), 0x00080050: ("SH", ACCESSION)}


class WebSite:
    """Starts at once; three images of planted patients have been through it."""

    def __init__(self, folder: Path) -> None:
        self._clients: list[httpx.Client] = []
        self.pacs = ScriptedScp(Script(max_pdu_bytes=0))
        self.http, self.https = free_port(), free_port()
        ports = {"http": self.http, "https": self.https, "pacs": self.pacs.port}
        self.router = Router(folder, SITE, away=free_port(), **ports)
        names = ("--for", "localhost", "--for", "127.0.0.1")
        assert self.router.command("cert", "new", "web", *names)[0] == 0
        self.router.start()
        self.images = [
            instance(n, modality=modality, rows=16, columns=16, changes=_PLANTED)  # type: ignore[arg-type]
            for n, modality in enumerate(("CT", "CT", "MR"))
        ]
        assert set(scan(self.router.port, self.images).values()) == {0}
        wait_for(self.router.data_dir, delivered=len(self.images), quarantined=1)
        series = len({each.series_instance_uid for each in self.images})
        wait_until_listed(self.router.data_dir, series)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    def token(self, *scopes: str, more: tuple[str, ...] = ()) -> str:
        options = [word for scope in scopes for word in ("--scope", scope)]
        code, output, errors = self.router.command("token", "new", "tester", *options, *more)
        assert code == 0, errors
        return output.strip()

    def client(self, token: str = "", base: str = "") -> httpx.Client:
        """A client that verifies us; without a token nobody in particular."""
        certificate = self.router.folder / "tls" / "web.pem"
        context = ssl.create_default_context(cafile=str(certificate))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        made = httpx.Client(
            base_url=base or self.url, verify=context, headers=headers, trust_env=False, timeout=30
        )
        self._clients.append(made)
        return made

    def raw(self, request: str) -> str:
        """What is answered first to bytes of which no client would be capable."""
        certificate = self.router.folder / "tls" / "web.pem"
        context = ssl.create_default_context(cafile=str(certificate))
        plain = socket.create_connection(("127.0.0.1", self.https), timeout=20)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(request.encode())
            return connection.recv(1000).decode()

    def tokens(self) -> list[dict[str, object]]:
        code, output, _ = self.router.command("token", "list", "--format", "json")
        assert code == 0
        return list(json.loads(output)["tokens"])

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.router.kill()
        self.pacs.close()
