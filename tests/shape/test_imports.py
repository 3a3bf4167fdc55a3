"""Who may import whom: no cycles, no imports hidden in functions, plug files apart.

Floors and doors are import-linter's (`lint-imports`, pyproject.toml); one test runs it, so that
pytest alone also shows a broken floor.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.process import run
from tests.support.sources import Source, product

# Imports inside functions that are allowed: module → reason.
LATE_IMPORTS: Mapping[str, str] = {}
# Plug files that are made of other plugs: module → reason.
COMPOSED: Mapping[str, str] = {"router.match.every": "applies the other operators to each value"}


def imported(source: Source, node: ast.stmt, modules: frozenset[str]) -> Iterator[str]:
    """The modules of the product that an import statement loads by name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = source.module.split(".")
            if source.path.name != "__init__.py":
                package = package[:-1]
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, *([base] if base else [])])
        for alias in node.names:
            if f"{base}.{alias.name}" in modules:
                yield f"{base}.{alias.name}"
            elif base in modules:
                yield base


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def at_run_time(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.iter_child_nodes(tree):
        if is_for_types(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from at_run_time(node)


def test_imports_have_no_cycle() -> None:
    modules = frozenset(source.module for source in product())
    graph = {
        source.module: {
            name
            for node in at_run_time(source.tree)
            for name in imported(source, node, modules)
            if name != source.module
        }
        for source in product()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("these modules import each other: " + " → ".join(error.args[1]))


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{source.name}:{node.lineno} {ast.unparse(node)}"
        for source in product()
        if source.module not in LATE_IMPORTS
        for function in source.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, "imports belong to the top (or LATE_IMPORTS, with a reason):\n" + "\n".join(
        hidden
    )


def is_plug_file(source: Source) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == "PLUGS"
        for node in source.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )


def test_plug_files_do_not_know_each_other() -> None:
    plugs = frozenset(source.module for source in product() if is_plug_file(source))
    wrong = [
        f"{source.module} imports {name}"
        for source in product()
        if source.module in plugs and source.module not in COMPOSED
        for node in at_run_time(source.tree)
        for name in imported(source, node, plugs)
    ]
    assert not wrong, f"a plug is one file that stands alone: {wrong}"


def test_floors_and_doors_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not lint_imports.exists():
        pytest.skip("LOUD: import-linter is not installed (make setup)")
    done = run([str(lint_imports), "--no-logo"])
    broken = [line for line in done.stdout.splitlines() if "KEPT" not in line]
    assert done.returncode == 0, "\n".join(broken) + done.stderr
