"""WADO-RS: rendered images and thumbnails, drawn as people look at them (PS3.18 10.4.1.1.3 and .4).

Of a multi-frame instance the representative frame is drawn, the middle one without such, unless frames
are named; of a study or series every instance that has pixels. A thumbnail is one small image of
whatever is asked for. Images are drawn as they are sent: one that fails later ends the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from router.dicom.header import HeaderReader
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.errors import BadDataset, Busy, RouterError
from router.pixels.syntaxes import obstacle
from router.pixels.transcoding import frame_source
from router.web.dicomweb.accepting import Accepted, accepted
from router.web.dicomweb.frames import (
    NoPixels,
    StoredFrames,
    frame_numbers,
    one_frame,
    stored_frames,
)
from router.web.dicomweb.metadata import opened_header
from router.web.dicomweb.retrieve import NOT_HERE, Given, etag, given, related
from router.web.dicomweb.services import DicomwebServices, accept_of
from router.web.dicomweb.wishes import DRAWN, warnings_of, wish_of
from router.web.problems import problem
from router.web.tags import is_unchanged

MAX_INSTANCES: Final = 1_000
_REPRESENTATIVE: Final = parse_path("RepresentativeFrameNumber")


@dataclass(frozen=True, slots=True)
class _Image:
    """One frame that is to be drawn."""

    given: Given
    stored: StoredFrames
    number: int


def rendered(request: Request, services: DicomwebServices) -> Response:
    """GET of a study, series, instance or frames, rendered."""
    return _drawn(request, services, is_thumbnail=False)


def thumbnail(request: Request, services: DicomwebServices) -> Response:
    """GET of the thumbnail of a study, series, instance or frame."""
    return _drawn(request, services, is_thumbnail=True)


def _drawn(request: Request, services: DicomwebServices, *, is_thumbnail: bool) -> Response:
    chosen = _chosen(request)
    if chosen is None:
        return problem(406, f"images are drawn as {', '.join(DRAWN)}")
    media_type, entry = chosen
    wish = wish_of(request, is_thumbnail=is_thumbnail) | {"media_type": media_type}
    numbers = (
        frame_numbers(request.path_params["frames"]) if "frames" in request.path_params else []
    )
    if "frames" in request.path_params and not numbers:
        return problem(400, "frames are whole numbers from 1, separated by commas")
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    if len(found) > MAX_INSTANCES:
        return problem(413, f"more than {MAX_INSTANCES} instances: ask series by series")
    images, reasons = _images(found, numbers, services)
    if not images:
        return problem(406, f"nothing of it can be drawn: {reasons[0] if reasons else 'no pixels'}")
    if numbers and max(numbers) > len(images[0].stored.stretches):
        return problem(404, f"it has {len(images[0].stored.stretches)} frames")
    if is_thumbnail:
        images, reasons = [images[len(images) // 2]], []
    alone = len(images) == 1 and not entry.is_multipart
    form = f"{request.url.path}?{request.url.query}|{media_type}"
    tag = etag(images[0].given, form) if alone else ""
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers={"etag": tag})
    coming = _each(images, services, wish)
    try:
        first = next(coming)
    except Busy as error:
        return problem(503, str(error), headers={"retry-after": "10"})
    except (RouterError, LookupError) as error:
        services.not_given(images[0].given.version.sop_instance_uid, error)
        return problem(406, f"it cannot be drawn: {error}")
    headers = warnings_of(request)
    if alone:
        return Response(first, headers={**headers, "etag": tag}, media_type=media_type)
    bodies = ((media_type, iter((image,))) for image in chain((first,), coming))
    return related(bodies, media_type, 206 if reasons else 200, headers)


def _chosen(request: Request) -> tuple[str, Accepted] | None:
    """The media type to draw, and the entry that asked for it; the parameter wins over the header."""
    for one in accepted(accept_of(request)):
        for media_type in DRAWN:
            if one.meets(media_type):
                return media_type, one
    return None


def _images(
    found: list[Given], numbers: list[int], services: DicomwebServices
) -> tuple[list[_Image], list[str]]:
    """What of it can be drawn, and why the rest cannot, of what has pixels."""
    images: list[_Image] = []
    reasons: list[str] = []
    for one in found:
        try:
            stored = stored_frames(one, services)
            reason = obstacle(stored.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN)
            if reason:
                raise BadDataset(reason)
        except NoPixels:
            continue
        except (RouterError, LookupError) as error:
            services.not_given(one.version.sop_instance_uid, error)
            reasons.append(str(error))
            continue
        # Number 0 is the one that stands for all.
        images += [_Image(one, stored, number) for number in numbers or (0,)]
    return images, reasons


def _each(
    images: list[_Image], services: DicomwebServices, wish: dict[str, Any]
) -> Iterator[bytes]:
    for image in images:
        with ExitStack() as records:
            known, header, _ = opened_header(image.given, services, records)
            syntax = known.outgoing.transfer_syntax_uid
        number = image.number or _representative(header, syntax, image.stored)
        yield services.codecs.draw(
            header,
            one_frame(image.given, services, image.stored, number),
            (syntax, frame_source(image.stored.transfer_syntax_uid)),
            image.stored.facts,
            wish | {"frame": number},
        )


def _representative(header: bytes, syntax: str, stored: StoredFrames) -> int:
    count = len(stored.stretches)
    if count > 1:
        reader = HeaderReader(syntax, (_REPRESENTATIVE,))
        reader.feed(header)
        attribute = reader.get(_REPRESENTATIVE)
        if attribute and attribute.values and 0 < int(attribute.values[0]) <= count:
            return int(attribute.values[0])
    return (count + 1) // 2
