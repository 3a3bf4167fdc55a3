"""A slip of one letter: the first message is at that place, and its hint is what was meant.

Every key, operator, fact, step, choice, reference and DICOM keyword of what we ship (and of the
example of the design) is spelt wrong by one letter left out, put in, replaced or exchanged. By default
a seeded sample, with `--long` all of them. A slip that is another word of its kind says nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from router.config.load import load_texts
from router.config.nodes import Mapping, Node, Scalar, Sequence
from router.config.problems import hint_of
from router.config.reference import entries
from router.config.report import Report
from router.config.shapes_rules import PRIORITIES
from router.config.text import parse
from router.dicom.tags import tag_for
from router.match.named_facts import FACTS, WEEKDAYS
from tests.support.configuration import all_plugs
from tests.support.process import PROJECT
from tests.unit.config.test_plan import EXAMPLE, with_files

FOLDERS = [
    "rules",
    *(f"samples/{path.parent.name}" for path in PROJECT.glob("samples/*/README.md")),
]
SAMPLE = 350
LETTERS = "abcdefghijklmnopqrstuvwxyz"
REFERENCES = ("route", "to", "first_of", "from", "tls", "table", "morph")


@dataclass(frozen=True)
class Target:
    """A word at a place, and what kind of word it is."""

    folder: str
    file: str
    scalar: Scalar
    kind: str

    @property
    def word(self) -> str:
        return self.scalar.text


@cache
def texts(folder: str) -> dict[str, str]:
    if folder == "example":
        return {"example.yaml": EXAMPLE.read_text("utf-8")}
    root = PROJECT / folder
    return {
        str(path.relative_to(root)): path.read_text("utf-8")
        for path in sorted(root.rglob("*.yaml"))
        if not path.name.endswith(".test.yaml")
    }


@cache
def language() -> frozenset[str]:
    return frozenset({entry.key for entry in entries(all_plugs())} | set(FACTS))


@cache
def choices() -> frozenset[str]:
    words = {
        word.strip()
        for entry in entries(all_plugs())
        if entry.value.startswith("one of: ")
        for word in entry.value.removeprefix("one of: ").split(",")
    }
    return frozenset(word for word in words if word.isalpha() and word not in ("true", "false"))


def targets(folder: str) -> Iterator[Target]:
    for file, text in texts(folder).items():
        root = parse(text, file, Report())
        assert isinstance(root, Mapping)
        for kind, scalar in words(root, ()):
            if len(scalar.text) > 2 and scalar.text.isidentifier():
                yield Target(folder, file, scalar, kind)


def words(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, Scalar]]:
    """Every word that has a meaning of its own below this node."""
    if isinstance(node, Mapping):
        for name, entry in node.entries.items():
            below = (*path, name)
            if path not in (("stations",), ("listeners",), ("tls",), ("morphs",), ("tables",)):
                yield from ((kind, entry.key) for kind in key_kinds(name, path))
            if "tables" not in path:
                yield from words(entry.value, below)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from words(item, path)
    elif isinstance(node, Scalar):
        yield from ((kind, node) for kind in value_kinds(node.text, path))


def key_kinds(name: str, path: tuple[str, ...]) -> Iterator[str]:
    if tag_for(name) is not None:
        yield "keyword"
    elif name in language():
        yield "key"


def value_kinds(text: str, path: tuple[str, ...]) -> Iterator[str]:
    last = path[-1] if path else ""
    is_step = path[:1] == ("rules",) and last == "morph"
    if last in REFERENCES and (last != "morph" or is_step):
        yield "reference"
    elif last in (
        "type",
        "profile",
        "accept",
        "unmatched",
        "client_auth",
        "serve",
        "priority",
        "when",
    ):
        if text in choices() | set(PRIORITIES):
            yield "choice"
    elif last == "weekday" and text in WEEKDAYS:
        yield "choice"
    elif tag_for(text) is not None and {"blank", "remove", "keep", "tag"} & set(path):
        yield "keyword"


def slips(word: str) -> list[str]:
    found = []
    for place in range(len(word)):
        letter = LETTERS[(place * 7 + 3) % 26]
        letter = letter.upper() if word[place].isupper() else letter
        found.append(word[:place] + word[place + 1 :])
        found.append(word[:place] + letter + word[place:])
        found.append(word[:place] + letter + word[place + 1 :])
        found.append(word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :])
    return [slip for slip in dict.fromkeys(found) if slip != word]


def means_something_else(slip: str, target: Target) -> bool:
    known = language() | choices() | set(PRIORITIES) | set(FACTS)
    return tag_for(slip) is not None or (slip in known and target.kind != "reference")


def all_slips() -> list[tuple[Target, str]]:
    return [
        (target, slip)
        for folder in (*FOLDERS, "example")
        for target in targets(folder)
        for slip in slips(target.word)
        if not means_something_else(slip, target)
    ]


def misread(target: Target, slip: str, folder: Path) -> str:
    """'' when the slip is told as it should be; else what was told."""
    written = dict(texts(target.folder))
    lines = written[target.file].splitlines(keepends=True)
    scalar = target.scalar
    start = scalar.column - 1 + bool(scalar.style)
    line = lines[scalar.line - 1]
    assert line[start : start + len(target.word)] == target.word
    lines[scalar.line - 1] = line[:start] + slip + line[start + len(target.word) :]
    written[target.file] = "".join(lines)
    result = load_texts(written, folder, all_plugs(), environment={})
    errors = result.errors
    where = f"{target.kind} {target.word} → {slip} in {target.file}:{scalar.line}:{scalar.column}"
    if not errors:
        return f"{where}: nothing is told"
    first = errors[0]
    place = first.place
    is_there = (place.line, place.column) == (scalar.line, scalar.column)
    if is_there and place.file.endswith(target.file) and f"'{target.word}'" in hint_of(first):
        return ""
    return f"{where}: {place.line}:{place.column} {first.code} {first.message} [{hint_of(first)}]"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        name: with_files(tmp_path_factory.mktemp(name.replace("/", "-")))
        for name in (*FOLDERS, "example")
    }


def test_a_slip_is_told_at_its_place_with_what_was_meant(folders):
    chosen = random.Random(20261126).sample(all_slips(), SAMPLE)
    told = [misread(target, slip, folders[target.folder]) for target, slip in chosen]
    assert [words for words in told if words] == []


@pytest.mark.long
def test_every_slip_is_told_at_its_place_with_what_was_meant(folders):
    told = [misread(target, slip, folders[target.folder]) for target, slip in all_slips()]
    assert [words for words in told if words] == []


def test_there_is_every_kind_of_word_among_them():
    kinds = {target.kind for folder in (*FOLDERS, "example") for target in targets(folder)}
    assert kinds == {"key", "keyword", "reference", "choice"}
    assert len(all_slips()) > 3000
