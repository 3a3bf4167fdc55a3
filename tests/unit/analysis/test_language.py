"""Automata against RE2 and the glob operator: what is found fits, and "none" is true."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.analysis import expressions
from router.analysis.language import Walker
from router.match.pattern import compile_glob
from router.patterns import PatternError, compile_pattern

ATOMS = st.sampled_from(["a", "b", "A", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "[a-c1]", "1"])
COUNTS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}"])


@st.composite
def patterns(draw):
    def sequence(depth):
        parts = []
        for _ in range(draw(st.integers(1, 3))):
            atom = draw(ATOMS)
            if depth < 2 and draw(st.integers(0, 4)) == 0:
                atom = f"({sequence(depth + 1)}|{sequence(depth + 1)})"
            parts.append(atom + draw(COUNTS))
        return "".join(parts)

    text = sequence(0)
    start, end = draw(st.sampled_from(["", "^"])), draw(st.sampled_from(["", "$"]))
    return draw(st.sampled_from(["", "(?i)", "(?s)"])) + start + text + end


SHORT_TEXTS = [
    "".join(letters) for size in (1, 2, 3) for letters in itertools.product("aAb1.", repeat=size)
]


@settings(max_examples=120, deadline=None)
@given(patterns(), patterns())
def test_what_is_found_fits_and_what_is_not_found_is_not_there(wanted, avoided):
    fits, avoids = compile_pattern(wanted), compile_pattern(avoided)
    found = Walker().find([expressions.regex(wanted)], [expressions.regex(avoided)])
    if isinstance(found, str):
        assert fits.search(found)
        assert not avoids.search(found)
    elif found is False:
        assert [t for t in SHORT_TEXTS if fits.search(t) and not avoids.search(t)] == []


@settings(max_examples=150, deadline=None)
@given(st.text("aAb1^$.|()[]{}*+?\\dw-,i2", max_size=10))
def test_no_text_is_read_otherwise_than_re2_reads_it(pattern):
    try:
        engine = compile_pattern(pattern)
    except PatternError:
        return
    tree = expressions.regex(pattern)
    if tree is None:
        return
    for text in SHORT_TEXTS[:60]:
        both = Walker().find([tree, expressions.whole_text(text)], [])
        assert (both == text) is engine.search(text), text


@pytest.mark.parametrize("pattern", ["A*", "*A", "*A*", "A?b", "?", "*", "a*A", "A"])
def test_globs_are_those_of_the_operator(pattern):
    test = compile_glob(pattern, None)
    for text in SHORT_TEXTS:
        both = Walker().find([expressions.glob(pattern), expressions.whole_text(text)], [])
        assert (both == text) is test((text,))


@pytest.mark.parametrize(
    "pattern", [r"\bCT\b", "[[:alpha:]]", r"\pL", "^^a", "(^a)*", "a**", "(?P<x>a)", "a{1,90}"]
)
def test_what_is_not_plain_is_not_concluded_from(pattern):
    assert expressions.regex(pattern) is None


def test_a_shortest_text_is_found_with_letters_first():
    walker = Walker()
    assert walker.find([expressions.regex("(?i)chest|thorax")], []) == "CHEST"
    assert walker.find([expressions.glob("TEST*")], [expressions.whole_text("TEST")]) == "TESTA"


def test_too_many_states_end_in_unknown():
    hard = [expressions.regex(f"{letter}.{{18}}{letter}") for letter in "abcdefgh"]
    assert Walker().find(hard, []) is None
