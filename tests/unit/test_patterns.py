"""Patterns: linear time, faults that point at the character, replacement with groups."""

from __future__ import annotations

import time

import pytest

from router.patterns import MAX_RESULT_LENGTH, PatternError, compile_pattern, weigh


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (r"^(\w+\s?)*$", "a" * 100_000 + "!"),
        (r"\s+$", " " * 65_536 + "!"),
        (r"(a|aa)+$", "a" * 100_000 + "!"),
        (r"(.*a){20}$", "a" * 20_000 + "!"),
        (r"([a-z]+)*@", "a" * 100_000),
    ],
)
def test_M18_no_pattern_takes_more_than_linear_time(pattern: str, subject: str) -> None:
    search = compile_pattern(pattern).search
    start = time.perf_counter()
    assert search(subject) is False
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize(
    ("pattern", "offset"),
    [
        ("(lung", 0),
        ("a(b(c)", 1),
        ("[(]a(b", 4),
        ("[]()]x(", 6),
        ("a*(b)**", 5),
        ("x[abc", 1),
        ("ab(?=c)", 2),
        (r"(a)\1", 3),
        ("z[b-a]", 2),
        ("a)b", 1),
        ("ä)", 1),
        ("a*b|*c", 4),
        ("\udcff", 0),
        ("x" * 1025, 1024),
    ],
)
def test_a_fault_points_at_its_character(pattern: str, offset: int) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    assert caught.value.offset == offset


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!a)b", r"(a)\1"])
def test_what_the_engine_does_not_know_is_explained(pattern: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    assert "RE2" in caught.value.hint


def test_a_pattern_too_large_is_refused() -> None:
    with pytest.raises(PatternError):
        compile_pattern("((a{100}){100}){100}")


@pytest.mark.parametrize(
    ("pattern", "becomes", "subject", "result"),
    [
        ("^RX ", "XR ", "RX CHEST RX ", "XR CHEST RX "),
        (r"(\w+)\^(\w+)", r"\2^\1", "DOE^JANE", "JANE^DOE"),
        ("a(x)?b", r"<\1>", "ab axb", "<> <x>"),
        ("ä+", "\\\\", "xääy", "x\\y"),
        ("", "-", "ab", "-a-b-"),
        ("z", "y", "ab", "ab"),
        (".*", "x", "ab", "x"),
        ("a*", "-", "baac", "-b-c-"),
    ],
)
def test_replacement(pattern: str, becomes: str, subject: str, result: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.sub(compiled.replacement(becomes), subject) == result


@pytest.mark.parametrize(("becomes", "offset"), [(r"\2", 0), (r"ab\x", 2), ("ab\\", 2), (r"\٣", 0)])
def test_a_replacement_names_groups_the_pattern_has(becomes: str, offset: int) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern("(a)").replacement(becomes)
    assert caught.value.offset == offset


def test_a_replacement_cannot_make_text_without_bound() -> None:
    pattern = compile_pattern("")
    with pytest.raises(PatternError):
        pattern.sub(pattern.replacement("x" * 1000), "a" * (MAX_RESULT_LENGTH // 100))


def test_text_that_is_no_unicode_is_searched_and_not_raised() -> None:
    pattern = compile_pattern("b")
    assert pattern.search("a\udcffb") is True
    assert pattern.search("a\udcff") is False


def test_the_program_of_a_pattern_is_bounded() -> None:
    with pytest.raises(PatternError, match="too large"):
        compile_pattern(r"(\pL{1,30}){1,30}")
    with pytest.raises(PatternError, match="classes of Unicode"):
        compile_pattern(r"\pL" * 21)
    assert weigh("a") < weigh("a{100}") < weigh(r"(\pL{1,30}){1,30}")
