"""Patterns and globs against Python's own engine, on what both understand; faults against the truth."""

from __future__ import annotations

import fnmatch
import re
import threading

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.match.pattern import compile_glob, compile_regex
from router.model.plug import PlugError
from router.patterns import MAX_PATTERN_LENGTH, PatternError, compile_pattern

PIECES = st.sampled_from(
    [
        "a",
        "b",
        "ä",
        ".",
        "[ab]",
        "[^a]",
        "(a|b)",
        "(?:ab)",
        "x?",
        "a*",
        "b+",
        "a{2}",
        "^",
        "$",
        r"\.",
        r"\d",
    ]
)
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
SUBJECTS = st.text(alphabet="abxä.1\\", max_size=12)


@settings(max_examples=100, deadline=None)
@given(PATTERNS, SUBJECTS)
def test_a_pattern_finds_what_pythons_engine_finds(pattern: str, subject: str) -> None:
    assert compile_pattern(pattern).search(subject) is bool(re.search(pattern, subject))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ä", "[ab]", "(a)", "(b)", "x+"]), min_size=1, max_size=4),
    SUBJECTS,
)
def test_a_replacement_is_that_of_pythons_engine(pieces: list[str], subject: str) -> None:
    """Only patterns that match no empty text: about those the engines differ, and we say how."""
    pattern = "".join(pieces)
    becomes = r"<\1>" if "(" in pattern else "<>"
    compiled = compile_pattern(pattern)
    assert compiled.sub(compiled.replacement(becomes), subject) == re.sub(pattern, becomes, subject)


GLOBS = st.lists(
    st.sampled_from(
        ["a", "b", "*", "?", "[ab]", "[!a]", "[a-c]", ".", "^", "$", "(", "\\", "{2}", "é", "-"]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(GLOBS, st.text(alphabet="abc.^$(\\{2}é-", max_size=8))
def test_a_glob_fits_what_fnmatch_fits(glob: str, text: str) -> None:
    assume(glob)
    assert compile_glob(glob, None)((text,)) is fnmatch.fnmatchcase(text, glob)


@pytest.mark.parametrize(
    ("glob", "text", "fits"),
    [
        ("", "", True),
        ("*", "", True),
        ("**", "x", True),
        ("a*", "a\nb", True),
        ("?", "放", True),
        ("[[]x", "[x", True),
        ("[]]", "]", True),
        ("[!]]", "]", False),
        ("[a-]", "-", True),
        ("[!a-c]*", "d", True),
        ("TEST*", "TEST", True),
        ("TEST*", "test", False),
        ("*.dcm", ".dcm", True),
        ("a?c", "ac", False),
    ],
)
def test_globs_by_hand(glob: str, text: str, fits: bool) -> None:
    assert compile_glob(glob, None)((text,)) is fits


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab()[]{}*+?|^$\\.-d1", max_size=14))
def test_any_text_is_a_pattern_or_a_fault_within_it(text: str) -> None:
    try:
        compile_pattern(text)
    except PatternError as fault:
        assert 0 <= fault.offset <= len(text)
        assert str(fault)
        with pytest.raises(PlugError) as caught:
            compile_regex(text, None)
        assert (caught.value.code, caught.value.column_offset) == ("DR211", fault.offset)


@settings(max_examples=100, deadline=None)
@given(PATTERNS, st.integers(0, 5))
def test_the_offset_of_a_fault_does_not_depend_on_what_follows(good: str, more: int) -> None:
    try:
        compile_pattern(good)
    except PatternError:
        return
    with pytest.raises(PatternError) as caught:
        compile_pattern(good + "[z-b]" + "c" * more)
    assert caught.value.offset == len(good) + 1


def test_length_is_bounded_and_reached() -> None:
    assert compile_pattern("a" * MAX_PATTERN_LENGTH).search("a" * MAX_PATTERN_LENGTH)
    with pytest.raises(PatternError, match=str(MAX_PATTERN_LENGTH)):
        compile_pattern("a" * (MAX_PATTERN_LENGTH + 1))


def test_one_pattern_serves_many_threads() -> None:
    pattern = compile_pattern("^(a|b)*c$")
    replacement = pattern.replacement("x")
    wrong: list[str] = []

    def ask() -> None:
        for number in range(300):
            text = "ab" * (number % 70) + "c"
            if not pattern.search(text) or pattern.search(text + "d"):
                wrong.append(text)
            if pattern.sub(replacement, text) != "x":
                wrong.append(text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
