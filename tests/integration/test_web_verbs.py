"""`token` and `cert`: what people make before a browser or a program may ask anything."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.router_process import Router

SITE = """\
version: 1
router: {name: edge, ae_title: EDGE_A, data_dir: $data_dir}
listeners:
  admin: {type: http, bind: "127.0.0.1:18080", serve: [ui, api]}
  web: {type: https, bind: "0.0.0.0:18443", tls: web, serve: [ui]}
tls:
  web: {cert: tls/web.pem, key: tls/web.key}
stations: {}
rules: []
"""


@pytest.fixture
def bare(tmp_path: Path) -> Router:
    """Without the certificate that its configuration names."""
    return Router(tmp_path, SITE)


@pytest.fixture
def edge(bare: Router) -> Router:
    assert bare.command("cert", "new", "web", "--for", "localhost")[0] == 0
    return bare


def told(edge: Router, *words: str) -> dict[str, Any]:
    code, output, errors = edge.command(*words, "--format", "json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(output)
    return found


def test_a_token_is_made_before_the_first_start_and_printed_once(edge: Router) -> None:
    code, output, errors = edge.command("token", "new", "ana", "--scope", "phi")
    assert code == 0 and output.startswith("drt_1_") and output.count("\n") == 1
    assert "read, phi" in errors and "pages and API" in errors
    assert "http://127.0.0.1:18080/" in errors and "https://localhost:18443/" in errors
    assert output.strip() not in edge.command("token", "list")[1]
    (listed,) = told(edge, "token", "list")["tokens"]
    assert (listed["name"], listed["scopes"], listed["state"]) == ("ana", ["read", "phi"], "valid")
    assert "token" not in listed and listed["last_used"] is None


def test_scopes_and_ends_are_as_asked_for(edge: Router) -> None:
    plain = told(edge, "token", "new", "grafana")
    assert (plain["scopes"], plain["once"], plain["state"]) == (["read"], False, "valid")
    whole = told(edge, "token", "new", "root", "--scope", "all", "--expires", "30d")
    assert whole["scopes"] == ["read", "operate", "configure", "phi"]
    assert whole["expires"][:7] != whole["created"][:7]
    once = told(edge, "token", "new", "root", "--once")
    assert (once["once"], once["state"]) == (True, "one log-in")
    assert [one["id"] for one in told(edge, "token", "list")["tokens"]] == [3, 2, 1]


@pytest.mark.parametrize(
    "words",
    [
        ("new",), ("new", ""), ("new", "a\nb"), ("new", "x" * 65), ("new", "a", "--scope", "admin"),
        ("new", "a", "--expires", "soon"), ("new", "a", "--expires", "5"), ("revoke",),
        ("revoke", "ana"),
    ],
)  # fmt: skip
def test_wrong_usage_makes_and_ends_nothing(edge: Router, words: tuple[str, ...]) -> None:
    assert edge.command("token", *words)[0] == 64
    assert told(edge, "token", "list")["tokens"] == []


def test_revoking_says_which_and_fails_where_there_was_none(edge: Router) -> None:
    edge.command("token", "new", "a")
    edge.command("token", "new", "b")
    assert edge.command("token", "revoke", "1", "2")[:2] == (0, "revoked: 1, 2\n")
    assert edge.command("token", "revoke", "1", "9")[:2] == (1, "revoked: none\n")
    assert {one["state"] for one in told(edge, "token", "list")["tokens"]} == {"revoked"}


def test_the_ledger_of_tokens_is_for_its_owner_alone(edge: Router) -> None:
    edge.command("token", "new", "a")
    path = edge.data_dir / "ledger" / "ledger.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_certificate_is_written_shown_and_renewed(bare: Router) -> None:
    code, output, _ = bare.command("cert", "new", "web", "--for", "edge.example", "--days", "10")
    assert code == 0 and "tls: {web: {cert: tls/web.pem, key: tls/web.key}}" in output
    folder = bare.folder / "tls"
    assert stat.S_IMODE((folder / "web.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "web.pem").stat().st_mode) == 0o644
    (shown,) = told(bare, "cert", "show")["certificates"]
    assert (shown["profile"], shown["names"], shown["days_left"]) == ("web", ["edge.example"], 9)
    table = bare.command("cert", "show")[1]
    assert "CN=edge.example (self-signed)" in table and shown["fingerprint"][:16] in table

    before = (folder / "web.pem").read_bytes()
    code, _, errors = bare.command("cert", "new", "web", "--for", "edge.example")
    assert code == 1 and "--replace" in errors and (folder / "web.pem").read_bytes() == before
    renewed = told(bare, "cert", "new", "web", "--for", "edge.example", "--replace")
    assert renewed["days_left"] == 396 and (folder / "web.pem").read_bytes() != before
    assert sorted(one.name for one in folder.iterdir()) == ["web.key", "web.pem"]
    command = ["openssl", "x509", "-in", str(folder / "web.pem"), "-noout", "-checkend", "0"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("new", "web"), ("new", "../web", "--for", "a"), ("new", "web", "--for", "a b"),
        ("new", "web", "--for", "a", "--days", "0"), ("new", "web", "--for", "a", "--days", "9999"),
    ],
)  # fmt: skip
def test_a_certificate_that_cannot_be_is_not_written(bare: Router, words: tuple[str, ...]) -> None:
    assert bare.command("cert", *words)[0] == 64
    assert not (bare.folder / "tls").exists()


def test_what_cannot_be_read_or_has_ended_is_told_by_exit_one(edge: Router) -> None:
    folder = edge.folder / "tls"
    (folder / "web.pem").write_text("nothing\n")
    code, _, errors = edge.command("cert", "show")
    assert code == 1 and "holds no certificate" in errors
    _ended(folder)
    code, output, _ = edge.command("cert", "show", "--format", "json")
    assert code == 1 and json.loads(output)["certificates"][0]["days_left"] < 0


def _ended(folder: Path) -> None:
    """A certificate that ended yesterday, by openssl."""
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", str(folder / "web.key"), "-out", str(folder / "web.pem"), "-subj", "/CN=old",
        "-days", "-1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, env=dict(os.environ))
    if done.returncode:
        pytest.skip("this openssl makes no certificate of the past")
