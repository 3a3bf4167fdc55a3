"""multipart/related in: whatever the pieces it comes in, the same parts; what is cut short is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dicomweb.multipart import Part, RelatedBody
from router.dicomweb.related import MAX_HEADERS_BYTES, BrokenBody, parts

BOUNDARY = "b0undary"
TYPE = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


def read(body: bytes, *, size: int = 65536, content_type: str = TYPE) -> list[tuple[str, bytes]]:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return [(part.media_type, b"".join(part.chunks)) for part in parts(content_type, pieces)]


@given(
    st.lists(st.one_of(st.binary(max_size=300), st.just(b"\r\n--"), st.just(b"\r\n")), max_size=4),
    st.integers(1, 70),
)
def test_what_our_own_writer_makes_is_read_back_in_any_pieces(
    contents: list[bytes], size: int
) -> None:
    made = RelatedBody([Part(len(one), lambda one=one: iter([one])) for one in contents])
    body = b"".join(bytes(chunk) for chunk in made.chunks())
    if not contents:
        body = f"--{made.boundary}--\r\n".encode()
    found = read(body, size=size, content_type=made.content_type())
    assert found == [("application/dicom", one) for one in contents]


@given(st.integers(0, 130), st.integers(1, 40))
def test_every_cut_before_the_closing_boundary_is_an_error(cut: int, size: int) -> None:
    whole = (
        f"preamble\r\n--{BOUNDARY} \r\nContent-Type: application/dicom\r\n\r\nABC"
        f"\r\n--{BOUNDARY}\r\n\r\nDEF\r\n--{BOUNDARY}--"
    ).encode()
    if cut >= len(whole):
        assert [content for _, content in read(whole, size=size)] == [b"ABC", b"DEF"]
        return
    with pytest.raises(BrokenBody):
        read(whole[:cut], size=size)


@given(st.integers(1, 60), st.sampled_from([b"", b"\r\n"]))
def test_a_part_without_content_is_one_in_any_pieces(size: int, line_break: bytes) -> None:
    """Some writers leave out the line break before the next boundary: the headers' own serves."""
    boundary = f"--{BOUNDARY}".encode()
    empty = b"\r\nContent-Type: a/b\r\n\r\n" + line_break
    body = boundary + empty + boundary + b"\r\n\r\n-\r\n" + boundary + empty + boundary + b"--"
    assert read(body, size=size) == [("a/b", b""), ("", b"-"), ("a/b", b"")]


@pytest.mark.parametrize(
    "content_type",
    ["application/dicom", "multipart/related", "multipart/related; boundary=", "",
     "multipart/related; boundary=" + "b" * 71, "multipart/mixed; boundary=b"],
)  # fmt: skip
def test_no_multipart_is_said(content_type: str) -> None:
    with pytest.raises(BrokenBody):
        read(b"--b--", content_type=content_type)


def test_memory_is_bounded_whatever_comes() -> None:
    def endless(piece: bytes) -> Iterator[bytes]:
        for _ in range(10_000):
            yield piece

    opening = f"--{BOUNDARY}\r\n".encode()
    with pytest.raises(BrokenBody, match="headers"):
        list(parts(TYPE, iter([opening, *endless(b"X-Long: " + b"x" * 1000)])))
    coming = iter([opening + b"\r\n", *endless(b"\r\n--b0unda" * 100)])
    largest = 0
    with pytest.raises(BrokenBody, match="closing"):
        for part in parts(TYPE, coming):
            for chunk in part.chunks:
                largest = max(largest, len(chunk))
    assert largest < 2 * MAX_HEADERS_BYTES


def test_what_is_not_read_is_passed_over_and_names_are_lower_case() -> None:
    body = (
        f"--{BOUNDARY}\r\nCONTENT-TYPE: Application/DICOM; x=1\r\nContent-Location: /a\r\n\r\nABC"
        f"\r\n--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nDEF\r\n--{BOUNDARY}--\r\nepilogue"
    ).encode()
    found = [
        (part.media_type, part.headers.get("content-location")) for part in parts(TYPE, [body])
    ]
    assert found == [("application/dicom", "/a"), ("text/plain", None)]
