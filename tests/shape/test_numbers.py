"""Test names that carry a number of the checklist, a promise or a fault carry a real one."""

from __future__ import annotations

import ast
import re

from tests.support.sources import suite

# Letter → how many there are: checklist items f, promises p, faults F.
LAST = (("f", 101), ("p", 15), ("F", 34))
NAME = re.compile(r"test_([fpF])(\d+)(?:_|$)")


def test_numbers_in_test_names_exist() -> None:
    last = dict(LAST)
    wrong = [
        f"{source.name}:{node.lineno} {node.name}"
        for source in suite()
        for node in source.functions()
        if (match := NAME.match(node.name)) and not 1 <= int(match[2]) <= last[match[1]]
    ]
    assert not wrong, f"numbers run to {last}: {wrong}"


def test_every_test_file_says_what_it_shows() -> None:
    silent = [
        source.name
        for source in suite()
        if source.text.strip() and not ast.get_docstring(source.tree)
    ]
    assert not silent, f"a test file opens with the behaviour it shows: {silent}"
