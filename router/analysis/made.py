"""Data sets that never were, written as objects are: of attributes, and anew after an edit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from router.dicom.charset import UTF_8
from router.dicom.dataset import EditableDataSet
from router.dicom.elements import RandomAccess
from router.dicom.streams import stream
from router.dicom.values import Value
from router.model.path import Path

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
# What every data set has, when nobody says otherwise.
USUAL: Final[Mapping[str, str]] = {
    "SOPClassUID": CT_IMAGE_STORAGE,
    "SOPInstanceUID": "2.25.1",
    "StudyInstanceUID": "2.25.2",
    "SeriesInstanceUID": "2.25.3",
}


def encoded(
    attributes: Iterable[tuple[Path, Value | Sequence[Value]]], transfer_syntax_uid: str
) -> bytes:
    """A data set of these attributes, in UTF-8. Raises MorphFailed for what cannot be written."""
    nothing = access(b"")
    data_set = EditableDataSet(nothing, 0, transfer_syntax_uid, default_character_set=UTF_8)
    for path, values in attributes:
        data_set.set(path, values)
    return written(data_set, nothing)


def written(data_set: EditableDataSet, read: RandomAccess) -> bytes:
    """An edited data set in one piece; `read` gives the bytes it was made over."""
    return b"".join(stream(data_set.pieces(), read))


def access(octets: bytes) -> RandomAccess:
    """A reader of bytes in memory."""
    return lambda offset, length: octets[offset : offset + length]
