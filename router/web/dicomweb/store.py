"""STOW-RS: instances into the same intake as by DIMSE, answered when they are durable (PS3.18 10.5).

The body is read part by part while it comes, straight into the journal; the answer names every part
by what became of it. Nothing is told as stored that is not, and what was stored before a body broke
stays stored: the sender repeats it, and it counts as a duplicate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from router.dicom.part10 import read_part10_stream
from router.dicomweb.related import BrokenBody, IncomingPart, boundary_of, parts
from router.errors import BadDataset
from router.flow.intake import Arrival
from router.model.instance import Source
from router.model.status import OUT_OF_RESOURCES
from router.web.dicomweb.accepting import DICOM, DICOM_JSON, takes_json
from router.web.dicomweb.services import DicomwebServices, accept_of, address_of, source_of
from router.web.problems import problem

MAX_STORES: Final = 16
MAX_PARTS: Final = 100_000
RETRY_SECONDS: Final = 10
_STALL_SECONDS: Final = 60.0
_CANNOT_UNDERSTAND: Final = 0xC000


@dataclass(slots=True)
class _Stored:
    """What became of the parts: references, and failures with their reasons."""

    good: list[dict[str, Any]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)
    lacks_room: bool = False


class Storing:
    """POST of studies at one listener."""

    def __init__(self, services: DicomwebServices) -> None:
        self._services = services
        self._running = 0

    async def store(self, request: Request, listener: str) -> Response:
        """The answer to one request, `listener` being where it came in."""
        if not takes_json(accept_of(request)):
            return problem(406, f"the answer is {DICOM_JSON}")
        content_type = request.headers.get("content-type", "")
        try:
            boundary_of(content_type)
        except BrokenBody as error:
            return problem(415, f"{error}: send multipart/related; type={DICOM}")
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            headers = {"accept-encoding": "identity"}
            return problem(415, "send it without Content-Encoding", headers=headers)
        if self._running >= MAX_STORES:
            return _busy("too many are storing")
        source = source_of(request, self._services, listener)
        study = request.path_params.get("study", "")
        body = _pulled(request.stream(), asyncio.get_running_loop())
        stored = _Stored()
        self._running += 1
        try:
            await run_in_threadpool(self._take_all, content_type, body, source, study, stored)
        except BrokenBody as error:
            return problem(400, f"{error}; {len(stored.good)} were stored before")
        except ClientDisconnect:
            return problem(400, "the body ended early")
        finally:
            self._running -= 1
        return _answered(stored, f"{address_of(request)}/studies/{study}" if study else "")

    def _take_all(
        self,
        content_type: str,
        body: Iterator[bytes],
        source: Source,
        study: str,
        stored: _Stored,
    ) -> None:
        for number, part in enumerate(parts(content_type, body)):
            if number >= MAX_PARTS:
                raise BrokenBody(f"more than {MAX_PARTS} parts")
            self._take(part, source, study, stored)

    def _take(self, part: IncomingPart, source: Source, study: str, stored: _Stored) -> None:
        if part.media_type not in ("", DICOM):
            stored.bad.append(_reference("", "", _CANNOT_UNDERSTAND))
            return
        try:
            coming = read_part10_stream(part.chunks)
        except BadDataset as error:
            stored.bad.append(_reference("", "", error.status))
            return
        meta = coming.meta
        # The data set says which object it is: file meta information is often left as it was.
        arrival = Arrival(source, "", "", meta.transfer_syntax_uid, study_instance_uid=study)
        answer = self._services.intake.take(arrival, coming.chunks)
        if answer.status:
            stored.lacks_room |= answer.status == OUT_OF_RESOURCES
            stored.bad.append(_reference(meta.sop_class_uid, meta.sop_instance_uid, answer.status))
            return
        stored.good.append(_reference(answer.sop_class_uid, answer.sop_instance_uid))


def _pulled(stream: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """The body for a thread: each chunk is asked of the event loop when the last was used."""

    async def following() -> bytes | None:
        async with asyncio.timeout(_STALL_SECONDS):
            async for chunk in stream:
                if chunk:
                    return chunk
        return None

    while True:
        try:
            chunk = asyncio.run_coroutine_threadsafe(following(), loop).result()
        except TimeoutError:
            raise BrokenBody("the body stopped coming") from None
        if chunk is None:
            return
        yield chunk


def _reference(sop_class_uid: str, sop_instance_uid: str, reason: int = 0) -> dict[str, Any]:
    """An item of ReferencedSOPSequence or FailedSOPSequence (PS3.18 annex I)."""
    item: dict[str, Any] = {}
    if sop_class_uid:
        item["00081150"] = {"vr": "UI", "Value": [sop_class_uid]}
    if sop_instance_uid:
        item["00081155"] = {"vr": "UI", "Value": [sop_instance_uid]}
    if reason:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return item


def _answered(stored: _Stored, address: str) -> Response:
    """The status says whether all, some or none were stored (PS3.18 table 10.5.3-1)."""
    if not stored.good and not stored.bad:
        return problem(400, "the body holds no part")
    if not stored.good and stored.lacks_room:
        return _busy("no room, try again later")
    document: dict[str, Any] = {}
    if address:
        document["00081190"] = {"vr": "UR", "Value": [address]}
    if stored.bad:
        document["00081198"] = {"vr": "SQ", "Value": stored.bad}
    if stored.good:
        document["00081199"] = {"vr": "SQ", "Value": stored.good}
    status = 200 if not stored.bad else 202 if stored.good else 409
    return JSONResponse(document, status, media_type=DICOM_JSON)


def _busy(words: str) -> Response:
    return problem(503, words, headers={"retry-after": str(RETRY_SECONDS)})
