"""One HTTP exchange with servers that drip, bomb, redirect and vanish; and its TLS."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from router.clock import Clock
from router.demo.cloud import Cloud
from router.demo.cloud_faults import Fault
from router.dicomweb import network
from router.dicomweb.client import HttpSession, LostAnswer, StowClient
from router.dicomweb.multipart import Part, PartFailed, RelatedBody, gathered
from router.dicomweb.outcome import read_answer
from router.dicomweb.profiles import profile_named
from router.dicomweb.words import scrubbed
from router.errors import BadDataset, Rejected, Unreachable
from router.model.delivery import Result
from tests.support.synthetic import instance


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A raw server on the loopback interface; `behave` gets each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@contextmanager
def session(**options: object) -> Iterator[HttpSession]:
    made = HttpSession(
        ssl.create_default_context(),
        Clock(),
        **{"allow_http": True, **options},  # type: ignore[arg-type]
    )
    try:
        yield made
    finally:
        made.close()


def _request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)


def _drip(head: bytes, unit: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(head)
        for _ in range(60):
            connection.sendall(unit)
            time.sleep(0.05)

    return behave


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_m21_a_server_that_drips_is_cut_at_the_deadline(head: bytes, unit: bytes) -> None:
    with server(_drip(head, unit)) as url, session() as http:
        began_at = time.monotonic()
        with pytest.raises(LostAnswer):
            http.exchange("GET", url, {}, seconds=0.5)
        assert time.monotonic() - began_at < 1.5


def test_m21_a_server_that_reads_slowly_is_cut_at_the_deadline() -> None:
    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(25):
            connection.recv(1024)
            time.sleep(0.05)

    part = Part(50_000_000, lambda: iter([bytes(1_000_000)] * 50))
    with server(behave) as url, session() as http:
        began_at = time.monotonic()
        with pytest.raises(LostAnswer):
            http.exchange("POST", url, {}, RelatedBody([part]), seconds=0.5)
        assert time.monotonic() - began_at < 1.5


def test_m21_a_compressed_answer_is_not_opened() -> None:
    bomb = gzip.compress(bytes(50_000_000))

    def behave(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/dicom+json\r\n"
            + f"Content-Length: {len(bomb)}\r\n\r\n".encode()
            + bomb
        )

    with server(behave) as url, session() as http:
        answer = http.exchange("GET", url, {}, seconds=5)
    assert answer.body == b""
    verdict = read_answer(["1.2"], answer, profile_named("generic"), 0.0)[0]
    assert verdict.result is Result.RETRY


def test_an_answer_without_end_is_cut_at_the_cap() -> None:
    def behave(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with server(behave) as url, session() as http, pytest.raises(LostAnswer, match="longer"):
        http.exchange("GET", url, {}, seconds=5, max_bytes=1_000_000)


def test_an_account_of_what_was_stored_is_bounded_before_it_is_parsed() -> None:
    """32 MB of `{},` would be 700 MB of dictionaries."""

    def behave(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n")
        connection.sendall(b'{"00081199": {"Value": [{}' + b",{}" * 1_500_000 + b"]}}")
        while connection.recv(65536):  # to close over what is unread would be a reset
            pass

    with server(behave) as url, session() as http:
        stow = StowClient(http, url, profile_named("azure"))
        with pytest.raises(LostAnswer, match="longer than 4194304 bytes"):
            stow.store([Part(3, lambda: iter([b"abc"]))])


def test_F20_no_listener_and_no_name_are_unreachable_with_their_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with session() as http:
        with pytest.raises(Unreachable, match="refused"):
            http.exchange("GET", f"http://127.0.0.1:{port}/", {})
        with pytest.raises(Unreachable, match="no-such-host"):
            http.exchange("GET", "http://no-such-host.invalid/", {})


@pytest.mark.parametrize(
    ("host", "addresses", "refused"),
    [
        ("dicom.cloud.example", ["127.0.0.1"], True),
        ("dicom.cloud.example", ["::1"], True),
        ("dicom.cloud.example", ["0.0.0.0"], True),
        ("dicom.cloud.example", ["::ffff:127.0.0.1"], True),
        ("dicom.cloud.example", ["10.0.0.1", "169.254.169.254"], True),
        ("169.254.169.254", ["169.254.169.254"], True),
        ("dicom.cloud.example", ["fe80::1%eth0"], True),
        ("dicom.cloud.example", ["10.0.0.1", "192.168.3.4"], False),
        ("localhost", ["127.0.0.1"], False),
        ("127.0.0.1", ["127.0.0.1"], False),
        ("::1", ["::1"], False),
    ],
)
def test_a_name_that_leads_to_this_machine_or_its_metadata_is_refused(
    host: str, addresses: list[str], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(network.socket, "getaddrinfo", resolve)
    if refused:
        with pytest.raises(Rejected):
            network.permitted_addresses(host, 443)
    else:
        assert len(network.permitted_addresses(host, 443)) == len(addresses)


def test_f40_an_address_without_tls_is_refused_unless_it_is_permitted() -> None:
    with Cloud() as cloud, session(allow_http=False) as http:
        with pytest.raises(Rejected, match="https"):
            http.exchange("GET", cloud.url, {})
        assert cloud.count("search") == 0


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def _tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_f42_https_with_the_authority_of_the_station(authority: trustme.CA) -> None:
    with Cloud(tls_context=_tls(authority, "localhost"), require_token=False) as cloud:
        http = HttpSession(_trusting(authority), Clock())
        answer = http.exchange(
            "GET", f"{cloud.url}/studies?limit=1", {"Accept": "application/dicom+json"}
        )
        http.close()
    assert answer.status == 204


@pytest.mark.parametrize("fault", ["wrong host", "unknown authority", "old version", "plain"])
def test_F20_a_tls_fault_is_unreachable_with_its_cause(
    fault: str, authority: trustme.CA, tmp_path: Path
) -> None:
    context = _tls(authority, "other.example" if fault == "wrong host" else "localhost")
    if fault == "old version":
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    trusted = _trusting(trustme.CA() if fault == "unknown authority" else authority)
    if fault == "old version":
        trusted.minimum_version = ssl.TLSVersion.TLSv1_3
    with Cloud(tls_context=None if fault == "plain" else context) as cloud:
        http = HttpSession(trusted, Clock())
        url = cloud.url.replace("http://", "https://")
        with pytest.raises(Unreachable) as caught:
            http.exchange("GET", url, {}, seconds=5)
        http.close()
    assert len(str(caught.value)) > len("no connection: ")


def _redirecting(status: int, location: str) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(
            f"HTTP/1.1 {status} R\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    return behave


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_F18_a_redirect_elsewhere_is_not_followed(status: int) -> None:
    with (
        Cloud() as cloud,
        server(_redirecting(status, f"{cloud.url}/studies")) as url,
        session() as http,
    ):
        answer = http.exchange("GET", url, {"Authorization": "Bearer secret"}, seconds=5)
        assert answer.status == status
        assert cloud.count("search") == 0


@pytest.mark.parametrize(("status", "followed"), [(307, True), (308, True), (302, False)])
def test_F18_only_307_and_308_within_the_same_https_origin_are_followed(
    status: int, followed: bool, authority: trustme.CA
) -> None:
    with Cloud(tls_context=_tls(authority, "localhost"), require_token=False) as cloud:
        http = HttpSession(_trusting(authority), Clock())
        cloud.stow_script.add(Fault(status=status, keep=0, headers=(("Location", "/v2/studies"),)))
        found = instance(1)
        file = found.part10()
        client = StowClient(http, cloud.url, profile_named("azure"))
        answer = client.store([Part(len(file), lambda: iter([file]))])
        client.close()
        assert (answer.status == 200) is followed
        assert len(cloud.stored()) == int(followed)


def test_F18_without_https_no_redirect_is_followed_at_all() -> None:
    with Cloud(require_token=False) as cloud, session() as http:
        cloud.stow_script.always(Fault(status=307, headers=(("Location", "/v2/studies"),)))
        client = StowClient(http, cloud.url, profile_named("azure"))
        assert client.store([Part(2, lambda: iter([b"ab"]))]).status == 307
        assert cloud.count("stow") == 1


def test_F18_a_redirect_in_a_circle_ends(authority: trustme.CA) -> None:
    with Cloud(tls_context=_tls(authority, "localhost"), require_token=False) as cloud:
        http = HttpSession(_trusting(authority), Clock())
        cloud.stow_script.always(Fault(status=308, headers=(("Location", "/v2/studies"),)))
        client = StowClient(http, cloud.url, profile_named("azure"))
        assert client.store([Part(2, lambda: iter([b"ab"]))]).status == 308
        client.close()
        assert cloud.count("stow") == 3


def test_the_other_quoting_is_tried_once_with_a_server_nobody_knows() -> None:
    seen: list[bool] = []

    def behave(connection: socket.socket) -> None:
        data = b""
        while not data.endswith(b"--\r\n"):
            data += connection.recv(65536)
        quoted = b'type="application/dicom"' in data
        seen.append(quoted)
        status = "415 no" if quoted else "200 OK"
        connection.sendall(
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
        )
        connection.close()

    part = Part(2, lambda: iter([b"ab"]))
    with server(behave) as url, session() as http:
        client = StowClient(http, url, profile_named("generic"))
        assert [client.store([part]).status for _ in range(3)] == [200, 200, 200]
        assert seen == [True, False, False, False]
        seen.clear()
        assert StowClient(http, url, profile_named("azure")).store([part]).status == 415
        assert seen == [True]


def test_multipart_has_the_length_it_promises_and_the_framing_of_the_standard() -> None:
    parts = [Part(4, lambda: iter([b"ab", memoryview(b"cd")])), Part(0, lambda: iter([]))]
    body = RelatedBody(parts)
    data = b"".join(body.chunks())
    assert data == b"".join(body.chunks())
    assert len(data) == body.length
    mark = f"--{body.boundary}".encode()
    head = b"\r\nContent-Type: application/dicom\r\n\r\n"
    assert data == mark + head + b"abcd\r\n" + mark + head + b"\r\n" + mark + b"--\r\n"
    assert body.boundary.isalnum()
    assert len(body.boundary) <= 70
    kind = "multipart/related; type={}; boundary=" + body.boundary
    assert body.content_type() == kind.format('"application/dicom"')
    assert body.content_type(quoted=False) == kind.format("application/dicom")


@pytest.mark.parametrize("data", [b"abc", b"abcde"])
def test_a_part_of_another_length_than_promised_is_named(data: bytes) -> None:
    parts = [Part(2, lambda: iter([b"ab"])), Part(4, lambda: iter([data]))]
    with pytest.raises(PartFailed) as caught:
        list(RelatedBody(parts).chunks())
    assert caught.value.index == 1
    assert isinstance(caught.value.cause, BadDataset)


def test_small_pieces_are_gathered_and_large_ones_pass_uncopied() -> None:
    large = memoryview(bytes(300_000))
    pieces = [b"a", large, large, b"c", bytes(40_000), b"d"]
    found = list(gathered(pieces))
    assert found[1] is large
    assert found[2] is large
    assert [len(piece) for piece in found] == [1, 300_000, 300_000, 40_002]
    assert b"".join(found) == b"".join(pieces)


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("<html><body>Gateway <b>busy</b></body></html>", "Gateway busy", "<"),
        ("value 'DOE^JOHN' of \"PatientName\" is bad", "is bad", "DOE"),
        ("Authorization: Bearer abc.def.ghi", "Authorization", "abc"),
        ("client_secret=hunter2 was wrong; secret: hunter2", "wrong", "secret: hunter2"),
        ("x" * 500, "…", "xxxxx"),
        ("line\r\n\x1b[31mred\x00", "line", "\x1b"),
        ("word " * 500, "word", "word " * 40),
        ("<script>" + "a" * 100 + "</script>done", "done", "script"),
    ],
)
def test_what_a_server_says_is_cut_and_scrubbed(text: str, kept: str, gone: str) -> None:
    found = scrubbed(text)
    assert kept in found
    assert gone not in found
    assert len(found) <= 160
