"""Entity tags in conditions, as clients and proxies write them (RFC 9110 8.8.3, 13.1)."""

from __future__ import annotations

import pytest

from router.web.tags import has_match, is_unchanged

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "is_weak_match", "is_strong_match"),
    [
        (TAG, True, True),
        ("*", True, True),
        (f'"x", {TAG}', True, True),
        (f'"x",{TAG} ', True, True),
        (f"W/{TAG}", True, False),
        (f'W/"x", W/{TAG}', True, False),
        ("", False, False),
        ('"abcd"', False, False),
        ('"xabc"', False, False),
        ("abc", False, False),
        (f'"x"{TAG}', False, False),
    ],
)
def test_a_condition_names_a_thing(header, is_weak_match, is_strong_match):
    assert has_match(header, TAG) is is_weak_match
    assert has_match(header, TAG, is_strong=True) is is_strong_match
    assert is_unchanged({"if-none-match": header}, TAG) is is_weak_match


def test_what_has_no_tag_is_always_news():
    assert not is_unchanged({"if-none-match": "*"}, "")
    assert not is_unchanged({}, TAG)
