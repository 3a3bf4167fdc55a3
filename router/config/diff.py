"""From one configuration to another, in the words of whoever wrote it: added, changed, removed.

Named things (stations, listeners, rules by their names) are added or removed whole; inside of what
both have, each key that differs is one change. Comments, layout and the order of mappings and files
do not count, as they do not for the digest; the order of rules does. Values are shown cut to a
length, and there are no secrets among them: a configuration has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.config.compile import written
from router.config.folder import Source
from router.config.report import Report
from router.config.tree import merge

Kind = Literal["added", "changed", "removed"]

MAX_SHOWN: Final = 120
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference at a path such as `stations.pacs.port`; '' is the side that has nothing."""

    kind: Kind
    path: str
    before: str = ""
    after: str = ""


def compare(before: Iterable[Source], after: Iterable[Source]) -> tuple[Difference, ...]:
    """The differences of two sound configurations, in order of sections; none when equal."""
    old, new = _document(before), _document(after)
    sections = [*new, *(name for name in old if name not in new)]
    found: list[Difference] = []
    for section in sections:
        if section == "rules":
            found += _rules(old.get(section, []), new.get(section, []))
        else:
            nothing = {} if section != "version" else _ABSENT
            found += _values(old.get(section, nothing), new.get(section, nothing), section)
    return tuple(found)


def _document(sources: Iterable[Source]) -> dict[str, Any]:
    return written(merge(sources, Report()))


def _rules(before: list[Any], after: list[Any]) -> Iterator[Difference]:
    old = {str(rule["name"]): rule for rule in before}
    new = {str(rule["name"]): rule for rule in after}
    for name in [*new, *(name for name in old if name not in new)]:
        path = f"rules.{name}"
        if name not in old:
            yield Difference("added", path, "", _shown(new[name]))
        elif name not in new:
            yield Difference("removed", path, _shown(old[name]), "")
        else:
            yield from _values(old[name], new[name], path)
    kept_before = [name for name in old if name in new]
    kept_after = [name for name in new if name in old]
    if kept_before != kept_after:
        orders = (_cut(", ".join(names)) for names in (kept_before, kept_after))
        yield Difference("changed", "rules (order)", *orders)


def _values(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if _written(before) == _written(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*after, *(key for key in before if key not in after)]:
            inner = before.get(key, _ABSENT), after.get(key, _ABSENT)
            yield from _values(*inner, f"{path}.{key}")
    else:
        kind: Kind = "changed"
        if before is _ABSENT:
            kind = "added"
        elif after is _ABSENT:
            kind = "removed"
        yield Difference(kind, path, _shown(before), _shown(after))


def _written(value: Any) -> str:
    """As the digest sees it: 1 is not true."""
    return "" if value is _ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _shown(value: Any) -> str:
    return "" if value is _ABSENT else _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
