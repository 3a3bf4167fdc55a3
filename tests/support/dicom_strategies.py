"""Data sets made up by Hypothesis, written by pydicom in every uncompressed transfer syntax."""

from __future__ import annotations

import io
import zlib

import pydicom
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED)

_letters = st.text("ABCDEFGH 0123456789", min_size=0, max_size=14).map(str.strip)
_latin = st.text("abcdéèüßÿ ^=", min_size=0, max_size=20).map(str.strip)
_uids = st.lists(st.integers(1, 9999), min_size=2, max_size=8).map(
    lambda parts: "1.2." + ".".join(map(str, parts))
)
_PLAIN = {
    "StudyDate": st.sampled_from(["20200229", "19991231", ""]),
    "StudyTime": st.sampled_from(["120000", "235959.123456", ""]),
    "AccessionNumber": _letters,
    "Modality": st.sampled_from(["CT", "MR", "US", ""]),
    "StudyDescription": _latin.map(lambda text: text.replace("^", "").replace("=", "")),
    "PatientName": _latin.map(lambda text: text.replace("=", "")),
    "PatientID": _letters,
    "ImageType": st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL"]), max_size=3),
    "PatientComments": _latin,
    "SliceThickness": st.sampled_from(["1.25", "0.5", ""]),
    "InstanceNumber": st.sampled_from(["1", "-42", ""]),
    "Rows": st.integers(0, 65535),
    "PixelRepresentation": st.sampled_from([0, 1]),
    "SmallestImagePixelValue": st.integers(0, 32767),
    "FrameIncrementPointer": st.just(0x00181063),
    "SimpleFrameList": st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    "EventElapsedTimes": st.lists(st.sampled_from(["1.5", "2"]), max_size=3),
    "DiffusionBValue": st.floats(0, 1e9, allow_nan=False),
    "SOPInstanceUID": _uids,
    "StudyInstanceUID": _uids,
    "SeriesInstanceUID": _uids,
}


@st.composite
def flat(draw, *, size=8):
    data_set = Dataset()
    for keyword in draw(st.lists(st.sampled_from(sorted(_PLAIN)), max_size=size, unique=True)):
        setattr(data_set, keyword, draw(_PLAIN[keyword]))
    # Without it pydicom cannot write what is US or SS.
    data_set.PixelRepresentation = draw(_PLAIN["PixelRepresentation"])
    return data_set


@st.composite
def data_sets(draw, *, depth=2):
    """A data set with sequences, a private block and pixel data, in random length forms."""
    data_set = draw(flat())
    data_set.SpecificCharacterSet = "ISO_IR 100"
    if depth and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth - 1), max_size=3))
        for item in items:
            if "SpecificCharacterSet" in item:
                del item.SpecificCharacterSet
            item.is_undefined_length_sequence_item = draw(st.booleans())
        data_set.RequestAttributesSequence = Sequence(items)
        data_set["RequestAttributesSequence"].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        block = data_set.private_block(0x0009, "ACME", create=True)
        block.add_new(0x01, "LO", draw(_letters))
        block.add_new(0x02, "US", draw(st.integers(0, 65535)))
    if depth == 2 and draw(st.booleans()):
        data_set.BitsAllocated = 16
        data_set.add_new(
            0x7FE00010, "OW", draw(st.binary(max_size=300).filter(lambda b: not len(b) % 2))
        )
    return data_set


def written(data_set: Dataset, syntax: str) -> bytes:
    """The bytes of the data set alone."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG
    buffer.is_implicit_VR = syntax == IMPLICIT
    write_dataset(buffer, data_set)
    raw = buffer.getvalue()
    if syntax == DEFLATED:
        stream = zlib.compressobj(wbits=-15)
        raw = stream.compress(raw) + stream.flush()
        raw += b"\0" * (len(raw) % 2)
    return raw


def reread(raw: bytes, syntax: str) -> Dataset:
    """What pydicom reads from the bytes."""
    if syntax == DEFLATED:
        raw = zlib.decompressobj(-15).decompress(raw)
    return pydicom.filereader.read_dataset(
        io.BytesIO(raw), syntax == IMPLICIT, syntax != BIG, stop_when=None
    )


def plain_values(element) -> tuple:
    """An element's values in the form our decoder gives them."""
    value = element.value
    if value is None or value == "" or value == []:
        return ()
    many = (
        list(value)
        if element.VM > 1
        else [value[0] if element.VM == 1 and isinstance(value, list) else value]
    )
    if element.VR == "AT":
        return tuple(f"{int(tag):08X}" for tag in many)
    if element.VR in {"US", "SS", "UL", "SL", "FL", "FD"}:
        return tuple(many)
    if element.VR in {"DS", "IS"}:
        return tuple(getattr(one, "original_string", str(one)) for one in many)
    return tuple(str(one) for one in many)
