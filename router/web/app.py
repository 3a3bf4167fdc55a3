"""The URL map: health, readiness and metrics. Nothing here names a patient or a UID.

`/-/healthy` answers while the process lives, `/-/ready` when everything that must run runs (its
body lists the reasons when it does not), `/metrics` in the Prometheus exposition format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from router.telemetry.metrics import CONTENT_TYPE
from router.web.bounds import BODY_BYTES, bounded


@dataclass(frozen=True, slots=True)
class Readings:
    """What the pages read: reasons not to be ready (empty when ready), and the metrics text."""

    not_ready: Callable[[], tuple[str, ...]]
    metrics: Callable[[], bytes]


def make_app(
    readings: Readings, serve: frozenset[str], *, is_tls: bool = False, origins: Iterable[str] = ()
) -> ASGIApp:
    """The application of one listener; `serve` holds the words of its YAML key."""

    def healthy(_request: Request) -> Response:
        return PlainTextResponse("healthy\n")

    def ready(_request: Request) -> Response:
        reasons = readings.not_ready()
        return JSONResponse(
            {"ready": not reasons, "reasons": list(reasons)}, status_code=503 if reasons else 200
        )

    def metrics(_request: Request) -> Response:
        return Response(readings.metrics(), headers={"content-type": CONTENT_TYPE})

    routes: list[BaseRoute] = [
        Route("/-/healthy", healthy, methods=["GET"]),
        Route("/-/ready", ready, methods=["GET"]),
    ]
    if "metrics" in serve:
        routes.append(Route("/metrics", metrics, methods=["GET"]))
    return bounded(
        Starlette(routes=routes),
        is_tls=is_tls,
        body_bytes=lambda _path: BODY_BYTES,
        origins=origins,
    )
