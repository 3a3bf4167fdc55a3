"""The gate: bearer tokens, sessions of browsers, and what is cross-site or too often wrong.

A cookie alone changes nothing: what changes something must come from a page of ours, by Origin and
by Sec-Fetch-Site, and carry the token that was written into that page. A bearer token is never sent
by a browser of its own accord and needs no such proof.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from router.clock import Clock
from router.store.access import SESSION_SECONDS, AccessBook, Token
from router.web.access import Identity, Throttled, TokenOver

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_WINDOW_SECONDS: Final = 60.0
_FAILURES_OF_ADDRESS: Final = 60
_FAILURES_OF_TOKEN: Final = 10
_KEPT: Final = 4096
_Found = TypeVar("_Found")
SessionEvent = Literal["login", "logout"]


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser that is logged in; `csrf` is written into the forms of its pages."""

    identity: Identity
    csrf: str


class Gate:
    """Lets in whom the book knows. Safe for threads."""

    def __init__(
        self,
        book: AccessBook,
        clock: Clock,
        on_refused: Callable[[str, str], None],
        on_session: Callable[[SessionEvent, str, str], None] = lambda _event, _who, _address: None,
    ) -> None:
        """`on_refused` is told the reason and the address, never what was presented.

        `on_session` is told who logged in or out, and the address.
        """
        self._on_session = on_session
        self._book = book
        self._on_refused = on_refused
        self._failures = Failures(clock)

    def authenticate(self, request: Request) -> Identity | None:
        """Whoever asks, by bearer token or by session. Raises Throttled, TokenOver."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            token = self._tried(request, text.strip(), self._book.bearer)
            return None if token is None else _identity(token)
        visit = self.visit(request)
        if visit is None:
            return None
        if request.method not in _SAFE:
            given = request.headers.get("x-csrf-token", "")
            if not self.is_own_form(request, visit, given):
                return None
        return visit.identity

    def visit(self, request: Request) -> Visit | None:
        """The session of the browser that asks for a page; None too when another site made it ask."""
        cookie = request.cookies.get(_cookie_name(request), "")
        if not cookie:
            return None
        if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            self._on_refused("cross-site", _address(request))
            return None
        # What a page asks for by itself keeps nobody logged in.
        accepts = request.headers.get("accept", "")
        is_used = "x-refresh" not in request.headers and "text/event-stream" not in accepts
        token = self._book.session(cookie, is_used=is_used)
        return None if token is None else Visit(_identity(token), _csrf(cookie))

    def is_own_form(self, request: Request, visit: Visit, csrf: str) -> bool:
        """Whether a page of ours, shown to this very session, asks for the change."""
        host = request.headers.get("host", "")
        is_ours = request.headers.get("origin") == f"{request.url.scheme}://{host}"
        if is_ours and hmac.compare_digest(csrf.encode(), visit.csrf.encode()):
            return True
        self._on_refused("cross-site", _address(request))
        return False

    def log_in(self, request: Request, text: str, answer: Response) -> bool:
        """Begin a session for a token, with its cookie on the answer. Throttled, TokenOver."""
        found = self._tried(request, text, self._book.log_in)
        if found is None:
            return False
        answer.set_cookie(
            _cookie_name(request),
            found[1],
            max_age=int(SESSION_SECONDS),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        self._on_session("login", found[0].name, _address(request))
        return True

    def log_out(self, request: Request, answer: Response) -> None:
        """End the session, here and in the browser."""
        cookie = request.cookies.get(_cookie_name(request), "")
        token = self._book.session(cookie, is_used=False)
        self._book.log_out(cookie)
        if token is not None:
            self._on_session("logout", token.name, _address(request))
        # Browsers heed a cookie of that prefix only with `secure`, also where it is taken away.
        answer.delete_cookie(
            _cookie_name(request),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _tried(
        self, request: Request, text: str, look: Callable[[str], _Found | None]
    ) -> _Found | None:
        address = _address(request)
        keys = {(address, ""): _FAILURES_OF_ADDRESS, (address, text[:12]): _FAILURES_OF_TOKEN}
        wait = self._failures.wait_seconds(keys)
        if wait:
            self._on_refused("throttled", address)
            raise Throttled(wait)
        found = look(text)
        if found is None:
            self._failures.note(keys)
            self._on_refused("token", address)
            why = self._book.why_closed(text)
            if why is not None:
                raise TokenOver(why)
        return found


class Failures:
    """Counts failed attempts in the last minute, of bounded many keys. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._times: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def wait_seconds(self, limits: dict[tuple[str, str], int]) -> int:
        """0, or the whole seconds until one more attempt may be made."""
        now = self._clock.monotonic()
        wait = 0.0
        with self._lock:
            for key, limit in limits.items():
                recent = self._recent(key, now)
                if len(recent) >= limit:
                    wait = max(wait, recent[-limit] + _WINDOW_SECONDS - now)
        return 0 if not wait else int(wait) + 1

    def note(self, limits: dict[tuple[str, str], int]) -> None:
        """One attempt failed."""
        now = self._clock.monotonic()
        with self._lock:
            for key in limits:
                self._times[key] = [*self._recent(key, now), now]
                self._times.move_to_end(key)
            while len(self._times) > _KEPT:
                self._times.popitem(last=False)

    def _recent(self, key: tuple[str, str], now: float) -> list[float]:
        return [at for at in self._times.get(key, ()) if at > now - _WINDOW_SECONDS]


def _identity(token: Token) -> Identity:
    return Identity(token.name, token.scopes, token.token_id, token.organizations)


def _csrf(cookie: str) -> str:
    """Made from the cookie, which scripts cannot read: nothing is kept for it."""
    return hashlib.sha256(b"csrf\0" + cookie.encode()).hexdigest()


def _cookie_name(request: Request) -> str:
    # The prefix makes browsers insist on TLS, this host and the whole site (RFC 6265bis 4.1.3.2).
    prefix = "__Host-" if request.url.scheme == "https" else ""
    return f"{prefix}dicom-router-session"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
