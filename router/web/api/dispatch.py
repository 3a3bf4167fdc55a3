"""From a request to an endpoint and back: one path for all of them.

Order: identity and scope (before a byte of the body is read), parameters, body, precondition,
idempotency, the endpoint in a thread, entity tag. What goes wrong is a problem document; what we did
not foresee says nothing of itself.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.errors import ConfigError, RouterError, StoreDown, StoreFull
from router.store.access import KeptAnswer
from router.web.access import Authenticate, guarded, not_all
from router.web.api.call import JSON, Body, Call, Endpoint, Parameter, Reply, Wrong
from router.web.audited import changed
from router.web.problems import problem
from router.web.services import Services
from router.web.tags import is_unchanged

PREFIX: Final = "/api/v1"
_LONGEST_KEY: Final = 128


class Api:
    """Answers endpoints. Safe for threads."""

    def __init__(self, services: Services, authenticate: Authenticate) -> None:
        self._services = services
        self._authenticate = authenticate
        self._lock = threading.Lock()
        self._acting: set[tuple[int, str]] = set()

    def routes(self, endpoints: Iterable[Endpoint]) -> list[Route]:
        """A route for each."""
        return [
            Route(
                PREFIX + one.path.replace("{path}", "{path:path}"),
                guarded(self._handler(one), one.scope, self._authenticate, within=one.within),
                methods=[one.method],
            )
            for one in endpoints
        ]

    def _handler(self, endpoint: Endpoint) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            try:
                query = _parameters(endpoint.parameters, request)
                body = _parsed(endpoint.body, request, await request.body())
                call = Call(
                    request.state.identity,
                    request.path_params,
                    query,
                    body,
                    request.headers.get("if-match", ""),
                    request.client.host if request.client else "",
                )
                reply = await run_in_threadpool(self._acted, endpoint, call, request, body)
            except Wrong as wrong:
                return problem(wrong.status, str(wrong), **wrong.members)
            return _response(request, reply)

        return handle

    def _acted(self, endpoint: Endpoint, call: Call, request: Request, body: Any) -> Reply:
        if endpoint.needs_match and not call.if_match:
            raise Wrong(428, "give If-Match with the ETag of what you have seen")
        key = request.headers.get("idempotency-key", "") if endpoint.acts else ""
        if not key:
            return self._answer(endpoint, call)
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise Wrong(400, f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
        owner = (call.identity.token_id, key)
        asked = _asked(request, body)
        with self._lock:
            if owner in self._acting:
                raise Wrong(409, "a request with this Idempotency-Key is being done right now")
            self._acting.add(owner)
        try:
            kept = self._services.book.kept_answer(*owner)
            if kept is not None and kept.request != asked:
                raise Wrong(422, "this Idempotency-Key was used for another request")
            if kept is not None:
                headers = {"idempotent-replayed": "true"}
                return Reply(json.loads(kept.body), kept.status, headers=headers)
            reply = self._answer(endpoint, call)
            answer = KeptAnswer(asked, reply.status, json.dumps(reply.data))
            # It is done: to say that it failed would have it done once more.
            with suppress(StoreFull, StoreDown):
                self._services.book.keep_answer(*owner, answer)
            return reply
        finally:
            with self._lock:
                self._acting.discard(owner)

    def _answer(self, endpoint: Endpoint, call: Call) -> Reply:
        return answer(endpoint, self._services, call)


def answer(endpoint: Endpoint, services: Services, call: Call) -> Reply:
    """What the endpoint gives, for whoever calls it. Raises Wrong."""
    if call.identity.is_limited and not endpoint.within:
        raise Wrong(403, not_all(call.identity))
    try:
        given = endpoint.answer(services, call)
    except ConfigError as error:
        raise Wrong(422, str(error), problems=[str(one) for one in error.problems]) from None
    except RouterError as error:
        raise Wrong(error.http_status, str(error), retry=error.retry) from None
    reply = given if isinstance(given, Reply) else Reply(given)
    _audited(endpoint, services, call, reply)
    return reply


def _audited(endpoint: Endpoint, services: Services, call: Call, reply: Reply) -> None:
    """Who wrote or applied another configuration is told in the audit trail."""
    if (
        endpoint.scope != "configure"
        or endpoint.method == "GET"
        or not isinstance(reply.data, dict)
    ):
        return
    state = reply.data.get("state")
    if state in {"applied", "written", "refused"}:
        what = f"{endpoint.method} {endpoint.path.format_map(call.path)}"
        who, address = call.identity.name, call.address
        refused = state == "refused"
        changed(services.audit, services.plan, who, address, what, was_refused=refused)


def _asked(request: Request, body: Any) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(body if isinstance(body, bytes) else json.dumps(body).encode())
    return digest.digest()


def _parameters(known: tuple[Parameter, ...], request: Request) -> dict[str, Any]:
    by_name = {one.name: one for one in known}
    for name in request.query_params:
        if name not in by_name:
            raise Wrong(400, f"{name} is no parameter here; known: {', '.join(by_name) or 'none'}")
    found: dict[str, Any] = {}
    for name, one in by_name.items():
        written = request.query_params.getlist(name)
        if len(written) > 1:
            raise Wrong(400, f"{name} is given twice")
        found[name] = _value(one, written[0]) if written else one.schema.get("default")
    return found


def _value(parameter: Parameter, written: str) -> Any:
    schema = parameter.schema
    if schema["type"] == "boolean":
        if written not in {"true", "false"}:
            raise Wrong(400, f"{parameter.name} is true or false")
        return written == "true"
    if schema["type"] == "integer":
        lowest, highest = schema["minimum"], schema["maximum"]
        is_number = written.isascii() and written.isdigit() and len(written) < 19
        if not is_number or not lowest <= int(written) <= highest:
            raise Wrong(400, f"{parameter.name} is a whole number from {lowest} to {highest}")
        return int(written)
    if "enum" in schema and written not in schema["enum"]:
        raise Wrong(400, f"{parameter.name} is one of: {', '.join(schema['enum'])}")
    return written


def _parsed(body: Body | None, request: Request, content: bytes) -> Any:
    if body is None:
        return None
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != body.media_type:
        raise Wrong(415, f"send {body.media_type}")
    if body.media_type != JSON:
        return content
    try:
        data = json.loads(content)
        # Half of a surrogate pair is no character: nothing could keep it, nor tell of it.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Wrong(400, "the body is no JSON") from None
    _check(data, body.schema)
    return data


_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _check(data: Any, schema: Mapping[str, Any]) -> None:
    """A flat object against the schema of its endpoint; deeper bodies check themselves."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not isinstance(data, dict):
        raise Wrong(422, "the body is no JSON object")
    if not properties:
        return
    missing = [name for name in schema.get("required", ()) if name not in data]
    unknown = [name for name in data if name not in properties]
    if missing or unknown:
        words = [f"missing: {', '.join(missing)}"] if missing else []
        words += [f"unknown: {', '.join(unknown)}"] if unknown else []
        raise Wrong(422, "; ".join(words))
    for name, value in data.items():
        kind = properties[name]["type"]
        is_wrong = not isinstance(value, _KINDS[kind])
        if is_wrong or (kind == "integer" and isinstance(value, bool)):
            raise Wrong(422, f"{name} is not of type {kind}")
        if "enum" in properties[name] and value not in properties[name]["enum"]:
            raise Wrong(422, f"{name} is one of: {', '.join(properties[name]['enum'])}")


def _response(request: Request, reply: Reply) -> Response:
    content = json.dumps(reply.data, ensure_ascii=False).encode()
    if request.method == "GET" and not reply.etag:
        reply = replace(reply, etag=etag_of(content))
    headers = dict(reply.headers)
    if reply.etag:
        headers["etag"] = reply.etag
        headers["cache-control"] = "no-cache, private"
    if request.method == "GET" and is_unchanged(request.headers, reply.etag):
        return Response(status_code=304, headers=headers)
    return Response(content, reply.status, headers=headers, media_type=JSON)


def etag_of(content: bytes) -> str:
    """A strong entity tag (RFC 9110 8.8.3)."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
