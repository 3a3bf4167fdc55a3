"""Every endpoint of the API, its documents and its event stream, as routes."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from router import __version__
from router.web.access import Authenticate, guarded
from router.web.api import (
    audit,
    cache,
    configuration,
    deployment,
    organizations,
    priors,
    rejections,
    remote,
    rules,
    stations,
    status,
    studies,
    tasks,
    verifications,
)
from router.web.api.call import Endpoint
from router.web.api.dispatch import PREFIX, Api
from router.web.api.events import Events
from router.web.api.openapi import document
from router.web.services import Services

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *status.ENDPOINTS,
    *organizations.ENDPOINTS,
    *stations.ENDPOINTS,
    *tasks.ENDPOINTS,
    *studies.ENDPOINTS,
    *rules.ENDPOINTS,
    *configuration.ENDPOINTS,
    *deployment.ENDPOINTS,
    *remote.ENDPOINTS,
    *priors.ENDPOINTS,
    *rejections.ENDPOINTS,
    *audit.ENDPOINTS,
    *cache.ENDPOINTS,
    *verifications.ENDPOINTS,
)
_EVENTS: Final[dict[str, Any]] = {
    "get": {
        "operationId": "get_events",
        "summary": "Tasks and stations, as they change.",
        "description": "Scope: `read`. Events `task` and `station`, data in JSON.",
        "responses": {
            "200": {
                "description": "A stream that ends after ten minutes; ask again.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "401": {"$ref": "#/components/responses/401"},
            "403": {"$ref": "#/components/responses/403"},
        },
    }
}


def api_routes(services: Services, authenticate: Authenticate, events: Events) -> list[BaseRoute]:
    """The routes of the API."""
    told = document(ENDPOINTS, __version__)
    told["paths"]["/events"] = _EVENTS

    def openapi(_request: Request) -> Response:
        return JSONResponse(told)

    described = guarded(openapi, "read", authenticate, within=True)
    stream = guarded(events.stream, "read", authenticate, within=True)
    return [
        Route(f"{PREFIX}/openapi.json", described, methods=["GET"]),
        Route(f"{PREFIX}/events", stream, methods=["GET"]),
        *Api(services, authenticate).routes(ENDPOINTS),
    ]


def body_bytes(path: str) -> int | None:
    """The largest body of a path."""
    most = 1024 * 1024
    for one in ENDPOINTS:
        if one.body is not None and _fits(one.path, path.removeprefix(PREFIX)):
            most = max(most, one.body.most_bytes)
    return most


def _fits(pattern: str, path: str) -> bool:
    start, brace, _ = pattern.partition("{")
    return path.startswith(start) if brace else path == pattern
