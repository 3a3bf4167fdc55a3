"""Accept headers as clients really write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.web.dicomweb.accepting import accepted, first_that, takes_json

DICOM = ("application/dicom",)


@pytest.mark.parametrize(
    ("header", "syntax"),
    [
        (None, ""),
        ("", ""),
        ("*/*", ""),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', "*"),
        ("multipart/related;type=application/dicom;transfer-syntax=1.2.3", "1.2.3"),
        ('Multipart/Related; Type="Application/DICOM"; transfer-syntax="*"', "*"),
        ('text/html, multipart/related; type="application/dicom"; q=0.5', ""),
        ('multipart/related; type="application/*"', ""),
        (
            ", ".join(
                f'multipart/related; type="application/dicom"; transfer-syntax={uid}; q={quality}'
                for uid, quality in (("1.2", 0.3), ("1.3", 0.9))
            ),
            "1.3",
        ),
    ],
)
def test_files_are_taken_in_a_multipart(header: str | None, syntax: str) -> None:
    found = first_that(header, DICOM, multipart=(True,))
    assert found is not None
    assert found.transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    "header",
    ["application/dicom", "image/jpeg", 'multipart/related; type="image/jpeg"',
     'multipart/related; type="application/dicom"; q=0', "garbage", "application/json"],
)  # fmt: skip
def test_what_is_not_taken(header: str) -> None:
    assert first_that(header, DICOM, multipart=(True,)) is None


@pytest.mark.parametrize(
    ("header", "takes"),
    [(None, True), ("application/json", True), ("application/dicom+json; q=0.1", True),
     ("application/*", True), ("application/dicom+xml", False), ("text/html", False),
     ("multipart/related; type=application/json", False)],
)  # fmt: skip
def test_json(header: str | None, takes: bool) -> None:
    assert takes_json(header) is takes


@given(st.text(max_size=300))
def test_any_header_ends_in_entries(header: str) -> None:
    assert all(0 < one.quality <= 1 for one in accepted(header))
