"""Whether an attribute can have a value for which these tests hold and those do not.

Candidates are made of what the tests name: literals, the places just beside them, texts that fit
the patterns. Each is held against the compiled tests of the engine, so a yes is always right. A no
is only said where the candidates are complete: literals that contradict each other, an order with
nothing between, patterns whose automata meet nowhere. An attribute counts as single-valued where
the standard gives it one value (VM 1) and the path leads through one item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from router.analysis import expressions, ordered
from router.analysis.answers import NO, UNKNOWN, Answer, Can
from router.analysis.expressions import Tree
from router.analysis.formula import Atom, Both
from router.analysis.language import Found, Walker
from router.dicom.tags import is_single_valued, parse_path
from router.match.values import VALUELESS_VRS, Test, Values, comparable, text_of, vr_of
from router.model.path import ALL_ITEMS, Path
from router.model.plug import Operator, PlugError

ABSENT: Final[Values | None] = None
EMPTY: Final[Values] = ()
_PATTERNS: Final = ("glob", "regex")
_PRESENCE: Final = ("exists", "empty")
_SAMPLES: Final[Mapping[str, str]] = {"UI": "1.2.3", "AT": "00100010", "AE": "OTHER"}
_EXACT_TEXT_VRS: Final = frozenset({"LO", "SH", "CS", "LT", "ST", "UC", "UT", "UR", "UI"})


class Attributes:
    """Answers about attributes; tests are compiled once, answers are kept."""

    def __init__(self, operators: Mapping[str, Operator], walker: Walker) -> None:
        self._operators = operators
        self._walker = walker
        self._tests: dict[Atom, Test | None] = {}
        self._paths: dict[str, Path] = {}

    def solve(self, variable: str, holds: frozenset[Atom], fails: frozenset[Atom]) -> Answer:
        """A value for which all of `holds` hold and none of `fails` does."""
        if holds & fails:
            return NO
        path = self._path(variable)
        tests = [(self._test(atom), True) for atom in sorted(holds)]
        tests += [(self._test(atom), False) for atom in sorted(fails)]
        if any(test is None for test, _ in tests):
            return UNKNOWN
        problem = _Problem(path, (holds, fails), lambda values: _agree(tests, values), self._walker)
        return problem.answer()

    def _path(self, variable: str) -> Path:
        if variable not in self._paths:
            self._paths[variable] = parse_path(variable)
        return self._paths[variable]

    def _test(self, atom: Atom) -> Test | None:
        if atom not in self._tests:
            operator = self._operators.get(atom.operator)
            try:
                path = self._path(atom.variable)
                self._tests[atom] = None if operator is None else operator.compile(atom.value, path)
            except PlugError:
                self._tests[atom] = None
        return self._tests[atom]


@lru_cache(maxsize=1024)
def is_single_text(variable: str) -> bool:
    """Whether the attribute is one text, compared exactly: two literals never meet in it."""
    path = parse_path(variable)
    return _is_single(path) and vr_of(path) in _EXACT_TEXT_VRS


def _is_single(path: Path) -> bool:
    step = path.steps[-1]
    through_one = all(each.item != ALL_ITEMS for each in path.steps)
    return through_one and is_single_valued(step.tag, step.creator)


def _agree(tests: Iterable[tuple[Any, bool]], values: Values | None) -> bool:
    return all(test(values) == wanted for test, wanted in tests)


class _Problem:
    """One question about one attribute."""

    def __init__(
        self,
        path: Path,
        both: Both,
        agrees: Callable[[Values | None], bool],
        walker: Walker,
    ) -> None:
        self._vr = vr_of(path)
        self._is_single = _is_single(path)
        self._holds, self._fails = both
        self._agrees = agrees
        self._walker = walker

    def answer(self) -> Answer:
        for simple in (ABSENT, EMPTY):
            if self._agrees(simple):
                return Answer(Can.YES, simple)
        if self._wants_no_value() or self._vr in VALUELESS_VRS or self._contradicts():
            return NO
        for single in self._candidates():
            if self._agrees((single,)):
                return Answer(Can.YES, (single,))
        is_text = self._vr in _EXACT_TEXT_VRS
        if self._is_single and is_text and any(_literals(atom) for atom in self._holds):
            return NO  # it would have to be one of the literals
        return self._beyond_candidates()

    def _wants_no_value(self) -> bool:
        """Whether a test can only be met without a value."""
        held = {_presence(atom) for atom in self._holds}
        failed = {_presence(atom) for atom in self._fails}
        return bool(held & {("exists", False), ("empty", True)}) or bool(
            failed & {("exists", True), ("empty", False)}
        )

    def _contradicts(self) -> bool:
        """Whether every literal that is asked for is refused; so for any number of values."""
        refused = {text for atom in self._fails for text in _literals(atom)}
        asked = [frozenset(_literals(atom)) for atom in self._holds]
        return any(literals and literals <= refused for literals in asked)

    def _candidates(self) -> Iterable[Any]:
        """Values worth trying, the likeliest first."""
        seen: set[Any] = set()
        named = [*sorted(self._holds), *sorted(self._fails)]
        for atom in named:
            for text in _named(atom):
                yield from _new(seen, text)
        if comparable(self._vr) is not None:
            for value in ordered.beside(self._vr, _bounds(named)):
                yield from _new(seen, value)
        fitting = [_samples(atom) for atom in sorted(self._holds) if atom.operator in _PATTERNS]
        for texts in fitting:
            for text in texts:
                yield from _new(seen, text)
        for one, other in pairwise(fitting):
            for text in (*_ends(one, other), *_ends(other, one)):
                yield from _new(seen, text)
        if self._vr in _SAMPLES:
            yield from _new(seen, _SAMPLES[self._vr])

    def _beyond_candidates(self) -> Answer:
        """Nothing simple agreed: several values, an order without room, or texts that fit."""
        if comparable(self._vr) is not None and self._vr != "UN":
            if self._is_single and ordered.is_empty(self._vr, self._holds, self._fails):
                return NO
            return self._several(find_text=False)
        if self._is_single and self._vr in _EXACT_TEXT_VRS:
            found = self._text(self._holds, self._fails)
            if isinstance(found, str) and self._agrees((found,)):
                return Answer(Can.YES, (found,))
            return NO if found is False else UNKNOWN
        return self._several(find_text=self._vr in _EXACT_TEXT_VRS | {"PN", "UN"})

    def _text(self, holds: Iterable[Atom], fails: Iterable[Atom]) -> Found:
        """One text for which the tests hold and fail, by automata."""
        needed = [_tree(atom, self._vr) for atom in holds]
        refused = [_tree(atom, self._vr) for atom in fails]
        if None in needed or None in refused:
            return None
        return self._walker.find(
            [tree for tree in needed if tree and tree is not _IDLE],
            [tree for tree in refused if tree and tree is not _IDLE],
            has_controls=self._vr in {"LT", "ST", "UT", "UN"},
        )

    def _several(self, *, find_text: bool) -> Answer:
        """One value for each test that must hold, none of which meets a test that must not."""
        chosen: list[Any] = []
        for atom in sorted(self._holds):
            if atom.operator in _PRESENCE:
                continue
            options: list[Any] = list(_named(atom))
            if not atom.is_listed and comparable(self._vr) is not None:
                options += ordered.beside(self._vr, _bounds([atom]))
            if find_text and not options:
                found = self._text([atom], self._fails)
                if found is False and self._vr not in {"PN", "UN"}:
                    return NO
                options += [found or self._text([atom], [])]
            options = [option for option in options if option]
            if not options:
                return UNKNOWN
            chosen.append(next(filter(self._avoids, options), options[0]))
        whole = ("=".join(map(str, chosen)),) if self._vr == "PN" else tuple(chosen)
        return Answer(Can.YES, whole) if chosen and self._agrees(whole) else UNKNOWN

    def _avoids(self, option: Any) -> bool:
        return all(str(option) not in map(str, _literals(atom)) for atom in self._fails)


_IDLE: Final[Tree] = ("idle",)


def _tree(atom: Atom, vr: str) -> Tree | None:
    """The texts that meet a test; None when that is not understood.

    _IDLE for presence: that a text wanted at all is decided before.
    """
    if atom.is_listed:
        texts = [text.strip(" ") if vr == "AE" else text for text in _literals(atom)]
        return ("alt", *(expressions.whole_text(text) for text in texts))
    if atom.operator == "glob":
        return expressions.glob(text_of(atom.value))
    if atom.operator == "regex":
        return expressions.regex(text_of(atom.value))
    return _IDLE if atom.operator in _PRESENCE else None


def _presence(atom: Atom) -> tuple[str, bool]:
    return atom.operator, atom.value in (True, "true")


def _literals(atom: Atom) -> tuple[str, ...]:
    if not atom.is_listed:
        return ()
    return tuple(text_of(each).rstrip(" \0") for each in atom.values)


def _samples(atom: Atom) -> list[str]:
    return [text for text in expressions.samples(atom.operator, text_of(atom.value)) if text]


def _ends(one: list[str], other: list[str]) -> list[str]:
    return [first + last for first in one[:2] for last in other[:2]]


def _named(atom: Atom) -> tuple[str, ...]:
    """The literals of an atom, those of `all` too: values worth trying."""
    if atom.operator != "all" or isinstance(atom.value, dict):
        return _literals(atom)
    return tuple(map(text_of, atom.values))


def _bounds(atoms: Iterable[Atom]) -> list[str]:
    """The literals of an order: of comparisons, and of equality."""
    return [
        text_of(each)
        for atom in atoms
        if atom.is_listed or atom.operator in ordered.COMPARISONS
        for each in atom.values
    ]


def _new(seen: set[Any], value: Any) -> Iterable[Any]:
    if value not in seen:
        seen.add(value)
        yield value
