"""OAuth 2.0 client credentials (RFC 6749 4.4), with a secret or a signed assertion (RFC 7523 2.2).

One source for each station. It keeps the token until a little before it ends, lets one thread fetch
while the others wait or go on with the old one, and calls the endpoint at most once a second. What
fails: Rejected when the endpoint refuses us (someone must change a configuration), Busy or
Unreachable when it may answer later. Secrets, assertions, tokens and answers are in no message.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from router.clock import Clock
from router.dicomweb.authorization import basic
from router.dicomweb.client import HttpSession
from router.dicomweb.token_answer import Token, read_token
from router.errors import DeliveryError, Rejected, Unreachable
from router.model.station import OAuth, Secret

_ASSERTION_SECONDS: Final = 300
_REQUEST_SECONDS: Final = 30.0
_MAX_ANSWER_BYTES: Final = 64 * 1024
_BETWEEN_CALLS_SECONDS: Final = 1.0
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenSource:
    """The token of one station; any number of threads may ask. `count` hears fetched or failed."""

    def __init__(
        self,
        settings: OAuth,
        read_secret: Callable[[Secret], str],
        clock: Clock,
        session: HttpSession,
        count: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._clock = clock
        self._session = session
        self._count = count
        self._fetching = threading.Lock()
        self._token: Token | None = None
        self._called_at = -math.inf
        self._failure: DeliveryError | None = None
        self._failures = 0

    def token(self, for_seconds: float = 0.0) -> str:
        """A token with at least a minute left, and `for_seconds` where its life allows that.

        Raises Rejected, Busy or Unreachable.
        """
        asked_at = self._clock.monotonic()
        token = self._token
        good = token is not None and token.is_good(asked_at, for_seconds)
        if token is not None and good and not token.is_due(asked_at):
            return token.text
        if not self._fetching.acquire(blocking=not good):
            assert token is not None
            return token.text  # another thread fetches the next one; this one is still good
        try:
            token = self._token
            # Fetched while this thread waited: good enough even when its life is absurdly short.
            if token is not None and token.fetched_at >= asked_at:
                return token.text
            return self._renewed(token, for_seconds)
        finally:
            self._fetching.release()

    def drop(self, text: str) -> None:
        """Forget this token: the station refused it. A newer one is kept."""
        token = self._token
        if token is not None and token.text == text:
            self._token = None

    def header(self, for_seconds: float) -> str:
        """The Authorization header (RFC 6750 2.1)."""
        return f"Bearer {self.token(for_seconds)}"

    def refused(self, header: str) -> bool:
        """The station answered 401: the next header will hold a fresh token."""
        self.drop(header.removeprefix("Bearer "))
        return True

    def _renewed(self, token: Token | None, for_seconds: float) -> str:
        now = self._clock.monotonic()
        still_good = token is not None and token.is_good(now, for_seconds)
        since = now - self._called_at
        pause = min(60.0, _BETWEEN_CALLS_SECONDS * 2.0 ** min(self._failures, 6))
        if self._failure is not None and since < pause:
            if still_good and token is not None:
                return token.text
            raise type(self._failure)(
                str(self._failure), self._failure.status, self._failure.retry_after_seconds
            )
        if since < _BETWEEN_CALLS_SECONDS:
            if token is not None and token.left(now) > 0.0:
                return token.text
            self._clock.wait(threading.Event(), _BETWEEN_CALLS_SECONDS - since)
        self._called_at = self._clock.monotonic()
        try:
            self._token = self._fetched()
        except DeliveryError as error:
            self._count("failed")
            self._failure, self._failures = error, self._failures + 1
            if still_good and token is not None:
                return token.text
            raise
        self._count("fetched")
        self._failure, self._failures = None, 0
        return self._token.text

    def _fetched(self) -> Token:
        settings = self._settings
        form = {"grant_type": "client_credentials"}
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if settings.scope:
            form["scope"] = " ".join(settings.scope)
        if settings.resource is not None:
            form["resource"] = settings.resource
        if settings.private_key is not None:
            form |= {"client_id": settings.client_id, "client_assertion_type": _JWT_BEARER}
            form["client_assertion"] = self._assertion()
        elif settings.client_secret is not None and settings.send_secret_in == "header":
            secret = self._read_secret(settings.client_secret)
            headers["Authorization"] = basic(quote(settings.client_id, ""), quote(secret, ""))
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret is not None:
                form["client_secret"] = self._read_secret(settings.client_secret)
        try:
            answer = self._session.exchange(
                "POST",
                settings.token_url,
                headers,
                _Form(urlencode(form).encode()),
                seconds=_REQUEST_SECONDS,
                max_bytes=_MAX_ANSWER_BYTES,
            )
        except Rejected:
            raise
        except DeliveryError as error:
            raise Unreachable(f"no token: {error}") from error
        return read_token(answer, self._clock)

    def _assertion(self) -> str:
        settings = self._settings
        assert settings.private_key is not None
        try:
            key = load_pem_private_key(settings.private_key.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            name = type(error).__name__
            raise Rejected(f"no token: the private key cannot be read ({name})") from error
        issued_at = int(self._clock.now())
        return signed_jwt(
            key,
            {"kid": settings.key_id} if settings.key_id else {},
            {
                "iss": settings.client_id,
                "sub": settings.client_id,
                "aud": settings.audience or settings.token_url,
                "jti": secrets.token_hex(16),
                "iat": issued_at,
                "nbf": issued_at,
                "exp": issued_at + _ASSERTION_SECONDS,
            },
        )


@dataclass(frozen=True, slots=True)
class _Form:
    """A small request body."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        yield self.data


def signed_jwt(key: Any, header: Mapping[str, str], claims: Mapping[str, str | int]) -> str:
    """A JWT (RFC 7519), RS256 for an RSA key and ES256 for a P-256 key; else raises Rejected."""
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = "RS256"
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = "ES256"
    else:
        raise Rejected("no token: the private key is neither RSA nor P-256")
    first = _encoded(json.dumps({"alg": algorithm, "typ": "JWT", **header}).encode())
    content = f"{first}.{_encoded(json.dumps(claims).encode())}"
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{content}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
