"""Every object of the shared corpus, de-identified: nothing of the patient is left, or nothing leaves."""

from __future__ import annotations

import re
import warnings
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from router.dicom.dataset import EditableDataSet
from router.dicom.part10 import read_part10
from router.dicom.transfer_syntax import layout_of
from router.errors import BadDataset, MorphFailed
from router.model.recipe import Recipe
from router.morph.apply import compile_recipe
from tests.support import corpus
from tests.unit.morph.test_steps import CONTEXT, MORPHS

RECIPE = Recipe.of([("deidentify", {"profile": "basic", "burned_in": "allow"})])
MOST = 0.85


def told_by(data_set: Dataset) -> set[bytes]:
    """What names and IDs of the patient would look like in the bytes of a header."""
    found: set[bytes] = set()
    for keyword in ("PatientName", "PatientID", "ReferringPhysicianName", "OtherPatientIDs"):
        for word in re.split(r"[\\^= ]+", str(data_set.get(keyword, ""))):
            if len(word) >= 6 and word.isascii():
                found.add(word.encode())
    return found


def test_p4_f60_of_the_whole_corpus_nothing_of_a_patient_leaves():
    edit = compile_recipe(RECIPE, MORPHS)
    left = held = 0
    for file in corpus.required():
        raw = file.path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                meta = read_part10(raw)
                body = raw[meta.data_set_offset :]
                if layout_of(meta.transfer_syntax_uid).deflated:
                    continue
                data_set = EditableDataSet(
                    lambda start, size, body=body: body[start : start + size],
                    len(body),
                    meta.transfer_syntax_uid,
                )
                edit(data_set, CONTEXT)
            except (MorphFailed, BadDataset):
                held += 1
                continue
            before = dcmread(BytesIO(raw), force=True, stop_before_pixels=True)
        header = data_set.encoded_header()
        for word in told_by(before):
            assert not re.search(rb"(?<![\w.])" + re.escape(word) + rb"(?![\w.])", header), (
                file.name
            )
        left += 1
    assert left / (left + held) >= MOST, f"{held} of {left + held} were held"
