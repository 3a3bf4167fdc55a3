"""The URL map: health, readiness and metrics, the API, the pages.

`/-/healthy` answers while the process lives, `/-/ready` when everything that must run runs (its
body lists the reasons when it does not): neither names a patient or a UID. `/metrics`, in the
Prometheus exposition format, is open on the loopback and asks for the scope `read` elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from router.errors import RouterError
from router.telemetry.metrics import CONTENT_TYPE
from router.web.access import guarded
from router.web.api.dispatch import PREFIX
from router.web.api.endpoints import api_routes, body_bytes
from router.web.api.events import Events
from router.web.bounds import bounded
from router.web.dicomweb.services import PREFIX as DICOMWEB
from router.web.gate import Gate
from router.web.pages.routes import page_body_bytes, page_routes
from router.web.problems import problem
from router.web.services import Services


@dataclass(frozen=True, slots=True)
class Readings:
    """What the pages read: reasons not to be ready (empty when ready), and the metrics text."""

    not_ready: Callable[[], tuple[str, ...]]
    metrics: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Site:
    """What is behind the pages and the API: shared by every listener that serves them."""

    services: Services
    gate: Gate
    events: Events

    def close(self) -> None:
        """Have running retrievals cancelled, and close what was opened."""
        services = self.services
        services.retrievals.stop()
        services.catalogue.close()
        services.book.close()
        services.trail.close()
        services.cache.close()
        services.journal.close()
        services.ledger.close()


def make_app(
    readings: Readings,
    serve: frozenset[str],
    site: Site | None = None,
    *,
    is_tls: bool = False,
    origins: Iterable[str] = (),
    more: Sequence[BaseRoute] = (),
    on_bug: Callable[[BaseException], None] = lambda _error: None,
) -> ASGIApp:
    """The application of one listener; `serve` holds the words of its YAML key.

    `more` are the resources of the DICOMweb server, where it is served here.
    """

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
    if "metrics" in serve and (site is None or not is_tls):
        routes.append(Route("/metrics", metrics, methods=["GET"]))
    elif site is not None and "metrics" in serve:
        endpoint = guarded(metrics, "read", site.gate.authenticate)
        routes.append(Route("/metrics", endpoint, methods=["GET"]))
    if site is not None and "api" in serve:
        routes += api_routes(site.services, site.gate.authenticate, site.events)
    routes += more
    if site is not None and "ui" in serve:
        routes += page_routes(site.services, site.gate, site.events)
    handlers = {HTTPException: _told, 404: _told, 405: _told, RouterError: _troubled}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    app.router.redirect_slashes = False  # one address for one thing
    return bounded(app, is_tls=is_tls, body_bytes=_body_bytes, origins=origins, on_bug=on_bug)


def _body_bytes(path: str) -> int | None:
    if path.startswith(f"{DICOMWEB}/studies"):
        return None  # what is stored comes as a stream, of any length
    return page_body_bytes(path) or body_bytes(path)


def _told(request: Request, error: HTTPException) -> Response:
    """What Starlette refuses, in the words of problem details where programs ask."""
    if request.url.path.startswith((PREFIX, DICOMWEB)):
        return problem(error.status_code, error.detail, headers=error.headers)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


def _troubled(request: Request, error: RouterError) -> Response:
    """The store is in trouble where nobody foresaw it, as when a session is looked up."""
    headers = {"retry-after": "10"} if error.http_status == 503 else {}
    return _told(request, HTTPException(error.http_status, str(error), headers))
