"""What every request and every answer passes: bounds, host names, security headers, cross-origin.

A body has a largest size by path and a slowest pace. Headers are those of the OWASP secure headers
project; nothing is cached but static files. Without TLS only the names of the loopback are
answered, so that no page of elsewhere reaches it by a name of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.config.references import is_loopback

BODY_BYTES = 1024 * 1024
HEADER_BYTES = 32 * 1024
BODY_GRACE_SECONDS = 10.0
BODY_BYTES_PER_SECOND = 4096
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # `no-referrer` would have browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

BodyBytes = Callable[[str], int | None]
"""The largest body of a path in bytes; None is without bound, for what takes a body as a stream."""


def bounded(
    app: ASGIApp,
    *,
    is_tls: bool,
    body_bytes: BodyBytes,
    origins: Iterable[str] = (),
    on_bug: Callable[[BaseException], None] = lambda _error: None,
) -> ASGIApp:
    """The application behind all of it.

    `origins` may read answers from their own pages; `on_bug` is told what the application raised.
    """
    if named := list(origins):
        app = CORSMiddleware(
            app,
            allow_origins=named,
            allow_credentials=False,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "if-match", "idempotency-key"],
            expose_headers=["etag", "location", "retry-after", "warning"],
        )
    return _Guard(app, is_tls=is_tls, body_bytes=body_bytes, is_shared=bool(named), on_bug=on_bug)


class _Guard:
    def __init__(
        self,
        app: ASGIApp,
        *,
        is_tls: bool,
        body_bytes: BodyBytes,
        is_shared: bool,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        self._on_bug = on_bug
        self._app = app
        self._is_tls = is_tls
        self._body_bytes = body_bytes
        self._headers = dict(_HEADERS)
        if is_tls:
            self._headers["strict-transport-security"] = "max-age=31536000"
        if is_shared:
            self._headers["cross-origin-resource-policy"] = "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        is_begun = False

        async def begun(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        dressed = self._dressed(begun)
        if not self._is_tls and not _names_loopback(headers.get("host", "")):
            refused = PlainTextResponse("this address answers to loopback names only\n", 421)
            await refused(scope, receive, dressed)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            refused = PlainTextResponse(f"a header may have {HEADER_BYTES} bytes\n", 431)
            await refused(scope, receive, dressed)
            return
        most = self._body_bytes(scope["path"])
        declared = headers.get("content-length", "")
        if most is not None and declared.isdigit() and int(declared) > most:
            refused = PlainTextResponse(f"the body may have {most} bytes\n", 413)
            await refused(scope, receive, dressed)
            return
        try:
            await self._app(scope, _paced(receive, most), dressed)
        except asyncio.CancelledError:  # the server stops and cannot wait any longer
            if not is_begun:
                words = "the router is stopping: send it again\n"
                refused = PlainTextResponse(words, 503, headers={"retry-after": "10"})
                await refused(scope, receive, dressed)
            raise
        except Exception as error:
            self._on_bug(error)
            raise

    def _dressed(self, send: Send) -> Send:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        return dressed


def _paced(receive: Receive, most: int | None) -> Receive:
    """Reads a body no longer than allowed and no slower. Raises HTTPException 413 and 408."""
    began = time.monotonic()
    taken = 0
    ended = False

    async def paced() -> Message:
        nonlocal taken, ended
        if ended:  # what is still received is that the peer has gone
            return await receive()
        allowed = BODY_GRACE_SECONDS + taken / BODY_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(max(0.0, began + allowed - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the body came too slowly") from None
        taken += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if most is not None and taken > most:
            raise HTTPException(413, f"the body may have {most} bytes")
        return message

    return paced


def _names_loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    return is_loopback(name.strip("[]").lower())
