"""Who asks, and may they: identities, scopes, and the one guard in front of every handler.

`read` sees the state of the router, `operate` acts on tasks and stations, `configure` changes the
configuration, `phi` sees patients. Nobody is anonymous: without an identity the answer is 401,
without the scope 403, and nothing of the handler has run.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from router.store.access import Closed
from router.web.problems import problem

_OVER: Final[Mapping[Closed, str]] = {
    "expired": "expired",
    "revoked": "revoked",
    "used": "used: it was for one log-in",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever asks, by the name of their token, what they may, and the organizations they may see.

    Without `organizations` they see all of them.
    """

    name: str
    scopes: frozenset[str]
    token_id: int = 0
    organizations: tuple[str, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether they see some organizations only."""
        return bool(self.organizations)


class Throttled(Exception):
    """Too many failed attempts came from there: nothing is even checked for so many seconds."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("too many failed attempts")
        self.retry_after_seconds = retry_after_seconds


class TokenOver(Exception):
    """The token was made here and opens nothing any more: expired, used or revoked."""

    def __init__(self, why: Closed) -> None:
        super().__init__(
            f"this token is {_OVER[why]}: make another one, dicom-router token new NAME"
        )
        self.why = why


Authenticate = Callable[[Request], Identity | None]
Handler = Callable[[Request], Any]
Endpoint = Callable[[Request], Awaitable[Response]]


def not_all(identity: Identity) -> str:
    """The refusal of what belongs to no organization alone."""
    names = ", ".join(identity.organizations)
    return f"this concerns every organization, and {identity.name} is for {names} only"


def guarded(
    handler: Handler, scope: str, authenticate: Authenticate, *, within: bool = False
) -> Endpoint:
    """The handler behind identity and scope; `request.state.identity` tells it who asks.

    `within`: it knows of tokens limited to organizations; one that does not refuses them. A handler
    that is no coroutine runs in a thread, as `authenticate` does.
    """
    is_async = inspect.iscoroutinefunction(handler)

    async def endpoint(request: Request) -> Response:
        try:
            identity = await run_in_threadpool(authenticate, request)
        except Throttled as error:
            return too_many(error)
        except TokenOver as error:
            return _unknown(str(error))
        if identity is None:
            return _unknown("give a valid token: Authorization: Bearer …")
        if scope not in identity.scopes:
            return problem(403, f"this needs the scope {scope}, which {identity.name} has not")
        if identity.is_limited and not within:
            return problem(403, not_all(identity))
        request.state.identity = identity
        answer = await (handler(request) if is_async else run_in_threadpool(handler, request))
        assert isinstance(answer, Response)
        return answer

    return endpoint


def _unknown(detail: str) -> Response:
    headers = {"www-authenticate": 'Bearer realm="dicom-router"'}
    return problem(401, detail, headers=headers)


def too_many(error: Throttled) -> Response:
    """What is answered while an address is throttled."""
    wait = str(error.retry_after_seconds)
    return problem(429, f"{error}: wait {wait} s", headers={"retry-after": wait})
