"""The header reader against pydicom, and against itself in other divisions of the bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.dicom.header import HeaderReader
from router.dicom.tags import format_tag, parse_path
from router.model.path import Path
from tests.support.dicom_strategies import SYNTAXES, data_sets, plain_values, reread, written

PRIVATE = parse_path("0009,[ACME],01")


def wanted_of(data_set) -> list[Path]:
    paths = [PRIVATE, parse_path("0009,[ACME],02")]
    for element in data_set:
        if element.VR == "SQ":
            paths.extend(
                parse_path(f"{element.keyword}[{n}].{inner.keyword}")
                for n, item in enumerate(element.value)
                for inner in item
                if inner.keyword and inner.VR != "SQ"
            )
            paths.append(parse_path(f"{element.keyword}[*].PatientID"))
        elif element.keyword and element.keyword != "PixelData":
            paths.append(parse_path(format_tag(element.tag)))
    return paths


def read(raw, syntax, paths, sizes):
    reader = HeaderReader(syntax, paths)
    view, at, turn = memoryview(raw), 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        reader.feed(view[at : at + size])
        at, turn = at + size, turn + 1
    reader.finish()
    return reader


@settings(max_examples=150, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES), st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_any_division_of_the_bytes_gives_the_same_header(data_set, syntax, sizes):
    raw = written(data_set, syntax)
    paths = wanted_of(data_set)
    whole, pieces = read(raw, syntax, paths, [max(len(raw), 1)]), read(raw, syntax, paths, sizes)
    assert [whole.get(path) for path in paths] == [pieces.get(path) for path in paths]
    assert whole.header_length == pieces.header_length
    assert whole.data_set_length == pieces.data_set_length == len(raw)


@settings(max_examples=200, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES))
def test_every_wanted_attribute_agrees_with_pydicom(data_set, syntax):
    raw = written(data_set, syntax)
    known = reread(raw, syntax)
    reader = read(raw, syntax, wanted_of(data_set), [64])
    for path in wanted_of(data_set):
        found = reader.get(path)
        element = expected(known, path)
        if element is None:
            assert found is None, path
        elif isinstance(element, list):
            assert (found.values if found else ()) == tuple(
                v for e in element for v in plain_values(e)
            )
        elif element.VR == "UN":
            assert found is not None
        else:
            assert found is not None
            assert found.values == plain_values(element), path
            assert found.vr == element.VR
    assert reader.text(0x00100020) == str(known.get("PatientID", "") or "").strip()


def expected(known, path):
    step = path.steps[0]
    if step.creator is not None:
        try:
            block = known.private_block(step.tag >> 16, step.creator)
            return block[step.tag & 0xFF]
        except KeyError:
            return None
    if len(path.steps) == 1:
        return known[step.tag] if step.tag in known else None
    if step.item == -1:
        items = known[step.tag].value
        return [item[path.steps[1].tag] for item in items if path.steps[1].tag in item]
    item = known[step.tag].value[step.item]
    return item[path.steps[1].tag]


@settings(max_examples=100, deadline=None)
@given(data_sets(), st.sampled_from(SYNTAXES[:3]))
def test_the_header_ends_where_pixel_data_begins(data_set, syntax):
    raw = written(data_set, syntax)
    reader = read(raw, syntax, [], [1000])
    if "PixelData" in data_set:
        del data_set.PixelData
    assert reader.header_length == len(written(data_set, syntax))
