"""The URL map of the DICOMweb server, and which scope each resource asks for.

What shows patients needs the scope `phi`, storing needs `operate`; the state of the cache is open to
whoever may `read`. Every answer names the version of the service.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from router import __version__
from router.errors import BadDataset, Busy, Refused, RouterError, StoreDown, StoreFull
from router.flow.fetching_again import NotNow
from router.model.query import Level
from router.web.access import Authenticate, guarded
from router.web.dicomweb import feed, frames, metadata, rendered, retrieve, search
from router.web.dicomweb.services import PREFIX, DicomwebServices
from router.web.dicomweb.store import Storing
from router.web.problems import problem

_STUDY = "/studies/{study}"
_SERIES = "/series/{series}"
_INSTANCE = "/instances/{instance}"
_SEARCHES: tuple[tuple[str, Level], ...] = (
    ("/studies", "STUDY"),
    ("/series", "SERIES"),
    ("/instances", "IMAGE"),
    (f"{_STUDY}/series", "SERIES"),
    (f"{_STUDY}/instances", "IMAGE"),
    (f"{_STUDY}{_SERIES}/instances", "IMAGE"),
)
_LEVELS = (_STUDY, f"{_STUDY}{_SERIES}", f"{_STUDY}{_SERIES}{_INSTANCE}")
Handler = Callable[[Request], Response]
Routes = list[BaseRoute]


def routes(services: DicomwebServices, authenticate: Authenticate, listener: str) -> Routes:
    """The routes below `/dicomweb/v1`, for the listener of that name."""
    storing = Storing(services)

    async def store(request: Request) -> Response:
        return _versioned(await storing.store(request, listener))

    def reading(path: str, handler: Handler) -> Route:
        endpoint = guarded(_answering(handler), "phi", authenticate)
        return Route(PREFIX + path, endpoint, methods=["GET"])

    found: Routes = [
        Route(PREFIX + path, guarded(store, "operate", authenticate), methods=["POST"])
        for path in ("/studies", _STUDY)
    ]
    for path, level in _SEARCHES:
        found.append(reading(path, partial(search.search, level=level, services=services)))
    for path in _LEVELS:
        found.append(reading(path, partial(retrieve.retrieve, services=services)))
        found.append(reading(f"{path}/metadata", partial(metadata.metadata, services=services)))
    below = _LEVELS[2]
    for path in (*_LEVELS, f"{below}/frames/{{frames}}"):
        found.append(reading(f"{path}/rendered", partial(rendered.rendered, services=services)))
        found.append(reading(f"{path}/thumbnail", partial(rendered.thumbnail, services=services)))
    found += [
        reading(f"{below}/frames/{{frames}}", partial(frames.frames, services=services)),
        reading(f"{below}/bulkdata/{{path:path}}", partial(metadata.bulk_data, services=services)),
        reading("/changefeed", partial(feed.change_feed, services=services)),
        reading("/changefeed/latest", partial(feed.latest, services=services)),
    ]
    return found


def cache_routes(services: DicomwebServices, authenticate: Authenticate) -> Routes:
    """`GET /DICOMcache`: a text that tells clients of images where they are, and its state."""

    def cache(_request: Request) -> Response:
        counts = services.ledger.account().instances
        held = counts["received"] - counts["duplicate"]
        text = f"Get Image blob API\nversion {__version__}\ninstances {held}\n"
        return PlainTextResponse(text)

    return [Route("/DICOMcache", guarded(cache, "read", authenticate), methods=["GET"])]


def _answering(handler: Handler) -> Handler:
    """The handler, with what our own parts raise as an answer."""

    def answer(request: Request) -> Response:
        try:
            return _versioned(handler(request))
        except BadDataset as error:
            return problem(400, str(error))
        except Refused as error:
            return problem(409, str(error))
        except (Busy, NotNow, StoreDown, StoreFull) as error:
            return problem(503, str(error), headers={"retry-after": "10"})
        except RouterError as error:
            return problem(error.http_status, str(error))

    return answer


def _versioned(answer: Response) -> Response:
    answer.headers["api-supported-versions"] = "1"
    return answer
