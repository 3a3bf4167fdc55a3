"""Forms as browsers send them, and what is none."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.web.pages.form import MOST_FIELDS, Form, parse_form

URLENCODED = "application/x-www-form-urlencoded"


def test_an_urlencoded_form():
    form = parse_form(f"{URLENCODED}; charset=utf-8", b"a=1&a=2&b=%C3%A9+x&c=")
    assert form.all("a") == ("1", "2") and form.text("a") == "1"
    assert (form.text("b"), form.text("c"), form.text("d"), form.all("d")) == ("é x", "", "", ())


NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@given(
    texts=st.dictionaries(NAMES, st.text(max_size=40), max_size=5),
    files=st.dictionaries(st.just("file"), st.binary(max_size=300), max_size=1),
)
def test_what_a_client_writes_is_read_byte_for_byte(texts, files):
    sent = {name: (f"{name}.dcm", content) for name, content in files.items()}
    texts = {name: value for name, value in texts.items() if name not in sent}
    request = httpx.Request("POST", "https://x/", data=texts, files=sent or {"none": ("n", b"")})
    form = parse_form(request.headers["content-type"], request.read())
    assert {name: values[0] for name, values in form.texts.items()} == texts
    assert dict(form.files) == (files or {"none": b""})


def test_a_file_may_hold_what_looks_like_a_part():
    content = b'\r\n--other\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nx\r\n--'
    request = httpx.Request("POST", "https://x/", files={"file": ("a", content)})
    form = parse_form(request.headers["content-type"], request.read())
    assert form == Form({}, {"file": content})


MULTI = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b""),
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ('multipart/form-data; boundary="\n"', b"x"),
        (MULTI, b""),
        (MULTI, b"--b"),
        (MULTI, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1'),
        (MULTI, b"--b\r\nno header\r\n\r\n1\r\n--b--"),
        (MULTI, b'--b\r\nContent-Disposition: form-data; name="a"\r\n1\r\n--b--'),
        (MULTI, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--'),
        (MULTI, b'--b\r\nname="a"\r\n\r\n1\r\n' * (MOST_FIELDS + 5) + b"--b--"),
        (URLENCODED, b"\xff"),
        (URLENCODED, b"&".join([b"a=1"] * (MOST_FIELDS + 1))),
    ],
)
def test_what_is_no_form_raises(kind, body):
    with pytest.raises(ValueError):
        parse_form(kind, body)
