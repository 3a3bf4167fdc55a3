"""A stored data set made ready to leave: as it is, edited, or in another transfer syntax.

Everything that can fail fails in `prepare`, before a byte is sent; the chunks come later, as often
as asked, and hold 256 KiB at most. Pixel bytes are passed through, never decoded; only big endian
ones are swapped. Compressed data sets keep their transfer syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import ElementReader, RandomAccess, coding_of
from router.dicom.inflate import InflatedAccess, deflated
from router.dicom.splice import Piece, Span, length_of
from router.dicom.streams import PieceAccess, Views, stream, stream_length
from router.dicom.transcode import Transcoder
from router.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Layout,
    layout_of,
)
from router.dicom.wanted import SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from router.errors import BadDataset, MorphFailed, Undeliverable

Chunks = Callable[[], Iterator[bytes | memoryview]]
Edit = Callable[[EditableDataSet], None]

_TARGETS: Final = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
_SOURCES: Final = _TARGETS | {EXPLICIT_VR_BIG_ENDIAN}


@dataclass(frozen=True, slots=True)
class OutgoingDataSet:
    """What goes out: its identity after any edit, its length in bytes if known, its chunks."""

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    length: int | None
    chunks: Chunks = field(compare=False)

    @property
    def identity(self) -> tuple[str, str, str]:
        """SOP class, instance and study UID."""
        return self.sop_class_uid, self.sop_instance_uid, self.study_instance_uid


def can_convert(source_uid: str, target_uid: str) -> bool:
    """Whether a data set of one transfer syntax can be sent in another."""
    return source_uid == target_uid or (source_uid in _SOURCES and target_uid in _TARGETS)


def prepare(
    read: RandomAccess,
    length: int,
    source_uid: str,
    target_uid: str,
    edit: Edit | None,
    facts: tuple[str, str, str],
    *,
    default_character_set: str = "",
    views: Views | None = None,
) -> OutgoingDataSet:
    """The data set of `length` bytes behind `read(offset, length)`, edited, in the target syntax.

    `views(start, end)` gives the same bytes in stretches; where it is given they pass uncopied.

    `facts` are SOP class, SOP instance and study instance UID; an edit may change them. Raises
    MorphFailed when the edit fails, Undeliverable when the data set cannot be converted.
    """
    if not can_convert(source_uid, target_uid):
        raise Undeliverable(f"transfer syntax {source_uid} cannot be converted to {target_uid}")
    if edit is None and source_uid == target_uid:
        return _verbatim(read, length, source_uid, facts, views)
    source, target = layout_of(source_uid), layout_of(target_uid)
    plain_read = read
    plain_length = length
    pieces: list[Piece] | None = None
    try:
        if source.deflated:
            plain_read = InflatedAccess(read, length)
            plain_length = plain_read.measure()
    except BadDataset as problem:
        failure = MorphFailed if edit is not None else Undeliverable
        raise failure(str(problem)) from None
    if edit is not None:
        data_set = EditableDataSet(
            plain_read, plain_length, source_uid, default_character_set=default_character_set
        )
        edit(data_set)
        if data_set.is_changed:
            facts = identity(data_set, facts)
            pieces = data_set.pieces()
        elif source_uid == target_uid:
            return _verbatim(read, length, source_uid, facts, views)
    if pieces is None:
        pieces = [Span(0, plain_length)] if plain_length else []
    opened = opener(read, length, source)
    return written(opened, pieces, (source, target), facts, None if source.deflated else views)


def written(
    opened: Callable[[], RandomAccess],
    pieces: list[Piece],
    layouts: tuple[Layout, Layout],
    facts: tuple[str, str, str],
    views: Views | None = None,
) -> OutgoingDataSet:
    """Pieces of one layout, not deflated, in another. Raises Undeliverable where that cannot be."""
    source, target = layouts
    if coding_of(source) == coding_of(target):
        return _spliced(opened, pieces, target, facts, views)
    return _converted(opened, pieces, source, target, facts)


def opener(read: RandomAccess, length: int, source: Layout) -> Callable[[], RandomAccess]:
    """Access to the plain bytes, one for each stream, since inflating keeps a position."""
    if source.deflated:
        return lambda: InflatedAccess(read, length)
    return lambda: read


def _verbatim(
    read: RandomAccess,
    length: int,
    uid: str,
    facts: tuple[str, str, str],
    views: Views | None,
) -> OutgoingDataSet:
    spans: list[Piece] = [Span(0, length)]
    if length % 2 and layout_of(uid).deflated:
        # Peers abort on an odd fragment; PS3.5 A.5 has the sender make the stream even.
        spans.append(b"\0")
        length += 1
    return OutgoingDataSet(uid, *facts, length, lambda: stream(spans, read, views))


def identity(data_set: EditableDataSet, facts: tuple[str, str, str]) -> tuple[str, str, str]:
    """SOP class, SOP instance and study instance UID after an edit; `facts` where it has none."""
    sop_class, instance, study = facts
    return (
        data_set.uid(SOP_CLASS_UID) or sop_class,
        data_set.uid(SOP_INSTANCE_UID) or instance,
        data_set.uid(STUDY_INSTANCE_UID) or study,
    )


def _spliced(
    opened: Callable[[], RandomAccess],
    pieces: list[Piece],
    target: Layout,
    facts: tuple[str, str, str],
    views: Views | None,
) -> OutgoingDataSet:
    def chunks() -> Iterator[bytes | memoryview]:
        found = stream(pieces, opened(), views)
        return deflated(found) if target.deflated else found

    return OutgoingDataSet(
        target.uid, *facts, None if target.deflated else length_of(pieces), chunks
    )


def _converted(
    opened: Callable[[], RandomAccess],
    pieces: list[Piece],
    source: Layout,
    target: Layout,
    facts: tuple[str, str, str],
) -> OutgoingDataSet:
    def transcoder() -> tuple[PieceAccess, Transcoder]:
        access = PieceAccess(pieces, opened())
        reader = ElementReader(access, access.length)
        return access, Transcoder(reader, coding_of(source), coding_of(target))

    def chunks() -> Iterator[bytes | memoryview]:
        access, work = transcoder()
        found = stream(work.pieces(), access)
        return deflated(found) if target.deflated else found

    try:
        # The dry run finds the length, and whatever cannot be converted before anything is sent.
        length = stream_length(transcoder()[1].pieces())
    except BadDataset as problem:
        raise Undeliverable(f"cannot be converted: {problem}") from None
    return OutgoingDataSet(target.uid, *facts, None if target.deflated else length, chunks)
