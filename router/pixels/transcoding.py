"""A stored data set ready to leave with its pixels in another transfer syntax, frame by frame.

Everything that can fail fails in `transcoded`: it works through all frames once and keeps of small
objects what comes out, of larger ones only the sizes; then the frames are made again as they are
sent. So memory stays bounded, and nothing of patients touches a disk. What is not pixels passes as in
`router.dicom.outgoing`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain
from typing import Final

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import UNDEFINED, RandomAccess, coding_of
from router.dicom.frames import PixelFacts, Stretch, frame_stretches, pixel_facts
from router.dicom.inflate import InflatedAccess, deflated
from router.dicom.outgoing import Edit, OutgoingDataSet, identity, opener, written
from router.dicom.splice import Piece, Span
from router.dicom.tags import parse_path
from router.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    Layout,
    layout_of,
)
from router.dicom.uids import keyed_uid
from router.dicom.wanted import SOP_CLASS_UID, SOP_INSTANCE_UID
from router.dicom.write import element_header, item_header, sequence_end
from router.errors import BadDataset, Undeliverable
from router.pixels import limits
from router.pixels.codecs import Codecs
from router.pixels.syntaxes import is_lossy, lossy_method, obstacle

KEPT_BYTES: Final = 4 * 1024 * 1024
_PIXEL_DATA: Final = 0x7FE00010
_OFFSET_TABLES: Final = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})
_ICONS: Final = 0x00880200
_COMPRESSED_ICON: Final = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
# The general forms of JPEG 2000 and HTJ2K may hold everything.
_SURELY_LOSSY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81))
_SOP_INSTANCE: Final = parse_path("SOPInstanceUID")
_SOURCE_CLASS: Final = parse_path("SourceImageSequence[0].ReferencedSOPClassUID")
_SOURCE_INSTANCE: Final = parse_path("SourceImageSequence[0].ReferencedSOPInstanceUID")
_LOSSY: Final = parse_path("LossyImageCompression")
_RATIO: Final = parse_path("LossyImageCompressionRatio")
_METHOD: Final = parse_path("LossyImageCompressionMethod")
_IMAGE_TYPE: Final = parse_path("ImageType")
_PHOTOMETRIC: Final = parse_path("PhotometricInterpretation")
_PLANAR: Final = parse_path("PlanarConfiguration")
_DERIVATION: Final = parse_path("DerivationDescription")


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames in the target syntax: their facts, their sizes, and a way to have them."""

    facts: PixelFacts
    sizes: tuple[int, ...]
    each: Callable[[], Iterator[bytes]]


def transcoded(
    read: RandomAccess,
    length: int,
    syntaxes: tuple[str, str],
    edit: Edit | None,
    facts: tuple[str, str, str],
    codecs: Codecs,
    *,
    default_character_set: str = "",
) -> OutgoingDataSet:
    """The data set of `length` bytes behind `read`, edited, its pixels in the second syntax.

    Arguments as for `outgoing.prepare`. One without pixel data leaves uncompressed. Raises
    MorphFailed when the edit fails, Undeliverable when its pixels cannot be had that way.
    """
    source_uid, target_uid = syntaxes
    source = layout_of(source_uid)
    plain: RandomAccess = read
    plain_length = length
    try:
        if source.deflated:
            plain = InflatedAccess(read, length)
            plain_length = plain.measure()
        data_set = EditableDataSet(
            plain, plain_length, source_uid, default_character_set=default_character_set
        )
        if edit is not None:
            edit(data_set)
        span = data_set.span(_PIXEL_DATA)
        opened = opener(read, length, source)
        if span is None:
            return _without_pixels(data_set, opened, syntaxes, facts)
        reason = obstacle(source_uid, target_uid)
        if reason:
            raise Undeliverable(reason)
        if is_lossy(target_uid):
            _refuse_second_loss(data_set, source_uid)
        frames = _worked_through(plain, span, syntaxes, data_set, codecs)
        _describe(data_set, frames, syntaxes)
        if is_lossy(target_uid):
            _derive(data_set, frames, target_uid)
        return _assembled(data_set, span, opened, frames, syntaxes, facts)
    except BadDataset as problem:
        raise Undeliverable(
            f"it cannot be sent in transfer syntax {target_uid}: {problem}"
        ) from None


def _without_pixels(
    data_set: EditableDataSet,
    opened: Callable[[], RandomAccess],
    syntaxes: tuple[str, str],
    facts: tuple[str, str, str],
) -> OutgoingDataSet:
    source, target = (replace(layout_of(uid), encapsulated=False) for uid in syntaxes)
    if layout_of(target.uid).encapsulated:
        target = layout_of(EXPLICIT_VR_LITTLE_ENDIAN)
    return written(opened, data_set.pieces(), (source, target), identity(data_set, facts))


def frame_source(source_uid: str) -> str:
    """The transfer syntax of a frame by itself, which knows neither VRs nor deflating."""
    if layout_of(source_uid).encapsulated or source_uid == EXPLICIT_VR_BIG_ENDIAN:
        return source_uid
    return EXPLICIT_VR_LITTLE_ENDIAN


def _worked_through(
    read: RandomAccess,
    span: tuple[int, int],
    syntaxes: tuple[str, str],
    data_set: EditableDataSet,
    codecs: Codecs,
) -> _Frames:
    source_uid, target_uid = syntaxes
    layout = replace(layout_of(source_uid), deflated=False)
    before = pixel_facts(data_set.get)
    limits.check(before)
    located_in = EXPLICIT_VR_LITTLE_ENDIAN if layout_of(source_uid).deflated else layout.uid
    stretches = frame_stretches(read, span[0], span[1], located_in, before)
    if len(stretches) != before.frames:
        raise BadDataset("it has not the frames its header says")
    if not layout_of(target_uid).encapsulated:
        whole = before.rows * before.columns * before.samples * before.bits_allocated // 8
        if whole * before.frames > limits.MAX_VALUE_BYTES:
            raise BadDataset("its pixels are more than 4 GiB uncompressed")
    after: list[PixelFacts] = []

    def each() -> Iterator[bytes]:
        for stretch in stretches:
            frame, facts = codecs.convert(
                frame_bytes(read, stretch), frame_source(source_uid), target_uid, before
            )
            after.append(facts)
            yield frame

    sizes: list[int] = []
    kept: list[bytes] = []
    total = 0
    for frame in each():
        if after[-1] != after[0]:
            raise BadDataset("its frames are not alike")
        sizes.append(len(frame))
        total += len(frame)
        kept.append(frame)
        if total > KEPT_BYTES:
            kept.clear()
        del after[1:]
    is_kept = len(kept) == len(sizes)
    facts = replace(after[0], frames=before.frames)
    return _Frames(facts, tuple(sizes), partial(iter, tuple(kept)) if is_kept else each)


def frame_bytes(read: RandomAccess, stretches: Sequence[Stretch]) -> bytes:
    """The bytes of one frame. Raises BadDataset where it is larger than is decoded."""
    if sum(size for _, size in stretches) > limits.MAX_FRAME_BYTES:
        raise BadDataset("a frame of it is too large to be decoded")
    return b"".join(read(at, size) for at, size in stretches)


def _refuse_second_loss(data_set: EditableDataSet, source_uid: str) -> None:
    """What was compressed with loss is never compressed with loss again."""
    said = data_set.get(_LOSSY)
    if is_lossy(source_uid) or (said is not None and said.values[:1] == ("01",)):
        raise BadDataset("it was compressed with loss before")


def _describe(data_set: EditableDataSet, frames: _Frames, syntaxes: tuple[str, str]) -> None:
    """Make the header say what the pixels are now."""
    source_uid, target_uid = syntaxes
    data_set.remove_at_top(_OFFSET_TABLES)
    is_decoded = layout_of(source_uid).encapsulated and not layout_of(target_uid).encapsulated
    if is_decoded and data_set.contains(_ICONS, _COMPRESSED_ICON):
        data_set.remove_at_top({_ICONS})
    data_set.set(_PHOTOMETRIC, frames.facts.photometric_interpretation)
    if frames.facts.samples > 1:
        data_set.set(_PLANAR, frames.facts.planar_configuration)
    if source_uid in _SURELY_LOSSY:
        data_set.set(_LOSSY, "01")


def _derive(data_set: EditableDataSet, frames: _Frames, target_uid: str) -> None:
    """Make it another object, which says what it was made of and how (PS3.3 C.7.6.1.1.5)."""
    facts = frames.facts
    plain = facts.rows * facts.columns * facts.samples * facts.bits_allocated // 8 * facts.frames
    original = data_set.uid(SOP_INSTANCE_UID)
    if not data_set.exists(_SOURCE_CLASS):
        data_set.set(_SOURCE_CLASS, data_set.uid(SOP_CLASS_UID))
        data_set.set(_SOURCE_INSTANCE, original)
    data_set.set(_SOP_INSTANCE, keyed_uid(target_uid.encode(), original))
    kind = data_set.get(_IMAGE_TYPE)
    data_set.set(_IMAGE_TYPE, ("DERIVED", *(kind.values[1:] if kind else ("PRIMARY",))))
    data_set.set(_LOSSY, "01")
    data_set.set(_RATIO, f"{plain / sum(frames.sizes):.2f}")
    data_set.set(_METHOD, lossy_method(target_uid))
    data_set.set(_DERIVATION, "compressed with loss by a router")


def _assembled(
    data_set: EditableDataSet,
    span: tuple[int, int],
    opened: Callable[[], RandomAccess],
    frames: _Frames,
    syntaxes: tuple[str, str],
    facts: tuple[str, str, str],
) -> OutgoingDataSet:
    source, final = map(layout_of, syntaxes)
    target = replace(final, deflated=False)
    before, behind = _cut(data_set.pieces(), span)
    named = identity(data_set, facts)
    head = written(opened, before, (source, target), named)
    tail = written(opened, behind, (source, target), named)
    assert head.length is not None
    assert tail.length is not None
    opening, ending = _around(frames, target)

    def chunks() -> Iterator[bytes | memoryview]:
        pixels = _pixels(frames, target)
        return chain(head.chunks(), (opening,), pixels, (ending,), tail.chunks())

    if final.deflated:
        return OutgoingDataSet(final.uid, *named, None, lambda: deflated(chunks()))
    items = 8 * len(frames.sizes) if target.encapsulated else 0
    sizes = (
        sum(size + size % 2 for size in frames.sizes) if target.encapsulated else sum(frames.sizes)
    )
    length = head.length + len(opening) + items + sizes + len(ending) + tail.length
    return OutgoingDataSet(final.uid, *named, length, chunks)


def _cut(pieces: list[Piece], span: tuple[int, int]) -> tuple[list[Piece], list[Piece]]:
    """What is before an element that was not edited, and what is behind it."""
    start, end = span
    for place, piece in enumerate(pieces):
        if isinstance(piece, Span) and piece.start <= start and end <= piece.end:
            before = [*pieces[:place], Span(piece.start, start)]
            behind = [Span(end, piece.end), *pieces[place + 1 :]]
            return before, behind
    raise BadDataset("its pixel data were edited")


def _around(frames: _Frames, target: Layout) -> tuple[bytes, bytes]:
    """What stands before and behind the frames in the Pixel Data element (PS3.5 A.4)."""
    coding = coding_of(target)
    if target.encapsulated:
        offsets = accumulate((8 + size + size % 2 for size in frames.sizes[:-1]), initial=0)
        starts = tuple(offsets)
        table = struct.pack(f"<{len(starts)}I", *starts) if starts[-1] < UNDEFINED else b""
        head = element_header(_PIXEL_DATA, "OB", UNDEFINED, coding)
        return head + item_header(len(table), coding) + table, sequence_end(coding)
    total = sum(frames.sizes)
    vr = "OB" if frames.facts.bits_allocated <= 8 else "OW"
    return element_header(_PIXEL_DATA, vr, total + total % 2, coding), b"\0" * (total % 2)


def _pixels(frames: _Frames, target: Layout) -> Iterator[bytes]:
    for size, frame in zip(frames.sizes, frames.each(), strict=True):
        if len(frame) != size:
            raise BadDataset("a frame came out otherwise the second time")
        if target.encapsulated:
            yield item_header(size + size % 2, coding_of(target))
        yield frame
        if target.encapsulated and size % 2:
            yield b"\0"
