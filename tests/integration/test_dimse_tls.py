"""DIMSE over TLS: mutual, anonymous and refused, with OpenSSL, DCMTK and ourselves as peers."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time

import pytest
import trustme

from router.dimse import client
from router.dimse.tls import client_context, server_context
from router.errors import Unreachable
from router.model.station import TlsProfile
from tests.support.dimse_provider import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    ScriptedPeer,
    run,
    running,
)

BOTH = [(VERIFICATION, IMPLICIT), (CT, EXPLICIT)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of one authority, and of another nobody trusts."""
    folder = tmp_path_factory.mktemp("tls")
    ours, other = trustme.CA(organization_name="Clinic"), trustme.CA()
    expired = dt.datetime(2020, 1, 1)
    issued = {
        "server": ours.issue_cert("127.0.0.1", "localhost"),
        "client": ours.issue_cert("ct1.clinic.example", common_name="CT1"),
        "elsewhere": ours.issue_cert("elsewhere.example"),
        "expired": ours.issue_cert("127.0.0.1", not_after=expired),
        "stranger": other.issue_cert("127.0.0.1"),
    }
    paths = {}
    for name, certificate in issued.items():
        key, chain = folder / f"{name}.key", folder / f"{name}.pem"
        certificate.private_key_pem.write_to_path(key)
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        paths[name] = (chain, key)
    ours.cert_pem.write_to_path(folder / "ca.pem")
    paths["ca"] = folder / "ca.pem"
    return paths


def profile(files, name, client_auth="none", ca=True) -> TlsProfile:
    chain, key = files[name] if name else (None, None)
    return TlsProfile("test", chain, key, files["ca"] if ca else None, client_auth)


def connect(port, profile, host="127.0.0.1"):
    return client.connect(
        host,
        port,
        "CT1",
        "ROUTER",
        BOTH,
        tls_context=client_context(profile),
        timeout_seconds=3,
        max_pdu_bytes=16384,
    )


def test_mutual_tls_stores_and_names_the_certificate(files):
    context = server_context(profile(files, "server", "required"))
    with running(tls_context=context) as provider:
        with connect(provider.port, profile(files, "client")) as association:
            assert association.echo() == 0
            data = [bytes([number]) * 100_000 for number in range(20)]
            assert association.store(CT, "1.2.3", EXPLICIT, data, 0).status == 0
        assert provider.sink.data_sets == [b"".join(data)]
        subject = provider.sink.calls[0].tls_subject
        assert subject is not None
        assert "CN=CT1" in subject and "; DNS:ct1.clinic.example" in subject


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_f39_both_versions_pass_with_forward_secret_authenticated_ciphers_only(files, version):
    with running(tls_context=server_context(profile(files, "server"))) as provider:
        context = client_context(profile(files, None))
        context.maximum_version = version
        with socket.create_connection(("127.0.0.1", provider.port)) as sock:
            with context.wrap_socket(sock, server_hostname="127.0.0.1") as secured:
                name, protocol, _ = secured.cipher()
                assert "GCM" in name or "CHACHA20" in name
                assert protocol == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
                assert secured.compression() is None


def test_what_is_too_old_is_refused(files):
    with running(tls_context=server_context(profile(files, "server"))) as provider:
        for ciphers, version in (
            ("ALL:@SECLEVEL=0", ssl.TLSVersion.TLSv1_1),
            ("AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2),
            ("ECDHE-RSA-AES128-SHA256", ssl.TLSVersion.TLSv1_2),
        ):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers(ciphers)
            with pytest.warns(DeprecationWarning) if version.name == "TLSv1_1" else _nothing():
                context.minimum_version = version
                context.maximum_version = version
            with socket.create_connection(("127.0.0.1", provider.port)) as sock:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(sock)
        provider.wait(lambda: provider.server.counts().refused == {"tls": 3})


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def test_m23_a_client_without_a_trusted_certificate_is_refused_and_the_next_passes(files):
    context = server_context(profile(files, "server", "required"))
    with running(tls_context=context) as provider:
        for name in (None, "stranger", "expired"):
            with pytest.raises(Unreachable, match="TLS"):
                connect(provider.port, profile(files, name))
        connect(provider.port, profile(files, "client")).release()
        assert provider.server.counts().refused == {"tls": 3}


@pytest.mark.parametrize(
    ("name", "host", "words"),
    [
        ("elsewhere", "127.0.0.1", "IP address mismatch"),
        ("elsewhere", "localhost", "Hostname mismatch"),
        ("expired", "127.0.0.1", "expired"),
        ("stranger", "127.0.0.1", "issuer|self-signed|self signed"),
    ],
)
def test_the_client_names_what_is_wrong_with_the_servers_certificate(files, name, host, words):
    with running(tls_context=server_context(profile(files, name))) as provider:
        with pytest.raises(Unreachable, match=f"TLS: the certificate is not accepted: .*({words})"):
            connect(provider.port, profile(files, None), host)


def test_m7_silent_tls_clients_never_delay_an_echo(files):
    context = server_context(profile(files, "server"))
    with running(tls_context=context, tls_handshake_seconds=1.5) as provider:
        silent = [socket.create_connection(("127.0.0.1", provider.port)) for _ in range(40)]
        half = [socket.create_connection(("127.0.0.1", provider.port)) for _ in range(20)]
        for sock in half:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        provider.wait(lambda: provider.server.counts().pending == 60)
        began = time.monotonic()
        with connect(provider.port, profile(files, None)) as association:
            assert association.echo() == 0
        assert time.monotonic() - began < 1.0
        provider.wait_for_no_connection(seconds=5.0)
        for sock in silent + half:
            sock.close()


def test_a_plain_peer_on_a_tls_port_is_refused(files):
    with running(tls_context=server_context(profile(files, "server"))) as provider:
        assert run("echoscu", "-aec", "ROUTER", "-to", 3, "127.0.0.1", provider.port).returncode
        connect(provider.port, profile(files, None)).release()


def test_a_tls_client_at_a_plain_port_is_told_so(files):
    with running() as provider, pytest.raises(Unreachable, match="TLS"):
        connect(provider.port, profile(files, None))


def test_a_server_that_never_answers_the_handshake_is_left_at_the_deadline(files):
    with ScriptedPeer(lambda sock: sock.recv(1) and time.sleep(2.5)) as peer:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="within 1 s"):
            client.connect(
                "127.0.0.1",
                peer.port,
                "A",
                "B",
                BOTH,
                tls_context=client_context(profile(files, None)),
                timeout_seconds=1,
                max_pdu_bytes=16384,
            )
        assert time.monotonic() - began < 2.0


def test_m22_renewed_certificates_serve_the_next_connection_and_leave_the_running_one(files):
    with running(tls_context=server_context(profile(files, "elsewhere"))) as provider:
        with pytest.raises(Unreachable):
            connect(provider.port, profile(files, None))
        provider.server.use_tls_context(server_context(profile(files, "server")))
        with connect(provider.port, profile(files, None)) as association:
            provider.server.use_tls_context(server_context(profile(files, "elsewhere")))
            assert association.echo() == 0


def test_files_that_do_not_fit_are_named(files, tmp_path):
    chain, _ = files["server"]
    with pytest.raises(ValueError, match="key values mismatch"):
        server_context(TlsProfile("x", chain, files["client"][1], None))
    with pytest.raises(ValueError, match="No such file"):
        server_context(TlsProfile("x", tmp_path / "absent.pem", None, None))
    with pytest.raises(ValueError, match="has no certificate"):
        server_context(TlsProfile("x", None, None, None))
    with pytest.raises(ValueError, match="without a ca"):
        server_context(profile(files, "server", "required", ca=False))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ValueError, match="cannot use ca"):
        client_context(TlsProfile("x", None, None, tmp_path / "empty.pem"))


@pytest.mark.peers
def test_dcmtk_over_tls_mutual_anonymous_and_refused(files):
    chain, key = files["client"]
    mutual = ("+tls", key, chain, "+cf", files["ca"])
    anonymous = ("+tla", "+cf", files["ca"])
    required = server_context(profile(files, "server", "required"))
    with running(tls_context=required) as provider:
        target = ("-to", 5, "-aec", "ROUTER", "127.0.0.1", provider.port)
        done = run("echoscu", *mutual, *target)
        assert done.returncode == 0, done.stderr
        assert run("echoscu", *anonymous, *target).returncode
        assert run("echoscu", *target).returncode
        assert run("echoscu", *mutual, *target).returncode == 0
    with running(tls_context=server_context(profile(files, "server"))) as provider:
        target = ("-to", 5, "-aec", "ROUTER", "127.0.0.1", provider.port)
        assert run("echoscu", *anonymous, *target).returncode == 0
