"""A module opens with its contract, and what is public says what it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.sources import FIGURES, Function, Source, product

PUBLIC_SHARE = 0.95
# Parts of the standard that exist (PS3.9 and PS3.13 are retired).
PARTS = frozenset(range(1, 23)) - {9, 13}
MENTION = re.compile(r"\bPS ?3(?:[^\s`'\"(),;]*)")
CITATION = re.compile(
    r"PS3\.(?P<part>\d{1,2})(?=$|[^\w.§]|\.(?:$|[^\w]))"
    r"(?! *(?:§|[Ss]ect(?:ion|\.)|[Cc]hapter|[Cc]lause))"
)


def is_public(name: str) -> bool:
    return not name.startswith("_")


def is_overload(node: Function) -> bool:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(text.endswith(("overload", ".setter")) for text in decorators)


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or not is_public(node.name):
            continue
        if isinstance(node, Function) and is_overload(node):
            continue
        yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("source", product(), ids=lambda source: source.module)
def test_every_module_opens_with_its_contract(source: Source) -> None:
    text = ast.get_docstring(source.tree) or ""
    assert text.strip(), f"{source.name}: no docstring: what is it, what does it promise?"
    first = text.strip().splitlines()[0].rstrip()
    assert first[-1] in ".:?", f"{source.name}: the first line is no sentence: {first!r}"


def test_what_is_public_says_what_it_does(pytestconfig: pytest.Config) -> None:
    names = [
        (f"{source.name}:{node.lineno} {name}", ast.get_docstring(node))
        for source in product()
        for name, node in public(source.tree.body)
    ]
    silent = [name for name, text in names if not (text or "").strip()]
    share = 1 - len(silent) / len(names)
    pytestconfig.stash.setdefault(FIGURES, []).append(f"public docstrings {share:.1%}")
    assert share >= PUBLIC_SHARE, f"only {share:.1%} of the public names; silent: {silent[:40]}"


@pytest.mark.parametrize("source", product(), ids=lambda source: source.module)
def test_citations_of_the_standard_parse(source: Source) -> None:
    wrong = []
    for number, line in enumerate(source.lines, 1):
        for mention in MENTION.finditer(line):
            match = CITATION.match(line, mention.start())
            if match is None or int(match["part"]) not in PARTS:
                wrong.append(f"{source.name}:{number}: {line.strip()}")
    assert not wrong, "write `PS3.8 9.3.5` (part, space, section):\n" + "\n".join(wrong)
