"""WADO-RS: studies, series and instances as files, streamed from their records (PS3.18 10.4).

Objects leave in the transfer syntax that is asked for; without one uncompressed, and as they are stored
where they were compressed with loss. What leaves is what the hooks make of it; an object that a hook
fails on, or that cannot be had as asked, is left out and the answer is 206.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from router.dicom.outgoing import OutgoingDataSet, can_convert
from router.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from router.dicomweb.multipart import Chunk, gathered, new_boundary
from router.errors import MorphFailed, Refused, RouterError
from router.flow.fetching_again import NotNow
from router.flow.giving import origin
from router.model.instance import Instance
from router.model.recipe import Recipe
from router.peers.peer import Parcel, file_header
from router.pixels.syntaxes import is_lossy
from router.store.ledger import HeldVersion
from router.store.records import RecordDamaged
from router.web.dicomweb.accepting import ANY_SYNTAX, DICOM, Accepted, all_that
from router.web.dicomweb.services import DicomwebServices, accept_of, client_of, send_hook
from router.web.problems import problem
from router.web.tags import is_unchanged

MAX_WISHES: Final = 16
NOT_HERE: Final = "nothing of that is held here"


@dataclass(frozen=True, slots=True)
class Given:
    """One instance that may be given: its version, and what is done to it."""

    version: HeldVersion
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Opened:
    """The facts of an instance, its parcel, and the outgoing data set."""

    instance: Instance
    parcel: Parcel
    outgoing: OutgoingDataSet


def given(request: Request, services: DicomwebServices) -> list[Given]:
    """What the path names of what is held here, or was and is fetched again by this.

    `request.state.lacking` is how much of it was let go of and cannot be had. Raises Refused where
    no hook can be known, NotNow where nothing is held and a station that has it does not give it.
    """
    path = request.path_params
    versions = _held(request, services)
    hits = len(versions)
    request.state.lacking = 0
    named = path["study"], path.get("series"), path.get("instance")
    if (not versions or "instance" not in path) and services.again.knows_of(*named):
        request.state.lacking, reason = services.again.lacking(*named)
        versions = _held(request, services)
        if reason and not versions:
            raise NotNow(f"it was let go of, and does not come again now: {reason}")
    if hits or not versions:
        services.counted(hits)

    if versions:
        services.audit.accessed(*client_of(request), path["study"])
    hook = send_hook(request, services)
    try:
        recipes = services.giving.recipes(versions, hook)
    except Refused:
        # What was done to them on receive is told by their records.
        for one in versions:
            services.refetching.mended(one.instance_id)
        recipes = services.giving.recipes(versions, hook)
    return [Given(one, recipes[origin(one)]) for one in versions]


def _held(request: Request, services: DicomwebServices) -> list[HeldVersion]:
    path = request.path_params
    return [
        one
        for one in services.ledger.held_versions(path["study"], path.get("series"))
        if path.get("instance", one.sop_instance_uid) == one.sop_instance_uid
    ]


def opened(one: Given, services: DicomwebServices, syntax_uid: str, records: ExitStack) -> Opened:
    """Open it in a transfer syntax: '' for the default, `*` as it is stored.

    Raises a RouterError when it cannot be given that way.
    """
    try:
        return _opened(one, services, syntax_uid, records)
    except (RecordDamaged, MorphFailed) as error:
        is_damaged = RecordDamaged in {type(error), type(error.__cause__)}
        if not is_damaged or not services.refetching.mended(one.version.instance_id):
            raise
        return _opened(one, services, syntax_uid, records)


def _opened(one: Given, services: DicomwebServices, syntax_uid: str, records: ExitStack) -> Opened:
    found = services.giving.opened(one.version, one.recipe, "web", records)
    if found is None:
        raise LookupError(one.version.sop_instance_uid)
    instance, parcel = found
    outgoing = parcel.outgoing(_wanted(instance.transfer_syntax_uid, syntax_uid))
    return Opened(instance, parcel, outgoing)


def mended(
    make: Callable[[], Iterator[bytes]], one: Given, services: DicomwebServices
) -> Iterator[bytes]:
    """What `make` gives; from where a record turns out damaged, what it gives of the mended one.

    What is mended has the very bytes that were booked. Only with a hook, whose work may depend on
    the time, is the answer broken off instead. Raises RecordDamaged.
    """
    given_bytes = 0
    try:
        for chunk in make():
            given_bytes += len(chunk)
            yield chunk
    except RecordDamaged:
        if not services.refetching.mended(one.version.instance_id):
            raise
        if given_bytes and not one.recipe.is_empty:
            raise
    else:
        return
    for chunk in make():
        skipped = min(given_bytes, len(chunk))
        given_bytes -= skipped
        yield chunk[skipped:]


def _wanted(stored_uid: str, asked_uid: str) -> str:
    """The default is uncompressed, and what lost something already as it is stored (PS3.18 8.7.3.5.2)."""
    if asked_uid:
        return stored_uid if asked_uid == ANY_SYNTAX else asked_uid
    is_plain = can_convert(stored_uid, EXPLICIT_VR_LITTLE_ENDIAN)
    return EXPLICIT_VR_LITTLE_ENDIAN if is_plain or not is_lossy(stored_uid) else stored_uid


def retrieve(request: Request, services: DicomwebServices) -> Response:
    """The answer to GET of a study, series or instance."""
    is_one = "instance" in request.path_params
    wishes = all_that(accept_of(request), (DICOM,), multipart=(True, False) if is_one else (True,))
    if not wishes:
        return problem(406, f'accept multipart/related; type="{DICOM}"')
    found = given(request, services)
    if not found:
        return problem(404, NOT_HERE)
    wanted, good = _can_be_given(wishes, found, services)
    if not good:
        return problem(406, "nothing of it can be given in that transfer syntax, or at all")
    syntax = wanted.transfer_syntax_uid
    tag = etag(found[0], syntax) if is_one else ""
    if is_unchanged(request.headers, tag):
        return Response(status_code=304, headers={"etag": tag})
    headers = {"etag": tag} if tag else {}
    if is_one and not wanted.is_multipart and wanted.media_type == DICOM:
        one, uid = good[0]
        media_type = f"{DICOM}; transfer-syntax={uid}"
        body = _file(one, services, syntax)
        return StreamingResponse(body, headers=headers, media_type=media_type)
    status = 200 if len(good) == len(found) and not request.state.lacking else 206
    bodies = ((DICOM, _file(one, services, syntax)) for one, _ in good)
    return related(bodies, DICOM, status, headers)


def _can_be_given(
    wishes: Sequence[Accepted], found: Sequence[Given], services: DicomwebServices
) -> tuple[Accepted, list[tuple[Given, str]]]:
    """The best wish that all can be given by, else one that some can; and those, with their syntax."""
    best: tuple[Accepted, list[tuple[Given, str]]] = wishes[0], []
    failed: list[tuple[Given, str | Exception]] = []
    tried: set[str] = set()
    for wish in wishes[:MAX_WISHES]:
        syntax = wish.transfer_syntax_uid
        if syntax in tried:
            continue
        tried.add(syntax)
        leaving = [(one, _leaves_in(one, services, syntax)) for one in found]
        good = [(one, uid) for one, uid in leaving if isinstance(uid, str)]
        if len(good) > len(best[1]) or len(tried) == 1:
            best, failed = (wish, good), leaving
        if len(good) == len(found):
            break
    for one, error in failed:
        if isinstance(error, Exception):
            services.not_given(one.version.sop_instance_uid, error)
    return best


def related(
    bodies: Iterable[tuple[str, Iterator[Chunk]]],
    kind: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> StreamingResponse:
    """A multipart/related answer: each body with the media type of its part."""
    boundary = new_boundary()

    def whole() -> Iterator[Chunk]:
        for media_type, chunks in bodies:
            yield f"--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode()
            yield from chunks
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    media_type = f'multipart/related; type="{kind}"; boundary={boundary}'
    return StreamingResponse(_bytes(gathered(whole())), status, headers, media_type)


def _bytes(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    for chunk in chunks:
        yield bytes(chunk)


def _file(one: Given, services: DicomwebServices, syntax: str) -> Iterator[bytes]:
    """The file. What fails in the middle ends the connection: the closing boundary is missing."""
    return mended(lambda: _file_once(one, services, syntax), one, services)


def _file_once(one: Given, services: DicomwebServices, syntax: str) -> Iterator[bytes]:
    with ExitStack() as records:
        outgoing = opened(one, services, syntax, records).outgoing
        yield file_header(outgoing)
        yield from _bytes(outgoing.chunks())


def _leaves_in(one: Given, services: DicomwebServices, syntax: str) -> str | Exception:
    """The transfer syntax it leaves in, or why it cannot be given."""
    with ExitStack() as records:
        try:
            outgoing = opened(one, services, syntax, records).outgoing
            file_header(outgoing)
        except (RouterError, LookupError) as error:
            return error
    return outgoing.transfer_syntax_uid


def etag(one: Given, form: str) -> str:
    """Of one instance: it changes with its bytes, with what is done to them, and with the form."""
    return etag_of_all([one], form)


def etag_of_all(given_: Sequence[Given], form: str) -> str:
    """Of several together."""
    hasher = hashlib.blake2s(form.encode(), digest_size=16)
    for one in given_:
        hasher.update(f"|{one.version.instance_id}|{one.recipe.digest}".encode())
    return f'"{hasher.hexdigest()}"'
