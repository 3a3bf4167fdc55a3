"""WADO-RS below an instance: metadata, frames and bulk data, never decoded (PS3.18 10.4.1.1.2 to 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from router.dicom.frames import PixelFacts, Stretch, frame_stretches, image_type_of
from router.dicom.header import HeaderReader
from router.dicom.metadata import bulk_value, metadata_of
from router.dicom.tags import keyword_for
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.errors import BadDataset, RouterError
from router.model.instance import RecordRef
from router.model.path import Path, PathStep
from router.store.records import Record
from router.web.dicomweb.accepting import ANY_SYNTAX, DICOM_JSON, OCTETS, first_that, takes_json
from router.web.dicomweb.retrieve import (
    NOT_HERE,
    Given,
    Opened,
    etag,
    given,
    mended,
    opened,
    related,
)
from router.web.dicomweb.services import DicomwebServices, address_of
from router.web.problems import problem

MAX_HEADER_BYTES: Final = 64 * 1024 * 1024
MAX_INSTANCES: Final = 20_000
MAX_FRAMES: Final = 10_000
_PIXEL_DATA: Final = "7FE00010"
_FACTS: Final = (0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280008)
_DEFAULTS: Final = (0, 0, 1, 0, 1)


def metadata(request: Request, services: DicomwebServices) -> Response:
    """GET of metadata of a study, series or instance, as one JSON array, written as it is read."""
    if not takes_json(request.headers.get("accept")):
        return problem(406, f"the answer is {DICOM_JSON}")
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    if len(found) > MAX_INSTANCES:
        return problem(413, f"more than {MAX_INSTANCES} instances: ask series by series")
    documents = []
    for one in found:
        try:
            documents.append(_metadata(one, request, services))
        except (RouterError, LookupError) as error:
            services.not_given(one.version.sop_instance_uid, error)
    if not documents:
        return problem(500, "no header of it can be given")
    status = 200 if len(documents) == len(found) else 206
    return JSONResponse(documents, status, media_type=DICOM_JSON)


def _metadata(one: Given, request: Request, services: DicomwebServices) -> dict[str, Any]:
    with ExitStack() as records:
        known = opened(one, services, None, records)
        if layout_of(known.outgoing.transfer_syntax_uid).deflated:
            known = opened(one, services, EXPLICIT_VR_LITTLE_ENDIAN, records)
        header, has_pixel_data = _header(known)
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


def _header(known: Opened) -> tuple[bytes, bool]:
    """The outgoing bytes up to its Pixel Data, and whether there are any."""
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


def frames(request: Request, services: DicomwebServices) -> Response:
    """GET of some frames of an instance, each as one part, in the order asked for."""
    numbers = _numbers(request.path_params["frames"])
    if not numbers:
        return problem(400, "frames are whole numbers from 1, separated by commas")
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    with ExitStack() as records:
        try:
            known = opened(found[0], services, None, records)
            stretches = _stretches(known, services, records)
        except (RouterError, LookupError) as error:
            services.not_given(found[0].version.sop_instance_uid, error)
            return problem(406, "its frames cannot be given as they are stored")
    if max(numbers) > len(stretches):
        return problem(404, f"it has {len(stretches)} frames")
    syntax = known.instance.transfer_syntax_uid
    media_type = _frame_type(request, syntax)
    if media_type is None:
        return problem(406, f"its frames are stored as {image_type_of(syntax)} ({syntax})")
    kind = f"{media_type}; transfer-syntax={syntax}"
    bodies = ((kind, _pieces(found[0], services, stretches[number - 1])) for number in numbers)
    return related(bodies, media_type, headers={"etag": etag(found[0], syntax)})


def bulk_data(request: Request, services: DicomwebServices) -> Response:
    """GET of one value: all Pixel Data, or an element that metadata gave an address for."""
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    path = request.path_params["path"].upper()
    if path == _PIXEL_DATA:
        return _all_pixels(request, found[0], services)
    if first_that(request.headers.get("accept"), (OCTETS,)) is None:
        return problem(406, f"bulk data are {OCTETS}")
    with ExitStack() as records:
        try:
            known = opened(found[0], services, EXPLICIT_VR_LITTLE_ENDIAN, records)
        except (RouterError, LookupError):
            known = opened(found[0], services, None, records)
        header, _ = _header(known)
        value = bulk_value(header, known.outgoing.transfer_syntax_uid, path)
    if value is None:
        return problem(404, "no such bulk data")
    return Response(value, media_type=OCTETS)


def _all_pixels(request: Request, one: Given, services: DicomwebServices) -> Response:
    with ExitStack() as records:
        try:
            known = opened(one, services, None, records)
            stretches = _stretches(known, services, records)
        except (RouterError, LookupError) as error:
            services.not_given(one.version.sop_instance_uid, error)
            return problem(406, "its pixel data cannot be given as they are stored")
    syntax = known.instance.transfer_syntax_uid
    media_type = _frame_type(request, syntax)
    if media_type is None:
        return problem(406, f"its frames are stored as {image_type_of(syntax)} ({syntax})")
    if layout_of(syntax).encapsulated:
        kind = f"{media_type}; transfer-syntax={syntax}"
        return related(((kind, _pieces(one, services, part)) for part in stretches), media_type)
    flat = tuple(piece for part in stretches for piece in part)
    accept = request.headers.get("accept")
    wanted = first_that(accept, (OCTETS,))
    if wanted is None or wanted.is_multipart:
        kind = f"{OCTETS}; transfer-syntax={syntax}"
        return related([(kind, _pieces(one, services, flat))], OCTETS)
    return _ranged(request, one, services, flat, etag(one, syntax))


def _ranged(
    request: Request,
    one: Given,
    services: DicomwebServices,
    stretches: tuple[Stretch, ...],
    tag: str,
) -> Response:
    """One body of known length, or the range of it that is asked for (RFC 9110 14.2)."""
    total = sum(size for _, size in stretches)
    headers = {"etag": tag, "accept-ranges": "bytes"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, total, 200
    asked = request.headers.get("range", "")
    if asked.startswith("bytes=") and "," not in asked:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            start, end = int(first), min(int(last) + 1 if last else total, total)
        elif not first and last.isdigit():
            start = max(0, total - int(last))
        if start >= end:
            return problem(416, "no such range", headers={"content-range": f"bytes */{total}"})
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{total}"
    headers["content-length"] = str(end - start)
    body = _pieces(one, services, _cut(stretches, start, end))
    return StreamingResponse(body, status, headers, OCTETS)


def _cut(stretches: tuple[Stretch, ...], start: int, end: int) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    at = 0
    for offset, size in stretches:
        low, high = max(start, at), min(end, at + size)
        if low < high:
            found.append((offset + low - at, high - low))
        at += size
    return tuple(found)


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) > MAX_FRAMES or not all(one.isascii() and one.isdigit() for one in parts):
        return []
    numbers = [int(one) for one in parts if len(one) < 10]
    return numbers if numbers and min(numbers) > 0 and len(numbers) == len(parts) else []


def _stretches(
    known: Opened, services: DicomwebServices, records: ExitStack
) -> list[tuple[Stretch, ...]]:
    instance = known.instance
    record = _record(known.parcel.leased.record, services, records)
    paths = [Path((PathStep(tag),), keyword_for(tag) or "") for tag in _FACTS]
    reader = HeaderReader(instance.transfer_syntax_uid, paths)
    for chunk in record.chunks(0, instance.header_length):
        reader.feed(chunk)
    facts = []
    for path, default in zip(paths, _DEFAULTS, strict=True):
        attribute = reader.get(path)
        text = str(attribute.values[0]).strip() if attribute and attribute.values else ""
        facts.append(int(text) if text.isdigit() else default)
    length = instance.data_set_length
    return frame_stretches(
        record.read,
        instance.header_length,
        length,
        instance.transfer_syntax_uid,
        PixelFacts(*facts),
    )


def _record(ref: RecordRef, services: DicomwebServices, records: ExitStack) -> Record:
    record = services.journal.open(ref)
    records.callback(record.close)
    return record


def _pieces(
    one: Given, services: DicomwebServices, stretches: tuple[Stretch, ...]
) -> Iterator[bytes]:
    """The bytes of stretches of the stored pixel data, which no hook changes."""
    return mended(lambda: _pieces_once(one, services, stretches), one, services)


def _pieces_once(
    one: Given, services: DicomwebServices, stretches: tuple[Stretch, ...]
) -> Iterator[bytes]:
    held = services.ledger.instance(one.version.instance_id)
    if held is None or held.record is None:
        raise LookupError("its bytes were evicted meanwhile")
    with ExitStack() as records:
        record = _record(held.record, services, records)
        for offset, size in stretches:
            for chunk in record.chunks(offset, offset + size):
                yield bytes(chunk)


def _frame_type(request: Request, syntax: str) -> str | None:
    """The media type frames leave in; None where the client takes none that is stored."""
    stored = image_type_of(syntax)
    for kind in (stored, OCTETS):
        wanted = first_that(request.headers.get("accept"), (kind,))
        if wanted is None:
            continue
        asked = wanted.transfer_syntax_uid
        is_default = not asked and (kind != OCTETS or not layout_of(syntax).encapsulated)
        if asked in (ANY_SYNTAX, syntax) or is_default or wanted.media_type == "*/*":
            return kind
        plain = (EXPLICIT_VR_LITTLE_ENDIAN, syntax)
        if asked in plain and not layout_of(syntax).encapsulated:
            return kind
    return None
