"""Files and functions stay short enough to read in one sitting."""

from __future__ import annotations

import pytest

from tests.support.sources import FIGURES, percentile, product, suite

FILE_MEDIAN, FILE_P90, FILE_MAX = 150, 260, 500
FUNCTION_P99, FUNCTION_MAX = 55, 80
TEST_RATIO = 0.9


def note(config: pytest.Config, text: str) -> None:
    config.stash.setdefault(FIGURES, []).append(text)


def test_files_are_short(pytestconfig: pytest.Config) -> None:
    lengths = {source.name: len(source.lines) for source in product()}
    values = list(lengths.values())
    median, p90, longest = percentile(values, 0.5), percentile(values, 0.9), max(values)
    note(pytestconfig, f"{len(values)} files, median {median}, p90 {p90}, max {longest} lines")
    too_long = {name: count for name, count in lengths.items() if count > FILE_MAX}
    assert not too_long, f"files over {FILE_MAX} lines: cut them by what they are about: {too_long}"
    by_length = sorted(lengths.items(), key=lambda item: -item[1])[:12]
    assert median <= FILE_MEDIAN, f"median {median} > {FILE_MEDIAN}; the longest: {by_length}"
    assert p90 <= FILE_P90, f"p90 {p90} > {FILE_P90}; the longest: {by_length}"


def test_functions_are_short(pytestconfig: pytest.Config) -> None:
    lengths = {
        f"{source.name}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for source in product()
        for node in source.functions()
    }
    p99 = percentile(list(lengths.values()), 0.99)
    note(pytestconfig, f"{len(lengths)} functions, p99 {p99}, max {max(lengths.values())} lines")
    too_long = {name: count for name, count in lengths.items() if count > FUNCTION_MAX}
    assert not too_long, f"functions over {FUNCTION_MAX} lines: {too_long}"
    by_length = sorted(lengths.items(), key=lambda item: -item[1])[:12]
    assert p99 <= FUNCTION_P99, f"p99 {p99} > {FUNCTION_P99}; the longest: {by_length}"


def test_there_is_about_as_much_test_as_source(pytestconfig: pytest.Config) -> None:
    source_lines = sum(len(source.lines) for source in product())
    test_lines = sum(len(source.lines) for source in suite())
    ratio = test_lines / source_lines
    note(pytestconfig, f"{test_lines} lines of test ÷ {source_lines} of source = {ratio:.2f}")
    assert ratio >= TEST_RATIO, f"only {ratio:.2f} lines of test for a line of source"
