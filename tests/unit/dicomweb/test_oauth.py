"""OAuth 2.0 client credentials against a pretend cloud: F19 and feature 41."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from router.clock import Clock
from router.demo.cloud import Cloud
from router.demo.cloud_faults import Fault
from router.dicomweb.client import HttpSession
from router.dicomweb.oauth import TokenSource
from router.errors import Busy, DeliveryError, Rejected, Unreachable
from router.model.station import OAuth, Secret

SECRET = "canary-s3cret-value"


class FakeClock(Clock):
    """A clock that is moved by hand; a wait moves it."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.waited: list[float] = []

    def now(self) -> float:
        return super().now() + self.offset

    def monotonic(self) -> float:
        return super().monotonic() + self.offset

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        self.waited.append(timeout_seconds)
        self.offset += timeout_seconds
        return event.is_set()


@contextmanager
def source(cloud: Cloud, clock: Clock | None = None, **settings: object) -> Iterator[TokenSource]:
    """A token source of this cloud."""
    clock = clock or FakeClock()
    session = HttpSession(ssl.create_default_context(), Clock(), allow_http=True)
    oauth = OAuth(cloud.token_url, "edge-a", client_secret=Secret("file", "cloud-secret"))
    try:
        yield TokenSource(
            replace(oauth, **settings),  # type: ignore[arg-type]
            lambda _: SECRET,
            clock,
            session,
        )
    finally:
        session.close()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(client_secret=SECRET) as running:
        yield running


def test_f41_a_token_is_fetched_once_and_kept(cloud: Cloud) -> None:
    with source(cloud) as tokens:
        assert len({tokens.token() for _ in range(50)}) == 1
        assert cloud.is_authorised(tokens.header(0.0))
    assert cloud.count("token") == 1


def test_f41_the_secret_may_travel_in_the_basic_header(cloud: Cloud) -> None:
    with source(cloud, send_secret_in="header") as tokens:
        assert cloud.is_authorised(tokens.header(0.0))


def test_f41_it_is_renewed_less_than_five_minutes_before_its_end(cloud: Cloud) -> None:
    clock = FakeClock()
    with source(cloud, clock) as tokens:
        first = tokens.token()
        clock.offset += 3600 - 310
        assert tokens.token() == first
        clock.offset += 15
        second = tokens.token()
        assert second != first
        clock.offset += 3600 + 1
        assert tokens.token() not in (first, second)
    assert cloud.count("token") == 3


def test_F19_one_renewal_for_many_threads_and_nobody_waits_while_the_old_one_lasts(
    cloud: Cloud,
) -> None:
    clock = FakeClock()
    with source(cloud, clock) as tokens, ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: tokens.token(), range(64)))) == 1
        assert cloud.count("token") == 1
        clock.offset += 3400
        list(pool.map(lambda _: tokens.token(), range(64)))
    assert cloud.count("token") == 2


def test_F19_during_a_slow_renewal_the_old_token_goes_on(cloud: Cloud) -> None:
    clock = FakeClock()
    asked, answered = threading.Event(), threading.Event()
    known = cloud.is_known_client

    def slowly(form: Mapping[str, str], header: str) -> bool:
        asked.set()
        return answered.wait(5) and known(form, header)

    with source(cloud, clock) as tokens, ThreadPoolExecutor(1) as pool:
        first = tokens.token()
        cloud.is_known_client = slowly  # type: ignore[method-assign]
        clock.offset += 3400
        renewing = pool.submit(tokens.token)
        assert asked.wait(5)
        began_at = time.monotonic()
        assert tokens.token() == first
        assert time.monotonic() - began_at < 5
        answered.set()
        assert renewing.result() != first


def test_F19_threads_that_waited_share_a_token_that_hardly_lives(cloud: Cloud) -> None:
    cloud.token_script.always(_answered(0))
    start = threading.Barrier(8)
    known = cloud.is_known_client

    def slowly(form: Mapping[str, str], header: str) -> bool:
        time.sleep(0.3)
        return known(form, header)

    cloud.is_known_client = slowly  # type: ignore[method-assign]

    def ask(_: int) -> str:
        start.wait(5)
        return tokens.token()

    with source(cloud) as tokens, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"tok"}
    assert cloud.count("token") == 1


def test_F19_a_dropped_token_is_replaced_at_most_once_a_second(cloud: Cloud) -> None:
    clock = FakeClock()
    with source(cloud, clock) as tokens:
        for _ in range(5):
            assert tokens.refused(tokens.header(0.0))
    assert cloud.count("token") == 5
    assert sum(clock.waited) >= 3.5


def test_F19_dropping_an_old_token_keeps_the_new_one(cloud: Cloud) -> None:
    with source(cloud) as tokens:
        first = tokens.token()
        tokens.drop(first)
        second = tokens.token()
        tokens.drop(first)
        assert tokens.token() == second


def _answered(expires_in: object) -> Fault:
    body = json.dumps({"access_token": "tok", "expires_in": expires_in}).encode()
    return Fault(body=body, status=200)


@pytest.mark.parametrize(
    ("expires_in", "calls"),
    [(0, 2), (-5, 2), (30, 2), ("3599", 1), (1e300, 1), ("soon", 1), (None, 1), ([], 1)],
)
def test_F19_absurd_lives_neither_flood_the_endpoint_nor_last_for_ever(
    cloud: Cloud, expires_in: object, calls: int
) -> None:
    clock = FakeClock()
    cloud.token_script.always(_answered(expires_in))
    with source(cloud, clock) as tokens:
        tokens.token()
        clock.offset += 2.0
        assert tokens.token() == "tok"
        assert cloud.count("token") == calls
        clock.offset += 86400.0
        tokens.token()
        assert cloud.count("token") == calls + 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=400, body=b'{"error": "invalid_scope"}'), Rejected),
        (Fault(status=401, body=b'{"error": "invalid_client"}'), Rejected),
        (Fault(status=403), Rejected),
        (Fault(status=404), Rejected),
        (Fault(status=302, headers=(("Location", "https://evil.example/"),)), Rejected),
        (Fault(status=307, headers=(("Location", "/token"),)), Rejected),
        (Fault(status=408), Unreachable),
        (Fault(status=429, headers=(("Retry-After", "33"),)), Busy),
        (Fault(status=500), Unreachable),
        (Fault(status=502), Unreachable),
        (Fault(status=503), Busy),
        (Fault(status=200, body=b"<html>sign in</html>"), Unreachable),
        (Fault(status=200, body=b"{}"), Unreachable),
        (Fault(status=200, body=b'{"access_token": "two words"}'), Unreachable),
        (Fault(status=200, body=b'{"access_token": "a\\r\\nX: y"}'), Unreachable),
        (Fault(status=200, body=b'{"access_token": 7}'), Unreachable),
        (Fault(status=200, body=b'{"access_token": "' + b"a" * 70_000 + b'"}'), Unreachable),
        (Fault(status=200, body=b"[" * 60_000), Unreachable),
        (Fault(drop=True), Unreachable),
    ],
)
def test_F19_each_answer_of_the_endpoint_is_an_error_of_the_right_class(
    cloud: Cloud, fault: Fault, error: type[DeliveryError]
) -> None:
    cloud.token_script.always(fault)
    with source(cloud) as tokens, pytest.raises(error) as caught:
        tokens.token()
    assert type(caught.value) is error
    assert SECRET not in repr(caught.value)


def test_F19_the_answer_is_not_repeated_but_for_the_codes_of_the_standard(cloud: Cloud) -> None:
    body = json.dumps({"error": SECRET, "error_description": f"bad secret {SECRET}"}).encode()
    cloud.token_script.add(Fault(status=401, body=body))
    with source(cloud) as tokens, pytest.raises(Rejected) as caught:
        tokens.token()
    assert SECRET not in str(caught.value)
    cloud.token_script.add(Fault(status=401, body=b'{"error": "invalid_client"}'))
    with source(cloud) as tokens, pytest.raises(Rejected, match="invalid_client"):
        tokens.token()


def test_F19_a_failing_endpoint_is_called_ever_more_rarely(cloud: Cloud) -> None:
    clock = FakeClock()
    cloud.token_script.always(Fault(status=500))
    with source(cloud, clock) as tokens:
        for _ in range(600):
            with pytest.raises(Unreachable):
                tokens.token()
            clock.offset += 0.1
        assert cloud.count("token") <= 7
        cloud.token_script.always(Fault())
        clock.offset += 61.0
        assert tokens.token()


def test_F19_a_renewal_that_fails_does_not_end_a_token_that_is_still_good(cloud: Cloud) -> None:
    clock = FakeClock()
    with source(cloud, clock) as tokens:
        first = tokens.token()
        cloud.token_script.always(Fault(status=500))
        clock.offset += 3400
        assert tokens.token() == first
        clock.offset += 150  # 50 s are left: it counts as expired
        with pytest.raises(Unreachable):
            tokens.token()


def test_F19_an_endpoint_that_is_down_is_unreachable() -> None:
    cloud = Cloud()
    cloud.close()
    with source(cloud) as tokens, pytest.raises(Unreachable):
        tokens.token()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verifier(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Callable[[str], bool]:
    def verify(assertion: str) -> bool:
        content, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in content.split("."))
        raw = _decoded(signature)
        if isinstance(key, rsa.RSAPrivateKey):
            key.public_key().verify(raw, content.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            pair = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            key.public_key().verify(
                encode_dss_signature(*pair), content.encode(), ec.ECDSA(hashes.SHA256())
            )
        assert header["alg"] == ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        assert header["kid"] == "key-1"
        assert claims["iss"] == claims["sub"] == "edge-a"
        assert claims["aud"] == "https://login.example/"
        return bool(0 < claims["exp"] - claims["iat"] <= 600 and claims["jti"])

    return verify


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_f43_a_signed_assertion_in_place_of_a_secret(kind: str, tmp_path: Path) -> None:
    key = (
        rsa.generate_private_key(65537, 2048)
        if kind == "rsa"
        else ec.generate_private_key(ec.SECP256R1())
    )
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    settings = {"client_secret": None, "private_key": path, "key_id": "key-1"}
    settings["audience"] = "https://login.example/"
    with Cloud(verify_assertion=_verifier(key)) as cloud:
        with source(cloud, **settings) as tokens:
            assert cloud.is_authorised(tokens.header(0.0))
        path.write_text("not a key")
        with source(cloud, **settings) as tokens, pytest.raises(Rejected, match="private key"):
            tokens.token()


def test_f41_scope_and_resource_are_asked_for(cloud: Cloud) -> None:
    seen: list[dict[str, str]] = []
    known = cloud.is_known_client
    cloud.is_known_client = lambda form, header: seen.append(dict(form)) or known(form, header)  # type: ignore[method-assign,func-returns-value]
    with source(cloud, scope=("a/.default", "b"), resource="urn:r") as tokens:
        tokens.token()
    assert seen[0]["scope"] == "a/.default b"
    assert seen[0]["resource"] == "urn:r"


def test_f40_a_token_endpoint_without_tls_is_refused(cloud: Cloud) -> None:
    session = HttpSession(ssl.create_default_context(), Clock())
    oauth = OAuth(cloud.token_url, "edge-a", client_secret=Secret("file", "cloud-secret"))
    tokens = TokenSource(oauth, lambda _: SECRET, Clock(), session)
    with pytest.raises(Rejected, match="https"):
        tokens.token()
    session.close()
    assert cloud.count("token") == 0


def test_each_token_asked_for_is_counted_by_what_came_of_it(cloud: Cloud) -> None:
    counts: list[str] = []
    with source(cloud) as tokens:
        tokens._count = counts.append
        tokens.token()
        tokens.token()
        assert counts == ["fetched"], "the second was kept from the first"
    with source(cloud, client_id="stranger") as tokens:
        tokens._count = counts.append
        with pytest.raises(Rejected):
            tokens.token()
    assert counts == ["fetched", "failed"]
