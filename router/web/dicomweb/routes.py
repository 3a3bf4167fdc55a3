"""The URL map of the DICOMweb server, and which scope each resource asks for.

What shows patients needs the scope `phi`, storing needs `operate`; the state of the cache is open to
whoever may `read`. A token limited to organizations gets the studies that are theirs alone, stores as
a station of theirs or not at all, and has no change feed. Every answer names the version.
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
from router.web.access import Authenticate, Identity, guarded
from router.web.dicomweb import feed, frames, metadata, rendered, retrieve, search
from router.web.dicomweb.services import PREFIX, DicomwebServices, in_reach, speaks_for
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
        identity: Identity = request.state.identity
        if identity.is_limited and not speaks_for(request, services):
            words = f"{identity.name} is limited to organizations and named as no station of theirs"
            return _versioned(problem(403, words))
        return _versioned(await storing.store(request, listener))

    def reading(path: str, handler: Handler, *, within: bool = True) -> Route:
        """`within`: for tokens limited to organizations too, of the studies that are theirs."""
        answering = _answering(partial(_theirs, handler, services))
        endpoint = guarded(answering, "phi", authenticate, within=within)
        return Route(PREFIX + path, endpoint, methods=["GET"])

    storing_for = guarded(store, "operate", authenticate, within=True)
    found: Routes = [
        Route(PREFIX + path, storing_for, methods=["POST"]) for path in ("/studies", _STUDY)
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
        reading("/changefeed", partial(feed.change_feed, services=services), within=False),
        reading("/changefeed/latest", partial(feed.latest, services=services), within=False),
    ]
    return found


def _theirs(handler: Handler, services: DicomwebServices, request: Request) -> Response:
    """The handler, where the study of the path may be seen by who asks."""
    study = request.path_params.get("study")
    if study is not None and not in_reach(request, services, (study,)):
        return problem(404, retrieve.NOT_HERE)
    return handler(request)


def cache_routes(services: DicomwebServices, authenticate: Authenticate) -> Routes:
    """`GET /DICOMcache`: a text that tells clients of images where they are, and its state."""

    def cache(request: Request) -> Response:
        text = f"Get Image blob API\nversion {__version__}\n"
        if not request.state.identity.is_limited:
            counts = services.ledger.account().instances
            text += f"instances {counts['received'] - counts['duplicate']}\n"
        return PlainTextResponse(text)

    told = guarded(cache, "read", authenticate, within=True)
    return [Route("/DICOMcache", told, methods=["GET"])]


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
