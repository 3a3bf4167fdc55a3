"""Key Object Selection documents: their title, and the objects they name (PS3.3 A.35.4, C.17.6).

Read from a header reader that was asked for PATHS. The evidence names objects with study and series,
the content tree mirrors it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from router.dicom.header import HeaderReader
from router.dicom.tags import parse_path
from router.model.path import ALL_ITEMS, Path, PathStep

_CODE: Final = parse_path("ConceptNameCodeSequence[0].CodeValue")
_SCHEME: Final = parse_path("ConceptNameCodeSequence[0].CodingSchemeDesignator")
_EVIDENCE: Final = parse_path(
    "CurrentRequestedProcedureEvidenceSequence[*].ReferencedSeriesSequence[*]"
    ".ReferencedSOPSequence[*].ReferencedSOPInstanceUID"
)
_CONTENT: Final = parse_path("ContentSequence[*].ReferencedSOPSequence[*].ReferencedSOPInstanceUID")
PATHS: Final = frozenset({_CODE, _SCHEME, _EVIDENCE, _CONTENT})
_STUDY_INSTANCE_UID: Final = PathStep(0x0020000D)
_SERIES_INSTANCE_UID: Final = PathStep(0x0020000E)


@dataclass(frozen=True, slots=True)
class Reference:
    """One object as the evidence names it."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def title_of(header: HeaderReader) -> tuple[str, str]:
    """The code of the title and its scheme. Raises BadDataset."""
    return _text(header, _CODE), _text(header, _SCHEME)


def named_by(header: HeaderReader) -> tuple[str, ...]:
    """SOP Instance UIDs in evidence and content tree, each once. Raises BadDataset."""
    found = dict.fromkeys((*_values(header, _EVIDENCE), *_values(header, _CONTENT)))
    found.pop("", None)
    return tuple(found)


def evidence_of(header: HeaderReader) -> Iterator[Reference]:
    """The objects of the evidence, where they are. Raises BadDataset."""
    evidence, series, references, uid = _EVIDENCE.steps
    for n in count():
        above = PathStep(evidence.tag, item=n)
        study = _text(header, Path((above, _STUDY_INSTANCE_UID), "study"))
        if not study:
            return
        for m in count():
            inside = above, PathStep(series.tag, item=m)
            its_uid = _text(header, Path((*inside, _SERIES_INSTANCE_UID), "series"))
            if not its_uid:
                break
            every = PathStep(references.tag, item=ALL_ITEMS)
            for value in _values(header, Path((*inside, every, uid), "object")):
                yield Reference(study, its_uid, value)


def _values(header: HeaderReader, path: Path) -> tuple[str, ...]:
    attribute = header.get(path)
    return tuple(str(value).strip(" \0") for value in attribute.values) if attribute else ()


def _text(header: HeaderReader, path: Path) -> str:
    return "\\".join(_values(header, path))
