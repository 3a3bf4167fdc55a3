"""The HTTPS listener, by clients that are not ours: TLS as promised, slow peers bounded, renewal."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.process import free_port, wait_until
from tests.support.router_process import Router

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  lan: {type: dimse, bind: "127.0.0.1:$port"}
  admin: {type: http, bind: "127.0.0.1:$http", serve: [metrics]}
  web: {type: https, bind: "127.0.0.1:$https", tls: web, serve: [metrics], origins: ["https://viewer.example"]}
tls:
  web: {cert: tls/web.pem, key: tls/web.key}
stations: {}
rules: []
"""


class Site:
    def __init__(self, folder: Path) -> None:
        self.http, self.https = free_port(), free_port()
        self.router = Router(folder, SITE, http=self.http, https=self.https)
        self.new_certificate()
        self.router.start()

    def new_certificate(self, *more: str) -> None:
        names = ("--for", "localhost", "--for", "127.0.0.1")
        code, _, errors = self.router.command("cert", "new", "web", *names, *more)
        assert code == 0, errors

    @property
    def certificate(self) -> Path:
        return self.router.folder / "tls" / "web.pem"

    def get(self, path: str, **options: object) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.certificate))
        url = f"https://localhost:{self.https}{path}"
        return httpx.get(url, verify=context, trust_env=False, **options)  # type: ignore[arg-type]

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.create_connection(("127.0.0.1", self.https), timeout=20)
        return context.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("https"))
    yield made
    made.router.kill()


def _handshake(port: int, *options: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def test_f77_a_client_that_verifies_is_served_over_tls_1_3(site: Site) -> None:
    with site.connect() as connection:
        assert connection.version() == "TLSv1.3"
    answer = site.get("/-/healthy")
    assert (answer.status_code, answer.text) == (200, "healthy\n")


def test_f77_tls_1_2_with_forward_secrecy_is_the_least(site: Site) -> None:
    told = _handshake(site.https, "-tls1_2")
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" in told
    assert "Cipher is (NONE)" in _handshake(site.https, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in _handshake(site.https, "-tls1_2", "-cipher", "AES128-SHA")


def _offered(version: str) -> list[str]:
    """The names of all suites OpenSSL knows for that version of TLS, weak ones too."""
    words = ["openssl", "ciphers", "-s", version, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    return [name for name in done.stdout.strip().split(":") if not name.startswith("TLS_")]


def _agreed(port: int, version: str, suites: list[str]) -> set[str]:
    """Which of the suites the listener takes: asked for all, then for all but those it took."""
    taken: set[str] = set()
    while left := [name for name in suites if name not in taken]:
        offer = ":".join([*left, "@SECLEVEL=0"])
        told = _handshake(port, version, "-cipher", offer)
        found = re.search(r"Cipher is (\S+)", told)
        if found is None or found[1] == "(NONE)":
            return taken
        taken.add(found[1])
    return taken


def test_f77_of_all_suites_only_authenticated_ones_with_forward_secrecy_are_taken(
    site: Site,
) -> None:
    suites = _offered("-tls1_2")
    assert {"AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"} <= set(suites), "weak ones are offered"
    assert _agreed(site.https, "-tls1_2", suites) == {
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
    for version in ("-tls1", "-tls1_1"):
        assert _agreed(site.https, version, _offered(version)) == set()
        told = _handshake(site.https, version, "-cipher", "ALL:@SECLEVEL=0")
        assert "no protocols available" not in told, "the client did ask"


def test_f77_tls_1_2_neither_compresses_nor_renegotiates_insecurely(site: Site) -> None:
    told = _handshake(site.https, "-tls1_2")
    assert "Secure Renegotiation IS supported" in told
    assert "Compression: NONE" in told
    assert "Server Temp Key: X25519" in told
    # A client that was talked down to an older version says so, and is refused (RFC 7507).
    refused = _handshake(site.https, "-tls1_2", "-fallback_scsv")
    assert "Cipher is (NONE)" in refused


def test_f77_plain_http_is_not_answered_on_a_tls_port(site: Site) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{site.https}/-/healthy", trust_env=False)


def test_answers_carry_the_headers_that_browsers_obey(site: Site) -> None:
    headers = site.get("/-/healthy").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_only_named_origins_may_read_answers_and_never_with_cookies(site: Site) -> None:
    named = site.get("/-/healthy", headers={"origin": "https://viewer.example"}).headers
    assert named["access-control-allow-origin"] == "https://viewer.example"
    assert "access-control-allow-credentials" not in named
    other = site.get("/-/healthy", headers={"origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in other


def test_f81_plain_http_answers_to_names_of_the_loopback_only(site: Site) -> None:
    def status(host: str) -> int:
        url = f"http://127.0.0.1:{site.http}/-/healthy"
        return httpx.get(url, headers={"host": host}, trust_env=False).status_code

    assert status(f"localhost:{site.http}") == 200
    assert status("[::1]:80") == 200
    assert status("rebound.example") == 421


def test_F34_whoever_is_slow_with_the_handshake_or_a_header_is_hung_up_on(site: Site) -> None:
    began = time.monotonic()
    silent = socket.create_connection(("127.0.0.1", site.https), timeout=20)
    with silent, site.connect() as dribbling, site.connect() as mute:
        dribbling.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for connection in (silent, dribbling, mute):
            try:
                assert connection.recv(100) == b""
            except (ConnectionError, ssl.SSLError):
                pass
            assert time.monotonic() - began < 12
    assert site.get("/-/healthy").status_code == 200


def test_F34_a_header_or_body_too_large_is_refused_without_reading_it(site: Site) -> None:
    assert site.get("/-/healthy", headers={"x-long": "x" * 40_000}).status_code == 431
    with site.connect() as connection:
        connection.sendall(
            b"POST /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_f77_a_renewed_certificate_is_taken_without_a_restart_and_a_bad_one_is_not(
    site: Site,
) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", site.https))

    before, pid = shown(), site.router.process.pid  # type: ignore[union-attr]
    site.new_certificate("--replace")
    wait_until(lambda: shown() != before, 20, what="the renewed certificate")
    renewed = shown()
    assert renewed.strip() == site.certificate.read_text().strip()
    site.certificate.write_text("no certificate\n")
    code, _, errors = site.router.command("apply")
    assert (code, shown()) == (1, renewed), errors
    site.new_certificate("--replace")
    assert site.router.process.pid == pid and site.router.process.poll() is None  # type: ignore[union-attr]


def test_the_end_of_a_certificate_is_a_metric_and_shown(site: Site) -> None:
    code, output, _ = site.router.command("cert", "show", "--format", "json")
    (shown,) = json.loads(output)["certificates"]
    assert code == 0 and shown["names"] == ["localhost", "127.0.0.1"] and shown["self_signed"]
    assert shown["days_left"] in {396, 397}
    text = httpx.get(f"http://127.0.0.1:{site.http}/metrics", trust_env=False).text
    (line,) = [
        one
        for one in text.splitlines()
        if one.startswith('dicom_router_tls_certificate_expiry_timestamp_seconds{profile="web"}')
    ]
    assert abs(float(line.split()[1]) - time.time() - 397 * 86_400) < 120
