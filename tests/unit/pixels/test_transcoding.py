"""Transcoding of whole objects: what passes untouched, what the header says then, and what is refused."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest

from router.dicom.dataset import EditableDataSet
from router.dicom.outgoing import OutgoingDataSet
from router.dicom.part10 import file_meta
from router.dicom.tags import parse_path
from router.errors import MorphFailed, Undeliverable
from router.pixels import transcoding
from router.pixels.codecs import Codecs
from router.pixels.transcoding import transcoded
from tests.support.compressed import compressed, read
from tests.support.synthetic import NATIVE, RLE_LOSSLESS, Synthetic, instance

EXPLICIT, IMPLICIT, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".1.99"))
JPEG_LS, NEAR_LOSSLESS, J2K, J2K_LOSSY, MPEG = (
    f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 90, 91, 102)
)
BEHIND = b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0\0\0\0\0"


@pytest.fixture(scope="module")
def codecs() -> Iterator[Codecs]:
    made = Codecs()
    yield made
    made.close()


def through(
    one: Synthetic, target: str, codecs: Codecs, edit=None
) -> tuple[OutgoingDataSet, bytes]:
    """What leaves, read twice: it must be the same, and as long as was said."""
    data = one.data_set
    outgoing = transcoded(
        lambda at, size: data[at : at + size],
        len(data),
        (one.transfer_syntax_uid, target),
        edit,
        (one.sop_class_uid, one.sop_instance_uid, one.study_instance_uid),
        codecs,
    )
    whole = b"".join(map(bytes, outgoing.chunks()))
    assert whole == b"".join(map(bytes, outgoing.chunks()))
    assert outgoing.length in (None, len(whole))
    return outgoing, whole


def parsed(outgoing: OutgoingDataSet, whole: bytes) -> pydicom.Dataset:
    meta = file_meta(
        outgoing.sop_class_uid, outgoing.sop_instance_uid, outgoing.transfer_syntax_uid
    )
    return pydicom.dcmread(io.BytesIO(meta + whole))


@pytest.mark.parametrize("kept", [0, transcoding.KEPT_BYTES])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, DEFLATED, JPEG_LS])
def test_pixels_and_every_other_element_survive(
    codecs: Codecs, monkeypatch: pytest.MonkeyPatch, kept: int, frames: int, target: str
) -> None:
    monkeypatch.setattr(transcoding, "KEPT_BYTES", kept)
    one = compressed(instance(7, rows=33, columns=35, frames=frames), RLE_LOSSLESS)
    sent, got = read(one), parsed(*through(one, target, codecs))
    assert np.array_equal(got.pixel_array, sent.pixel_array)
    del sent.PixelData, got.PixelData
    if target == IMPLICIT:  # pydicom knows no VR of private elements there
        sent.remove_private_tags()
        got.remove_private_tags()
    assert got == sent


@pytest.mark.parametrize("source", NATIVE)
def test_every_uncompressed_form_is_compressed(codecs: Codecs, source: str) -> None:
    one = instance(8, rows=33, columns=35, transfer_syntax_uid=source)
    got = parsed(*through(one, J2K, codecs))
    assert np.array_equal(got.pixel_array, read(one).pixel_array)
    assert got.file_meta.TransferSyntaxUID == J2K


def test_a_recipe_acts_on_all_of_it_and_what_is_behind_the_pixels_stays(codecs: Codecs) -> None:
    one = compressed(instance(9, rows=33, columns=35), RLE_LOSSLESS)
    data = one.data_set + BEHIND
    one = Synthetic(data, *(getattr(one, name) for name in Synthetic.__slots__[1:]))

    def edit(data_set: EditableDataSet) -> None:
        data_set.set(parse_path("PatientName"), "Other")
        data_set.set(parse_path("SOPInstanceUID"), "1.2.3.4")

    outgoing, whole = through(one, EXPLICIT, codecs, edit)
    assert (outgoing.sop_instance_uid, str(parsed(outgoing, whole).PatientName)) == (
        "1.2.3.4",
        "Other",
    )
    assert whole.endswith(BEHIND)

    def without(data_set: EditableDataSet) -> None:
        data_set.remove_at_top({0xFFFCFFFC, 0x7FE00010})

    outgoing, whole = through(one, EXPLICIT, codecs, without)
    assert "PixelData" not in parsed(outgoing, whole)

    def failing(_data_set: EditableDataSet) -> None:
        raise MorphFailed("no")

    with pytest.raises(MorphFailed):
        through(one, EXPLICIT, codecs, failing)


def test_a_lossy_one_is_another_object_always_the_same_and_never_lossy_again(
    codecs: Codecs,
) -> None:
    one = instance(10, rows=64, columns=64)
    first, whole = through(one, NEAR_LOSSLESS, codecs)
    got = parsed(first, whole)
    assert first.sop_instance_uid == got.SOPInstanceUID != one.sop_instance_uid
    assert through(one, NEAR_LOSSLESS, codecs)[0].sop_instance_uid == first.sop_instance_uid
    assert through(one, J2K_LOSSY, codecs)[0].sop_instance_uid != first.sop_instance_uid
    assert got.LossyImageCompressionMethod == "ISO_14495_1"
    difference = got.pixel_array.astype(int) - read(one).pixel_array
    assert 0 < np.abs(difference).max() <= 2
    again = Synthetic(
        whole, NEAR_LOSSLESS, one.sop_class_uid, first.sop_instance_uid,
        one.study_instance_uid, one.series_instance_uid,
    )  # fmt: skip
    with pytest.raises(Undeliverable, match="with loss before"):
        through(again, J2K_LOSSY, codecs)
    plain, whole = through(again, EXPLICIT, codecs)
    decoded = parsed(plain, whole)
    assert decoded.LossyImageCompression == "01", "it stays said"
    assert plain.sop_instance_uid == first.sop_instance_uid, "decoding makes no other object"
    with pytest.raises(Undeliverable, match="with loss before"):
        through(
            Synthetic(whole, EXPLICIT, *(getattr(again, name) for name in Synthetic.__slots__[2:])),
            J2K_LOSSY,
            codecs,
        )


def test_a_compressed_icon_and_offset_tables_do_not_outlive_the_compression(codecs: Codecs) -> None:
    data_set = read(compressed(instance(11, rows=33, columns=35), RLE_LOSSLESS))
    icon = read(compressed(instance(12, rows=32, columns=32), RLE_LOSSLESS))
    icon["PixelData"].is_undefined_length = True
    data_set.IconImageSequence = [icon]
    data_set.ExtendedOffsetTable = struct.pack("<Q", 0)
    data_set.ExtendedOffsetTableLengths = struct.pack("<Q", 4)
    whole = io.BytesIO()
    data_set.save_as(whole)
    body = whole.getvalue()
    one = Synthetic(
        body[132 + 12 + int.from_bytes(body[140:144], "little") :], RLE_LOSSLESS, "1.2", "1.3", "1.4", "1.5"
    )  # fmt: skip
    got = parsed(*through(one, EXPLICIT, codecs))
    assert not {"IconImageSequence", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"} & set(
        got.dir()
    )


def test_what_cannot_be_is_said_before_a_byte_leaves(codecs: Codecs) -> None:
    one = compressed(instance(13, rows=33, columns=35), RLE_LOSSLESS)
    cut = Synthetic(one.data_set[:-300], *(getattr(one, name) for name in Synthetic.__slots__[1:]))
    with pytest.raises((Undeliverable, MorphFailed)):
        through(cut, EXPLICIT, codecs)
    with pytest.raises(Undeliverable, match="no encoder for MPEG"):
        through(one, MPEG, codecs)
    video = instance(14, transfer_syntax_uid=MPEG)
    with pytest.raises(Undeliverable, match="no decoder for MPEG"):
        through(video, EXPLICIT, codecs)
    noise = instance(15, transfer_syntax_uid=J2K)
    with pytest.raises(Undeliverable, match="cannot be decoded"):
        through(noise, EXPLICIT, codecs)
