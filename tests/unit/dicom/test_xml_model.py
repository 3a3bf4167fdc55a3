"""XML of data sets: as DCMTK writes it for every real file, and sound whatever the values are."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicom.metadata import metadata_of
from router.dicom.part10 import open_part10
from router.dicom.xml_model import to_xml
from router.errors import BadDataset
from tests.support import corpus
from tests.support.process import environment, run

SPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
# DCMTK repeats the ideographic name as the phonetic one, keeps the escape sequences of GB 2312, opens
# sequences of unknown VR; of one window there is no number in the file.
NOT_JUDGED = {
    "GH1301.dcm",
    "chrX1.dcm",
    "chrX2.dcm",
    "chrGB2312.dcm",
    "UN_sequence.dcm",
    "GH179A.dcm",
}
NUMBERS = {"DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"}


def told(parent: ET.Element, path: str = "") -> Iterator[tuple[str, str, object]]:
    """(path, VR, value) of what a document says, without binaries."""
    for one in parent.findall("DicomAttribute"):
        vr, here = one.get("vr", ""), f"{path}/{one.get('privateCreator', '')}{one.get('tag')}"
        for item in one.findall("Item"):
            yield from told(item, f"{here}[{item.get('number')}]")
        for value in one.findall("Value"):
            text = (value.text or "").strip()
            if text:
                yield f"{here}:{value.get('number')}", vr, number(text) if vr in NUMBERS else text
        for name in one.findall("PersonName"):
            parts = tuple(
                (group.tag, part.tag, (part.text or "").strip())
                for group in name
                for part in group
                if (part.text or "").strip()
            )
            yield f"{here}:{name.get('number')}", vr, parts


def number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def test_real_files_read_the_same_as_from_dcmtk() -> None:
    if not shutil.which("dcm2xml", path=environment()["PATH"]):
        pytest.skip("LOUD: dcm2xml of DCMTK is not installed")
    judged = values = 0
    for one in corpus.required():
        if one.path.name in NOT_JUDGED:
            continue
        theirs = run(["dcm2xml", "--native-format", "+U8", str(one.path)])
        try:
            expected = dict_of(ET.fromstring(theirs.stdout))
            meta = open_part10(one.path)
            body = one.path.read_bytes()[meta.data_set_offset :]
            members = metadata_of(
                body, meta.transfer_syntax_uid, lambda path: "x/" + path, has_pixel_data=False
            )
        except (ET.ParseError, BadDataset):
            continue
        text = to_xml(members).decode().replace(SPACE[1:-1], "", 1).replace('xmlns=""', "")
        seen = dict_of(ET.fromstring(text))
        # DCMTK converts texts and says so; ours are those of the metadata, in UTF-8 as any XML.
        shared = {path for path in seen.keys() & expected.keys() if "00080005" not in path}
        for path in shared:
            assert is_same(seen[path], expected[path]), (one.name, path, seen[path], expected[path])
        judged += 1
        values += len(shared)
        missing = {path for path in expected.keys() - seen.keys() if expected[path][0] != "UN"}
        missing -= {"/00080005:1"}
        assert len(missing) <= len(expected) // 10, (one.name, sorted(missing)[:5])
    assert (judged > 200, values > 20_000) == (True, True), (judged, values)


def dict_of(document: ET.Element) -> dict[str, tuple[str, object]]:
    return {path: (vr, value) for path, vr, value in told(document)}


def is_same(ours: tuple[str, object], theirs: tuple[str, object]) -> bool:
    if ours[0] != theirs[0]:
        return "UN" in (ours[0], theirs[0])
    if isinstance(ours[1], float) and isinstance(theirs[1], float):
        return math.isclose(ours[1], theirs[1], rel_tol=1e-5, abs_tol=1e-9)
    return ours[1] == theirs[1]


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_the_texts_are_it_is_a_sound_document(value: str, creator: str) -> None:
    members = {
        "00090010": {"vr": "LO", "Value": [creator]},
        "00091001": {"vr": "LT", "Value": [value]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": value, "Phonetic": creator}]},
        "00081140": {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": [value, None]}}, {}]},
        "7FE00010": {"vr": "OW", "BulkDataURI": f"http://x/?a=1&b={creator}"},
    }
    document = ET.fromstring(to_xml(members).decode())
    tags = [one.get("tag") for one in document.findall(f"{SPACE}DicomAttribute")]
    assert tags[:2] + tags[3:] == ["00081140", "00090010", "00100010", "7FE00010"]
    assert tags[2] in ("00090001", "00091001")
    assert len(document.findall(f".//{SPACE}Item")) == 2
