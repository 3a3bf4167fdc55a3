"""Plugs: what one extension file exports in its tuple `PLUGS`.

From one description follow the YAML it accepts, the editor schema, its help, the lint and a test
(the example must compile). `schema` is a JSON Schema fragment of the parameters; `example` is YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.model.path import Path


class PlugError(ValueError):
    """Parameters that have the right shape but no meaning; `path` leads to the wrong value.

    `path` is a tuple of keys and indexes below the parameters; `at_key` says that the last key
    itself is wrong, not its value; `hint` is what to write instead; `column_offset` points at a
    character inside the value, from 0 (patterns, templates), None at the value as a whole.
    """

    def __init__(
        self,
        message: str,
        *,
        path: tuple[str | int, ...] = (),
        hint: str = "",
        at_key: bool = False,
        column_offset: int | None = None,
        code: str = "DR220",
    ) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint
        self.at_key = at_key
        self.column_offset = column_offset
        self.code = code


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of `match`: `compile(parameters, path)` gives a test over decoded values.

    The test takes the tuple of values of the attribute as text or numbers, or None when it is
    absent; `path` is the attribute's path, or None for a fact. `weigh(parameters)` tells what
    compiling them costs where that is much, in about microseconds.
    """

    name: str
    summary: str
    schema: Mapping[str, Any]
    example: str
    compile: Callable[[Any, Path | None], Callable[[Any], bool]] = field(compare=False)
    weigh: Callable[[Any], int] = field(compare=False, default=lambda _: 0)


@dataclass(frozen=True, slots=True)
class Morph:
    """One step of `morph`: `compile(parameters)` gives a function that edits a data set.

    The function takes (EditableDataSet, MorphContext) and raises MorphFailed. `reads` and `writes`
    give the paths the parameters name, for analysis. `check(parameters)` gives a function alike that
    is called when all steps of the recipe have run, to refuse what must not leave. One that is not
    offered is no word of the language: a key elsewhere asks for it. `weigh` is as for Operator.
    """

    name: str
    summary: str
    schema: Mapping[str, Any]
    example: str
    compile: Callable[[Any], Callable[[Any, Any], None]] = field(compare=False)
    reads: Callable[[Any], frozenset[Path]] = field(compare=False, default=lambda _: frozenset())
    writes: Callable[[Any], frozenset[Path]] = field(compare=False, default=lambda _: frozenset())
    check: Callable[[Any], Callable[[Any, Any], None]] | None = field(compare=False, default=None)
    is_offered: bool = True
    weigh: Callable[[Any], int] = field(compare=False, default=lambda _: 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of DICOMweb server accepts and answers, as data (protocols 2).

    `query_keys` are the only attributes it searches by, None for any; with `fuzzy_names` it takes
    a name as the beginnings of words; without `decodes_percent` it takes %2A as three characters;
    `query_limit` is the most it gives in one page.
    """

    name: str
    summary: str
    quote_type: bool = True
    max_request_bytes: int = 2 * 1024**3
    max_instances: int = 50
    delivered_codes: frozenset[int] = frozenset({0x0111, 0xB00E})
    later_codes: frozenset[int] = frozenset({0xB00F})
    permanent_codes: frozenset[int] = frozenset()
    needs_explicit_vr: bool = True
    query_limit: int = 200
    query_wildcards: bool = True
    decodes_percent: bool = True
    query_keys: frozenset[int] | None = None
    fuzzy_names: bool = False


@dataclass(frozen=True, slots=True)
class StationKind:
    """One kind of station: `make(station, context)` gives its `router.peers.peer.Peer`.

    `schema` is a JSON Schema object of the station's own keys, `example` a YAML mapping of them.
    """

    name: str
    summary: str
    schema: Mapping[str, Any]
    example: str
    make: Callable[[Any, Any], Any] = field(compare=False)
