"""Retrieving from a DICOMweb station: the list by QIDO-RS, each object by WADO-RS (PS3.18 10.4).

Objects are asked for one by one and as they are stored (`transfer-syntax=*`), so that nothing is
recoded on the way and one that fails costs no other. What is not whole raises, and is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.dicom.part10 import Part10Stream, read_part10_stream
from router.dicomweb.client import HttpStream, LostAnswer, StowClient
from router.dicomweb.outcome import HttpAnswer, answer_words, refusal
from router.dicomweb.related import BrokenBody, parts
from router.errors import BadDataset, DeliveryError, Undeliverable
from router.model.query import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    DataElement,
    Identifier,
    ObjectName,
    Query,
)
from router.peers.search import Search

MAX_OBJECTS: Final = 100_000
MAX_STUDIES: Final = 1_000
_ACCEPT: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_DICOM: Final = "application/dicom"
_WORDS_BYTES: Final = 4096

Find = Callable[[Query, Callable[[], bool]], Search]


def listed(find: Find, query: Query, wish_to_cancel: Callable[[], bool]) -> tuple[ObjectName, ...]:
    """The objects a query of any level names. Raises DeliveryError where the list is not whole."""
    keys = dict(query.keys)
    if query.level == "PATIENT":
        patient = {**keys, STUDY_INSTANCE_UID: DataElement("UI")}
        at_studies = Query("STUDY", patient, MAX_STUDIES, query.deadline_seconds)
        studies = [
            _text(one, STUDY_INSTANCE_UID) for one in _whole(find(at_studies, wish_to_cancel))
        ]
    else:
        studies = [str(value) for value in keys[STUDY_INSTANCE_UID].values]
    below = {
        tag: keys.get(tag, DataElement("UI")) for tag in (SERIES_INSTANCE_UID, SOP_INSTANCE_UID)
    }
    found: list[ObjectName] = []
    for study in studies:
        wanted = {STUDY_INSTANCE_UID: DataElement("UI", (study,)), **below}
        at_images = Query("IMAGE", wanted, MAX_OBJECTS, query.deadline_seconds)
        for one in _whole(find(at_images, wish_to_cancel)):
            # What is in the address need not be in the answer.
            series = _text(one, SERIES_INSTANCE_UID) or _text(keys, SERIES_INSTANCE_UID)
            found.append(ObjectName(study, series, _text(one, SOP_INSTANCE_UID)))
    return tuple(found)


@contextmanager
def fetched(stow: StowClient, name: ObjectName, seconds: float) -> Iterator[Part10Stream]:
    """One object as it comes. Raises a DeliveryError, also in the block, where it is not whole.

    Undeliverable: the station has no such object, or cannot give it as it is stored.
    """
    resource = (
        f"studies/{name.study_instance_uid}/series/{name.series_instance_uid}"
        f"/instances/{name.sop_instance_uid}"
    )
    with stow.stream(resource, _ACCEPT, seconds) as answer:
        if answer.status not in (200, 206):
            raise _refused(answer)
        try:
            yield read_part10_stream(_first_part(answer))
        except BrokenBody as error:
            raise LostAnswer(f"WADO-RS: {error}") from error
        except BadDataset as error:
            raise DeliveryError(f"WADO-RS: what it gave is no DICOM file: {error}") from error


def _first_part(answer: HttpStream) -> Iterator[bytes]:
    """The bytes of the only part there is; the closing boundary behind it is looked for."""
    if answer.content_type.partition(";")[0].strip().lower() == _DICOM:
        yield from answer.chunks
        return
    count = 0
    for part in parts(answer.content_type, answer.chunks):
        count += 1
        if count > 1 or part.media_type != _DICOM:
            raise BrokenBody("one application/dicom was asked for")
        yield from part.chunks
    if not count:
        raise BrokenBody("the answer holds no object")


def _refused(answer: HttpStream) -> DeliveryError:
    body = b""
    for chunk in answer.chunks:
        body += chunk
        if len(body) >= _WORDS_BYTES:
            break
    said = HttpAnswer(answer.status, answer.content_type, body[:_WORDS_BYTES])
    words = f"WADO-RS: {answer_words(said)}"
    if answer.status in (404, 406, 410):
        return Undeliverable(words, answer.status)
    return refusal(said, words)


def _whole(search: Search) -> list[Identifier]:
    found = list(search)
    if search.ending.is_truncated:
        raise DeliveryError(f"its list of objects is not whole: {search.ending.words}")
    return found


def _text(identifier: Identifier, tag: int) -> str:
    return identifier[tag].text if tag in identifier else ""
