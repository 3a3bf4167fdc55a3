"""Edits compared with pydicom byte for byte, and every byte outside an edit where it was."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from router.dicom.dataset import EditableDataSet
from router.dicom.splice import Span, length_of, merged
from router.dicom.tags import parse_path
from router.errors import MorphFailed
from tests.support.dicom_strategies import written
from tests.support.elements import BIG, EXPLICIT, IMPLICIT, Maker

PLAIN = (IMPLICIT, EXPLICIT, BIG)
PATIENT_ID, REQUEST, STUDIES, PIXELS = 0x00100020, 0x00400275, 0x00081110, 0x7FE00010


def opened(raw: bytes, syntax: str = EXPLICIT) -> EditableDataSet:
    return EditableDataSet(lambda at, size: raw[at : at + size], len(raw), syntax)


def joined(data_set: EditableDataSet, raw: bytes) -> bytes:
    return b"".join(
        raw[piece.start : piece.end] if isinstance(piece, Span) else piece
        for piece in data_set.pieces()
    )


def nested(undefined: bool) -> Dataset:
    """Two levels of sequences with text, numbers and a private block on each."""

    def level(depth: int, name: str) -> Dataset:
        made = Dataset()
        made.PatientID = name
        made.ReferringPhysicianName = "Doe^" + name
        made.Rows = 256 + depth
        block = made.private_block(0x0009, "ACME", create=True)
        block.add_new(0x01, "LO", "private " + name)
        block.add_new(0x02, "SH", "second")
        if depth < 2:
            items = [level(depth + 1, f"{name}{number}") for number in range(2)]
            for number, item in enumerate(items):
                item.is_undefined_length_sequence_item = undefined or bool(number)
            made.RequestAttributesSequence = Sequence(items)
            made["RequestAttributesSequence"].is_undefined_length = undefined
        return made

    top = level(0, "P")
    top.add_new(PIXELS, "OW", bytes(range(64)))
    return top


def places(data_set: Dataset, text: str) -> list[Dataset]:
    """The data sets a path like '1.*' leads to: an item number or * for each level."""
    found = [data_set]
    for step in filter(None, text.split(".")):
        inner = [one.get("RequestAttributesSequence", []) for one in found]
        found = [item for items in inner for n, item in enumerate(items) if step in ("*", str(n))]
    return found


def as_path(place: str, last: str) -> str:
    return (
        "".join(f"RequestAttributesSequence[{step}]." for step in place.split(".") if step) + last
    )


def set_id(data_set: Dataset) -> None:
    data_set.PatientID = "CHANGED"


def set_new(data_set: Dataset) -> None:
    data_set.StudyDescription = "added"


def set_number(data_set: Dataset) -> None:
    data_set.Rows = 7


def blank(data_set: Dataset) -> None:
    data_set.PatientID = None


def remove(data_set: Dataset) -> None:
    del data_set.PatientID


def set_private(data_set: Dataset) -> None:
    data_set[0x00091001].value = "CHANGED"


def add_private(data_set: Dataset) -> None:
    data_set.private_block(0x0009, "OTHER", create=True).add_new(0x05, "LO", "added")


def remove_private(data_set: Dataset) -> None:
    del data_set[0x00091001]


def remove_block(data_set: Dataset) -> None:
    for tag in (0x00090010, 0x00091001, 0x00091002):
        del data_set[tag]


EDITS = {
    "set": (lambda ds, at: ds.set(parse_path(at("PatientID")), "CHANGED"), set_id),
    "add": (lambda ds, at: ds.set(parse_path(at("StudyDescription")), "added"), set_new),
    "set a number": (lambda ds, at: ds.set(parse_path(at("Rows")), 7), set_number),
    "blank": (lambda ds, at: ds.blank(parse_path(at("PatientID"))), blank),
    "remove": (lambda ds, at: ds.remove(parse_path(at("PatientID"))), remove),
    "set a private one": (
        lambda ds, at: ds.set(parse_path(at("0009,[ACME],01")), "CHANGED"),
        set_private,
    ),
    "add a private one": (
        lambda ds, at: ds.set(parse_path(at("0009,[OTHER],05")), "added"),
        add_private,
    ),
    "remove a private one": (
        lambda ds, at: ds.remove(parse_path(at("0009,[ACME],01"))),
        remove_private,
    ),
    # The creator goes with the last of its elements.
    "remove a private block": (
        lambda ds, at: [ds.remove(parse_path(at(f"0009,[ACME],{n}"))) for n in ("02", "01")],
        remove_block,
    ),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("place", ["", "0", "*", "0.1", "*.*"])
def test_every_edit_at_every_depth_gives_the_bytes_pydicom_writes(edit, place):
    ours, theirs = EDITS[edit]
    for syntax in PLAIN:
        for undefined in (False, True):
            raw = written(nested(undefined), syntax)
            expected = nested(undefined)
            for target in places(expected, place):
                theirs(target)
            editable = opened(raw, syntax)
            ours(editable, lambda last: as_path(place, last))
            assert joined(editable, raw) == written(expected, syntax), (syntax, undefined)


def laid_out(syntax: str) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """A data set by hand with odd neighbours, and where each element lies."""
    make = Maker(syntax)
    parts = [
        (0x00080005, make.element(0x00080005, "CS", "ISO_IR 100")),
        # Padding that nobody would write again: a NUL in text, blanks in front, a double UID.
        (0x00080060, make.element(0x00080060, "CS", b" CT\0")),
        (0x00081030, make.element(0x00081030, "LO", "description  ")),
        (
            STUDIES,
            make.sequence(
                STUDIES,
                make.item(make.element(PATIENT_ID, "LO", "in"), undefined=True),
                make.item(),
                undefined=True,
            ),
        ),
        (PATIENT_ID, make.element(PATIENT_ID, "LO", "P1")),
        (0x00280010, make.numbers(0x00280010, "US", "H", 512)),
        (REQUEST, make.sequence(REQUEST, make.item(make.element(0x00400280, "ST", "x")))),
        (PIXELS, make.element(PIXELS, "OW", bytes(range(200)))),
        (0xFFFCFFFC, make.element(0xFFFCFFFC, "OB", bytes(6))),
    ]
    raw, spans = b"", {}
    for tag, data in parts:
        spans[tag] = len(raw), len(raw) + len(data)
        raw += data
    return raw, spans


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize(
    ("edit", "touched"),
    [
        (lambda ds: ds.set(parse_path("PatientID"), "OTHER"), {PATIENT_ID}),
        (lambda ds: ds.set(parse_path("Modality"), "MR"), {0x00080060}),
        (lambda ds: ds.blank(parse_path("StudyDescription")), {0x00081030}),
        (lambda ds: ds.remove(parse_path("Rows")), {0x00280010}),
        (lambda ds: ds.set(parse_path("ReferencedStudySequence[0].PatientID"), "y"), {STUDIES}),
        (lambda ds: ds.remove(parse_path("ReferencedStudySequence[1]")), {STUDIES}),
        (lambda ds: ds.set(parse_path("RequestAttributesSequence[0].0040,0280"), "y"), {REQUEST}),
        (
            lambda ds: [ds.set(parse_path(k), "1") for k in ("PatientID", "Rows")],
            {PATIENT_ID, 0x00280010},
        ),
        # New elements stand between others, which do not move but apart.
        (lambda ds: ds.set(parse_path("AccessionNumber"), "A1"), set()),
        (lambda ds: ds.set(parse_path("0011,[ACME],01"), "A1"), set()),
    ],
)
def test_untouched_elements_are_spans_of_the_original(syntax, edit, touched):
    raw, spans = laid_out(syntax)
    editable = opened(raw, syntax)
    edit(editable)
    kept = [piece for piece in editable.pieces() if isinstance(piece, Span)]
    assert kept == sorted(kept), "in the order they had"
    for tag, (start, end) in spans.items():
        whole = any(piece.start <= start and end <= piece.end for piece in kept)
        assert whole is (tag not in touched), f"{tag:08X}"
    # Whatever is not a span is new, and no more than the edit asked for.
    fresh = sum(len(piece) for piece in editable.pieces() if isinstance(piece, bytes))
    assert fresh <= 80


@pytest.mark.parametrize("syntax", PLAIN)
def test_an_edit_in_one_item_leaves_the_bytes_of_the_other(syntax):
    make = Maker(syntax)
    # The second item has a length only its writer can explain: it must stay as it is.
    odd = make.item(make.element(0x00400280, "ST", b"\0 \0 "), undefined=True)
    first = make.item(make.element(PATIENT_ID, "LO", "A "))
    raw = make.sequence(REQUEST, first, odd)
    editable = opened(raw, syntax)
    editable.set(parse_path("RequestAttributesSequence[0].PatientID"), "LONGER")
    changed = make.item(make.element(PATIENT_ID, "LO", "LONGER"))
    assert joined(editable, raw) == make.sequence(REQUEST, changed, odd)
    start = raw.index(odd)
    assert Span(start, start + len(odd)) in editable.pieces()


def test_reading_and_failing_leave_one_span_of_everything():
    raw, _ = laid_out(EXPLICIT)
    # A stray delimiter is no element, so only an untouched data set keeps it.
    raw += Maker(EXPLICIT).delimiter(0xE00D)
    editable = opened(raw)
    for text in ("Rows", "ReferencedStudySequence[*].PatientID", "0009,[ACME],01"):
        editable.get(parse_path(text))
        editable.exists(parse_path(text))
    for path, value in (("PatientID", "x" * 65), ("Rows", 70000), ("PixelData", "x")):
        with pytest.raises(MorphFailed):
            editable.set(parse_path(path), value)
    editable.remove(parse_path("AccessionNumber"))
    editable.blank(parse_path("RequestAttributesSequence[5].PatientID"))
    assert editable.pieces() == [Span(0, len(raw))]
    assert not editable.is_changed


def test_a_repeated_element_is_read_as_the_last_and_written_once():
    # pydicom and DCMTK keep the last; two different patients must not leave under one edit.
    raw = b"".join(Maker(EXPLICIT).element(PATIENT_ID, "LO", text) for text in ("A1", "B2"))
    editable = opened(raw)
    assert editable.get(parse_path("PatientID")).values == ("B2",)
    editable.set(parse_path("PatientID"), "C3")
    assert joined(editable, raw) == Maker(EXPLICIT).element(PATIENT_ID, "LO", "C3")
    editable.remove(parse_path("PatientID"))
    assert joined(editable, raw) == b""


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([Span(0, 0), b"", Span(5, 5)], [b""]),
        ([Span(0, 5), Span(5, 9)], [Span(0, 9)]),
        ([Span(0, 5), Span(6, 9)], [Span(0, 5), Span(6, 9)]),
        (
            [b"a", b"b", Span(0, 5), b"c", Span(5, 9), b"d"],
            [b"ab", Span(0, 5), b"c", Span(5, 9), b"d"],
        ),
        ([Span(0, 5), Span(7, 7), Span(5, 9)], [Span(0, 9)]),
    ],
)
def test_pieces_are_as_few_as_can_be(pieces, expected):
    assert merged(pieces) == expected
    assert length_of(pieces) == length_of(expected)


def test_the_original_of_this_suite_is_what_pydicom_reads():
    raw = written(nested(undefined=True), EXPLICIT)
    found = pydicom.filereader.read_dataset(io.BytesIO(raw), False, True, stop_when=None)
    assert places(found, "1.0")[0].PatientID == "P10"
