"""Deleting what a rejection note names, at a server that does nothing about notes by itself.

Only where the station asks for it, and only for patient safety and wrong worklist entries. The note
is read as it would leave, so that it names what the server knows. What is not there any more is
done; the note itself is stored afterwards, like any object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from router.dicom.header import HeaderReader
from router.dicom.key_object import PATHS, Reference, evidence_of, title_of
from router.dicom.outgoing import OutgoingDataSet
from router.dicomweb.outcome import HttpAnswer, answer_words, refusal
from router.errors import BadDataset, Undeliverable
from router.model.rejection import CANCELLING

_GONE: Final = frozenset({200, 202, 204, 404, 410})


def delete_rejected(outgoing: OutgoingDataSet, delete: Callable[[str], HttpAnswer]) -> int:
    """Delete what the note names, each by `delete(resource)`; how many are gone.

    Raises Undeliverable where the note cannot be read, DeliveryError where a deletion fails: then
    the note is not stored either, and all of it is tried again.
    """
    try:
        named = tuple(_rejected(outgoing))
    except BadDataset as error:
        raise Undeliverable(f"the rejection note cannot be read: {error}") from error
    for one in named:
        resource = (
            f"studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
            f"/instances/{one.sop_instance_uid}"
        )
        answer = delete(resource)
        if answer.status not in _GONE:
            raise refusal(answer, f"what a note rejects was not deleted: {answer_words(answer)}")
    return len(named)


def _rejected(outgoing: OutgoingDataSet) -> Iterator[Reference]:
    reader = HeaderReader(outgoing.transfer_syntax_uid, PATHS)
    for chunk in outgoing.chunks():
        reader.feed(chunk)
    reader.finish()
    code, scheme = title_of(reader)
    if code in CANCELLING and scheme == "DCM":
        for one in evidence_of(reader):
            uids = one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
            if not all(uid.replace(".", "").isdigit() for uid in uids):
                raise BadDataset("it names an object by what is no UID")
            yield one
