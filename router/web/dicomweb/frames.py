"""WADO-RS: frames of an instance, as they are stored or in another form (PS3.18 10.4.1.1.6).

Pixel data as bulk data are the same frames, all of them. What is stored in a form the client takes
is sent as it is, never decoded; else each frame is converted as it is sent, without loss. The hooks
change no pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import PIXEL_DATA, RandomAccess
from router.dicom.frames import PixelFacts, Stretch, frame_stretches, image_type_of, pixel_facts
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, layout_of
from router.errors import BadDataset, RouterError
from router.flow.received import plain
from router.pixels.syntaxes import obstacle
from router.pixels.transcoding import frame_bytes, frame_source
from router.store.records import Record
from router.web.dicomweb.accepting import ANY_SYNTAX, OCTETS, Accepted, accepted, first_that
from router.web.dicomweb.retrieve import NOT_HERE, Given, etag, given, mended, opened, related
from router.web.dicomweb.services import DicomwebServices, accept_of
from router.web.problems import problem
from router.web.tags import has_match, is_unchanged

MAX_FRAMES: Final = 10_000
# One range of whole numbers; what is none is no condition at all (RFC 9110 14.2).
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))")
# What other forms are written in where the client names only the media type (PS3.18 table 8.7.3-5).
_CONVERTED: Final = {
    OCTETS: EXPLICIT_VR_LITTLE_ENDIAN,
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
}


class NoPixels(BadDataset):
    """There are no frames to be had, nor would anybody expect some."""


@dataclass(frozen=True, slots=True)
class StoredFrames:
    """The frames of one instance, as they are stored."""

    transfer_syntax_uid: str
    facts: PixelFacts
    stretches: list[tuple[Stretch, ...]]


@dataclass(frozen=True, slots=True)
class _Form:
    """What frames leave in."""

    media_type: str
    transfer_syntax_uid: str
    is_stored: bool
    is_alone: bool
    """The client named its media type, and takes no multipart."""

    @property
    def part_type(self) -> str:
        """The media type of a part."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def frame_numbers(text: str) -> list[int]:
    """The numbers of frames in a path; none where they are not numbers from 1."""
    parts = text.split(",")
    if len(parts) > MAX_FRAMES or not all(one.isascii() and one.isdigit() for one in parts):
        return []
    numbers = [int(one) for one in parts if len(one) < 10]
    return numbers if numbers and min(numbers) > 0 and len(numbers) == len(parts) else []


def frames(request: Request, services: DicomwebServices) -> Response:
    """GET of some frames of an instance, each as one part, in the order asked for."""
    numbers = frame_numbers(request.path_params["frames"])
    if not numbers:
        return problem(400, "frames are whole numbers from 1, separated by commas")
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    known = _known(request, found[0], services)
    if isinstance(known, Response):
        return known
    count = len(known[0].stretches)
    if max(numbers) > count:
        return problem(404, f"it has {count} frames")
    return _answered(request, found[0], services, known, numbers)


def _answered(
    request: Request,
    one: Given,
    services: DicomwebServices,
    known: tuple[StoredFrames, _Form],
    numbers: Sequence[int],
) -> Response:
    """These frames, each as a part; a single one alone, where the client takes no multipart."""
    stored, form = known
    headers = {"etag": etag(one, form.transfer_syntax_uid)}
    if is_unchanged(request.headers, headers["etag"]):
        return Response(status_code=304, headers=headers)
    bodies: Iterator[Iterator[bytes]]
    if form.is_stored:
        bodies = (_pieces(one, services, stored.stretches[number - 1]) for number in numbers)
    else:
        coming = _converted(one, services, stored, numbers, form)
        try:
            first = next(coming)
        except RouterError as error:
            return _not_given(one, services, error)
        bodies = (iter((frame,)) for frame in chain((first,), coming))
    if form.is_alone and len(numbers) == 1:
        return StreamingResponse(next(bodies), headers=headers, media_type=form.part_type)
    parts = ((form.part_type, body) for body in bodies)
    return related(parts, form.media_type, headers=headers)


def all_pixels(request: Request, one: Given, services: DicomwebServices) -> Response:
    """GET of the pixel data as bulk data: one body, or the frames of a compressed form."""
    known = _known(request, one, services)
    if isinstance(known, Response):
        return known
    stored, form = known
    everything = range(1, len(stored.stretches) + 1)
    is_whole = form.media_type == OCTETS and not layout_of(form.transfer_syntax_uid).encapsulated
    if not is_whole:
        return _answered(request, one, services, known, everything)
    if form.is_stored:
        flat = tuple(piece for part in stored.stretches for piece in part)
        tag = etag(one, form.transfer_syntax_uid)
        wanted = first_that(accept_of(request), (OCTETS,))
        if wanted is not None and not wanted.is_multipart:
            return _ranged(request, one, services, flat, tag)
        if is_unchanged(request.headers, tag):
            return Response(status_code=304, headers={"etag": tag})
        return related(
            [(form.part_type, _pieces(one, services, flat))], OCTETS, headers={"etag": tag}
        )
    headers = {"etag": etag(one, form.transfer_syntax_uid)}
    if is_unchanged(request.headers, headers["etag"]):
        return Response(status_code=304, headers=headers)
    coming = _converted(one, services, stored, everything, form)
    try:
        first = next(coming)
    except RouterError as error:
        return _not_given(one, services, error)
    whole = chain((first,), coming)
    if form.is_alone:
        return StreamingResponse(whole, headers=headers, media_type=form.part_type)
    return related([(form.part_type, whole)], OCTETS, headers=headers)


def stored_frames(one: Given, services: DicomwebServices) -> StoredFrames:
    """Where its frames lie. Raises NoPixels, LookupError when its bytes are gone, or a RouterError."""
    with ExitStack() as records:
        stored_uid = opened(one, services, ANY_SYNTAX, records).instance.transfer_syntax_uid
        read, length = _plain(one, services, stored_uid, records)
        uid = EXPLICIT_VR_LITTLE_ENDIAN if layout_of(stored_uid).deflated else stored_uid
        data_set = EditableDataSet(read, length, uid)
        span = data_set.span(PIXEL_DATA)
        if span is None:
            raise NoPixels("it has no pixel data")
        facts = pixel_facts(data_set.get)
        return StoredFrames(stored_uid, facts, frame_stretches(read, *span, uid, facts))


def one_frame(one: Given, services: DicomwebServices, stored: StoredFrames, number: int) -> bytes:
    """The bytes of one frame as it is stored. Raises BadDataset where it is too large to decode."""
    if number > len(stored.stretches):
        raise BadDataset(f"it has {len(stored.stretches)} frames")
    with ExitStack() as records:
        read, _ = _plain(one, services, stored.transfer_syntax_uid, records)
        return frame_bytes(read, stored.stretches[number - 1])


def _plain(
    one: Given, services: DicomwebServices, stored_uid: str, records: ExitStack
) -> tuple[RandomAccess, int]:
    record = _record(one, services, records)
    return plain((record.read, record.length), stored_uid)


def _record(one: Given, services: DicomwebServices, records: ExitStack) -> Record:
    held = services.ledger.instance(one.version.instance_id)
    if held is None or held.record is None:
        raise LookupError("its bytes were evicted meanwhile")
    record = services.journal.open(held.record)
    records.callback(record.close)
    return record


def _pieces(
    one: Given, services: DicomwebServices, stretches: tuple[Stretch, ...]
) -> Iterator[bytes]:
    """The bytes of stretches of the stored pixel data."""
    return mended(lambda: _pieces_once(one, services, stretches), one, services)


def _pieces_once(
    one: Given, services: DicomwebServices, stretches: tuple[Stretch, ...]
) -> Iterator[bytes]:
    with ExitStack() as records:
        record = _record(one, services, records)
        for offset, size in stretches:
            for chunk in record.chunks(offset, offset + size):
                yield bytes(chunk)


def _converted(
    one: Given,
    services: DicomwebServices,
    stored: StoredFrames,
    numbers: Iterable[int],
    form: _Form,
) -> Iterator[bytes]:
    source = frame_source(stored.transfer_syntax_uid)
    for number in numbers:
        frame = one_frame(one, services, stored, number)
        target = form.transfer_syntax_uid
        yield services.codecs.convert(frame, source, target, stored.facts)[0]


def _known(
    request: Request, one: Given, services: DicomwebServices
) -> tuple[StoredFrames, _Form] | Response:
    """The frames and the form they leave in, or why they do not."""
    try:
        stored = stored_frames(one, services)
    except (RouterError, LookupError) as error:
        return _not_given(one, services, error)
    uid = stored.transfer_syntax_uid
    form = _form(request, uid)
    return (stored, form) if isinstance(form, _Form) else problem(406, form)


def _not_given(one: Given, services: DicomwebServices, error: Exception) -> Response:
    services.not_given(one.version.sop_instance_uid, error)
    reason = str(error) if isinstance(error, RouterError) else "its bytes are gone"
    return problem(406, f"its frames cannot be given: {reason}")


def _form(request: Request, stored_uid: str) -> _Form | str:
    """The form the client likes best, of those that can be given; or why there is none."""
    layout = layout_of(stored_uid)
    is_plain = layout.little_endian and not layout.deflated
    reason = f"its frames are stored as {image_type_of(stored_uid)} ({stored_uid})"
    for one in accepted(accept_of(request)):
        if is_plain and (kind := _as_stored(one, stored_uid)):
            return _Form(kind, stored_uid, is_stored=True, is_alone=_names_alone(one))
        for kind, target_uid in _CONVERTED.items():
            is_meant = one.meets(kind) and one.transfer_syntax_uid in ("", target_uid)
            if is_meant and not (obstacle_here := obstacle(stored_uid, target_uid)):
                return _Form(kind, target_uid, is_stored=False, is_alone=_names_alone(one))
            if is_meant:
                reason = f"{reason}: {obstacle_here}"
    return reason


def _names_alone(one: Accepted) -> bool:
    return not one.is_multipart and not one.media_type.endswith("/*")


def _as_stored(one: Accepted, stored_uid: str) -> str | None:
    """The media type frames leave in as they are stored; None where this entry is not for that."""
    is_compressed = layout_of(stored_uid).encapsulated
    asked = one.transfer_syntax_uid
    for kind in (image_type_of(stored_uid), OCTETS):
        if not one.meets(kind):
            continue
        is_default = not asked and (kind != OCTETS or not is_compressed)
        if asked in (ANY_SYNTAX, stored_uid) or is_default or one.media_type == "*/*":
            return kind
        if asked == EXPLICIT_VR_LITTLE_ENDIAN and not is_compressed:
            return kind
    return None


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
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, total, 200
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    # A part of what the client has is of no use to it when that has changed (RFC 9110 13.1.5).
    if asked and has_match(request.headers.get("if-range", "*"), tag, is_strong=True):
        first, last, suffix = asked.groups()
        if first:
            start, end = int(first), min(int(last) + 1 if last else total, total)
        else:
            start = max(0, total - int(suffix))
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
