"""A match as alternatives of literals: what must hold, and what must not, of each variable.

A variable is an attribute (by its path) or a fact. An atom is one operator with its parameter about
one variable. `alternatives` turns the specification of a condition, or its contrary, into a list of
conjunctions; None when there would be more than MAX_ALTERNATIVES (then nothing is known of it).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from router.dicom.tags import keyword_for, parse_path
from router.match.named_facts import FACTS

MAX_ALTERNATIVES: Final = 64
LISTED: Final = frozenset({"equals", "any"})


class Atom(NamedTuple):
    """One operator about one variable. `parameter` is canonical JSON; `is_fact` tells the kinds."""

    variable: str
    is_fact: bool
    operator: str
    parameter: str

    @property
    def value(self) -> Any:
        """The parameter as it was written."""
        return json.loads(self.parameter)

    @property
    def values(self) -> list[Any]:
        """The parameter, or each of a list of them."""
        value = self.value
        return value if isinstance(value, list) else [value]

    @property
    def is_listed(self) -> bool:
        """Whether it names the values themselves: one of these it must be."""
        return self.operator in LISTED

    @property
    def shown(self) -> str:
        """`Modality: [CT, MR]`, for people."""
        plain = _plain(self.value)
        return f"{self.variable}: " + (plain if self.is_listed else f"{{{self.operator}: {plain}}}")


Both = tuple[frozenset[Atom], frozenset[Atom]]


@dataclass(frozen=True, slots=True)
class Conjunction:
    """By variable: the atoms that must hold and those that must not."""

    parts: Mapping[str, Both]

    def joined(self, other: Conjunction) -> Conjunction:
        """Both at once."""
        parts = dict(self.parts)
        for variable, (holds, fails) in other.parts.items():
            mine = parts.get(variable)
            parts[variable] = (holds, fails) if mine is None else (mine[0] | holds, mine[1] | fails)
        return Conjunction(parts)


Alternatives = list[Conjunction]
EVERYTHING: Final = Conjunction({})


def alternatives(spec: str, *, negated: bool = False) -> Alternatives | None:
    """The condition of that specification (canonical JSON), or its contrary."""
    return _all(json.loads(spec), negated)


def product(one: Alternatives, other: Alternatives) -> Alternatives | None:
    """One alternative of each at once."""
    if len(one) * len(other) > MAX_ALTERNATIVES:
        return None
    return [left.joined(right) for left in one for right in other]


def _all(match: Mapping[str, Any], negated: bool) -> Alternatives | None:  # noqa: FBT001
    return _combined((_entry(key, value, negated) for key, value in match.items()), any_of=negated)


def _entry(key: str, value: Any, negated: bool) -> Alternatives | None:  # noqa: FBT001
    if key == "not":
        return _all(value, not negated)
    if key in ("all", "any"):
        inner = (_all(item, negated) for item in value)
        return _combined(inner, any_of=(key == "any") != negated)
    return _tests(key, value, negated)


def _tests(key: str, value: Any, negated: bool) -> Alternatives | None:  # noqa: FBT001
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return _combined((_tests(key, item, negated) for item in value), any_of=not negated)
    if isinstance(value, dict):
        atoms = (_atom(key, operator, inner, negated) for operator, inner in value.items())
        return _combined(atoms, any_of=negated)
    return _atom(key, "any" if isinstance(value, list) else "equals", value, negated)


def _atom(key: str, operator: str, value: Any, negated: bool) -> Alternatives:  # noqa: FBT001
    is_fact = key in FACTS
    parameter = json.dumps(value, sort_keys=True, ensure_ascii=False)
    one = frozenset({Atom(variable_of(key), is_fact, operator, parameter)})
    none: frozenset[Atom] = frozenset()
    return [Conjunction({variable_of(key): (none, one) if negated else (one, none)})]


@lru_cache(maxsize=4096)
def variable_of(key: str) -> str:
    """One name for each attribute, however it was written; a fact is its own name."""
    if key in FACTS:
        return key
    path = parse_path(key)
    if path.is_plain and path.steps[0].item is None:
        tag = path.top_tag
        return keyword_for(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
    return path.text


def _combined(parts: Iterable[Alternatives | None], *, any_of: bool) -> Alternatives | None:
    found: Alternatives = [] if any_of else [EVERYTHING]
    for part in parts:
        if part is None:
            return None
        if any_of:
            found = [*found, *part]
            if len(found) > MAX_ALTERNATIVES:
                return None
            continue
        joined = product(found, part)
        if joined is None:
            return None
        found = joined
    return found


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
