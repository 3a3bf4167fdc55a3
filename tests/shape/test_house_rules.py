"""Rules of the house a reader relies on: no swallowed errors, no promises for later, no globals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.sources import FIGURES, Source, product

BROAD_EXCEPTS = 10
REASON = re.compile(r"#.*(?:noqa: ?BLE001)?.*[-–:] *\w+(?: \w+)+")
LATER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
MUTABLE_CALLS = frozenset(
    {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
    | {"WeakValueDictionary", "WeakKeyDictionary", "WeakSet"}
)
CHANGES = "append|extend|insert|add|update|setdefault|pop|popitem|remove|discard|clear|sort"
READ_ONLY = re.compile(r"\b(?:Final|Mapping|Sequence|Collection|Set|AbstractSet)\b")


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = [ast.unparse(node) for node in ast.walk(handler.type) if isinstance(node, ast.expr)]
    return bool({"Exception", "BaseException"} & set(names))


def reraises(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and passing the error on swallows nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_broad_excepts_are_few_and_say_why(pytestconfig: pytest.Config) -> None:
    found, silent = [], []
    for source in product():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler) or not is_broad(node) or reraises(node):
                continue
            place = f"{source.name}:{node.lineno}"
            found.append(place)
            if not REASON.search(source.lines[node.lineno - 1]):
                silent.append(place)
    pytestconfig.stash.setdefault(FIGURES, []).append(f"{len(found)} broad excepts")
    assert not silent, f"`except Exception` without its reason on the same line: {silent}"
    assert len(found) <= BROAD_EXCEPTS, f"more than {BROAD_EXCEPTS} broad excepts: {found}"


def test_nothing_is_promised_for_later() -> None:
    found = [
        f"{source.name}:{number}: {line.strip()}"
        for source in product()
        for number, line in enumerate(source.lines, 1)
        if LATER.search(line)
    ]
    assert not found, "do it or leave it out:\n" + "\n".join(found)


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    return (
        isinstance(value, ast.Call)
        and ast.unparse(value.func).rpartition(".")[2].partition("[")[0] in MUTABLE_CALLS
    )


def is_table(name: str, value: ast.expr | None, source: Source) -> bool:
    """A constant: named in capitals, written out with its content, changed nowhere in its file."""
    if not name.isupper() or not (getattr(value, "elts", None) or getattr(value, "keys", None)):
        return isinstance(value, ast.ListComp | ast.DictComp | ast.SetComp) and name.isupper()
    changed = re.compile(
        rf"(?m)\b{name}(?:\[[^\]]*\] *(?:[-+|&]?=)(?!=)|\.(?:{CHANGES})\(| *[-+|&]=)|^ *del {name}\b"
    )
    return changed.search(source.text) is None


def mutable_globals(source: Source) -> Iterator[str]:
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not is_mutable(node.value):
            continue
        if isinstance(node, ast.AnnAssign) and READ_ONLY.search(ast.unparse(node.annotation)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for name in map(ast.unparse, targets):
            if name != "__all__" and not is_table(name, node.value, source):
                yield f"{source.name}:{node.lineno} {name}"
    for inner in ast.walk(source.tree):
        if isinstance(inner, ast.Global):
            yield f"{source.name}:{inner.lineno} global {', '.join(inner.names)}"


def test_no_module_holds_mutable_state() -> None:
    found = [place for source in product() for place in mutable_globals(source)]
    assert not found, (
        "a table is named in capitals, written out and never changed, or annotated with a "
        "read-only type (Mapping, Sequence, Final); state belongs to an object:\n"
        + "\n".join(found)
    )
