"""TLS contexts against each other in memory: who is accepted as whom, for every pair of profiles."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from router.dimse.tls import client_context, server_context, subject_of
from router.model.station import TlsProfile

Files = dict[str, tuple[Path, Path]]
LONG_AGO = dt.datetime(2020, 1, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    """(certificate chain, key) by name; of an authority only the first counts."""
    folder = tmp_path_factory.mktemp("tls")
    ours, other = trustme.CA(organization_name="Clinic"), trustme.CA()
    issued = {
        "server": ours.issue_cert("127.0.0.1", "localhost"),
        "elsewhere": ours.issue_cert("elsewhere.example"),
        "client": ours.issue_cert("ct1.clinic.example", common_name="CT1"),
        "expired": ours.issue_cert("127.0.0.1", not_after=LONG_AGO),
        "stranger": other.issue_cert("127.0.0.1"),
    }
    paths = {}
    for name, certificate in issued.items():
        paths[name] = folder / f"{name}.pem", folder / f"{name}.key"
        paths[name][0].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(paths[name][1])
    for name, authority in (("ours", ours), ("other", other)):
        authority.cert_pem.write_to_path(folder / f"{name}.pem")
        paths[name] = folder / f"{name}.pem", folder
    return paths


def profile(files: Files, name: str | None, ca: str | None = "ours", auth: str = "none"):
    chain, key = files[name] if name else (None, None)
    return TlsProfile("test", chain, key, files[ca][0] if ca else None, auth)  # type: ignore[arg-type]


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "127.0.0.1"):
    """Both ends after the handshake; raises SSLError of whichever refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    left = list(ends)
    while left:
        for end in tuple(left):
            try:
                end.do_handshake()
                left.remove(end)
            except ssl.SSLWantReadError:
                continue
    return ends


@pytest.mark.parametrize(
    ("auth", "presented", "outcome"),
    [
        # Not asked for, so not looked at, whatever a client has.
        ("none", None, None),
        ("none", "client", None),
        ("none", "stranger", None),
        ("optional", None, None),
        ("optional", "client", "CT1"),
        # Optional is no licence to come with somebody else's certificate.
        ("optional", "stranger", ssl.SSLError),
        ("optional", "expired", ssl.SSLError),
        ("required", None, ssl.SSLError),
        ("required", "client", "CT1"),
        ("required", "stranger", ssl.SSLError),
        ("required", "expired", ssl.SSLError),
    ],
)
def test_whom_a_listener_accepts_and_as_whom(files, auth, presented, outcome):
    server = server_context(profile(files, "server", auth=auth))
    client = client_context(profile(files, presented))
    if outcome is ssl.SSLError:
        with pytest.raises(ssl.SSLError):
            shaken(server, client)
        return
    subject = subject_of(shaken(server, client)[1])
    assert subject is None if outcome is None else f"CN={outcome}" in subject


@pytest.mark.parametrize(
    ("certificate", "ca", "host", "words"),
    [
        ("server", "ours", "127.0.0.1", None),
        ("server", "ours", "localhost", None),
        ("server", "ours", "127.0.0.2", "IP address mismatch"),
        ("elsewhere", "ours", "localhost", "Hostname mismatch"),
        ("expired", "ours", "127.0.0.1", "has expired"),
        ("stranger", "ours", "127.0.0.1", "unable to get local issuer"),
        ("stranger", "other", "127.0.0.1", None),
        # Without a ca the system's authorities decide, and those do not know ours.
        ("server", None, "127.0.0.1", "unable to get local issuer"),
    ],
)
def test_which_servers_a_client_believes(files, certificate, ca, host, words):
    server = server_context(profile(files, certificate, ca=None))
    client = client_context(profile(files, None, ca=ca))
    if words is None:
        shaken(server, client, host)
        return
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        shaken(server, client, host)


@pytest.mark.parametrize("made", [server_context, client_context])
def test_the_profile_of_bcp_195_holds_for_both_sides(files, made):
    # PS3.15 B.12: ephemeral keys, authenticated ciphers, nothing before TLS 1.2.
    context = made(profile(files, "server"))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert {cipher["aead"] for cipher in context.get_ciphers()} == {True}
    assert all(
        cipher["kea"] in {"kx-ecdhe", "kx-any"} and cipher["strength_bits"] >= 128
        for cipher in context.get_ciphers()
    )
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
        assert context.options & option


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_agree_on_a_cipher(files, newest):
    client = client_context(profile(files, None))
    client.maximum_version = newest
    ends = shaken(server_context(profile(files, "server", ca=None)), client)
    assert {end.version() for end in ends} == {newest.name.replace("_", ".")}
    assert ends[0].cipher()[0].startswith(("TLS_AES", "TLS_CHACHA20", "ECDHE-"))


def test_nobody_can_resume_a_session_of_a_certificate_withdrawn_since(files):
    ends = shaken(
        server_context(profile(files, "server", ca=None)), client_context(profile(files, None))
    )
    assert not ends[0].session.has_ticket


@pytest.mark.parametrize(
    ("certificate", "line"),
    [
        (None, None),
        ({}, None),
        (
            {"subject": ((("commonName", "CT1"),), (("organizationName", "Clinic"),))},
            "CN=CT1,O=Clinic",
        ),
        (
            {
                "subject": ((("countryName", "DE"), ("serialNumber", "7")),),
                "subjectAltName": (("DNS", "ct1.example"), ("URI", "urn:dicom:CT1")),
            },
            "C=DE,serialNumber=7; DNS:ct1.example; URI:urn:dicom:CT1",
        ),
        # A name must not start a line of its own in a log or colour a terminal.
        ({"subject": ((("commonName", "CT1\n2026 \x1b[31mok"),),)}, "CN=CT1?2026 ?[31mok"),
        ({"subject": (), "subjectAltName": (("DNS", "ct1"),)}, "; DNS:ct1"),
    ],
)
def test_a_certificate_in_one_line(certificate, line):
    assert subject_of(SimpleNamespace(getpeercert=lambda: certificate)) == line  # type: ignore[arg-type]


def test_an_encrypted_key_is_named_and_nobody_is_asked_for_its_password(files, tmp_path):
    chain, key = files["server"]
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"canary"),
        )
    )
    with pytest.raises(ValueError, match=r"'test'.*server\.pem.*locked\.key.*encrypted") as caught:
        server_context(TlsProfile("test", chain, locked, None))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("make", [server_context, client_context])
@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_hold_something_else_are_named(files, tmp_path, make, content):
    odd = tmp_path / "odd.pem"
    odd.write_bytes(content)
    chain, key = files["server"]
    for found in (
        TlsProfile("test", odd, key, None),
        TlsProfile("test", chain, odd, None),
        TlsProfile("test", chain, key, odd, "required"),
    ):
        with pytest.raises(ValueError, match=r"TLS profile 'test': cannot use .*odd\.pem"):
            make(found)
