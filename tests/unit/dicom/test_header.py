"""The header reader on encodings made by hand, and each of its limits at the bound and over it."""

from __future__ import annotations

import struct
import zlib

import pytest

from router.dicom.header import HeaderLimits, HeaderReader
from router.dicom.tags import parse_path
from router.errors import BadDataset
from tests.support.elements import BIG, DEFLATED, EXPLICIT, IMPLICIT, SYNTAXES, UNDEFINED, Maker

E = Maker(EXPLICIT)
PATIENT_ID, ROWS, PIXELS = 0x00100020, 0x00280010, 0x7FE00010
# Request Attributes Sequence holds what is looked for, Referenced Study Sequence stands before it.
REQUEST, STUDIES = 0x00400275, 0x00081110


def read(raw: bytes, syntax: str = EXPLICIT, *paths: str, piece: int = 0, **options):
    """A finished reader and the values at the paths, None where absent."""
    wanted = [parse_path(text) for text in paths]
    reader = HeaderReader(syntax, wanted, **options)
    for start in range(0, len(raw), piece or max(len(raw), 1)):
        reader.feed(memoryview(raw)[start : start + (piece or len(raw))])
    reader.finish()
    found = [reader.get(path) for path in wanted]
    return reader, [None if one is None else one.values for one in found]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("piece", [0, 1, 7])
def test_nested_items_in_every_form_of_length(syntax, undefined, piece):
    of_sequence, of_item = undefined
    make = Maker(syntax)

    def nest(deep: bytes) -> bytes:
        items = [
            make.item(make.element(PATIENT_ID, "LO", name), deep, undefined=of_item)
            for name in ("first", "second")
        ]
        return make.sequence(REQUEST, *items, undefined=of_sequence)

    raw = make.finished(
        make.element(0x00080060, "CS", "CT"),
        make.sequence(STUDIES, make.item(make.element(PATIENT_ID, "LO", "not me"))),
        make.element(PATIENT_ID, "LO", "top"),
        make.numbers(ROWS, "US", "H", 512),
        nest(nest(b"")),
        make.element(PIXELS, "OW", bytes(10)),
    )
    reader, values = read(
        raw,
        syntax,
        "PatientID",
        "Rows",
        "RequestAttributesSequence[0].PatientID",
        "RequestAttributesSequence[*].PatientID",
        "RequestAttributesSequence[1].RequestAttributesSequence[*].PatientID",
        "RequestAttributesSequence[2].PatientID",
        "ReferencedStudySequence[*].PatientID",
        "RequestAttributesSequence[0].StudyDate",
        piece=piece,
    )
    both = ("first", "second")
    assert values == [("top",), (512,), ("first",), both, both, None, ("not me",), None]
    assert reader.text(0x00080060) == "CT"
    assert reader.data_set_length == len(raw)
    if syntax != DEFLATED:
        pixels = make.element(PIXELS, "OW", bytes(10))
        assert reader.header_length == len(raw) - len(pixels)


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG, IMPLICIT])
@pytest.mark.parametrize("outer", [False, True])
def test_un_holds_implicit_little_endian_whatever_is_around_it(syntax, outer):
    # PS3.5 6.2.2 note 2; in an implicit data set there is no UN to see.
    make, inner = Maker(syntax), Maker(IMPLICIT)
    item = inner.item(inner.element(PATIENT_ID, "", "inside"))
    head = make.header(REQUEST, "UN", UNDEFINED if outer else len(item))
    raw = head + item + (inner.delimiter(0xE0DD) if outer else b"")
    raw += make.element(0x00400280, "ST", "behind")
    _, values = read(raw, syntax, "RequestAttributesSequence[0].PatientID", "0040,0280")
    assert values == [("inside",), ("behind",)]


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_a_vr_of_a_later_edition_has_the_long_form(syntax):
    make = Maker(syntax)
    order = make.order
    strange = struct.pack(f"{order}HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 4) + b"\0\1\2\3"
    _, values = read(strange + make.element(PATIENT_ID, "LO", "behind"), syntax, "PatientID")
    assert values == [("behind",)]


def test_fragments_are_passed_over_and_counted_as_pixels():
    fragments = [E.item(b""), E.item(b"\xff\xd8\xff\xd9"), E.item(bytes(1000))]
    head = E.element(PATIENT_ID, "LO", "X1")
    raw = head + E.sequence(PIXELS, *fragments, undefined=True, vr="OB")
    for piece in (0, 1, 500):
        reader, _ = read(raw, "1.2.840.10008.1.2.4.50", piece=piece)
        assert reader.header_length == len(head)


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, PIXELS])
def test_every_kind_of_pixel_data_ends_the_header(tag):
    head = E.element(PATIENT_ID, "LO", "X1")
    vr = {0x7FE00008: "OF", 0x7FE00009: "OD", PIXELS: "OW"}[tag]
    reader, _ = read(head + E.element(tag, vr, bytes(8)) + E.element(0xFFFCFFFC, "OB", bytes(8)))
    assert reader.header_length == len(head)


def test_without_pixels_all_is_header_and_nothing_is_a_data_set_too():
    raw = E.element(PATIENT_ID, "LO", "X1")
    assert read(raw)[0].header_length == len(raw)
    empty, values = read(b"", EXPLICIT, "PatientID")
    assert (empty.header_length, empty.data_set_length, values) == (0, 0, [None])
    assert empty.text(PATIENT_ID) == ""


def test_pixel_data_inside_an_icon_is_not_the_pixel_data():
    icon = E.sequence(
        0x00880200, E.item(E.element(PIXELS, "OW", bytes(8)), undefined=True), undefined=True
    )
    head = icon + E.element(0x00880904, "LO", "title")
    reader, _ = read(head + E.element(PIXELS, "OW", bytes(8)))
    assert reader.header_length == len(head)


LIMITS = {
    # name of the limit: (bound, what makes that many, words of the refusal)
    "max_elements": (5, lambda n: E.element(PATIENT_ID, "LO", "") * n, "more than 5 elements"),
    "max_items": (
        5,
        lambda n: E.sequence(REQUEST, *[E.item()] * n, undefined=True),
        "more than 5 items",
    ),
    "max_fragments": (
        5,
        lambda n: E.sequence(PIXELS, *[E.item(b"ab")] * n, undefined=True, vr="OB"),
        "more than 5 fragments",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_each_count_at_its_bound_and_over_it(name):
    bound, make, words = LIMITS[name]
    limits = HeaderLimits(**{name: bound})
    read(make(bound), limits=limits)
    for piece in (0, 1):
        with pytest.raises(BadDataset, match=words) as caught:
            read(make(bound + 1), limits=limits, piece=piece)
        assert caught.value.status == 0xC000


def nested(levels: int, raw: bytes = b"") -> bytes:
    for _ in range(levels):
        raw = E.sequence(REQUEST, E.item(raw, undefined=True), undefined=True)
    return raw


def test_depth_at_its_bound_and_over_it():
    limits = HeaderLimits(max_depth=3)
    read(nested(3), limits=limits)
    with pytest.raises(BadDataset, match="deeper than 3"):
        read(nested(4), limits=limits)
    # An open sequence is a level of its own, also before its first item.
    empty = E.sequence(REQUEST, undefined=True)
    with pytest.raises(BadDataset, match="deeper than 3"):
        read(nested(3, empty), limits=limits)
    read(nested(32))
    with pytest.raises(BadDataset, match="deeper than 32"):
        read(nested(33))


@pytest.mark.parametrize("piece", [0, 3])
def test_a_value_at_its_bound_is_kept_and_over_it_counts_as_empty(piece):
    limits = HeaderLimits(max_value_bytes=20)
    for size, values in ((20, ("A" * 20,)), (22, ())):
        raw = E.element(PATIENT_ID, "LO", "A" * size) + E.element(0x00100021, "LO", "behind")
        reader, found = read(raw, EXPLICIT, "PatientID", limits=limits, piece=piece)
        assert found == [values]
        assert reader.text(0x00100021) == "behind"


@pytest.mark.parametrize("piece", [0, 3])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_wanted_sequence_over_its_bound_has_no_items(piece, undefined):
    item = E.item(E.element(PATIENT_ID, "LO", "AB"))
    # Of an undefined length the delimiter is no part of what is kept.
    limits = HeaderLimits(max_value_bytes=len(item) * 2)
    for count, values in ((2, ("AB", "AB")), (3, None)):
        raw = E.sequence(REQUEST, *[item] * count, undefined=undefined)
        path = "RequestAttributesSequence[*].PatientID"
        _, found = read(raw, EXPLICIT, path, limits=limits, piece=piece)
        assert found == [values]


def test_what_is_kept_in_all_is_bounded():
    limits = HeaderLimits(max_kept_bytes=30)
    raw = b"".join(
        E.element(tag, "LO", text * 10)
        for tag, text in (
            (0x00080060, "A"),
            (PATIENT_ID, "B"),
            (0x00100021, "C"),
            (0x00400280, "D"),
        )
    )
    _, found = read(raw, EXPLICIT, "Modality", "PatientID", "0010,0021", "0040,0280", limits=limits)
    assert found == [("A" * 10,), ("B" * 10,), ("C" * 10,), ()]


@pytest.mark.parametrize(("size", "fits"), [(100_000, True), (100_002, False)])
def test_what_a_header_inflates_to_is_bounded_in_bytes(size, fits):
    # Not compressible, so that the ratio is no issue.
    noise = b"".join(struct.pack("<I", (n * 2654435761) % 2**32) for n in range(30_000))
    raw = E.element(0x00091001, "UN", noise[: size - 12])
    packed = Maker(DEFLATED).finished(raw)
    limits = HeaderLimits(max_inflated_bytes=100_000)
    if fits:
        read(packed, DEFLATED, limits=limits)
        return
    with pytest.raises(BadDataset, match="out of bounds") as caught:
        read(packed, DEFLATED, limits=limits)
    assert caught.value.status == 0xA900


def test_a_deflated_header_with_more_than_its_ratio():
    raw = E.element(0x00091001, "UN", bytes(500_000))
    packed = Maker(DEFLATED).finished(raw)
    read(packed, DEFLATED, limits=HeaderLimits(max_inflate_ratio=1100))
    with pytest.raises(BadDataset, match="out of bounds"):
        read(packed, DEFLATED, limits=HeaderLimits(max_inflate_ratio=500))


@pytest.mark.parametrize("damage", ["garbage", "early end", "trailing bytes", "zlib header"])
def test_damaged_deflate_streams(damage):
    raw = E.element(PATIENT_ID, "LO", "X1")
    packed = Maker(DEFLATED).finished(raw)
    if damage == "trailing bytes":
        # One byte of padding is required for odd streams; more is passed over like that one.
        assert read(packed + b"\0\0", DEFLATED, "PatientID")[1] == [("X1",)]
        return
    spoiled = {
        "garbage": b"\xff" * 20,
        "early end": packed[: len(packed) // 2],
        # PS3.5 A.5 is raw deflate (RFC 1951), not zlib (RFC 1950), which writers confuse.
        "zlib header": zlib.compress(raw),
    }[damage]
    with pytest.raises(BadDataset):
        read(spoiled, DEFLATED, "PatientID")


SHAPES = {
    "a value beyond the end": E.element(PATIENT_ID, "LO", "A", length=100),
    "half a header": E.element(PATIENT_ID, "LO", "AB") + b"\x10\0\x20",
    "half a long header": E.header(PIXELS, "OW", 0)[:10],
    "no end of a sequence": E.sequence(REQUEST, undefined=True)[:-8],
    "no end of an item": E.header(REQUEST, "SQ", UNDEFINED) + E.delimiter(0xE000, UNDEFINED),
    "an item at the top": E.item(),
    "an element where an item belongs": E.header(REQUEST, "SQ", UNDEFINED)
    + E.element(PATIENT_ID, "LO", "A"),
    "a sequence that ends inside an item": E.header(REQUEST, "SQ", UNDEFINED)
    + E.delimiter(0xE000, UNDEFINED)
    # Twice: taken for the end of the item, the first would make the whole look sound.
    + E.delimiter(0xE0DD) * 2,
    "a fragment of undefined length": E.header(PIXELS, "OB", UNDEFINED)
    + E.delimiter(0xE000, UNDEFINED),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [0, 1])
def test_bytes_that_are_no_data_set(shape, piece):
    with pytest.raises(BadDataset) as caught:
        read(SHAPES[shape], piece=piece)
    assert caught.value.status == 0xC000


def test_a_stray_delimiter_at_the_top_is_passed_over_as_others_do():
    raw = E.delimiter(0xE00D) + E.element(PATIENT_ID, "LO", "X1") + E.delimiter(0xE0DD)
    assert read(raw, EXPLICIT, "PatientID")[1] == [("X1",)]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize(("signed", "value"), [(0, 65531), (1, -5), (None, 65531)])
def test_us_or_ss_goes_by_the_pixels_and_in_an_item_by_its_own(syntax, signed, value):
    make = Maker(syntax)
    # In an explicit data set a wrong VR says what it says; there only UN is looked up.
    vr = "" if syntax == IMPLICIT else ("SS" if signed else "US")
    smallest = make.numbers(0x00280106, vr, "H", 65531)
    about = b"" if signed is None else make.numbers(0x00280103, "US", "H", signed)
    item = make.item(about, smallest)
    raw = make.sequence(STUDIES, item) + about + smallest
    _, values = read(
        raw, syntax, "SmallestImagePixelValue", "ReferencedStudySequence[0].SmallestImagePixelValue"
    )
    assert values == [(value,), (value,)]


@pytest.mark.parametrize(
    ("top", "inner", "values"),
    [(0, 1, (65531, -5)), (1, 0, (-5, 65531)), (1, None, (-5, -5)), (None, 1, (65531, -5))],
)
def test_an_item_goes_by_its_own_pixels_before_those_around_it(top, inner, values):
    make = Maker(IMPLICIT)
    smallest = make.numbers(0x00280106, "", "H", 65531)

    def about(signed: int | None) -> bytes:
        return b"" if signed is None else make.numbers(0x00280103, "", "H", signed)

    raw = make.sequence(STUDIES, make.item(about(inner), smallest)) + about(top) + smallest
    names = ("SmallestImagePixelValue", "ReferencedStudySequence[0].SmallestImagePixelValue")
    _, found = read(raw, IMPLICIT, *names)
    assert found == [(value,) for value in values]


@pytest.mark.parametrize(
    ("declared", "default", "raw", "text"),
    [
        ("ISO_IR 144", "", b"\xb6\xb6", "ЖЖ"),
        (None, "ISO_IR 144", b"\xb6\xb6", "ЖЖ"),
        ("", "ISO_IR 144", b"\xb6\xb6", "ЖЖ"),
        ("ISO_IR 100", "ISO_IR 144", b"\xb6\xb6", "¶¶"),
        (None, "", b"\xb6\xb6", "¶¶"),
    ],
)
def test_the_character_set_is_the_declared_one_else_the_assumed_one(declared, default, raw, text):
    head = b"" if declared is None else E.element(0x00080005, "CS", declared)
    data = head + E.element(PATIENT_ID, "LO", raw)
    reader, values = read(data, EXPLICIT, "PatientID", default_character_set=default)
    assert values == [(text,)]
    assert reader.text(PATIENT_ID) == text
    assert reader.character_set == (declared or default)


def test_an_item_may_declare_its_own_character_set():
    inner = E.item(
        E.element(0x00080005, "CS", "ISO_IR 144"), E.element(PATIENT_ID, "LO", b"\xb6\xb6")
    )
    plain = E.item(E.element(PATIENT_ID, "LO", b"\xb6\xb6"))
    raw = E.element(0x00080005, "CS", "ISO_IR 100") + E.sequence(REQUEST, inner, plain)
    assert read(raw, EXPLICIT, "RequestAttributesSequence[*].PatientID")[1] == [("ЖЖ", "¶¶")]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_elements_are_found_by_creator_here_and_in_items(syntax):
    make = Maker(syntax)

    def block(number: int, creator: str, value: str) -> bytes:
        return make.element(0x00090000 | number, "LO", creator) + make.element(
            0x00090001 | number << 8, "LO", value
        )

    raw = make.finished(
        make.sequence(STUDIES, make.item(block(0x20, "ACME", "inside"))),
        make.element(0x00090010, "LO", "OTHER"),
        make.element(0x00090011, "LO", "ACME"),
        make.element(0x00091001, "LO", "other's"),
        make.element(0x00091101, "LO", "acme's"),
    )
    _, values = read(
        raw,
        syntax,
        "0009,[ACME],01",
        "0009,[OTHER],01",
        "0009,[ACME],02",
        "0009,[NOBODY],01",
        "ReferencedStudySequence[0].0009,[ACME],01",
    )
    private = [("acme's",), ("other's",), None, None, ("inside",)]
    if syntax == IMPLICIT:
        # No VR, no dictionary entry: present, but nothing a rule could compare.
        private = [(), (), None, None, ()]
    assert values == private
