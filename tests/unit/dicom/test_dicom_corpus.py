"""Every storable file of the shared corpus is read, edited and converted."""

from __future__ import annotations

import io

import pydicom
import pytest

from router.dicom.header import HeaderReader
from router.dicom.outgoing import can_convert, prepare
from router.dicom.part10 import file_meta, open_part10
from router.dicom.tags import format_tag, parse_path
from router.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    layout_of,
)
from router.errors import BadDataset, Undeliverable

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# pydicom loses its way at the VR '  ' in these; DCMTK reads on, as we do.
NOT_FOR_PYDICOM = {"fo-dicom/GH179A.dcm"}
# Encapsulated fragments under an uncompressed transfer syntax.
NOT_CONVERTIBLE = {"fuzz-dev/cat04_pixel_data/TC0323_encap_zero_frag.dcm"}


def data_set_of(path):
    meta = open_part10(path)
    return meta.transfer_syntax_uid, path.read_bytes()[meta.data_set_offset :]


def reread(raw, syntax):
    return pydicom.dcmread(io.BytesIO(file_meta("1.2", "1.3", syntax) + raw), force=True)


def test_every_storable_file_is_readable_and_has_its_uids(shared_corpus):
    for file in shared_corpus:
        syntax, raw = data_set_of(file.path) if file.storable else ("", b"")
        if not file.storable:
            continue
        reader = HeaderReader(syntax)
        for start in range(0, len(raw), 5000):
            reader.feed(raw[start : start + 5000])
        reader.finish()
        known = reread(raw, syntax)
        for keyword in UIDS:
            tag = parse_path(keyword).top_tag
            assert reader.text(tag) == str(known.get(keyword, "")).strip(), file.name


def test_no_file_raises_anything_but_bad_dataset(shared_corpus):
    for file in shared_corpus:
        try:
            syntax, raw = data_set_of(file.path)
            reader = HeaderReader(syntax)
            reader.feed(raw)
            reader.finish()
        except BadDataset:
            assert not file.storable, file.name


@pytest.mark.long
def test_top_values_agree_with_pydicom(shared_corpus):
    for file in shared_corpus:
        if not file.storable or file.name in NOT_FOR_PYDICOM:
            continue
        syntax, raw = data_set_of(file.path)
        known = reread(raw, syntax)
        texts = [
            e for e in known if e.VR in {"LO", "SH", "PN", "CS", "DA"} and not e.tag.is_private
        ]
        paths = [parse_path(format_tag(element.tag)) for element in texts]
        reader = HeaderReader(syntax, paths)
        reader.feed(raw)
        for path, element in zip(paths, texts, strict=True):
            found = reader.get(path)
            assert found is not None, (file.name, path.text)
            assert len(found.values) in {element.VM, 0, 1}, (file.name, path.text)


def test_an_edit_leaves_pixels_and_no_edit_leaves_everything(shared_corpus):
    for file in shared_corpus:
        if not file.storable or file.name in NOT_FOR_PYDICOM:
            continue
        syntax, raw = data_set_of(file.path)

        def read(offset, size, raw=raw):
            return raw[offset : offset + size]

        facts = ("1.2", "1.3", "1.4")
        plain = prepare(read, len(raw), syntax, syntax, lambda _: None, facts)
        # A deflated stream of odd length gets the byte a sender must add (PS3.5 A.5).
        assert b"".join(plain.chunks()) == raw + b"\0" * (len(raw) % 2 * layout_of(syntax).deflated)

        def edit(data_set):
            data_set.set(parse_path("PatientID"), "NEW")

        edited = reread(
            b"".join(prepare(read, len(raw), syntax, syntax, edit, facts).chunks()), syntax
        )
        assert edited.PatientID == "NEW"
        assert edited.get("PixelData") == reread(raw, syntax).get("PixelData"), file.name


def test_every_uncompressed_file_converts(shared_corpus):
    count = 0
    for file in shared_corpus:
        if not file.storable or file.name in NOT_FOR_PYDICOM:
            continue
        syntax, raw = data_set_of(file.path)
        for target in (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN):
            if syntax == target or not can_convert(syntax, target):
                continue

            def read(offset, size, raw=raw):
                return raw[offset : offset + size]

            if file.name in NOT_CONVERTIBLE:
                with pytest.raises(Undeliverable):
                    prepare(read, len(raw), syntax, target, None, ("1", "2", "3"))
                continue
            found = prepare(read, len(raw), syntax, target, None, ("1", "2", "3"))
            converted = reread(b"".join(found.chunks()), target)
            known = reread(raw, syntax)
            names = [e.tag for e in known if e.tag.element and e.tag != 0xFFFCFFFC]
            assert [e.tag for e in converted] == names, file.name
            assert converted.get("PatientID") == known.get("PatientID")
            count += 1
    assert count > 50
