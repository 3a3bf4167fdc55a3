"""From the plain data under `match:` to one predicate over Facts.

The keys of a mapping must all hold; a list is any of its members; `all`, `any` and `not` combine
mappings. Everything is checked and compiled once, when the configuration is loaded: what remains
is closures. All mistakes are found before ConditionProblems is raised, each a PlugError whose
`path` leads from `at` to the wrong key or value.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from router.dicom.tags import PathError, parse_path
from router.match import compare, equals, every, pattern, presence
from router.match.facts import NOT_READ, Facts
from router.match.named_facts import FACTS, Fact, Predicate, literal_texts, show
from router.match.values import Test
from router.model.path import Path
from router.model.plug import Operator, PlugError
from router.model.rule import Condition
from router.model.words import is_one_slip

Key = str | int
Row = tuple[str, str, bool]

BUILT_IN: Final[Mapping[str, Operator]] = {
    operator.name: operator
    for module in (compare, equals, every, pattern, presence)
    for operator in module.PLUGS
}
COMBINATORS: Final = ("all", "any", "not")
_PATTERNS: Final = ("glob", "regex")
# What people write who know another language.
_WORDS: Final = {
    **dict.fromkeys(("station", "source", "sender"), "from"),
    **dict.fromkeys(("ip", "host"), "address"),
    **dict.fromkeys(("calling_aet", "aet", "ae_title"), "calling_ae_title"),
    "day": "weekday",
    "hour": "time",
    "or": "any",
    "and": "all",
}
_OPERATORS: Final = {
    **dict.fromkeys(("contains", "like"), 'glob: "*…*"'),
    **dict.fromkeys(("startswith", "starts_with"), 'glob: "…*"'),
    **dict.fromkeys(("endswith", "ends_with"), 'glob: "*…"'),
    **dict.fromkeys(("eq", "=", "==", "is"), "equals: …"),
    **dict.fromkeys(("in", "one_of"), "any: […]"),
    "<": "lt: …",
    "<=": "le: …",
    ">": "gt: …",
    ">=": "ge: …",
}
_NEGATIONS: Final = ("not", "ne", "!=", "not_equals")
_MAX_DEPTH: Final = 32
_MAX_PROBLEMS: Final = 60
# The instances of a series share their values, so the last few answers are worth remembering.
_RECENT: Final = 8


class ConditionProblems(ValueError):
    """Everything that is wrong in one `match`; `problems` are PlugErrors in order of writing."""

    def __init__(self, problems: Sequence[PlugError]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of the condition. `rows(facts, negated, prefix)` explains each predicate below it."""

    test: Predicate
    rows: Callable[[Facts, bool, str], list[Row]]
    needs: frozenset[Path]


Predicates = dict[tuple[str, str], _Node]


def compile_condition(
    match: Any,
    *,
    station_names: Collection[str],
    at: tuple[Key, ...] = (),
    operators: Mapping[str, Operator] | None = None,
    shared: Predicates | None = None,
    spend: Callable[[int], None] = lambda _: None,
) -> Condition:
    """The condition in the plain data of a `match:` mapping; an empty mapping always holds.

    `at` is put before the path of each problem. `operators` are those of `router.plugs`, the ones
    of this package when left out. `shared` holds the predicates of conditions compiled before, under
    the same operators and stations: many rules ask the same, and what is asked together should lie
    together in the processor's cache. `spend` is told what each predicate costs before it is
    compiled, and may raise to end it all. Raises ConditionProblems with every mistake.
    """
    known = {} if shared is None else shared
    compiler = _Compiler(station_names, operators or BUILT_IN, known, spend)
    node = compiler.mapping(match, at)
    if compiler.problems or node is None:
        raise ConditionProblems(compiler.problems)
    return Condition(
        spec=_canonical(match),
        needs=node.needs,
        test=node.test,
        explain=lambda facts: tuple(node.rows(facts, False, "")),
    )


class _Compiler:
    """One compilation: gathers problems while it builds nodes; a faulty part gives None."""

    def __init__(
        self,
        station_names: Collection[str],
        operators: Mapping[str, Operator],
        shared: Predicates,
        spend: Callable[[int], None],
    ) -> None:
        self._spend = spend
        self.problems: list[PlugError] = []
        self._station_names = station_names
        self._operators = operators
        self._shared = shared

    def mapping(self, data: Any, at: tuple[Key, ...], depth: int = 0) -> _Node | None:
        """All keys of the mapping hold."""
        if not isinstance(data, dict):
            self._problem(
                PlugError("a mapping of keys and conditions is expected here", code="DR102"), at
            )
            return None
        if depth > _MAX_DEPTH:
            self._problem(PlugError("the conditions are nested too deeply"), at)
            return None
        nodes = []
        for key, value in data.items():
            node = self._entry(str(key), value, (*at, key), depth)
            if node is not None:
                nodes.append(node)
        return _all_of(nodes)

    def _entry(self, key: str, value: Any, at: tuple[Key, ...], depth: int) -> _Node | None:
        if key == "not":
            node = self.mapping(value, at, depth + 1)
            return None if node is None else _negation(node)
        if key in COMBINATORS:
            return self._combination(key, value, at, depth)
        name = key, _canonical(value)
        try:
            if name not in self._shared:
                self._shared[name] = self._predicate(key, value)
        except PlugError as error:
            self._problem(error, at)
            return None
        return self._shared[name]

    def _predicate(self, key: str, value: Any) -> _Node:
        if key in FACTS:
            return self._fact(FACTS[key], value)
        return self._attribute(self._path(key), key, value)

    def _combination(self, key: str, value: Any, at: tuple[Key, ...], depth: int) -> _Node | None:
        if not isinstance(value, list) or not value:
            self._problem(PlugError(f"`{key}` takes a list of conditions", code="DR102"), at)
            return None
        nodes = [self.mapping(item, (*at, i), depth + 1) for i, item in enumerate(value)]
        found = [node for node in nodes if node is not None]
        return _all_of(found) if key == "all" else _any_of(found)

    def _problem(self, error: PlugError, at: tuple[Key, ...]) -> None:
        error.path = (*at, *error.path)
        self.problems.append(error)
        if len(self.problems) >= _MAX_PROBLEMS:
            raise ConditionProblems(self.problems)

    def _path(self, key: str) -> Path:
        try:
            return parse_path(key)
        except PathError as error:
            words = _meant(key)
            meant = f"'{words[0]}'" if words else error.hint
            form = "did you mean {}?" if words or error.code == "DR210" else "write {}"
            raise PlugError(
                str(error), at_key=True, hint=form.format(meant) if meant else "", code="DR210"
            ) from None

    def _attribute(self, path: Path, key: str, value: Any) -> _Node:
        test = lru_cache(maxsize=_RECENT)(self._test(path, key, value))
        text = path.text

        def held(facts: Facts) -> bool:
            values = facts.seen.get(text, NOT_READ)
            return test(facts.read(path) if values is NOT_READ else values)

        def rows(facts: Facts, negated: bool, prefix: str) -> list[Row]:  # noqa: FBT001
            return [(f"{prefix}{key}: {_flow(value)}", _seen(facts, path), held(facts) != negated)]

        return _Node(held, rows, frozenset({path}))

    def _test(self, path: Path, key: str, value: Any) -> Test:
        if value is None:
            raise PlugError(
                "a condition is missing", hint="write {exists: false} for absent", code="DR102"
            )
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            return _either([self._indexed(path, key, i, item) for i, item in enumerate(value)])
        if isinstance(value, list):
            return self._operators["any"].compile(value, path)
        if not isinstance(value, dict):
            return self._operators["equals"].compile(value, path)
        if not value:
            raise PlugError("an operator is missing", hint=_one_of(self._operators), code="DR102")
        tests = [self._operated(path, key, name, inner) for name, inner in value.items()]
        return tests[0] if len(tests) == 1 else _both(tests)

    def _indexed(self, path: Path, key: str, index: int, value: Any) -> Test:
        try:
            return self._test(path, key, value)
        except PlugError as error:
            error.path = (index, *error.path)
            raise

    def _operated(self, path: Path | None, key: str, name: Any, inner: Any) -> Test:
        operator = self._operators.get(name)
        if operator is None:
            raise _unknown_operator(key, str(name), self._operators)
        self._spend(operator.weigh(inner))
        try:
            return operator.compile(inner, path)
        except PlugError as error:
            error.path = (name, *error.path)
            raise

    def _fact(self, fact: Fact, value: Any) -> _Node:
        test = self._fact_test(fact, value)

        def rows(facts: Facts, negated: bool, prefix: str) -> list[Row]:  # noqa: FBT001
            asked = f"{prefix}{fact.name}: {_flow(value)}"
            return [(asked, show(fact, facts), test(facts) != negated)]

        return _Node(test, rows, frozenset())

    def _fact_test(self, fact: Fact, value: Any) -> Predicate:
        if not isinstance(value, dict):
            return self._fact_literals(fact, value)
        tests: list[Predicate] = []
        usable = ["equals", "any", *(_PATTERNS if fact.is_text else ())]
        for name, inner in value.items():
            if name not in usable:
                raise _unknown_operator(fact.name, str(name), usable)
            try:
                if name in _PATTERNS:
                    self._spend(self._operators[name].weigh(inner))
                    tests.append(_on_fact(fact, self._operators[name].compile(inner, None)))
                else:
                    tests.append(self._fact_literals(fact, inner))
            except PlugError as error:
                error.path = (name, *error.path)
                raise
        if not tests:
            raise PlugError("an operator is missing", hint=_one_of(usable), code="DR102")
        return tests[0] if len(tests) == 1 else _conjunction(tests)

    def _fact_literals(self, fact: Fact, value: Any) -> Predicate:
        if value in (None, []):
            raise PlugError("a value is missing", code="DR102")
        if isinstance(value, list):
            return fact.compile(literal_texts(value), self._station_names)
        try:
            return fact.compile(literal_texts([value]), self._station_names)
        except PlugError as error:
            error.path = error.path[1:]
            raise


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _meant(key: str) -> list[str]:
    """The facts and combinators a key may have been meant for, the likeliest first."""
    known = (*FACTS, *COMBINATORS)
    folded = _WORDS.get(key.lower(), key.lower())
    exact = [word for word in known if folded == word or is_one_slip(key, word)]
    return exact or difflib.get_close_matches(key, known, n=1, cutoff=0.7)


def _unknown_operator(key: str, name: str, operators: Collection[str]) -> PlugError:
    near = [operator for operator in operators if is_one_slip(name, operator)]
    near = near or difflib.get_close_matches(name, operators, n=1, cutoff=0.6)
    folded = name.lower()
    if folded in _NEGATIONS:
        hint = f"write not: {{{key}: …}}"
    elif _OPERATORS.get(folded, "").partition(":")[0] in operators:
        hint = f"write {_OPERATORS[folded]}"
    else:
        hint = f"did you mean '{near[0]}'?" if near else _one_of(operators)
    return PlugError(
        f"'{name}' is no operator of {key}", path=(name,), at_key=True, hint=hint, code="DR101"
    )


def _one_of(names: Collection[str]) -> str:
    return "one of: " + ", ".join(sorted(names))


def _on_fact(fact: Fact, test: Test) -> Predicate:
    read = fact.read
    return lambda facts: test((read(facts),))


def _both(tests: list[Test]) -> Test:
    return lambda values: all(test(values) for test in tests)


def _either(tests: list[Test]) -> Test:
    return lambda values: any(test(values) for test in tests)


def _conjunction(tests: Sequence[Predicate]) -> Predicate:
    if len(tests) == 1:
        return tests[0]

    def held(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 - the generator of all() costs more than most tests
            if not test(facts):
                return False
        return True

    return held


def _all_of(nodes: list[_Node]) -> _Node:
    return _Node(
        _conjunction(tuple(node.test for node in nodes)),
        lambda facts, negated, prefix: [
            row for node in nodes for row in node.rows(facts, negated, prefix)
        ],
        frozenset().union(*(node.needs for node in nodes)),
    )


def _any_of(nodes: list[_Node]) -> _Node:
    tests = tuple(node.test for node in nodes)
    return _Node(
        lambda facts: any(test(facts) for test in tests),
        lambda facts, negated, prefix: [
            row
            for place, node in enumerate(nodes, start=1)
            for row in node.rows(facts, negated, f"{prefix}any {place}: ")
        ],
        frozenset().union(*(node.needs for node in nodes)),
    )


def _negation(node: _Node) -> _Node:
    test = node.test
    return _Node(
        lambda facts: not test(facts),
        lambda facts, negated, prefix: node.rows(facts, not negated, prefix + "not "),
        node.needs,
    )


def _seen(facts: Facts, path: Path) -> str:
    values = facts.seen.get(path.text, NOT_READ)
    if values is NOT_READ:
        values = facts.read(path)
    if values is None:
        return "absent"
    return "\\".join(str(value) for value in values) if values else "empty"


def _flow(value: Any) -> str:
    """What was written, on one line, much as in YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, str):
        is_plain = value and not any(character in value for character in ",:[]{}#&*!|>'\"%@`")
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
