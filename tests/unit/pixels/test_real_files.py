"""Real files of every compressed syntax: decoded as DCMTK and pydicom decode them, drawn as DCMTK draws."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.errors import InvalidDicomError

from router.dicom.dataset import EditableDataSet
from router.dicom.elements import PIXEL_DATA
from router.dicom.frames import frame_stretches, pixel_facts
from router.dicom.part10 import file_meta, open_part10
from router.errors import RouterError
from router.pixels.codecs import Codecs
from router.pixels.syntaxes import CODED
from router.pixels.transcoding import frame_source, transcoded
from tests.support import corpus
from tests.support.process import environment, run

EXPLICIT = "1.2.840.10008.1.2.1"
DCMTK = {
    "1.2.840.10008.1.2.4.57": "dcmdjpeg", "1.2.840.10008.1.2.4.70": "dcmdjpeg",
    "1.2.840.10008.1.2.4.50": "dcmdjpeg", "1.2.840.10008.1.2.4.80": "dcmdjpls",
    "1.2.840.10008.1.2.4.81": "dcmdjpls", "1.2.840.10008.1.2.5": "dcmdrle",
}  # fmt: skip
# JPEG decoders may differ in the last bit of each step.
TOLERANCE = {"1.2.840.10008.1.2.4.50": 3}


@pytest.fixture(scope="module")
def codecs() -> Iterator[Codecs]:
    made = Codecs()
    yield made
    made.close()


def decoded(path: Path, codecs: Codecs) -> pydicom.Dataset:
    data, meta = path.read_bytes(), open_part10(path)
    body = data[meta.data_set_offset :]
    outgoing = transcoded(
        lambda at, size: body[at : at + size],
        len(body),
        (meta.transfer_syntax_uid, EXPLICIT),
        None,
        (meta.sop_class_uid, meta.sop_instance_uid, "1.2.3"),
        codecs,
    )
    head = file_meta(meta.sop_class_uid, meta.sop_instance_uid, EXPLICIT)
    return pydicom.dcmread(io.BytesIO(head + b"".join(map(bytes, outgoing.chunks()))))


def test_real_files_are_decoded_as_by_other_toolkits(codecs: Codecs, tmp_path: Path) -> None:
    judged: Counter[str] = Counter()
    known = {one.uid for one in CODED}
    for one in corpus.required():
        try:
            theirs = pydicom.dcmread(one.path)
            syntax = theirs.file_meta.TransferSyntaxUID
            if syntax not in known:
                continue
            expected = theirs.pixel_array
        except Exception:  # noqa: S112 - what pydicom cannot read judges nothing
            continue
        try:
            got = decoded(one.path, codecs)
        except RouterError as error:
            assert "item outside a sequence" in str(error), (one.name, error)
            continue
        assert np.array_equal(got.pixel_array, expected), one.name
        judged[syntax] += 1
        program = DCMTK.get(syntax, "")
        if not program or not shutil.which(program, path=environment()["PATH"]):
            continue
        plain = tmp_path / "plain.dcm"
        # JFIF says YCbCr whatever the header says: that is looked at here too.
        options = ["+cg"] if program == "dcmdjpeg" else []
        if run([program, *options, str(one.path), str(plain)]).returncode:
            continue
        by_dcmtk = pydicom.dcmread(plain)
        if by_dcmtk.PhotometricInterpretation != got.PhotometricInterpretation:
            continue  # DCMTK makes RGB of what was stored as YCbCr without loss
        difference = np.abs(got.pixel_array.astype(int) - by_dcmtk.pixel_array.astype(int)).max()
        assert difference <= TOLERANCE.get(syntax, 0), (one.name, difference)
        judged[program] += 1
    assert judged["dcmdjpeg"] >= 10, judged
    assert judged["dcmdjpls"] >= 5, judged
    assert judged["dcmdrle"] >= 5, judged
    assert len(known & judged.keys()) >= 9, judged


def test_real_files_are_drawn_as_dcmtk_draws_them(codecs: Codecs, tmp_path: Path) -> None:
    if not shutil.which("dcm2pnm", path=environment()["PATH"]):
        pytest.skip("LOUD: dcm2pnm of DCMTK is not installed")
    judged = 0
    for one in corpus.required():
        try:
            theirs = pydicom.dcmread(one.path)
            syntax = str(theirs.file_meta.TransferSyntaxUID)
            if syntax not in (EXPLICIT, "1.2.840.10008.1.2") or theirs.BitsAllocated != 16:
                continue
            if "WindowCenter" not in theirs or theirs.get("VOILUTFunction", "LINEAR") != "LINEAR":
                continue
        except (AttributeError, InvalidDicomError):
            continue
        target = tmp_path / "theirs.pgm"
        if run(["dcm2pnm", "-O", "+Wi", "1", "+op", str(one.path), str(target)]).returncode:
            continue
        expected = np.asarray(Image.open(target)).astype(int)
        seen = np.asarray(Image.open(io.BytesIO(drawn(one.path, syntax, codecs)))).astype(int)
        assert seen.shape == expected.shape, one.name
        assert np.abs(seen - expected).max() <= 1, one.name
        judged += 1
    assert judged >= 50


def drawn(path: Path, syntax: str, codecs: Codecs) -> bytes:
    """The first frame as a PNG, through the same parts as the DICOMweb server."""
    body = path.read_bytes()[open_part10(path).data_set_offset :]

    def read(at: int, size: int) -> bytes:
        return body[at : at + size]

    data_set = EditableDataSet(read, len(body), syntax)
    start, end = data_set.span(PIXEL_DATA) or (0, 0)
    facts = pixel_facts(data_set.get)
    frame = b"".join(read(*part) for part in frame_stretches(read, start, end, syntax, facts)[0])
    wish = {"frame": 1, "media_type": "image/png"}
    return codecs.draw(body[:start], frame, (syntax, frame_source(syntax)), facts, wish)
