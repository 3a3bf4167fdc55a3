"""QIDO-RS: searches of what is held here, by the finder that answers C-FIND (PS3.18 10.6).

Attributes are named by keyword or tag; what cannot be matched is left out and a Warning says so, as
it does where more could be asked for. Matching, wildcards and ranges are those of PS3.4 C.2.2.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from router.dicom.identifier import element_of
from router.dicom.json_model import to_json
from router.dicom.tags import tag_for, vr_for
from router.model import catalogue as known
from router.model.query import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Identifier,
    Level,
    Query,
)
from router.peers.search import Search
from router.web.audited import queried
from router.web.dicomweb.documents import OFFERED, documents, form_of
from router.web.dicomweb.services import (
    DicomwebServices,
    accept_of,
    address_of,
    client_of,
    in_reach,
)
from router.web.problems import problem

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
MAX_PARAMETERS: Final = 200
SEARCH_SECONDS: Final = 60.0
UNBOUNDED: Final = 10**9
_SEEN_AT_ONCE: Final = 25
_RETRIEVE_URL: Final = 0x00081190
_SUBSETS: Final[Mapping[Level, frozenset[int]]] = {
    "STUDY": frozenset(
        {
            0x00080020,  # StudyDate
            0x00080030,  # StudyTime
            0x00080050,  # AccessionNumber
            known.INSTANCE_AVAILABILITY,
            known.MODALITIES_IN_STUDY,
            0x00080090,  # ReferringPhysicianName
            0x00081030,  # StudyDescription
            0x00100010,  # PatientName
            0x00100020,  # PatientID
            0x00100030,  # PatientBirthDate
            0x00100040,  # PatientSex
            STUDY_INSTANCE_UID,
            0x00200010,  # StudyID
            known.STUDY_RELATED_SERIES,
            known.STUDY_RELATED_INSTANCES,
        }
    ),
    "SERIES": frozenset(
        {
            known.MODALITY,
            0x0008103E,  # SeriesDescription
            SERIES_INSTANCE_UID,
            0x00200011,  # SeriesNumber
            known.SERIES_RELATED_INSTANCES,
            0x00400244,  # PerformedProcedureStepStartDate
            0x00400245,  # PerformedProcedureStepStartTime
        }
    ),
    "IMAGE": frozenset(
        {
            0x00080016,  # SOPClassUID
            SOP_INSTANCE_UID,
            known.INSTANCE_AVAILABILITY,
            0x00200013,  # InstanceNumber
            0x00280008,  # NumberOfFrames
            0x00280010,  # Rows
            0x00280011,  # Columns
            0x00280100,  # BitsAllocated
        }
    ),
}


_NAME: Final = re.compile(r"[A-Za-z0-9.]{1,128}")


class _Wrong(ValueError):
    """The request cannot be understood; the text says why."""


@dataclass(slots=True)
class _Asked:
    """The parameters of a search, read."""

    keys: dict[int, DataElement]
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    takes_all: bool = False
    not_matched: tuple[str, ...] = ()
    is_fuzzy: bool = False


def search(request: Request, level: Level, services: DicomwebServices) -> Response:
    """The answer to GET of studies, series or instances."""
    form = form_of(accept_of(request))
    if form is None:
        return problem(406, OFFERED)
    try:
        asked = _read(request.url.query)
    except _Wrong as error:
        return problem(400, str(error))
    query = _query(level, asked, request.path_params)
    is_limited = request.state.identity.is_limited
    if is_limited:  # how many are theirs shows as they come; of a patient's others nothing is told
        keys = {tag: key for tag, key in query.keys.items() if tag not in known.PATIENT_COUNTS}
        query = replace(query, keys=keys, limit=UNBOUNDED)
    address = f"{request.url.path}?{request.url.query}"
    queried(services.audit, services.plan(), *client_of(request), address)
    # One more than is wanted tells whether there is more.
    found = Search(services.finder.find(query, lambda: not services.stop.is_set()))
    seen = _seen(found, request, services) if is_limited else found
    wanted = list(islice(seen, asked.offset, asked.offset + asked.limit + 1))
    is_more = len(wanted) > asked.limit
    base = address_of(request)
    answers = []
    for one in wanted[: asked.limit]:
        document = to_json(one)
        document[f"{_RETRIEVE_URL:08X}"] = {"vr": "UR", "Value": [_address(base, level, document)]}
        answers.append(document)
    headers = _headers(asked, is_more=is_more or (found.ending.is_truncated and not wanted))
    if not answers:
        return Response(status_code=204, headers=headers)
    return documents(answers, form, headers=headers)


def _seen(
    found: Iterable[Identifier], request: Request, services: DicomwebServices
) -> Iterator[Identifier]:
    """The answers that who asks may have, in their order."""
    answers = iter(found)
    while batch := list(islice(answers, _SEEN_AT_ONCE)):
        studies = [one[STUDY_INSTANCE_UID].text for one in batch]
        theirs = in_reach(request, services, frozenset(studies))
        yield from (one for one, study in zip(batch, studies, strict=True) if study in theirs)


def _query(level: Level, asked: _Asked, path: Mapping[str, str]) -> Query:
    keys = dict(asked.keys)
    in_path = {STUDY_INSTANCE_UID: "study", SERIES_INSTANCE_UID: "series"}
    for tag, name in in_path.items():
        if name in path:
            keys[tag] = DataElement("UI", (path[name],))
    wanted = set(_SUBSETS[level])
    if level != "STUDY":
        wanted.add(STUDY_INSTANCE_UID)
    if level == "IMAGE":
        wanted.add(SERIES_INSTANCE_UID)
    # Attributes of levels that are not in the path come too (PS3.18 table 10.6.1-5).
    if level != "STUDY" and "study" not in path:
        wanted |= _SUBSETS["STUDY"]
    if level == "IMAGE" and "series" not in path:
        wanted |= _SUBSETS["SERIES"]
    if asked.takes_all:
        wanted |= known.PATIENT_TAGS | known.STUDY_TAGS
        wanted |= known.SERIES_TAGS if level != "STUDY" else frozenset()
    for tag in wanted:
        keys.setdefault(tag, DataElement(vr_for(tag)))
    return Query(level, keys, asked.offset + asked.limit + 1, SEARCH_SECONDS)


def _read(text: str) -> _Asked:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise _Wrong(f"more than {MAX_PARAMETERS} parameters") from None
    asked = _Asked({})
    ignored: list[str] = []
    for name, value in pairs:
        special = _SPECIAL.get(name.lower())
        if special is not None:
            special(asked, value)
        elif "." in name:
            ignored.append(name)
        else:
            tag = _tag(name)
            asked.keys[tag] = _key(tag, value)
    asked.not_matched = tuple(ignored)
    return asked


def _key(tag: int, value: str) -> DataElement:
    if vr_for(tag) == "UI":
        value = value.replace(",", "\\")
    return element_of(tag, value)


def _tag(name: str) -> int:
    if len(name) == 8:
        try:
            return int(name, 16)
        except ValueError:
            pass
    tag = tag_for(name)
    if tag is None:
        raise _Wrong(f"{name[:64]!r} is neither a keyword of the data dictionary nor a tag")
    return tag


def _whole(name: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise _Wrong(f"{name} must be a whole number")
    return min(int(value), most)


def _limit(asked: _Asked, value: str) -> None:
    asked.limit = _whole("limit", value, MAX_LIMIT)


def _offset(asked: _Asked, value: str) -> None:
    asked.offset = _whole("offset", value, 10**9)


def _fuzzy(asked: _Asked, value: str) -> None:
    if value.lower() not in ("true", "false"):
        raise _Wrong("fuzzymatching must be true or false")
    asked.is_fuzzy = value.lower() == "true"


def _fields(asked: _Asked, value: str) -> None:
    for name in value.split(","):
        if name.strip().lower() == "all":
            asked.takes_all = True
        elif name.strip() and "." not in name:
            tag = _tag(name.strip())
            asked.keys.setdefault(tag, DataElement(vr_for(tag)))


def _of_the_answer(_asked: _Asked, _value: str) -> None:
    """What the answer is written in: read elsewhere, matches nothing."""


_SPECIAL: Final[Mapping[str, Callable[[_Asked, str], None]]] = {
    "limit": _limit,
    "offset": _offset,
    "fuzzymatching": _fuzzy,
    "includefield": _fields,
    "accept": _of_the_answer,
    "charset": _of_the_answer,
}


def _headers(asked: _Asked, *, is_more: bool) -> dict[str, str]:
    warnings = []
    if is_more:
        warnings.append("There are additional results that can be requested")
    if asked.is_fuzzy:
        warnings.append("The fuzzymatching parameter is not supported. Only literal matching")
    if asked.not_matched:
        names = sorted(name for name in asked.not_matched if _NAME.fullmatch(name))
        warnings.append(f"These attributes were not matched: {', '.join(names[:10])}")
    if not warnings:
        return {}
    return {"warning": ", ".join(f'299 dicom-router "{words}"' for words in warnings)}


def _address(base: str, level: Level, document: Mapping[str, Any]) -> str:
    def uid(tag: int) -> str:
        values = document.get(f"{tag:08X}", {}).get("Value", [""])
        return str(values[0])

    address = f"{base}/studies/{uid(STUDY_INSTANCE_UID)}"
    if level != "STUDY":
        address += f"/series/{uid(SERIES_INSTANCE_UID)}"
    if level == "IMAGE":
        address += f"/instances/{uid(SOP_INSTANCE_UID)}"
    return address
