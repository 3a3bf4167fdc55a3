"""Certificates: what is made is trusted by those who are given it, and read as it was written."""

from __future__ import annotations

import ssl
import subprocess
import time

import pytest
import trustme

from router.dimse.certificates import read_certificate, self_signed

DAY = 86_400


def made(tmp_path, *names, days=30):
    certificate, key = self_signed(names, days)
    (tmp_path / "a.pem").write_bytes(certificate)
    (tmp_path / "a.key").write_bytes(key)
    return tmp_path / "a.pem", tmp_path / "a.key"


def test_it_says_what_was_asked_for(tmp_path):
    path, _ = made(tmp_path, "edge.hospital-a.example", "10.0.0.5", "::1", "münchen.example")
    found = read_certificate(path)
    assert found.names == (
        "edge.hospital-a.example", "10.0.0.5", "::1", "xn--mnchen-3ya.example",
    )  # fmt: skip
    assert found.subject == found.issuer == "CN=edge.hospital-a.example"
    assert found.is_self_signed and found.key == "secp256r1"
    assert abs(found.not_after - time.time() - 30 * DAY) < 60
    assert found.not_before < time.time() - 3000
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    assert found.fingerprint == __import__("hashlib").sha256(der).hexdigest()


def test_a_client_that_was_given_it_verifies_it(tmp_path):
    path, key = made(tmp_path, "localhost", "127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, key)
    for name, is_good in (("localhost", True), ("127.0.0.1", True), ("other.example", False)):
        client = ssl.create_default_context(cafile=str(path))
        a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(a, b, server_hostname=name)
        theirs = server.wrap_bio(b, a, server_side=True)
        assert _handshake(ours, theirs) == is_good, name


def _handshake(ours, theirs):
    for _ in range(6):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return True


def test_openssl_reads_it_and_finds_both_uses(tmp_path):
    path, _ = made(tmp_path, "localhost")
    command = ["openssl", "x509", "-in", str(path), "-noout", "-text"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in ("DNS:localhost", "TLS Web Server Authentication", "TLS Web Client Authentication",
                  "CA:FALSE", "prime256v1"):  # fmt: skip
        assert words in text


def test_one_that_somebody_vouches_for_is_not_self_signed(tmp_path):
    authority = trustme.CA()
    authority.issue_cert("edge.example").cert_chain_pems[0].write_to_path(tmp_path / "a.pem")
    found = read_certificate(tmp_path / "a.pem")
    assert not found.is_self_signed and found.names == ("edge.example",)


@pytest.mark.parametrize("name", ["", "a b", "x/y", "a" * 254, "-_é\n"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="neither|label|codec|IDNA|idna"):
        self_signed(["localhost", name], 1)


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"]
)
def test_what_is_no_certificate_is_named(tmp_path, content):
    path = tmp_path / "a.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.pem holds no certificate"):
        read_certificate(path)
    with pytest.raises(ValueError, match="gone.pem: No such file"):
        read_certificate(tmp_path / "gone.pem")
