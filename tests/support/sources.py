"""The source files of the product as syntax trees, read once, and the figures of their shape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.process import PROJECT

PACKAGE = PROJECT / "router"
TESTS = PROJECT / "tests"
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Lines a shape test wants printed at the end of the run.
FIGURES = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Source:
    """One file: its path from the project's root, dotted name, text and tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the project's root."""
        return self.path.relative_to(PROJECT).as_posix()

    @property
    def module(self) -> str:
        """The dotted name it is imported by."""
        parts = self.path.relative_to(PROJECT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines."""
        return tuple(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def read(folder: Path) -> Iterator[Source]:
    """Every Python file below the folder."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield Source(path, text, ast.parse(text, str(path)))


@cache
def product() -> tuple[Source, ...]:
    """Every file of the package `router`."""
    return tuple(read(PACKAGE))


@cache
def suite() -> tuple[Source, ...]:
    """Every file of the tests."""
    return tuple(read(TESTS))


def percentile(values: list[int], share: float) -> int:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
