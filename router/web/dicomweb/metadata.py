"""WADO-RS: metadata, and the bulk data they give addresses of (PS3.18 10.4.1.1.2, 10.4.1.1.5)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from router.dicom.metadata import bulk_value, metadata_of
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.errors import BadDataset, RouterError
from router.web.dicomweb.accepting import ANY_SYNTAX, OCTETS, first_that
from router.web.dicomweb.documents import OFFERED, documents, form_of
from router.web.dicomweb.frames import all_pixels
from router.web.dicomweb.retrieve import (
    NOT_HERE,
    Given,
    Opened,
    etag,
    etag_of_all,
    given,
    opened,
    related,
)
from router.web.dicomweb.services import DicomwebServices, accept_of, address_of
from router.web.problems import problem
from router.web.tags import is_unchanged

MAX_HEADER_BYTES: Final = 64 * 1024 * 1024
MAX_INSTANCES: Final = 20_000
_PIXEL_DATA: Final = "7FE00010"


def metadata(request: Request, services: DicomwebServices) -> Response:
    """GET of metadata of a study, series or instance."""
    form = form_of(accept_of(request))
    if form is None:
        return problem(406, OFFERED)
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    if len(found) > MAX_INSTANCES:
        return problem(413, f"more than {MAX_INSTANCES} instances: ask series by series")
    # Addresses of bulk data are in it.
    tag = etag_of_all(found, f"{address_of(request)}|{form}")
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers={"etag": tag})
    made = []
    for one in found:
        try:
            made.append(_metadata(one, request, services))
        except (RouterError, LookupError) as error:
            services.not_given(one.version.sop_instance_uid, error)
    if not made:
        return problem(500, "no header of it can be given")
    is_whole = len(made) == len(found) and not request.state.lacking
    # What lacks something may be whole the next time.
    return documents(made, form, 200, {"etag": tag}) if is_whole else documents(made, form, 206)


def _metadata(one: Given, request: Request, services: DicomwebServices) -> dict[str, Any]:
    with ExitStack() as records:
        known, header, has_pixel_data = opened_header(one, services, records)
        instance = known.instance
        base = (
            f"{address_of(request)}/studies/{instance.study_instance_uid}"
            f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}/bulkdata/"
        )
        return metadata_of(
            header,
            known.outgoing.transfer_syntax_uid,
            lambda path: base + path,
            has_pixel_data=has_pixel_data,
        )


def opened_header(
    one: Given, services: DicomwebServices, records: ExitStack
) -> tuple[Opened, bytes, bool]:
    """An instance with its outgoing bytes up to its Pixel Data, and whether there are any."""
    known = opened(one, services, ANY_SYNTAX, records)
    if layout_of(known.outgoing.transfer_syntax_uid).deflated:
        known = opened(one, services, EXPLICIT_VR_LITTLE_ENDIAN, records)
    return known, *_header(known)


def _header(known: Opened) -> tuple[bytes, bool]:
    instance, outgoing = known.instance, known.outgoing
    tail = instance.data_set_length - instance.header_length
    is_as_stored = outgoing.transfer_syntax_uid == instance.transfer_syntax_uid
    length = MAX_HEADER_BYTES
    if is_as_stored and outgoing.length is not None:
        length = outgoing.length - tail
    if length > MAX_HEADER_BYTES:
        raise BadDataset(f"its header is longer than {MAX_HEADER_BYTES >> 20} MiB")
    gathered = bytearray()
    for chunk in outgoing.chunks():
        gathered += chunk[: length - len(gathered)]
        if len(gathered) >= length:
            break
    return bytes(gathered), tail > 0


def bulk_data(request: Request, services: DicomwebServices) -> Response:
    """GET of one value: all Pixel Data, or an element that metadata gave an address for."""
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    path = request.path_params["path"].upper()
    if path == _PIXEL_DATA:
        return all_pixels(request, found[0], services)
    wanted = first_that(accept_of(request), (OCTETS,))
    if wanted is None:
        return problem(406, f"bulk data are {OCTETS}")
    tag = etag(found[0], path)
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers={"etag": tag})
    try:
        value = _value(found[0], services, path)
    except (RouterError, LookupError) as error:
        services.not_given(found[0].version.sop_instance_uid, error)
        reason = str(error) if isinstance(error, RouterError) else "its bytes are gone"
        return problem(406, f"it cannot be given: {reason}")
    if value is None:
        return problem(404, "no such bulk data")
    if wanted.is_multipart:
        return related([(OCTETS, iter((value,)))], OCTETS, headers={"etag": tag})
    return Response(value, headers={"etag": tag}, media_type=OCTETS)


def _value(one: Given, services: DicomwebServices, path: str) -> bytes | None:
    with ExitStack() as records:
        known = opened(one, services, ANY_SYNTAX, records)
        if not layout_of(known.outgoing.transfer_syntax_uid).encapsulated:
            known = opened(one, services, EXPLICIT_VR_LITTLE_ENDIAN, records)
        header, _ = _header(known)
        return bulk_value(header, known.outgoing.transfer_syntax_uid, path)
