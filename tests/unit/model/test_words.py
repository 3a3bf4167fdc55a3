"""Which word was meant: one letter off in any of four ways, else the most alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.words import is_one_slip, meant


@pytest.mark.parametrize("slip", ["hst", "hosts", "hhost", "hast", "hsot", "ohst", "hots"])
def test_one_letter_left_out_put_in_replaced_or_exchanged(slip):
    assert is_one_slip(slip, "host")
    assert is_one_slip("host", slip)


@pytest.mark.parametrize("word", ["host", "hos ts", "ht", "tsoh", "hosted", "", "toast"])
def test_no_letter_or_more_than_one_is_no_slip(word):
    assert not is_one_slip(word, "host")


@given(st.text("abc", min_size=1, max_size=6), st.text("abc", min_size=1, max_size=6))
def test_it_is_a_slip_when_one_edit_gives_the_other(word, known):
    edits = {word[:i] + word[i + 1 :] for i in range(len(word))}
    edits |= {word[:i] + c + word[i + 1 :] for i in range(len(word)) for c in "abc"}
    edits |= {word[:i] + c + word[i:] for i in range(len(word) + 1) for c in "abc"}
    edits |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    assert is_one_slip(word, known) == (known in edits and known != word)


def test_all_words_one_slip_away_are_meant_and_the_most_alike_only_without_them():
    assert sorted(meant("hort", ["host", "port", "horse"])) == ["host", "port"]
    assert meant("stattions", ["stations", "station"]) == ["stations"]
    assert meant("descripton_of_it", ["description", "host"]) == ["description"]
    assert meant("qqq", ["host"]) == []
    assert meant("AE-Title", ["ae_title"]) == ["ae_title"]
    assert meant("x" * 101, ["x" * 100]) == []
