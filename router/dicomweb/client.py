"""HTTP towards one station, and STOW-RS on it (PS3.18 10.5).

An exchange ends by a deadline of our own, reads no more than a cap, never decompresses, and follows
no redirect but 307 and 308 to the same https origin. Environment proxies and .netrc are not read.
Errors name the host and the cause; never a header, a token or a body.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from router.clock import Clock
from router.dicomweb.multipart import Chunk, Part, RelatedBody
from router.dicomweb.network import BoundedBackend, Deadline
from router.dicomweb.outcome import HttpAnswer, holds_data_set
from router.errors import DeliveryError, Rejected, Unreachable
from router.model.plug import Profile

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
# A batch is told in far less; parsed, JSON takes twenty times its bytes.
MAX_STORE_ANSWER_BYTES: Final = 4 * 1024 * 1024
CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 300.0
STREAM_BYTES: Final = 256 * 1024
# A body moves at least this fast, or its connection is given up: 1 GB may take up to 18 hours.
_SLOWEST_BYTES_PER_SECOND: Final = 16 * 1024
_REDIRECTS_AT_MOST: Final = 3
_ACCEPT: Final = "application/dicom+json"


class LostAnswer(DeliveryError):
    """The connection failed after the request was begun: what the station did is not known."""


class Body(Protocol):
    """A request body of known length that can be produced again."""

    @property
    def length(self) -> int:
        """Bytes in all."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """The bytes, from the start."""
        ...


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An answer whose body is still to be read, once; `chunks` raises as `HttpSession.exchange`."""

    status: int
    content_type: str
    chunks: Iterator[bytes]


class Credentials(Protocol):
    """What goes into Authorization; errors are Rejected, Busy or Unreachable."""

    def header(self, for_seconds: float) -> str:
        """The header's value, good for at least that long where that can be had."""
        ...

    def refused(self, header: str) -> bool:
        """The station answered 401 to this value; true when a fresh one may help."""
        ...


class HttpSession:
    """Kept connections to one station or token endpoint; any number of threads may use it."""

    def __init__(
        self,
        context: ssl.SSLContext,
        clock: Clock,
        *,
        allow_http: bool = False,
        stall_seconds: float = 60.0,
        max_connections: int = 8,
    ) -> None:
        self._deadline = Deadline(clock)
        self._allow_http = allow_http
        self._stall_seconds = stall_seconds
        transport = httpx.HTTPTransport(verify=context, trust_env=False)
        # The library takes a network backend only here; it is what bounds every call in time.
        transport._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=30.0,
            network_backend=BoundedBackend(self._deadline),
        )
        self._client = httpx.Client(transport=transport, trust_env=False, follow_redirects=False)

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        seconds: float = ANSWER_SECONDS,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpAnswer:
        """One request and its answer, within `seconds` in all.

        Raises Unreachable when no connection was made, LostAnswer when it failed later or the
        answer is longer than `max_bytes`, Rejected for an address we may not use, and whatever the
        body raises.
        """
        with self._deadline.within(seconds):
            for _ in range(_REDIRECTS_AT_MOST):
                answer, location = self._once(method, url, headers, body, max_bytes)
                target = _same_https_origin(url, location) if answer.status in (307, 308) else None
                if target is None:
                    return answer
                url = target
            return answer

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        max_bytes: int,
    ) -> tuple[HttpAnswer, str]:
        with self._responding(method, url, headers, body) as response:
            answer = _read(response, max_bytes)
        return answer, response.headers.get("location", "")

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], *, seconds: float
    ) -> Iterator[HttpStream]:
        """GET whose answer is read as it comes, within `seconds` in all; raises as `exchange`.

        A pause of the station's time-out ends it.
        """
        with self._deadline.within(seconds):
            for _ in range(_REDIRECTS_AT_MOST):
                with self._responding("GET", url, headers, None, self._stall_seconds) as response:
                    moved = response.status_code in (307, 308)
                    location = response.headers.get("location", "")
                    target = _same_https_origin(url, location) if moved else None
                    if target is None:
                        content_type = response.headers.get("content-type", "")
                        yield HttpStream(response.status_code, content_type, _raw(response))
                        return
                url = target
            raise Rejected("it answers with one redirect after the other")

    @contextmanager
    def _responding(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        read_seconds: float = ANSWER_SECONDS,
    ) -> Iterator[httpx.Response]:
        """The answer while it comes; faults of the library, here and in the block, as our own."""
        if urlsplit(url).scheme != "https" and not self._allow_http:
            raise Rejected("the address is not https, and allow_insecure_http is not set")
        sent = {**headers, "Accept-Encoding": "identity", "User-Agent": "dicom-router"}
        if body is not None:
            sent["Content-Length"] = str(body.length)
        try:
            # memoryviews pass through the library unharmed, though its annotation says bytes
            content = None if body is None else cast("Any", body.chunks())
            timeout = httpx.Timeout(
                read_seconds,
                connect=CONNECT_SECONDS,
                write=self._stall_seconds,
                pool=CONNECT_SECONDS,
            )
            request = self._client.build_request(
                method, url, headers=sent, content=content, timeout=timeout
            )
            response = self._client.send(request, stream=True)
            try:
                yield response
            finally:
                response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unreachable(f"no connection: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise Rejected("the address or its credentials cannot be put into a request") from error
        except httpx.TimeoutException as error:
            raise LostAnswer("no answer in time") from error
        except httpx.TransportError as error:
            raise LostAnswer(f"the connection was lost: {type(error).__name__}") from error

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def _read(response: httpx.Response, max_bytes: int) -> HttpAnswer:
    headers = response.headers
    if _is_compressed(response):
        return HttpAnswer(response.status_code, retry_after=headers.get("retry-after", ""))
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise LostAnswer(f"the answer is longer than {max_bytes} bytes")
    return HttpAnswer(
        response.status_code,
        headers.get("content-type", ""),
        bytes(body),
        headers.get("retry-after", ""),
    )


def _raw(response: httpx.Response) -> Iterator[bytes]:
    if _is_compressed(response):
        raise LostAnswer("the answer is compressed although we asked for none of that")
    yield from response.iter_raw(STREAM_BYTES)


def _is_compressed(response: httpx.Response) -> bool:
    """Although we asked for none of that; it is not read, since it may be a bomb."""
    coding = response.headers.get("content-encoding", "identity")
    return coding.strip().lower() not in ("", "identity")


def _same_https_origin(url: str, location: str) -> str | None:
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        same = (here.scheme, here.hostname, here.port or 443) == (
            there.scheme,
            there.hostname,
            there.port or 443,
        )
    except ValueError:
        return None
    return there.geturl() if location and same and here.scheme == "https" else None


class StowClient:
    """Stores PS3.10 files at one origin server, and asks it."""

    def __init__(
        self,
        session: HttpSession,
        url: str,
        profile: Profile,
        credentials: Credentials | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._profile = profile
        self._credentials = credentials
        self._answer_seconds = answer_seconds
        self._quoted = profile.quote_type
        self._quoting_settled = profile.name != "generic"

    def store(self, parts: Sequence[Part]) -> HttpAnswer:
        """POST the parts to `studies` in one request (PS3.18 10.5.1).

        A 401 is met with one fresh token, 415 or 400 of a server we know nothing about with the
        other way to quote `type`. Raises PartFailed, and as `HttpSession.exchange`.
        """
        body = RelatedBody(parts)
        answer = self._post(body, quoted=self._quoted)
        if self._quoting_settled or holds_data_set(answer):
            return answer
        if answer.status in (400, 415):
            other = self._post(body, quoted=not self._quoted)
            # 2xx and 409 come from a server that has read the request
            self._quoting_settled = other.status // 100 == 2 or holds_data_set(other)
            if not self._quoting_settled:
                return answer
            self._quoted = not self._quoted
            return other
        self._quoting_settled = answer.status // 100 == 2
        return answer

    def probe(self, seconds: float) -> HttpAnswer:
        """Search for one study (PS3.18 10.6): the cheapest sign of life with authorisation."""
        return self.get("studies?limit=1", seconds)

    def get(self, resource: str, seconds: float) -> HttpAnswer:
        """GET a resource below the station's address as DICOM JSON, within `seconds`."""
        return self._authorised(
            lambda headers: self._session.exchange(
                "GET", f"{self._url}/{resource}", headers, seconds=seconds
            ),
            seconds,
        )

    def delete(self, resource: str, seconds: float) -> HttpAnswer:
        """DELETE a resource below the station's address, within `seconds`."""
        return self._authorised(
            lambda headers: self._session.exchange(
                "DELETE", f"{self._url}/{resource}", headers, seconds=seconds
            ),
            seconds,
        )

    @contextmanager
    def stream(self, resource: str, accept: str, seconds: float) -> Iterator[HttpStream]:
        """GET a resource below the station's address, read as it comes, within `seconds` in all."""
        url = f"{self._url}/{resource}"
        headers = {"Accept": accept}
        if self._credentials is not None:
            headers["Authorization"] = self._credentials.header(ANSWER_SECONDS)
            with self._session.stream(url, headers, seconds=seconds) as answer:
                used = headers["Authorization"]
                if answer.status != 401 or not self._credentials.refused(used):
                    yield answer
                    return
            headers["Authorization"] = self._credentials.header(ANSWER_SECONDS)
        with self._session.stream(url, headers, seconds=seconds) as answer:
            yield answer

    def _post(self, body: RelatedBody, *, quoted: bool) -> HttpAnswer:
        seconds = self._answer_seconds + body.length / _SLOWEST_BYTES_PER_SECOND
        content_type = body.content_type(quoted=quoted)
        return self._authorised(
            lambda headers: self._session.exchange(
                "POST",
                f"{self._url}/studies",
                {**headers, "Content-Type": content_type},
                body,
                seconds=seconds,
                max_bytes=MAX_STORE_ANSWER_BYTES,
            ),
            self._answer_seconds,
        )

    def _authorised(
        self, exchange: Callable[[Mapping[str, str]], HttpAnswer], for_seconds: float
    ) -> HttpAnswer:
        headers = {"Accept": _ACCEPT}
        if self._credentials is None:
            return exchange(headers)
        value = self._credentials.header(for_seconds)
        answer = exchange({**headers, "Authorization": value})
        if answer.status != 401 or not self._credentials.refused(value):
            return answer
        return exchange({**headers, "Authorization": self._credentials.header(for_seconds)})

    def close(self) -> None:
        """Close every connection."""
        self._session.close()
